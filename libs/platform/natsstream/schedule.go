package natsstream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
)

const (
	headerSchedule       = "Nats-Schedule"
	headerScheduleTarget = "Nats-Schedule-Target"
	headerScheduleTTL    = "Nats-Schedule-TTL"

	// dueKeptFor is how long the server keeps a timer that has fired. It bounds how long nobody may be there to take it,
	// not the wait for its time.
	dueKeptFor = 90 * 24 * time.Hour
)

// farthest is the last time that a schedule can name: nats-server 2.15.2 counts nanoseconds in 64 bits, which end in the
// year 2262; a later time would wrap and fire at once.
var farthest = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// Schedule makes the server deliver a timer at a time (whole seconds; later than the year 2261 counts as 2262), or at
// once where it has passed. Planning a timer that waits already changes nothing; one that has fired is planned anew and
// fires again, so whoever takes it must be idempotent. It answers ErrUnavailable for everything that may be repeated.
//
// The server keeps the schedule in the stream's file: it survives a restart of the server, and of everybody else.
func (l *Log) Schedule(ctx context.Context, t event.Timer, at time.Time) error {
	if at.After(farthest) {
		at = farthest
	}
	// No message id: within the server's window it would swallow a timer that is planned again after it has fired. What
	// refuses a second one is that its subject must be empty; firing empties it.
	_, err := l.Fact(ctx, Message{Subject: t.At(), Header: nats.Header{
		headerSchedule:       []string{"@at " + at.UTC().Format(time.RFC3339)},
		headerScheduleTarget: []string{t.Due()},
		headerScheduleTTL:    []string{dueKeptFor.String()},
	}})
	if err != nil {
		return fmt.Errorf("plan timer: %w", err)
	}
	return nil
}
