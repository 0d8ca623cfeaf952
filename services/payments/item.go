package payments

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// target names the facts that a message is folded into.
type target struct{ account, quote string }

// item is one message on its way through a batch.
type item struct {
	msg     jetstream.Msg // nil where the message comes from a repair or a replay
	record  natsstream.Record
	attempt uint64 // deliveries so far, from 1
	round   int    // of the letter, should it be set aside; 0 means the first
	again   bool   // an operator asked for it: its outcome replaces the one on record

	change  stripeevent.Change  // of a Stripe event; of a quote's own event, Facts alone
	targets []target            // whose facts change.Facts is merged into
	owner   string              // of a Stripe event: the account in its subject, which ingress took from its signed body
	account *natsstream.Message // the fact of an event about a Stripe account
	out     redisquote.Outcome  // decided once out.Outcome is set
	err     error               // why it must come again
}

func newItem(m jetstream.Msg) (item, error) {
	meta, err := m.Metadata()
	if err != nil {
		return item{}, fmt.Errorf("read metadata: %w", err)
	}
	return item{msg: m, attempt: meta.NumDelivered, record: natsstream.Record{
		Stream: meta.Stream, Subject: m.Subject(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Header: m.Headers(), Data: m.Data(),
	}}, nil
}

// reset forgets what an earlier try of the batch found out.
func (it *item) reset() {
	it.change, it.owner, it.targets, it.out, it.err = stripeevent.Change{}, "", nil, redisquote.Outcome{}, nil
	it.account = nil
}

func (it *item) decide(outcome, reason string) { it.out.Outcome, it.out.Reason = outcome, reason }

func (it *item) decided() bool { return it.out.Outcome != "" }

// read takes over what the message says by itself.
func (it *item) read(o projection.Outcome) {
	it.out.EventID, it.out.Type, it.out.Account, it.out.Quote = o.EventID, o.Type, o.Account, o.Quote
	it.decide(o.Kind, o.Reason)
}

// open reports whether the item still has to be folded.
func (it *item) open() bool { return !it.decided() && it.err == nil }

// fields name the message in a log line. No personal data: ids, types and statuses only.
func (it *item) fields() []zap.Field { return it.appendFields(make([]zap.Field, 0, 12)) }

func (it *item) appendFields(f []zap.Field) []zap.Field {
	f = append(f, zap.String("stream", it.record.Stream), zap.Uint64("seq", it.record.Sequence),
		zap.String("type", it.out.Type), zap.Uint64("attempt", it.attempt))
	if it.out.EventID != "" {
		f = append(f, zap.String("event_id", it.out.EventID))
	}
	if it.out.Quote != "" {
		f = append(f, zap.String("quote_id", it.out.Quote))
	}
	if it.out.Account != "" {
		f = append(f, zap.String("account", it.out.Account))
	}
	if trace := it.record.Header.Get(event.HeaderTraceParent); trace != "" {
		f = append(f, zap.String("trace_id", trace))
	}
	return f
}

// logged writes the one wide line of a message. It uses room for the line's fields and returns it for the next one.
func (w *worker) logged(it *item, took time.Duration, room []zap.Field) []zap.Field {
	level, text := zap.InfoLevel, "message settled"
	switch it.out.Outcome {
	case projection.Dead:
		level, text = zap.ErrorLevel, "message set aside"
	case projection.Refused:
		level, text = zap.WarnLevel, "message refused"
	}
	entry := w.log.Check(level, text)
	if entry == nil {
		return room
	}
	f := append(it.appendFields(room[:0]), zap.String("outcome", it.out.Outcome), zap.Duration("took", took))
	if it.out.Reason != "" {
		f = append(f, zap.String("reason", it.out.Reason))
	}
	if it.out.After != "" {
		f = append(f, zap.String("before", it.out.Before), zap.String("after", it.out.After))
	}
	entry.Write(f...)
	return f
}
