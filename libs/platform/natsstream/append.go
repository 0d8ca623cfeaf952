package natsstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// Append stores a message if the stream's last message still is the one with sequence last; 0 means that it has none. It
// answers ErrConflict if not, and ErrUnavailable for everything that may be repeated; what was stored without an answer is
// found by reading the end of the stream.
func (l *Log) Append(ctx context.Context, m Message, last uint64) (Stored, error) {
	msg := m.natsMsg()
	msg.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
	r := l.pub.publish(ctx, msg)
	if r.Err == nil {
		return l.settled(ctx, m.Subject, r.Stored)
	}
	if code, _ := apiError(r.Err); code == codeWrongLastSequence || code == codeInFlight {
		return Stored{}, fmt.Errorf("publish %s: %w", m.Subject, ErrConflict)
	}
	return Stored{}, fmt.Errorf("publish %s: %w: %w", m.Subject, ErrUnavailable, r.Err)
}
