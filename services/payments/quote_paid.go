package payments

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
)

// due is an emission that the facts demand and that is not known to be stored.
type due struct {
	s       *settlement
	subject event.QuoteSubject
	message natsstream.Message
}

// publish stores every fact that is true of the batch's quotes and not known to be in the log: from what is true, not
// from what just changed, so that a crash between commit and emission is made good by the redelivery. The log refuses a
// second copy of any of them. Trouble delays the messages of that quote.
//
// A quote's own facts go out before its quote.paid, so that who reads quote.paid finds quote.refunded already there.
func (b *batch) publish(ctx context.Context) {
	var all []due
	for _, s := range b.order {
		if s.err == nil {
			all = append(all, b.dueOf(s)...)
		}
	}
	if len(all) == 0 {
		return
	}
	fault.Hit("payments.before-emit")
	messages := make([]natsstream.Message, len(all))
	for i, d := range all {
		messages[i] = d.message
	}
	for i, result := range b.w.events.Facts(ctx, messages) {
		b.published(all[i], result)
	}
}

// published takes note of the log's answer to one emission.
func (b *batch) published(d due, r natsstream.Result) {
	name := "quote." + d.subject.Event
	switch {
	case errors.Is(r.Err, natsstream.ErrGuard):
		// A newer revision is in the log: quote.paid of this one is not to be, ever. The facts learn of the newer
		// revision from the stream QUOTES, and the quote goes to review.
		b.w.metrics.emissions.WithLabelValues(name, "superseded").Inc()
		b.w.log.Error("payment on a revision that a newer one has replaced",
			zap.String("quote_id", d.s.quote), zap.String("account", d.s.account), zap.String("revision", d.subject.N))
		b.w.published.add(d.message.Subject)
	case r.Err != nil:
		d.s.err = r.Err
	case r.Stored.Taken:
		b.w.metrics.emissions.WithLabelValues(name, "taken").Inc()
		b.w.published.add(d.message.Subject)
	default:
		b.w.metrics.emissions.WithLabelValues(name, "stored").Inc()
		b.stored = append(b.stored, d.message.Subject)
		b.w.published.add(d.message.Subject)
		b.w.log.Info("fact published", zap.String("subject", d.message.Subject), zap.Uint64("seq", r.Stored.Sequence),
			zap.String("quote_id", d.s.quote))
	}
}

// dueOf lists a quote's emissions that are due and not known to be stored.
func (b *batch) dueOf(s *settlement) []due {
	var all []due
	for _, e := range s.state.Due {
		if _, marked := s.marks[e.Event+"."+e.N]; marked {
			continue
		}
		subject := event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: s.quote, N: e.N}
		if b.w.published.has(subject.String()) || !mayEmit(s, e) {
			continue
		}
		message, err := b.w.message(s, e, subject)
		if err != nil {
			s.err = err
			return nil
		}
		all = append(all, due{s, subject, message})
	}
	return all
}

// message makes the envelope of an emission. quote.paid of revision n is guarded by the publication of n+1: the log
// itself decides which of the two came first. The seller's commands are guarded the other way round.
func (w *worker) message(s *settlement, e quote.Emission, subject event.QuoteSubject) (natsstream.Message, error) {
	var data any = event.PaymentFact{
		Seller: e.Seller, QuoteID: s.quote, Revision: e.Revision, DealID: s.state.Deal, Amount: e.Amount.Amount, Currency: e.Amount.Currency,
		OccurredAt: e.At, Mode: w.cfg.Mode, Account: s.account, Object: e.Object, Full: e.Full, CheckoutSession: e.Payment.Session,
		PaymentIntent: e.Payment.Intent, Invoice: e.Payment.Invoice, StripeEvent: e.Payment.Event,
	}
	absent := ""
	if e.Event == quote.EventPaid {
		data = event.Paid{
			Seller: e.Seller, QuoteID: s.quote, Revision: e.Revision, DealID: s.state.Deal, Amount: e.Amount.Amount, Currency: e.Amount.Currency,
			PaidAt: e.At, Mode: w.cfg.Mode, Account: s.account, CheckoutSession: e.Payment.Session, PaymentIntent: e.Payment.Intent,
			Invoice: e.Payment.Invoice, StripeEvent: e.Payment.Event,
		}
		absent = event.QuoteSubject{Event: "published", Seller: e.Seller, Quote: s.quote, N: strconv.Itoa(e.Revision + 1)}.String()
	}
	envelope, err := event.New(subject, event.SourcePayments, e.At, data)
	if err != nil {
		return natsstream.Message{}, fmt.Errorf("make quote.%s of %s: %w", e.Event, s.quote, err)
	}
	return natsstream.Message{
		Subject: subject.String(), ID: envelope.ID, Data: envelope.Encode(), Absent: absent,
		Header: nats.Header{event.HeaderContentType: []string{event.ContentType}},
	}, nil
}

// recentEmissions bounds recent; a worker's redeliveries reach back a few batches.
const recentEmissions = 1 << 16

// recent remembers which emissions this process has published, until their marks come back through the stream: without
// it every later message of a freshly paid quote would ask the log again, and half of all publications would be refused.
// It forgets the oldest first; forgetting costs a refused publication, nothing else.
type recent struct {
	size int
	set  map[string]struct{}
	ring []string // grows up to size
	next int
	mu   sync.Mutex
}

func newRecent(size int) *recent { return &recent{size: size, set: map[string]struct{}{}} }

func (r *recent) add(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, have := r.set[subject]; have {
		return
	}
	r.set[subject] = struct{}{}
	if len(r.ring) < r.size {
		r.ring = append(r.ring, subject)
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = subject
	r.next = (r.next + 1) % r.size
}

func (r *recent) has(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, have := r.set[subject]
	return have
}
