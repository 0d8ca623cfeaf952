package projection

import (
	"slices"
	"time"

	"quittance.internal/libs/domain/quote"
)

// object is a Stripe object of an account.
type object struct{ account, id string }

// link says which quotes an object belongs to, whether it belongs to a renewal,
// and which changes wait for the answer, by sequence.
type link struct {
	quotes  []string
	renewal bool
	parked  []uint64
}

// waiting is a change that carries no metadata of ours, kept under every object
// it names. It stays when it was folded: another quote may turn out to name the
// object too.
type waiting struct {
	account string
	at      time.Time
	event   StripeEvent
	outcome Outcome
}

func (p *Projection) linkOf(o object) *link {
	p.lacksObject(o)
	l := p.links[o]
	if l == nil {
		l = &link{}
		p.links[o] = l
	}
	return l
}

// route finds the quotes of a change without metadata of ours, or parks it.
func (p *Projection) route(o *Outcome, e *StripeEvent, m Message) {
	w := p.parked[m.Sequence]
	if w == nil {
		w = &waiting{account: e.Account, at: m.Time, event: *e, outcome: e.Outcome}
		p.parked[m.Sequence] = w
	}
	var keys []Key
	renewal := false
	for _, name := range e.Change.Names {
		l := p.linkOf(object{e.Account, name})
		if at, found := slices.BinarySearch(l.parked, m.Sequence); !found {
			l.parked = slices.Insert(l.parked, at, m.Sequence)
		}
		renewal = renewal || l.renewal
		for _, q := range l.quotes {
			if k := (Key{e.Account, q}); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	switch {
	case len(keys) > 0:
		again := w.outcome.Folded()
		w.outcome.Kind = Applied // it stands under the very objects that its facts will link now
		p.apply(o, keys, e, m)
		if !again {
			w.outcome = *o
		}
	case renewal:
		o.Kind, o.Reason = Ignored, ReasonRenewal
		w.outcome = *o
		p.markRenewals(e.Account, e.Change.Names, m.Time)
	default:
		o.Kind, o.Reason = Parked, ReasonWaits
		w.outcome = *o
	}
}

// link ties the objects that the quote's facts name to the quote, and merges what
// waited for that tie, until no new object turns up: refund → charge → intent →
// invoice → quote may take as many rounds as there are arrows.
func (p *Projection) link(k Key, s *entry) {
	for {
		objects := s.facts.Objects()
		var fresh []string
		for _, id := range objects {
			if _, old := slices.BinarySearch(s.objects, id); !old {
				fresh = append(fresh, id)
			}
		}
		if len(fresh) == 0 {
			return
		}
		s.objects = union(s.objects, fresh)
		for _, id := range fresh {
			l := p.linkOf(object{k.Account, id})
			if !slices.Contains(l.quotes, k.Quote) {
				l.quotes = append(l.quotes, k.Quote)
			}
			for _, sequence := range l.parked {
				p.release(k, s, sequence)
			}
		}
	}
}

// union joins two sorted lists that share nothing. Links are never taken back,
// so an object stays even if the facts stop to name it.
func union(a, b []string) []string {
	if len(a) == 0 {
		return slices.Clip(b)
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return all
}

// release merges a change that had waited.
func (p *Projection) release(k Key, s *entry, sequence uint64) {
	w := p.parked[sequence]
	if w == nil {
		return // trimmed
	}
	s.last.Stripe, s.folded = max(s.last.Stripe, sequence), true
	changed := s.facts.Merge(w.event.Change.Facts)
	s.touch(p.hash(w.event.Change.Type, w.event.Change.Object))
	if w.outcome.Folded() {
		return // by another quote, or another of its names
	}
	w.outcome.Kind, w.outcome.Reason, w.outcome.Account, w.outcome.Quote = Corroborated, ReasonHadWaited, k.Account, k.Quote
	if changed {
		w.outcome.Kind = Applied
	}
	p.cfg.Decided(Place{true, sequence}, w.outcome)
}

// markRenewals marks objects as a renewal's, and with them whatever the changes
// that wait there name, and so on.
func (p *Projection) markRenewals(account string, ids []string, at time.Time) {
	ids = slices.Clone(ids)
	for len(ids) > 0 {
		o := object{account, ids[0]}
		ids = ids[1:]
		l := p.linkOf(o)
		if l.renewal {
			continue
		}
		l.renewal = true
		p.renewals = append(p.renewals, renewal{o, at})
		for _, sequence := range l.parked {
			w := p.parked[sequence]
			if w == nil {
				continue
			}
			ids = append(ids, w.event.Change.Names...)
			if w.outcome.Kind == Parked {
				w.outcome.Kind, w.outcome.Reason = Ignored, ReasonRenewal
				p.cfg.Decided(Place{true, sequence}, w.outcome)
			}
		}
	}
}

// renewal is an object that was marked as a renewal's, and when by the log's time.
type renewal struct {
	object
	at time.Time
}

// Trim forgets what was noted about renewals before a time of the log, as
// payments does after Config.ParkedFor: a subscription of many years takes no
// more memory than one of a month. A message about such a renewal that comes
// later still is parked instead of ignored.
func (p *Projection) Trim(before time.Time) {
	kept := p.renewals[:0]
	for _, r := range p.renewals {
		if !r.at.Before(before) {
			kept = append(kept, r)
			continue
		}
		l := p.links[r.object]
		l.renewal = false
		l.parked = slices.DeleteFunc(l.parked, func(sequence uint64) bool {
			w := p.parked[sequence]
			if w != nil && w.outcome.Kind == Ignored {
				delete(p.parked, sequence)
			}
			return p.parked[sequence] == nil
		})
		if len(l.quotes) == 0 && len(l.parked) == 0 {
			delete(p.links, r.object)
		}
	}
	clear(p.renewals[len(kept):])
	p.renewals = kept
}

// Links returns the quotes that an object of an account belongs to, sorted.
func (p *Projection) Links(account, id string) []string {
	l := p.links[object{account, id}]
	if l == nil {
		return nil
	}
	return slices.Sorted(slices.Values(l.quotes))
}

// Waiting is a change that waits for its link.
type Waiting struct {
	Sequence uint64
	At       time.Time // when the log stored it
	Account  string
	EventID  string
	Type     string
	Names    []string
	Facts    quote.Facts
}

// Waiting returns what is parked, by sequence.
func (p *Projection) Waiting() []Waiting {
	var all []Waiting
	for sequence, w := range p.parked {
		if w.outcome.Kind == Parked {
			c := w.event.Change
			all = append(all, Waiting{sequence, w.at, w.account, c.EventID, c.Type, c.Names, c.Facts})
		}
	}
	slices.SortFunc(all, func(a, b Waiting) int { return int(a.Sequence) - int(b.Sequence) }) //nolint:gosec // far below 2^63
	return all
}
