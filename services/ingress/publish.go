package ingress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/stripebody"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
)

// Outcome says what became of a genuine delivery; each is answered with 200, and the body is then on the log.
type Outcome string

// The outcomes.
const (
	// Stored: the first delivery of this event.
	Stored Outcome = "stored"
	// Duplicate: the same bytes are stored already.
	Duplicate Outcome = "duplicate"
	// OtherRendering: the same event is stored in another form: another endpoint's API version, another count of
	// pending webhooks, the API's formatting. The stored one serves.
	OtherRendering Outcome = "other_rendering"
	// Conflict: the event id is taken by another event. Stored aside; somebody has to look.
	Conflict Outcome = "conflict"
	// Unreadable: signed, but without a usable id, type, account or mode. Stored aside; somebody has to look.
	Unreadable Outcome = "unreadable"
)

// Outcomes lists them all.
var Outcomes = []Outcome{Stored, Duplicate, OtherRendering, Conflict, Unreadable}

// retryEvery is the pause between two attempts to store one event while the log is unavailable: a new leader or a
// restarted server is there within the budget more often than not, and Stripe's own retry comes an hour later.
const retryEvery = 250 * time.Millisecond

// Delivery is a request whose signature was right.
type Delivery struct {
	// Body is the bytes as signed. They are not kept after Publish has returned.
	Body []byte
	// Secret names the secret that signed it.
	Secret string
	// Source is one of event's Source constants.
	Source string
	// ReceivedAt is when the request was accepted.
	ReceivedAt time.Time
}

// Published tells where a delivery went.
type Published struct {
	Outcome Outcome
	// Event is what could be read of it; zero when it is Unreadable.
	Event stripebody.Peeked
	// Detail says why an event is Unreadable or in Conflict; constant text.
	Detail string
	// Sequence is that of the stored message on stream STRIPE: the new one, or the earlier one that serves.
	Sequence uint64
	// TraceID is the W3C trace id, 32 hex digits. It is the beginning of the body's SHA-256, so that all deliveries of
	// one body are one trace.
	TraceID string
}

// Log is the part of natsstream.Log that ingress needs.
type Log interface {
	Fact(ctx context.Context, m natsstream.Message) (natsstream.Stored, error)
	Read(ctx context.Context, stream, subject string) (natsstream.Record, error)
	ReadSequence(ctx context.Context, stream string, seq uint64) (natsstream.Record, error)
}

// Publisher puts deliveries on stream STRIPE. Safe for concurrent use.
type Publisher struct{ log Log }

// NewPublisher returns a Publisher over log.
func NewPublisher(log Log) *Publisher { return &Publisher{log: log} }

// Publish stores a delivery, or makes sure that its event is stored already. It tries until ctx ends; after any error the
// event is not known to be stored, and the answer tells no more than what was read of it. Trying again is safe: at worst it
// finds its own message.
func (p *Publisher) Publish(ctx context.Context, d Delivery) (Published, error) {
	for {
		out, err := p.attempt(ctx, d)
		if err == nil {
			return out, nil
		}
		// To wait for a disk that has failed is in vain. A read-back that finds nothing: the answer came from a server that lags,
		// or the earlier message is on its way and may never arrive.
		if errors.Is(err, natsstream.ErrNotDurable) || !errors.Is(err, natsstream.ErrUnavailable) && !errors.Is(err, natsstream.ErrNotFound) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, err
		case <-time.After(retryEvery):
		}
	}
}

