package natsstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
)

// Headers that a dead letter carries beside those of the message it was.
const (
	HeaderDeadSubject  = "Dead-Subject"  // the original subject
	HeaderDeadReason   = "Dead-Reason"   // why it was set aside
	HeaderDeadAttempts = "Dead-Attempts" // deliveries until then
	HeaderDeadHandler  = "Dead-Handler"  // version of the program that gave up
)

// DeadLetter is a message that its consumer sets aside.
type DeadLetter struct {
	// Consumer is the durable that gives up.
	Consumer string
	Record   Record
	Reason   string
	Attempts uint64
	// Round counts how often the message was set aside, from 1; 0 means 1. A retry that an operator asked for begins the next.
	Round int
	// Handler is the version of the program.
	Handler string
}

// SetAside stores the message's bytes, headers and reason in the stream DEAD. Once it returns nil the message may be
// terminated; repeating it stores nothing twice.
func (l *Log) SetAside(ctx context.Context, d DeadLetter) error {
	header := nats.Header{}
	for name, values := range d.Record.Header {
		// NATS's own headers would steer the publication.
		if !strings.HasPrefix(name, "Nats-") && !strings.HasPrefix(name, "Dead-") {
			header[name] = values
		}
	}
	header.Set(HeaderDeadSubject, d.Record.Subject)
	header.Set(HeaderDeadReason, d.Reason)
	header.Set(HeaderDeadAttempts, strconv.FormatUint(d.Attempts, 10))
	header.Set(HeaderDeadHandler, d.Handler)
	subject := event.DeadSubject(d.Consumer, d.Record.Stream, d.Record.Sequence, max(d.Round, 1))
	if _, err := l.Fact(ctx, Message{Subject: subject, ID: subject, Header: header, Data: d.Record.Data}); err != nil {
		return fmt.Errorf("set aside %s %d: %w", d.Record.Stream, d.Record.Sequence, err)
	}
	return nil
}
