// Package delivery is what a consumer decides about one delivery of a message:
// acknowledge it, try again later, or set it aside; how long "later" is; and
// how a handler says that trying again is of no use.
//
// It decides and sends nothing: natsstream's consumer loop, the payments worker
// and the notifier carry a Disposition out.
package delivery

import (
	"errors"
	"time"
)

// Disposition is one of Ack, Retry and Dead.
type Disposition interface {
	// String is the disposition's name in logs and metrics: ack, retry, dead.
	String() string
	disposition()
}

// Ack says that everything the message asks for is stored.
type Ack struct{}

// Retry says that the message must be delivered again.
type Retry struct {
	// After is how long to wait first; zero means at once.
	After time.Duration
}

// Dead says that no further delivery can help: the message belongs in the
// dead-letter store and must not come again.
type Dead struct {
	// Reason is for the operator who reads the dead letter: no personal data.
	Reason string
}

// String is "ack".
func (Ack) String() string { return "ack" }

// String is "retry".
func (Retry) String() string { return "retry" }

// String is "dead".
func (Dead) String() string { return "dead" }

func (Ack) disposition()   {}
func (Retry) disposition() {}
func (Dead) disposition()  {}

// Of turns the answer of a handler into a Disposition: nil is Ack, a permanent
// error is Dead with its text, any other is Retry after the curve's delay.
// Attempt counts from 1, as JetStream's NumDelivered does.
func Of(err error, attempt uint64, curve Curve) Disposition {
	switch {
	case err == nil:
		return Ack{}
	case IsPermanent(err):
		return Dead{Reason: err.Error()}
	default:
		return Retry{After: curve.After(attempt)}
	}
}

// Curve is an exponential backoff. It has no randomness of its own: one
// consumer's redeliveries do not meet in a herd, and tests stay exact.
type Curve struct {
	First time.Duration // after the first attempt; zero means 250 ms
	Cap   time.Duration // never longer than this; zero means 1 minute
}

// The defaults of a Curve: quick enough that a restart of Redis is not noticed,
// slow enough that an outage of hours costs one attempt a minute.
const (
	defaultFirst = 250 * time.Millisecond
	defaultCap   = time.Minute
)

// After is the delay after the given attempt, counted from 1: First, doubled
// with each further attempt, at most Cap.
func (c Curve) After(attempt uint64) time.Duration {
	delay, limit := c.First, c.Cap
	if delay <= 0 {
		delay = defaultFirst
	}
	if limit <= 0 {
		limit = defaultCap
	}
	for n := uint64(1); n < attempt && delay < limit; n++ {
		if delay > limit/2 {
			return limit
		}
		delay *= 2
	}
	return min(delay, limit)
}

// Backoff is the default Curve's delay after the given attempt, counted from 1:
// 250 ms, 500 ms, 1 s … up to 1 minute.
func Backoff(attempt uint64) time.Duration { return Curve{}.After(attempt) }

// permanent marks an error that no further attempt can cure.
type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent wraps an error that no further attempt can cure: what cannot be
// decoded. Trouble of a server is never permanent. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err: err}
}

// IsPermanent reports whether err or an error it wraps came from Permanent.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}
