// Package subscribers is what operators see of the durable consumers on stream QUOTES, our own and other teams': how far each
// has come, who lacks a fact, and how one of them gets facts again without the others noticing.
//
// It knows of a consumer what the server knows: what is acknowledged without a gap (the floor), what was delivered, and how
// many are in between, not which. quotectl and the console call it, and write the journal.
package subscribers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

// Subscriber is a durable consumer on QUOTES as the server has it.
type Subscriber struct {
	Name string `json:"name"`
	// Own tells our own services from others.
	Own     bool     `json:"own"`
	Filters []string `json:"filters"`
	// AckFloor is up to where everything is acknowledged, Delivered the last that was delivered: sequences of QUOTES.
	AckFloor  uint64 `json:"ack_floor"`
	Delivered uint64 `json:"delivered"`
	// Pending were never delivered, Unacked are delivered and not acknowledged, Redelivered of those more than once.
	Pending     uint64 `json:"pending"`
	Unacked     int    `json:"unacked"`
	Redelivered int    `json:"redelivered"`
	// LastAck is when something was acknowledged last, zero if nothing ever was.
	LastAck time.Time `json:"last_ack,omitzero"`
	// Waiting are the messages with which it is behind; what our own services hold back on purpose is none. Oldest is the
	// first of them, 0 when there is none; OldestAt is when it was stored.
	Waiting  uint64    `json:"waiting"`
	Oldest   uint64    `json:"oldest,omitempty"`
	OldestAt time.Time `json:"oldest_at,omitzero"`
	Paused   bool      `json:"paused,omitempty"`
}

// Lag is with how many messages it is behind.
func (s Subscriber) Lag() uint64 { return s.Waiting }

// Behind is how long its oldest message has waited, 0 when it has none.
func (s Subscriber) Behind(now time.Time) time.Duration {
	return natsstream.Behind{Oldest: s.Oldest, Since: s.OldestAt}.Age(now)
}

// unacknowledged reports whether there is a message of its that it has not acknowledged, held back or not.
func (s Subscriber) unacknowledged() bool { return s.Waiting > 0 || s.Pending > 0 || s.Unacked > 0 }

// Takes reports whether messages of that subject are delivered to it.
func (s Subscriber) Takes(subject string) bool {
	return len(s.Filters) == 0 || slices.ContainsFunc(s.Filters, func(f string) bool { return matches(f, subject) })
}

// matches is NATS's rule of * and >.
func matches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

// List returns all durable consumers of QUOTES, by name.
func List(ctx context.Context, log *natsstream.Log) ([]Subscriber, error) {
	stream, err := log.JetStream().Stream(ctx, event.StreamQuotes)
	if err != nil {
		return nil, advice.New("quotectl declare", "look up stream %s: %w", event.StreamQuotes, err)
	}
	all := []Subscriber{}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if info.Config.Durable == "" {
			continue
		}
		s, err := read(ctx, stream, info)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", event.StreamQuotes, err)
	}
	slices.SortFunc(all, func(a, b Subscriber) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Find returns one durable consumer of QUOTES.
func Find(ctx context.Context, log *natsstream.Log, name string) (Subscriber, error) {
	stream, err := log.JetStream().Stream(ctx, event.StreamQuotes)
	if err != nil {
		return Subscriber{}, advice.New("quotectl declare", "look up stream %s: %w", event.StreamQuotes, err)
	}
	consumer, err := stream.Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrInvalidConsumerName) {
		return Subscriber{}, advice.Missing("quotectl subscribers list", "stream %s has no consumer %q", event.StreamQuotes, name)
	}
	if err != nil {
		return Subscriber{}, fmt.Errorf("look up consumer %s: %w", name, err)
	}
	return read(ctx, stream, consumer.CachedInfo())
}

