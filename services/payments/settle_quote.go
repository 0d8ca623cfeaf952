package payments

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/redisquote"
)

// settlement is one quote of a batch: the facts as loaded, and as they become.
type settlement struct {
	target
	loaded quote.Facts // as Redis holds them
	digest string      // of loaded; empty for none
	before string      // status as Redis holds it
	marks  map[string]redisquote.Mark

	facts    quote.Facts // loaded and everything folded since
	state    quote.State // derived from facts
	changed  bool        // facts have grown beyond loaded
	linked   []string    // objects that were tied since
	released []parked    // changes that had waited and were merged now
	knew     []parked    // changes that had waited and told nothing new
	err      error       // why this quote's messages must come again
}

// batch is what settle works on.
type batch struct {
	w       *worker
	keys    redisquote.Keys              // of the generation that the batch is written into; the active one from apply on, if nobody sets it
	build   *build                       // set where a generation is built beside the one in use: nothing is acknowledged then
	old     map[place]redisquote.Outcome // of the generation in use, where another one is built
	relink  bool                         // links may be lost of facts that are not: tie them all
	items   []*item
	quotes  map[target]*settlement
	order   []*settlement   // in the order of first appearance, so that runs are reproducible
	touches touches         // see there
	known   []any           // quotes with a published revision, as members of IndexUnknown
	touched map[string]bool // quotes whose status may have to be indexed anew
	moved   []*settlement   // quotes whose status is their payment's, on their one account
	ignored []parked        // changes that had waited and turned out to belong to a renewal
	stored  []string        // the subjects of the facts that it has published
	began   time.Time
}

// settle leads a batch from bytes to recorded outcomes. Its error means that a server is away and the whole batch must
// be tried again, which is harmless at any point; trouble of one message or one quote is in item.err.
//
// The order of the effects is the guarantee: links before facts, facts before emissions, all of them before the outcome
// is recorded, and the caller acknowledges last.
func (w *worker) settle(ctx context.Context, items []*item) error {
	return w.newBatch(items).settle(ctx)
}

func (b *batch) settle(ctx context.Context) error {
	b.decode()
	if err := b.apply(ctx); err != nil {
		return err
	}
	return b.conclude(ctx)
}

func (w *worker) newBatch(items []*item) *batch {
	return &batch{w: w, items: items, quotes: map[target]*settlement{}, touched: map[string]bool{}, began: w.cfg.Now()}
}

// apply makes the batch's facts part of the projection.
func (b *batch) apply(ctx context.Context) error {
	if b.keys == (redisquote.Keys{}) {
		b.keys = b.w.active.Keys()
	}
	// Redis must not know what a power cut could still take from the log: facts are never taken back.
	if err := b.w.events.Durable(ctx); err != nil {
		return err
	}
	if err := b.readQuoteEvents(ctx); err != nil {
		return err
	}
	if err := b.route(ctx); err != nil {
		return err
	}
	if err := b.load(ctx); err != nil {
		return err
	}
	b.fold()
	if err := b.link(ctx); err != nil {
		return err
	}
	if err := b.linkRenewals(ctx); err != nil {
		return err
	}
	fault.Hit("payments.before-commit")
	if err := b.commit(ctx); err != nil {
		return err
	}
	fault.Hit("payments.after-commit")
	return nil
}

// conclude publishes what follows from the committed facts and records what became of each message.
func (b *batch) conclude(ctx context.Context) error {
	b.publish(ctx)
	b.publishAccounts(ctx)
	fault.Hit("payments.after-emit")
	b.passErrorsToItems()
	if err := b.setAside(ctx); err != nil {
		return err
	}
	if err := b.record(ctx); err != nil {
		return err
	}
	if err := b.confirm(ctx); err != nil {
		return err
	}
	fault.Hit("payments.before-ack")
	b.report()
	return nil
}

// load reads the facts of every quote that the batch touches.
func (b *batch) load(ctx context.Context) error {
	for _, it := range b.items {
		if !it.open() {
			continue
		}
		for _, t := range it.targets {
			if b.quotes[t] == nil {
				s := &settlement{target: t}
				b.quotes[t] = s
				b.order = append(b.order, s)
			}
		}
	}
	return b.reload(ctx, b.order)
}

// fold merges every message of the batch into its quotes, in the batch's order, and decides its outcome.
func (b *batch) fold() {
	for _, s := range b.order {
		if s.err == nil {
			s.err = isolate(func() { s.facts = s.loaded.Clone(); s.state = quote.Derive(s.account, s.facts) })
		}
	}
	for _, it := range b.items {
		if !it.open() || len(it.targets) == 0 {
			continue
		}
		first := b.quotes[it.targets[0]]
		before := string(first.state.Status)
		changed := false
		for _, t := range it.targets {
			s := b.quotes[t]
			if s.err != nil {
				continue
			}
			if err := isolate(func() { changed = s.merge(it.change.Facts) || changed }); err != nil {
				it.decide(projection.Dead, err.Error())
			}
		}
		if it.decided() {
			continue
		}
		it.out.Account, it.out.Quote = first.account, first.quote
		it.out.Before, it.out.After = before, string(first.state.Status)
		if changed {
			it.decide(projection.Applied, b.remark(it, first))
		} else {
			it.decide(projection.Corroborated, "")
		}
	}
}

// remark explains an applied message whose quote is not simply as expected.
func (b *batch) remark(it *item, s *settlement) string {
	if it.record.Stream == event.StreamStripe && slices.Contains(s.state.Flags, quote.FlagUnknownQuote) {
		return "no published revision of this quote on this account yet"
	}
	return ""
}

// merge folds facts in and reports whether anything was new.
func (s *settlement) merge(f quote.Facts) bool {
	if !s.facts.Merge(f) {
		return false
	}
	s.changed = true
	s.state = quote.Derive(s.account, s.facts)
	return true
}

// isolate runs f and turns a panic into an error, so that one poisonous message holds up nobody else.
func isolate(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	f()
	return nil
}

// passErrorsToItems delays the messages of a quote that failed.
func (b *batch) passErrorsToItems() {
	for _, it := range b.items {
		for _, t := range it.targets {
			if s := b.quotes[t]; s != nil && s.err != nil && it.err == nil {
				it.err = s.err
			}
		}
	}
}
