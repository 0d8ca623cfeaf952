package projection

import "slices"

// Ties are the names under which a message stands in the state: whatever one
// message does to another, it does through a name that both have, or over
// others in between. So messages that no chain of common names connects can be
// folded apart, each into a projection of its own, and for every quote comes out
// what folding all of them into one would give. None means that the message
// changes nothing.
//
// Quotes come without an account: a publication makes facts on all of them.
func (e *StripeEvent) Ties() []string {
	if e.Outcome.Kind != "" {
		return nil
	}
	facts := &e.Change.Facts
	ids := slices.Concat(e.Change.Names, facts.Objects(), facts.RenewalObjects())
	ties := make([]string, 0, len(ids)+1)
	if k, ours := e.Key(); ours {
		ties = append(ties, QuoteTie(k.Quote))
	}
	for _, id := range ids {
		ties = append(ties, "object "+e.Account+" "+id)
	}
	return ties
}

// Ties is what StripeEvent.Ties is, of a quote's own event: the quote.
func (e *QuoteEvent) Ties() []string {
	if e.Outcome.Kind != "" || e.Drafted != nil {
		return nil
	}
	return []string{QuoteTie(e.Subject.Quote)}
}

// QuoteTie is a quote's name among Ties.
func QuoteTie(id string) string { return "quote " + id }