func read(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (Subscriber, error) {
	s := Subscriber{
		Name: info.Name, Own: deadletter.Owner(info.Name) != "", Filters: slices.Clone(info.Config.FilterSubjects),
		AckFloor: info.AckFloor.Stream, Delivered: info.Delivered.Stream, Pending: info.NumPending, Unacked: info.NumAckPending,
		Redelivered: info.NumRedelivered, Paused: info.Paused,
	}
	if info.Config.FilterSubject != "" {
		s.Filters = append(s.Filters, info.Config.FilterSubject)
	}
	if info.AckFloor.Last != nil {
		s.LastAck = info.AckFloor.Last.UTC()
	}
	behind, err := natsstream.ReadBehind(ctx, stream, info)
	s.Waiting, s.Oldest, s.OldestAt = behind.Waiting, behind.Oldest, behind.Since
	return s, err
}

// What is known of a subscriber and a fact.
const (
	Acknowledged = "acknowledged"
	// Delivered and not known to be acknowledged: it lies between floor and last delivery, where the server tells numbers only.
	Delivered = "delivered, not known whether acknowledged"
	Missing   = "not delivered yet"
)

// Standing is how a subscriber stands to a fact.
type Standing struct {
	Subscriber string `json:"subscriber"`
	Own        bool   `json:"own"`
	Fact       uint64 `json:"fact"`
	Subject    string `json:"subject"`
	State      string `json:"state"`
	AckFloor   uint64 `json:"ack_floor"`
	Delivered  uint64 `json:"delivered"`
	Unacked    int    `json:"unacked"`
}

// Standings says of each subscriber that takes the fact how it stands to it.
func Standings(all []Subscriber, fact natsstream.Record) []Standing {
	var standings []Standing
	for _, s := range all {
		if !s.Takes(fact.Subject) {
			continue
		}
		state := Missing
		switch {
		case fact.Sequence <= s.AckFloor, !s.unacknowledged(), fact.Sequence <= s.Delivered && s.Unacked == 0:
			state = Acknowledged
		case fact.Sequence <= s.Delivered:
			state = Delivered
		}
		standings = append(standings, Standing{
			Subscriber: s.Name, Own: s.Own, Fact: fact.Sequence, Subject: fact.Subject, State: state, AckFloor: s.AckFloor, Delivered: s.Delivered, Unacked: s.Unacked,
		})
	}
	return standings
}

// Replay delivers everything from a sequence of QUOTES on to one consumer again: the server sets its position back, and no
// other consumer notices. What it has in hand may come twice. Our own consumers are refused.
func Replay(ctx context.Context, log *natsstream.Log, name string, from uint64) (Subscriber, error) {
	if err := refuseOwn(name); err != nil {
		return Subscriber{}, err
	}
	_, err := log.JetStream().ResetConsumerToSequence(ctx, event.StreamQuotes, name, from)
	if errors.Is(err, jetstream.ErrConsumerInvalidReset) {
		return Subscriber{}, advice.New("nats consumer info QUOTES "+name, "%s begins later than %d by its deliver policy: %w", name, from, err)
	}
	if err != nil {
		return Subscriber{}, fmt.Errorf("set %s back to %d: %w", name, from, err)
	}
	return Find(ctx, log, name)
}

func refuseOwn(name string) error {
	switch deadletter.Owner(name) {
	case "":
		return nil
	case "payments":
		return advice.Of(advice.Usage, "quotectl replay <event> --reason …; quotectl rebuild --verify", "%s is our own: single events are replayed, all of them by a rebuild", name)
	case "notifier":
		return advice.Of(advice.Usage, "quotectl mail resend <quote> --reason …", "%s is our own: mails are sent again one by one", name)
	default:
		return advice.Of(advice.Usage, "quotectl dead list --consumer "+name, "%s is our own: what it could not do is among the dead letters", name)
	}
}

// CheckReplay reports why Replay would refuse the consumer, or nil.
func CheckReplay(name string) error { return refuseOwn(name) }