// attempt publishes once. An event id is taken once and for ever under its mode and account, whatever its type: the server
// stores the message only if no subject of the event's family exists. The id is also the message id, which catches the same
// id under another account or mode for as long as the stream's window lasts.
func (p *Publisher) attempt(ctx context.Context, d Delivery) (Published, error) {
	sum := sha256.Sum256(d.Body)
	sha := hex.EncodeToString(sum[:])
	out := Published{TraceID: sha[:32]}
	peeked, err := stripebody.Peek(d.Body)
	if err != nil {
		out.Outcome, out.Detail = Unreadable, err.Error()
		return p.aside(ctx, d.message(event.UnreadableSubject(sha), "unreadable."+sha, sha, ""), out)
	}
	out.Outcome, out.Event = Stored, peeked
	m := d.message(peeked.Subject(), peeked.ID, sha, peeked.APIVersion)
	m.Absent = peeked.Family()
	stored, err := p.store(ctx, m)
	if err != nil || !stored.Taken {
		out.Sequence = stored.Sequence
		return out, err
	}
	earlier, err := p.earlier(ctx, stored, m.Absent)
	if err != nil {
		return out, err
	}
	out.Sequence = earlier.Sequence
	relation, detail := stripebody.Compare(earlier.Data, d.Body)
	out.Outcome, out.Detail = outcomes[relation], detail
	if out.Outcome != Conflict {
		return out, nil
	}
	subject := event.ConflictSubject(peeked.Mode, peeked.Account, peeked.ID, sha)
	return p.aside(ctx, d.message(subject, "conflict."+peeked.ID+"."+sha, sha, peeked.APIVersion), out)
}

// message dresses a body for the log. Message ids that are not event ids hold a dot, so that no event can have them.
//
// The trace's flags say that nobody has recorded it, which is true; where they say otherwise nats-server takes the whole
// header apart for each message, to look for an account that wants to see the trace.
func (d Delivery) message(subject, id, sha, version string) natsstream.Message {
	header := nats.Header{
		event.HeaderReceivedAt:  {d.ReceivedAt.UTC().Format(time.RFC3339Nano)},
		event.HeaderSecretName:  {d.Secret},
		event.HeaderSource:      {d.Source},
		event.HeaderBodySHA256:  {sha},
		event.HeaderTraceParent: {"00-" + sha[:32] + "-" + sha[32:48] + "-00"},
	}
	if version != "" {
		header[event.HeaderAPIVersion] = []string{version}
	}
	return natsstream.Message{Subject: subject, ID: id, Header: header, Data: d.Body}
}

// aside stores a body under a subject that holds its hash: what is there already is the same body.
func (p *Publisher) aside(ctx context.Context, m natsstream.Message, out Published) (Published, error) {
	stored, err := p.store(ctx, m)
	if err != nil || !stored.Taken {
		out.Sequence = stored.Sequence
		return out, err
	}
	earlier, err := p.earlier(ctx, stored, m.Subject)
	out.Outcome, out.Sequence = Duplicate, earlier.Sequence
	return out, err
}

func (p *Publisher) store(ctx context.Context, m natsstream.Message) (natsstream.Stored, error) {
	fault.Hit("ingress.before-publish")
	stored, err := p.log.Fact(ctx, m)
	fault.Hit("ingress.after-publish")
	if errors.Is(err, natsstream.ErrGuard) { // the guard is the event's own family
		return natsstream.Stored{Taken: true}, nil
	}
	if err != nil {
		return natsstream.Stored{}, fmt.Errorf("store event: %w", err)
	}
	return stored, nil
}

// earlier reads the message that took the place.
func (p *Publisher) earlier(ctx context.Context, stored natsstream.Stored, subjects string) (natsstream.Record, error) {
	read := func() (natsstream.Record, error) { return p.log.Read(ctx, event.StreamStripe, subjects) }
	if stored.Sequence > 0 {
		read = func() (natsstream.Record, error) { return p.log.ReadSequence(ctx, event.StreamStripe, stored.Sequence) }
	}
	record, err := read()
	if err != nil {
		return natsstream.Record{}, fmt.Errorf("read the stored event: %w", err)
	}
	return record, nil
}

// outcomes are what becomes of a body whose event id is taken.
var outcomes = map[stripebody.Relation]Outcome{stripebody.Same: Duplicate, stripebody.OtherRendering: OtherRendering, stripebody.Conflict: Conflict}
