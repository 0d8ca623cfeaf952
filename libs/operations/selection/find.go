package selection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

const (
	// pageSize is how many places of a stream are looked at together.
	pageSize = 1000
	// fewMatches is up to how many messages of a page are read one by one rather than with the whole page.
	fewMatches = 24
)

// Finder finds what selections mean. Log is required; Reader is nil where Redis is not configured, and then nothing can be
// told of outcomes. It is safe for concurrent use.
type Finder struct {
	Log    *natsstream.Log
	Reader *redisquote.Reader
}

// Order is the order of the answer.
type Order bool

// The orders.
const (
	OldestFirst Order = false
	NewestFirst Order = true
)

// Options of Find.
type Options struct {
	Order Order
	// After is the cursor: the sequence of the last event of the page before; 0 for the first page.
	After uint64
	// Progress, which may be nil, is told how many places were looked at and how many there are.
	Progress func(looked, all uint64)
	// At, which may be nil, is told the last place that was looked at: as After it continues from there.
	At func(sequence uint64)
}

// window is the range of sequences that is looked at, both included; empty when from > to.
type window struct{ from, to uint64 }

// Find yields the selected events in order. It looks at the stream as it is when it begins; what is stored meanwhile is not
// in the answer. After an error it yields nothing more.
func (f *Finder) Find(ctx context.Context, s Selection, o Options) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		left := s.Limit
		give := func(e Event) bool {
			left--
			return yield(e, nil) && left != 0
		}
		if err := f.find(ctx, &s, o, give); err != nil {
			yield(Event{}, err)
		}
	}
}

func (f *Finder) find(ctx context.Context, s *Selection, o Options, give func(Event) bool) error {
	if f.Reader == nil && (len(s.Outcomes) > 0 || len(s.Quotes) > 0 && s.Stream == event.StreamStripe) {
		return advice.New("export REDIS_URL=redis://127.0.0.1:6379/0", "events cannot be selected by quote or outcome without Redis")
	}
	w, err := f.bounds(ctx, s, o)
	if err != nil || w.from > w.to {
		return err
	}
	if len(s.IDs) > 0 || len(s.Quotes) > 0 {
		return f.findNamed(ctx, s, o, w, give)
	}
	all := w.to - w.from + 1
	for looked := uint64(0); w.from <= w.to; {
		page := w.cut(o.Order)
		events, err := f.page(ctx, s, page)
		if err != nil {
			return err
		}
		if o.Order == NewestFirst {
			slices.Reverse(events)
		}
		for _, e := range events {
			if !give(e) {
				return nil
			}
		}
		if o.At != nil {
			o.At(page.last(o.Order))
		}
		if looked += page.to - page.from + 1; o.Progress != nil {
			o.Progress(looked, all)
		}
	}
	return nil
}

// cut takes the next page off the window.
func (w *window) cut(o Order) window {
	page := *w
	if o == NewestFirst {
		if w.to-w.from >= pageSize {
			page.from = w.to - pageSize + 1
		}
		w.to = page.from - 1
		return page
	}
	if w.to-w.from >= pageSize {
		page.to = w.from + pageSize - 1
	}
	w.from = page.to + 1
	return page
}

// last is the place of a page that is looked at last.
func (w window) last(o Order) uint64 {
	if o == NewestFirst {
		return w.from
	}
	return w.to
}

