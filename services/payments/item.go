package payments

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

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

// MarshalLogObject implements zapcore.ObjectMarshaler: it names the message in a log line, without a list of fields. No personal
// data: ids, types and statuses only.
func (it *item) MarshalLogObject(line zapcore.ObjectEncoder) error {
	line.AddString("stream", it.record.Stream)
	line.AddUint64("seq", it.record.Sequence)
	line.AddString("type", it.out.Type)
	line.AddUint64("attempt", it.attempt)
	addText(line, "event_id", it.out.EventID)
	addText(line, "quote_id", it.out.Quote)
	addText(line, "account", it.out.Account)
	addText(line, "trace_id", it.record.Header.Get(event.HeaderTraceParent))
	return nil
}

// settled is what became of a message, for a log line.
type settled redisquote.Outcome

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (s *settled) MarshalLogObject(line zapcore.ObjectEncoder) error {
	line.AddString("outcome", s.Outcome)
	addText(line, "reason", s.Reason)
	if s.After != "" {
		line.AddString("before", s.Before)
		line.AddString("after", s.After)
	}
	return nil
}

// addText leaves out what is empty.
func addText(line zapcore.ObjectEncoder, key, value string) {
	if value != "" {
		line.AddString(key, value)
	}
}

// logged writes the one wide line of a message.
func (w *worker) logged(it *item, took time.Duration) {
	level, text := zap.InfoLevel, "message settled"
	switch it.out.Outcome {
	case projection.Dead:
		level, text = zap.ErrorLevel, "message set aside"
	case projection.Refused:
		level, text = zap.WarnLevel, "message refused"
	}
	if line := w.log.Check(level, text); line != nil {
		line.Write(zap.Inline(it), zap.Inline((*settled)(&it.out)), zap.Duration("took", took))
	}
}
