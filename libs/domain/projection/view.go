package projection

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// Keys returns every quote and account of which facts are known, sorted. A quote
// of which only marks are known is not among them.
func (p *Projection) Keys() []Key {
	all := make([]Key, 0, len(p.facts))
	for k, s := range p.facts {
		if s.known() {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, Key.Compare)
	return all
}

// known reports whether any fact is.
func (s *entry) known() bool {
	f := &s.facts
	return len(f.Revisions)+len(f.Sessions)+len(f.Intents)+len(f.Charges)+len(f.Invoices)+len(f.Subscriptions)+
		len(f.Refunds)+len(f.Disputes)+len(f.Coupons)+len(f.Warnings)+len(f.Renewals) > 0
}

// Facts returns what is known of a quote on an account; zero for nothing.
func (p *Projection) Facts(k Key) quote.Facts {
	if s := p.facts[k]; s != nil {
		return s.facts
	}
	return quote.Facts{}
}

// Known reports whether any fact of a quote is known.
func (p *Projection) Known(k Key) bool {
	s := p.facts[k]
	return s != nil && s.known()
}

// State is what the facts mean.
func (p *Projection) State(k Key) quote.State { return quote.Derive(k.Account, p.Facts(k)) }

// Accounts returns the accounts on which facts of a quote are known, sorted.
func (p *Projection) Accounts(quoteID string) []string {
	var all []string
	for k, s := range p.facts {
		if k.Quote == quoteID && s.known() {
			all = append(all, k.Account)
		}
	}
	slices.Sort(all)
	return all
}

// Reach returns the last messages that bore on a quote.
func (p *Projection) Reach(k Key) Reach {
	if s := p.facts[k]; s != nil {
		return s.last
	}
	return Reach{}
}

// Marks returns the emissions of a quote that the log holds, by "<event>.<n>".
func (p *Projection) Marks(k Key) map[string]Mark {
	if s := p.facts[k]; s != nil {
		return s.marks
	}
	return nil
}

// Unsent lists the emissions that are due and not in the log.
func (p *Projection) Unsent(k Key) []quote.Emission {
	marks := p.Marks(k)
	return slices.DeleteFunc(p.State(k).Due, func(e quote.Emission) bool {
		_, stored := marks[e.Event+"."+e.N]
		return stored
	})
}

// Live is what a projection shows of a quote: what a comparison compares.
type Live struct {
	// Digest is that of the facts.
	Digest string
	Status string
	// Flags are sorted and joined by commas.
	Flags string
}

// Live returns what payments must show of a quote.
func (p *Projection) Live(k Key) Live {
	f := p.Facts(k)
	state := quote.Derive(k.Account, f)
	return Live{f.Digest(), string(state.Status), FlagsText(state.Flags)}
}

// FlagsText joins flags as Redis holds them.
func FlagsText(flags []quote.Flag) string {
	all := make([]string, len(flags))
	for i, f := range flags {
		all[i] = string(f)
	}
	return strings.Join(all, ",")
}

// Hash is the canonical hash of what is shown of a quote, in hex.
func (l Live) Hash() string {
	sum := sha256.Sum256([]byte(l.Digest + "\n" + l.Status + "\n" + l.Flags))
	return hex.EncodeToString(sum[:])
}

// Root sums up quotes in one hash. Quotes are to be added in the order of
// Key.Compare, each once. Use NewRoot.
type Root struct{ sum hash.Hash }

// NewRoot returns a Root that has seen nothing.
func NewRoot() *Root { return &Root{sha256.New()} }

// Add takes a quote in.
func (r *Root) Add(k Key, l Live) { r.AddHash(k, l.Hash()) }

// AddHash is Add for callers that hold the Live's hash alone.
func (r *Root) AddHash(k Key, hash string) {
	_, _ = r.sum.Write([]byte(k.Account + " " + k.Quote + " " + hash + "\n")) // a hash never fails
}

// String is the root so far, in hex.
func (r *Root) String() string { return hex.EncodeToString(r.sum.Sum(nil)) }