// bounds turns times, sequences and the cursor into a window of the stream.
func (f *Finder) bounds(ctx context.Context, s *Selection, o Options) (window, error) {
	stream, err := f.Log.JetStream().Stream(ctx, s.Stream)
	if err != nil {
		return window{}, advice.New("quotectl declare", "look up stream %s: %w", s.Stream, err)
	}
	state := stream.CachedInfo().State
	w := window{max(state.FirstSeq, s.From, 1), state.LastSeq}
	if s.To > 0 {
		w.to = min(w.to, s.To)
	}
	if o.After > 0 && o.Order == OldestFirst {
		w.from = max(w.from, o.After+1)
	}
	if o.After > 0 && o.Order == NewestFirst {
		w.to = min(w.to, o.After-1)
	}
	if !s.Since.IsZero() {
		first, err := f.Log.SequenceAt(ctx, s.Stream, s.Since)
		if errors.Is(err, natsstream.ErrNotFound) {
			return window{1, 0}, nil
		}
		if err != nil {
			return window{}, err
		}
		w.from = max(w.from, first)
	}
	if !s.Until.IsZero() {
		after, err := f.Log.SequenceAt(ctx, s.Stream, s.Until)
		if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
			return window{}, err
		}
		if err == nil {
			w.to = min(w.to, after-1)
		}
	}
	return w, nil
}

// page returns the selected events of one page, oldest first. Where outcomes are selected Redis is asked first, so that what
// did not fail need not be read to find what did.
func (f *Finder) page(ctx context.Context, s *Selection, w window) ([]Event, error) {
	if len(s.Outcomes) > 0 && !slices.Contains(s.Outcomes, OutcomePending) {
		return f.pageByOutcome(ctx, s, w)
	}
	records, err := f.scan(ctx, s.Stream, w)
	if err != nil {
		return nil, err
	}
	return f.judge(ctx, s, records)
}

func (f *Finder) pageByOutcome(ctx context.Context, s *Selection, w window) ([]Event, error) {
	sequences := make([]uint64, 0, w.to-w.from+1)
	for seq := w.from; seq <= w.to; seq++ {
		sequences = append(sequences, seq)
	}
	outcomes, err := f.Reader.Outcomes(ctx, s.Stream, sequences)
	if err != nil {
		return nil, err
	}
	sequences = slices.DeleteFunc(sequences, func(seq uint64) bool {
		o, ok := outcomes[seq]
		return !ok || !slices.Contains(s.Outcomes, o.Outcome) || o.Type != "" && !fits(s.Types, typeOf(s.Stream, o.Type))
	})
	var records []natsstream.Record
	switch {
	case len(sequences) == 0:
		return nil, nil
	case len(sequences) <= fewMatches:
		records, err = f.read(ctx, s.Stream, sequences)
	default:
		records, err = f.scan(ctx, s.Stream, w)
	}
	if err != nil {
		return nil, err
	}
	return complete(s, records, outcomes), nil
}

// typeOf is an outcome's type as Describe has it.
func typeOf(stream, typ string) string {
	if stream != event.StreamQuotes {
		return typ
	}
	return "quote." + strings.TrimPrefix(typ, "quote.")
}

// judge reads the outcomes of those messages that fit by themselves, and keeps the selected ones.
func (f *Finder) judge(ctx context.Context, s *Selection, records []natsstream.Record) ([]Event, error) {
	if f.Reader == nil {
		return complete(s, records, nil), nil
	}
	var sequences []uint64
	for _, r := range records {
		if s.takesMessage(Describe(r)) {
			sequences = append(sequences, r.Sequence)
		}
	}
	outcomes, err := f.Reader.Outcomes(ctx, s.Stream, sequences)
	if err != nil {
		return nil, err
	}
	return complete(s, records, outcomes), nil
}

// complete makes events of messages and outcomes and keeps the selected ones.
func complete(s *Selection, records []natsstream.Record, outcomes map[uint64]redisquote.Outcome) []Event {
	events := make([]Event, 0, len(records))
	for _, r := range records {
		e := Describe(r)
		if !s.takesMessage(e) {
			continue
		}
		o, ok := outcomes[r.Sequence]
		e.decided(o, ok)
		if s.takesOutcome(e) {
			events = append(events, e)
		}
	}
	return events
}

// Decided completes a described message with its outcome.
func (f *Finder) Decided(ctx context.Context, e Event) (Event, error) {
	outcomes, err := f.Reader.Outcomes(ctx, e.Record.Stream, []uint64{e.Record.Sequence})
	if err != nil {
		return e, err
	}
	o, ok := outcomes[e.Record.Sequence]
	e.decided(o, ok)
	return e, nil
}

