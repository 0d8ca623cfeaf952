package projection

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/quote"
)

// Key names the facts of a quote on a Stripe account.
type Key struct{ Account, Quote string }

// Compare orders keys by account, then quote.
func (k Key) Compare(o Key) int {
	return cmp.Or(strings.Compare(k.Account, o.Account), strings.Compare(k.Quote, o.Quote))
}

// Message is one stored message of STRIPE or QUOTES.
type Message struct {
	Subject  string
	Sequence uint64
	// Time is when the log stored it.
	Time time.Time
	Body []byte
}

// Place is a message's place in the log.
type Place struct {
	Stripe   bool // of the stream STRIPE, else QUOTES
	Sequence uint64
}

// Config says how to fold.
type Config struct {
	Rules
	// Decided, if set, is told what became of each message, and again when that
	// changes: a parked one may be applied, or ignored, later. See Outcome.Stands.
	Decided func(Place, Outcome)
}

// Projection is what the log comes to. Its memory grows with the number of quotes
// and their objects, not with the number of messages, as long as Trim is called
// now and then. It is not safe for concurrent use.
type Projection struct {
	cfg    Config
	quotes map[string]*revisions
	facts  map[Key]*entry
	links  map[object]*link
	parked map[uint64]*waiting
	// renewals are the marked objects in the order of marking, for Trim.
	renewals []renewal
	seed     maphash.Seed
	part     *partial // nil where the whole is known
}

// revisions is what a quote's own events say that bears on payments.
type revisions struct {
	published map[int]quote.Revision
	// ended are the revisions that were recalled or have expired, in facts'
	// own form; of a revision that is not published they say nothing yet.
	recalled, expired map[int]bool
}

// entry is the facts of one quote on one account.
type entry struct {
	facts   quote.Facts
	objects []string // linked so far, sorted
	marks   map[string]Mark
	touched map[uint64]struct{} // hashes of type and object of the messages that bore on it
	last    Reach
	folded  bool // a message was folded in, see Folded
}

// Reach is how far the log has reached something: the greatest sequence of each
// stream.
type Reach struct{ Quotes, Stripe uint64 }

// Within reports whether r lies in o.
func (r Reach) Within(o Reach) bool { return r.Quotes <= o.Quotes && r.Stripe <= o.Stripe }

// New returns an empty projection.
func New(cfg Config) *Projection {
	if cfg.Decided == nil {
		cfg.Decided = func(Place, Outcome) {}
	}
	return &Projection{
		cfg: cfg, quotes: map[string]*revisions{}, facts: map[Key]*entry{}, links: map[object]*link{}, parked: map[uint64]*waiting{},
		seed: maphash.MakeSeed(),
	}
}

// Fold takes a message in and returns what became of it. It may come again, and
// in any order.
func (p *Projection) Fold(m Message) Outcome {
	if strings.HasPrefix(m.Subject, "quote.") {
		return p.FoldQuote(m, ReadQuote(m.Subject, m.Body))
	}
	return p.FoldStripe(m, p.cfg.ReadStripe(m.Subject, m.Body))
}

// FoldQuote is Fold for a message of QUOTES that ReadQuote has read.
func (p *Projection) FoldQuote(m Message, e QuoteEvent) Outcome {
	o := e.Outcome
	switch {
	case o.Kind != "":
	case e.Drafted != nil:
		o.Kind = Applied
	case e.Mark != nil:
		s := p.entry(Key{e.Mark.Account, e.Subject.Quote})
		s.mark(*e.Mark)
		s.last.Quotes = max(s.last.Quotes, m.Sequence)
		o.Kind = Applied
	default:
		p.foldRevision(e, &o, m.Sequence)
	}
	p.cfg.Decided(Place{false, m.Sequence}, o)
	return o
}

func (s *entry) mark(m Mark) {
	if s.marks == nil {
		s.marks = map[string]Mark{}
	}
	s.marks[m.Name] = m
}

