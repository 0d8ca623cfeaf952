package quote

import (
	"slices"
	"strconv"
	"strings"
)

// view is the facts of a quote as one derivation sees them: grouped into
// payments, each with the revisions it is for.
type view struct {
	f       *Facts
	account string
	newest  int // the greatest published revision, on any account
	// Findings that no payment carries.
	unknown      bool // a claim of a revision whose publication is not known
	pastDue      bool // the latest renewal
	coupon       bool // of the newest revision, changed
	going, ended int  // subscriptions
	// parent is a union-find forest over all objects: sessions, intents,
	// charges, invoices, subscriptions in the order of the facts, and behind
	// them the absent ones, of which only the name is known.
	parent   []int
	absent   []string
	payments []payment
}

// lookup returns the published revision that a claim names, nil if none is
// known.
func (v *view) lookup(claim string) *Revision {
	cut := strings.LastIndexByte(claim, '/')
	if cut < 0 {
		return nil
	}
	number, err := strconv.Atoi(claim[cut+1:])
	if err != nil {
		return nil
	}
	at, found := find(v.f.Revisions, func(r *Revision) int { return r.Number - number })
	if !found || v.f.Revisions[at].Seller != claim[:cut] {
		return nil
	}
	return &v.f.Revisions[at]
}

// fits reports whether a claim of an object counts for the revision: an event
// belongs to its own account and mode, whatever its metadata says (R76).
func (v *view) fits(r *Revision, o *Origin) bool {
	return r.Account == v.account && o.in(r.Mode)
}

// group finds the payments.
func (v *view) group() {
	f := v.f
	for i := range f.Revisions {
		if f.Revisions[i].published() {
			v.newest = max(v.newest, f.Revisions[i].Number)
		}
	}
	for n := range v.base(subscriptionNodes) + len(f.Subscriptions) {
		v.parent = append(v.parent, n)
	}
	for i := range f.Sessions {
		s, n := &f.Sessions[i], v.base(sessionNodes)+i
		v.join(n, intentNodes, s.Intents)
		v.join(n, invoiceNodes, s.Invoices)
		v.join(n, subscriptionNodes, s.Subscriptions)
	}
	for i := range f.Intents {
		t, n := &f.Intents[i], v.base(intentNodes)+i
		v.join(n, chargeNodes, t.Charges)
		v.join(n, invoiceNodes, t.Invoices)
	}
	for i := range f.Charges {
		c, n := &f.Charges[i], v.base(chargeNodes)+i
		v.join(n, intentNodes, c.Intents)
		v.join(n, invoiceNodes, c.Invoices)
	}
	for i := range f.Invoices {
		t, n := &f.Invoices[i], v.base(invoiceNodes)+i
		v.join(n, subscriptionNodes, t.Subscriptions)
		v.join(n, intentNodes, t.Intents)
		v.join(n, chargeNodes, t.Charges)
	}
	for i := range f.Refunds {
		v.joinNames(f.Refunds[i].Charges, f.Refunds[i].Intents)
	}
	for i := range f.Disputes {
		v.joinNames(f.Disputes[i].Charges, f.Disputes[i].Intents)
	}
	for i := range f.Warnings {
		v.joinNames(f.Warnings[i].Charges, f.Warnings[i].Intents)
	}
	v.claim()
	v.fill()
	for i := range v.payments {
		v.payments[i].judge()
	}
}

// nodes is a range of the forest.
type nodes int

const (
	sessionNodes nodes = iota
	intentNodes
	chargeNodes
	invoiceNodes
	subscriptionNodes
)

// base is the first node of a range.
func (v *view) base(of nodes) int {
	n := 0
	switch of {
	case subscriptionNodes:
		n += len(v.f.Invoices)
		fallthrough
	case invoiceNodes:
		n += len(v.f.Charges)
		fallthrough
	case chargeNodes:
		n += len(v.f.Intents)
		fallthrough
	case intentNodes:
		n += len(v.f.Sessions)
	case sessionNodes:
	}
	return n
}

// node is the node of a named object.
func (v *view) node(of nodes, id string) int {
	var at int
	found := false
	switch of {
	case intentNodes:
		at, found = find(v.f.Intents, func(i *IntentFact) int { return strings.Compare(i.ID, id) })
	case chargeNodes:
		at, found = find(v.f.Charges, func(c *ChargeFact) int { return strings.Compare(c.ID, id) })
	case invoiceNodes:
		at, found = find(v.f.Invoices, func(i *InvoiceFact) int { return strings.Compare(i.ID, id) })
	case subscriptionNodes:
		at, found = find(v.f.Subscriptions, func(s *SubscriptionFact) int { return strings.Compare(s.ID, id) })
	case sessionNodes: // nothing names a session
	}
	if found {
		return v.base(of) + at
	}
	first := v.base(subscriptionNodes) + len(v.f.Subscriptions)
	if at = slices.Index(v.absent, id); at < 0 {
		at = len(v.absent)
		v.absent = append(v.absent, id)
		v.parent = append(v.parent, first+at)
	}
	return first + at
}

func (v *view) root(n int) int {
	for v.parent[n] != n {
		v.parent[n] = v.parent[v.parent[n]]
		n = v.parent[n]
	}
	return n
}

// join puts the named objects into the payment of node n.
func (v *view) join(n int, of nodes, names Set) {
	for _, id := range names {
		a, b := v.root(n), v.root(v.node(of, id))
		v.parent[max(a, b)] = min(a, b)
	}
}

// joinNames puts all the named objects into one payment.
func (v *view) joinNames(charges, intents Set) {
	if n := v.named(charges, intents); n >= 0 {
		v.join(n, chargeNodes, charges)
		v.join(n, intentNodes, intents)
	}
}

// named is a node among those named, -1 if none is.
func (v *view) named(charges, intents Set) int {
	switch {
	case len(charges) > 0:
		return v.node(chargeNodes, charges[0])
	case len(intents) > 0:
		return v.node(intentNodes, intents[0])
	}
	return -1
}

// at is the payment of node n, nil when no metadata says that it is ours.
func (v *view) at(n int) *payment {
	root := v.root(n)
	for i := range v.payments {
		if v.payments[i].root == root {
			return &v.payments[i]
		}
	}
	return nil
}