// scan reads a page's messages.
func (f *Finder) scan(ctx context.Context, stream string, w window) ([]natsstream.Record, error) {
	records, err := f.Log.Scan(ctx, stream, w.from, int(w.to-w.from+1)) //nolint:gosec // at most pageSize
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(records, func(r natsstream.Record) bool { return r.Sequence > w.to }), nil
}

// read reads single messages; those that the stream no longer holds are left out.
func (f *Finder) read(ctx context.Context, stream string, sequences []uint64) ([]natsstream.Record, error) {
	var records []natsstream.Record
	for _, seq := range sequences {
		r, err := f.Log.ReadSequence(ctx, stream, seq)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// findNamed finds events of given ids or quotes without reading the stream.
func (f *Finder) findNamed(ctx context.Context, s *Selection, o Options, w window, give func(Event) bool) error {
	records, err := f.named(ctx, s)
	if err != nil {
		return err
	}
	slices.SortFunc(records, func(a, b natsstream.Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	records = slices.CompactFunc(records, func(a, b natsstream.Record) bool { return a.Sequence == b.Sequence })
	records = slices.DeleteFunc(records, func(r natsstream.Record) bool { return r.Sequence < w.from || r.Sequence > w.to })
	events, err := f.judge(ctx, s, records)
	if err != nil {
		return err
	}
	if o.Order == NewestFirst {
		slices.Reverse(events)
	}
	for _, e := range events {
		if !give(e) {
			return nil
		}
	}
	return nil
}

func (f *Finder) named(ctx context.Context, s *Selection) ([]natsstream.Record, error) {
	if len(s.IDs) > 0 {
		var all []natsstream.Record
		for _, id := range s.IDs {
			records, err := f.Log.ReadAll(ctx, event.StreamStripe, "stripe.*.*."+id+".>", "stripe.conflict.*.*."+id+".*")
			if err != nil {
				return nil, err
			}
			all = append(all, records...)
		}
		if len(s.Quotes) == 0 {
			return all, nil
		}
		touched, err := f.ofQuotes(ctx, s)
		known := map[uint64]bool{}
		for _, seq := range touched {
			known[seq] = true
		}
		return slices.DeleteFunc(all, func(r natsstream.Record) bool { return !known[r.Sequence] }), err
	}
	if s.Stream == event.StreamQuotes {
		var all []natsstream.Record
		for _, q := range s.Quotes {
			records, err := f.Log.ReadAll(ctx, event.StreamQuotes, "quote.*.*."+q+".*")
			if err != nil {
				return nil, err
			}
			all = append(all, records...)
		}
		return all, nil
	}
	sequences, err := f.ofQuotes(ctx, s)
	if err != nil {
		return nil, err
	}
	return f.read(ctx, event.StreamStripe, sequences)
}

// ofQuotes returns the places of the Stripe messages that touched the quotes, on every account that they may lie on.
func (f *Finder) ofQuotes(ctx context.Context, s *Selection) ([]uint64, error) {
	var sequences []uint64
	for _, id := range s.Quotes {
		q, err := f.Reader.Quote(ctx, id)
		if err != nil && !errors.Is(err, redisquote.ErrNotFound) {
			return nil, err
		}
		accounts := append(q.Accounts(), event.Platform) // what belongs to an unknown quote lies on the deployment's own account
		for _, pattern := range s.Accounts {
			if event.ValidToken(pattern) {
				accounts = append(accounts, pattern)
			}
		}
		slices.Sort(accounts)
		for _, account := range slices.Compact(accounts) {
			touches, err := f.Reader.Touches(ctx, account, id)
			if err != nil {
				return nil, fmt.Errorf("find events of %s: %w", id, err)
			}
			for _, t := range touches {
				sequences = append(sequences, t.Sequence)
			}
		}
	}
	slices.Sort(sequences)
	return slices.Compact(sequences), nil
}