// foldRevision makes facts of a publication, a recall or an expiry, for every
// account that any revision of the quote names.
func (p *Projection) foldRevision(e QuoteEvent, o *Outcome, sequence uint64) {
	if p.lacksQuote(e.Subject.Quote) {
		return
	}
	q := p.quotes[e.Subject.Quote]
	if q == nil {
		q = &revisions{map[int]quote.Revision{}, map[int]bool{}, map[int]bool{}}
		p.quotes[e.Subject.Quote] = q
	}
	switch {
	case e.Published != nil:
		q.published[e.Published.Revision] = RevisionOf(*e.Published, false, false)
	case e.Recalled > 0:
		q.recalled[e.Recalled] = true
	default:
		q.expired[e.Expired] = true
	}
	if len(q.published) == 0 {
		o.Kind, o.Reason = Applied, ReasonTooEarly
		return
	}
	facts := q.facts()
	o.Kind = Corroborated
	for _, account := range q.accounts() {
		k := Key{account, e.Subject.Quote}
		if o.Account == "" {
			o.Account = account
		}
		s := p.entry(k)
		s.last.Quotes, s.folded = max(s.last.Quotes, sequence), true
		if p.merge(k, s, facts) {
			o.Kind = Applied
		}
	}
}

func (q *revisions) facts() quote.Facts {
	var f quote.Facts
	for n, r := range q.published {
		r.Recalled, r.Expired = q.recalled[n], q.expired[n]
		f.Merge(quote.RevisionFacts(r))
	}
	return f
}

// accounts are those of all revisions, sorted.
func (q *revisions) accounts() []string {
	var all []string
	for _, r := range q.published {
		if at, found := slices.BinarySearch(all, r.Account); !found {
			all = slices.Insert(all, at, r.Account)
		}
	}
	return all
}

// FoldStripe is Fold for a message of STRIPE that ReadStripe has read.
func (p *Projection) FoldStripe(m Message, e StripeEvent) Outcome {
	o := e.Outcome
	if o.Kind == "" {
		if k, ours := e.Key(); ours {
			p.apply(&o, []Key{k}, &e, m)
		} else {
			p.route(&o, &e, m)
		}
	}
	p.cfg.Decided(Place{true, m.Sequence}, o)
	return o
}

// apply merges a change into its quotes and says what it was to the first.
func (p *Projection) apply(o *Outcome, keys []Key, e *StripeEvent, m Message) {
	touch := p.hash(e.Change.Type, e.Change.Object)
	changed, before := false, false
	for i, k := range keys {
		s := p.entry(k)
		if i == 0 {
			_, before = s.touched[touch]
		}
		s.last.Stripe, s.folded = max(s.last.Stripe, m.Sequence), true
		changed = p.merge(k, s, e.Change.Facts) || changed
		if len(e.Change.Facts.Renewals) == 0 { // of these there is no end
			s.touch(touch)
		}
	}
	o.Account, o.Quote = keys[0].Account, keys[0].Quote
	switch {
	case changed:
		o.Kind = Applied
	case before:
		o.Kind = Duplicate
	default:
		o.Kind = Corroborated
	}
	p.markRenewals(keys[0].Account, e.Change.Facts.RenewalObjects(), m.Time)
}

func (s *entry) touch(h uint64) {
	if s.touched == nil {
		s.touched = map[uint64]struct{}{}
	}
	s.touched[h] = struct{}{}
}

func (p *Projection) hash(typ, object string) uint64 {
	return maphash.String(p.seed, typ) ^ maphash.String(p.seed, object)<<1
}

func (p *Projection) entry(k Key) *entry {
	p.lacksKey(k)
	s := p.facts[k]
	if s == nil {
		s = &entry{}
		p.facts[k] = s
	}
	return s
}

// merge folds facts in, and with them what had waited for the objects that they
// name. It reports whether the facts given were new.
func (p *Projection) merge(k Key, s *entry, f quote.Facts) bool {
	if !s.facts.Merge(f) {
		return false
	}
	if !p.lacksKey(k) { // else which objects are new to the quote is not known
		p.link(k, s)
	}
	return true
}

// Clone returns a copy that can be folded into without touching p. It tells
// decided, where that is not nil, what it decides from then on.
func (p *Projection) Clone(decided func(Place, Outcome)) *Projection {
	cfg := p.cfg
	cfg.Decided = decided
	c := New(cfg)
	c.seed, c.part = p.seed, p.part.again()
	for id, q := range p.quotes {
		c.quotes[id] = &revisions{maps.Clone(q.published), maps.Clone(q.recalled), maps.Clone(q.expired)}
	}
	for k, s := range p.facts {
		c.facts[k] = &entry{s.facts, s.objects, maps.Clone(s.marks), maps.Clone(s.touched), s.last, s.folded}
	}
	for sequence, w := range p.parked {
		copied := *w
		c.parked[sequence] = &copied
	}
	c.renewals = slices.Clone(p.renewals)
	for o, l := range p.links {
		c.links[o] = &link{slices.Clone(l.quotes), l.renewal, slices.Clone(l.parked)}
	}
	return c
}
