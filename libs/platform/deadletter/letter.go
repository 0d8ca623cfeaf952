// Package deadletter knows the life of a dead letter: how it is read off the stream DEAD, how an operator's tool asks the
// service that owns it to try again or to give it up, and how that service answers.
//
// A letter is never deleted and holds no lock. Each time its message is set aside it has one more round; each decision about
// it is a fact beside it (deadstate.<consumer>.<stream>.<sequence>.<n>), and the last of all these says how it stands. It
// knows nothing of what messages mean: the owner's handler does. payments, notifier and quotes serve it, the operators' tools
// ask it.
package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// State is how a letter stands.
type State string

// The states.
const (
	// Open letters wait for somebody.
	Open State = "open"
	// Discarded letters were given up, with a reason; they can still be tried again.
	Discarded State = "discarded"
	// Resolved letters were tried again with success.
	Resolved State = "resolved"
)

// Key names a letter: who set aside what.
type Key struct {
	Consumer string `json:"consumer"`
	Stream   string `json:"stream"`
	Sequence uint64 `json:"sequence"`
}

// String is the key for people and the journal: payments/STRIPE:88120.
func (k Key) String() string {
	return k.Consumer + "/" + k.Stream + ":" + strconv.FormatUint(k.Sequence, 10)
}

// Letter is a message that a consumer set aside, as it stands.
type Letter struct {
	Key
	// Place is the sequence of the last round in DEAD, Rounds how often the message was set aside.
	Place  uint64 `json:"place"`
	Rounds int    `json:"rounds"`
	// Subject is the message's own.
	Subject string `json:"subject"`
	// Reason, Attempts and Handler are of the last round; Cause groups reasons that differ by ids and numbers alone.
	Reason   string `json:"reason"`
	Cause    string `json:"cause"`
	Attempts uint64 `json:"attempts"`
	Handler  string `json:"handler,omitempty"`
	// First and Last are when it was set aside for the first and the last time.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	State State     `json:"state"`
	// Decision is the last one, nil while there was none.
	Decision *Decision `json:"decision,omitempty"`
	// Decisions counts them.
	Decisions int `json:"decisions"`
}

// Decision is the body of a deadstate message.
type Decision struct {
	State State     `json:"state"` // Discarded or Resolved
	At    time.Time `json:"at"`
	Who   string    `json:"who"`
	Why   string    `json:"why"`
	// Outcome is what a retry came to.
	Outcome string `json:"outcome,omitempty"`
}

// varying is what differs between two letters of one cause.
var varying = regexp.MustCompile(`"[^"]*"|'[^']*'|[A-Za-z]{2,}_[A-Za-z0-9_]+|[0-9a-fA-F]{12,}|[0-9]+`)

// Pattern is a reason with ids, numbers and quoted texts left out.
func Pattern(reason string) string { return varying.ReplaceAllString(reason, "…") }

// CauseOf is the fingerprint of a cause: c_ and eight hex digits over consumer, stream and Pattern.
func CauseOf(consumer, stream, reason string) string {
	sum := sha256.Sum256([]byte(consumer + "\n" + stream + "\n" + Pattern(reason)))
	return "c_" + hex.EncodeToString(sum[:4])
}

// add takes one message of DEAD about this letter; they come in the order of the stream.
func (l *Letter) add(r natsstream.Record, d event.DeadLetter) {
	if d.Decision {
		l.Decisions = max(l.Decisions, d.N)
		var decision Decision
		if err := json.Unmarshal(r.Data, &decision); err != nil || decision.State != Discarded && decision.State != Resolved {
			return // of a newer version: the letter stays as it stands
		}
		l.State, l.Decision = decision.State, &decision
		return
	}
	if l.Rounds == 0 {
		l.First = r.Time.UTC()
	}
	l.State, l.Place, l.Rounds, l.Last = Open, r.Sequence, max(l.Rounds, d.N), r.Time.UTC()
	l.Subject, l.Reason, l.Handler = r.Header.Get(natsstream.HeaderDeadSubject), r.Header.Get(natsstream.HeaderDeadReason), r.Header.Get(natsstream.HeaderDeadHandler)
	l.Cause = CauseOf(l.Consumer, l.Stream, l.Reason)
	l.Attempts, _ = strconv.ParseUint(r.Header.Get(natsstream.HeaderDeadAttempts), 10, 64)
}

// message is the message that was set aside, out of its letter. Its time is that of the letter.
func message(l natsstream.Record, d event.DeadLetter) natsstream.Record {
	m := natsstream.Record{
		Stream: d.Stream, Sequence: d.Sequence, Subject: l.Header.Get(natsstream.HeaderDeadSubject), Time: l.Time, Header: map[string][]string{}, Data: l.Data,
	}
	for name, values := range l.Header {
		switch name {
		case natsstream.HeaderDeadSubject, natsstream.HeaderDeadReason, natsstream.HeaderDeadAttempts, natsstream.HeaderDeadHandler:
		default:
			m.Header[name] = values
		}
	}
	return m
}
