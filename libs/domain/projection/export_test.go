package projection

import (
	"maps"
	"slices"

	"quittance.internal/libs/domain/quote"
)

// Size counts what is kept beside the facts themselves, which are bounded by their own tests.
func (p *Projection) Size() int {
	n := len(p.links) + len(p.parked) + len(p.renewals)
	for _, s := range p.facts {
		n += len(s.objects) + len(s.touched)
	}
	return n
}

// SeedFrom gives p, which is partial, what a whole projection knows of what is missing.
func (p *Projection) SeedFrom(whole *Projection, m Missing) {
	for _, k := range m.Keys {
		p.SeedFacts(k, whole.Facts(k), whole.Marks(k))
	}
	for _, id := range m.Quotes {
		var published []quote.Revision
		var recalled, expired []int
		if q := whole.quotes[id]; q != nil {
			published = slices.Collect(maps.Values(q.published))
			recalled, expired = slices.Collect(maps.Keys(q.recalled)), slices.Collect(maps.Keys(q.expired))
		}
		p.SeedQuote(id, published, recalled, expired)
	}
	for _, o := range m.Objects {
		l := whole.links[object{o.Account, o.ID}]
		if l == nil {
			l = &link{}
		}
		p.SeedLink(o, l.quotes, l.renewal, l.parked)
		for _, sequence := range l.parked {
			w := whole.parked[sequence]
			c := w.event.Change
			p.SeedWaiting(Waiting{sequence, w.at, w.account, c.EventID, c.Type, c.Names, c.Facts}, w.outcome)
		}
	}
}
