package natsstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
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
	// Handler is the version of the program.
	Handler string
}

// SetAside stores the message's bytes, headers and reason in the stream DEAD. Once it returns nil the message may be
// terminated; repeating it stores nothing twice.
func (l *Log) SetAside(ctx context.Context, d DeadLetter) error {
	header := nats.Header{}
	for name, values := range d.Record.Header {
		// NATS's own headers would steer the publication.
		if len(name) < 5 || name[:5] != "Nats-" {
			header[name] = values
		}
	}
	header.Set(HeaderDeadSubject, d.Record.Subject)
	header.Set(HeaderDeadReason, d.Reason)
	header.Set(HeaderDeadAttempts, strconv.FormatUint(d.Attempts, 10))
	header.Set(HeaderDeadHandler, d.Handler)
	const round = 1 // a retry of the dead letter, which an operator asks for, begins the next
	subject := fmt.Sprintf("dead.%s.%s.%d.%d", d.Consumer, d.Record.Stream, d.Record.Sequence, round)
	if _, err := l.Fact(ctx, Message{Subject: subject, ID: subject, Header: header, Data: d.Record.Data}); err != nil {
		return fmt.Errorf("set aside %s %d: %w", d.Record.Stream, d.Record.Sequence, err)
	}
	return nil
}
