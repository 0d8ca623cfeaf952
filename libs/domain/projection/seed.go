package projection

import (
	"maps"
	"slices"

	"quittance.internal/libs/domain/quote"
)

// Object is a Stripe object of an account.
type Object struct{ Account, ID string }

// Missing is what messages bore on and a partial projection was not given.
type Missing struct {
	Keys    []Key
	Quotes  []string
	Objects []Object
}

// None reports whether nothing is missing.
func (m Missing) None() bool { return len(m.Keys)+len(m.Quotes)+len(m.Objects) == 0 }

// partial is what a partial projection was given, and what it lacked.
type partial struct {
	keys, lackedKeys       map[Key]struct{}
	quotes, lackedQuotes   map[string]struct{}
	objects, lackedObjects map[object]struct{}
}

// NewPartial returns a projection of a part of the state, which the Seed methods
// fill with what stands. Whoever folds messages into it must ask Missing
// afterwards: as long as anything is, what was folded is worth nothing. Seed what
// is missing, and fold again into a Clone of the seeded one. Since each round
// reaches at least one link further, that ends.
func NewPartial(cfg Config) *Projection {
	p := New(cfg)
	p.part = &partial{
		keys: map[Key]struct{}{}, quotes: map[string]struct{}{}, objects: map[object]struct{}{},
		lackedKeys: map[Key]struct{}{}, lackedQuotes: map[string]struct{}{}, lackedObjects: map[object]struct{}{},
	}
	return p
}

// again is a copy that lacks nothing yet. What was given is shared: it is not
// changed by folding.
func (q *partial) again() *partial {
	if q == nil {
		return nil
	}
	c := *q
	c.lackedKeys, c.lackedQuotes, c.lackedObjects = map[Key]struct{}{}, map[string]struct{}{}, map[object]struct{}{}
	return &c
}

// Missing returns what was touched and not seeded, in no order.
func (p *Projection) Missing() Missing {
	if p.part == nil {
		return Missing{}
	}
	m := Missing{Keys: slices.Collect(maps.Keys(p.part.lackedKeys)), Quotes: slices.Collect(maps.Keys(p.part.lackedQuotes))}
	for o := range p.part.lackedObjects {
		m.Objects = append(m.Objects, Object{o.account, o.id})
	}
	return m
}

func (p *Projection) lacksKey(k Key) bool {
	return p.part != nil && lacks(p.part.keys, p.part.lackedKeys, k)
}

func (p *Projection) lacksQuote(id string) bool {
	return p.part != nil && lacks(p.part.quotes, p.part.lackedQuotes, id)
}

func (p *Projection) lacksObject(o object) bool {
	return p.part != nil && lacks(p.part.objects, p.part.lackedObjects, o)
}

func lacks[K comparable](given, lacked map[K]struct{}, k K) bool {
	if _, ok := given[k]; ok {
		return false
	}
	lacked[k] = struct{}{}
	return true
}

// SeedFacts gives a partial projection the facts of a quote on an account, zero
// for none, and its marks. Every object that the facts name counts as linked.
func (p *Projection) SeedFacts(k Key, f quote.Facts, marks map[string]Mark) {
	p.part.keys[k] = struct{}{}
	p.facts[k] = &entry{facts: f, objects: f.Objects(), marks: marks}
}

// SeedQuote gives a partial projection what is known of a quote's revisions. A
// revision may be recalled or expired before its publication is known.
func (p *Projection) SeedQuote(id string, published []quote.Revision, recalled, expired []int) {
	p.part.quotes[id] = struct{}{}
	q := &revisions{map[int]quote.Revision{}, map[int]bool{}, map[int]bool{}}
	for _, r := range published {
		q.published[r.Number] = r
	}
	for _, n := range recalled {
		q.recalled[n] = true
	}
	for _, n := range expired {
		q.expired[n] = true
	}
	p.quotes[id] = q
}

// SeedLink gives a partial projection what stands under an object: the quotes it
// belongs to, whether it is a renewal's, and the changes that are kept there,
// which SeedWaiting gives.
func (p *Projection) SeedLink(o Object, quotes []string, renewal bool, waiting []uint64) {
	key := object{o.Account, o.ID}
	p.part.objects[key] = struct{}{}
	l := &link{quotes: slices.Clone(quotes), renewal: renewal, parked: slices.Clone(waiting)}
	slices.Sort(l.parked)
	p.links[key] = l
}

// SeedWaiting gives a partial projection a change that is kept under the objects
// it names, and what stands as its outcome.
func (p *Projection) SeedWaiting(w Waiting, o Outcome) {
	e := StripeEvent{Account: w.Account, Outcome: Outcome{EventID: w.EventID, Type: w.Type}}
	e.Change.EventID, e.Change.Type, e.Change.Names, e.Change.Facts = w.EventID, w.Type, w.Names, w.Facts
	p.parked[w.Sequence] = &waiting{account: w.Account, at: w.At, event: e, outcome: o}
}

// Folded returns the quotes that a message was folded into since the projection
// was made or seeded, sorted; emissions alone, which are only noted, do not count.
func (p *Projection) Folded() []Key {
	var all []Key
	for k, s := range p.facts {
		if s.folded {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, Key.Compare)
	return all
}
