package quote

import (
	"cmp"
	"slices"
	"strings"
)

// payment is a group of objects that belong to one payment, found by the ids
// they name: session, intent, invoice, charge. A subscription belongs to the
// payment of its first invoice alone.
type payment struct {
	root int // node of the forest, see view
	// revisions are those that the objects' metadata names and that are
	// published on this account in the object's mode, in rising order.
	revisions []*Revision
	settled   []evidence
	// What was begun, and what ended without money.
	unpaid, pending, processing bool
	sessionFailed, failed       bool
	stopped                     Moment // its intent was canceled
	// What went back.
	deadRefund         bool
	refunds, returned  int64 // by refund objects, by the charges' own count
	refundAt, returnAt Moment
	lost               bool
	lostAt             Moment
	disputed, inquiry  bool
	contradicts        bool
	warned             bool
	ids                PaymentIDs
	sure               [kinds]bool // the id is of a settled object

	// The judgement, see judge.
	matched *Revision // the newest revision whose amount was settled exactly
	clean   bool      // and no other amount was
	total   int64     // what was paid
	best    *Settlement
}

// kind of object that evidence was seen on.
type kind int

const (
	kindSession kind = iota
	kindIntent
	kindInvoice
	kindCharge
	kinds
)

// evidence is a settlement and the object it was seen on.
type evidence struct {
	*Settlement
	origin *Origin
	kind   kind
	id     string
	// What the object names: money that settled it settled these too.
	intents, invoices Set
}

// exact reports whether the evidence is of exactly what the revision asks for.
func (e *evidence) exact(r *Revision) bool {
	return e.Amount == r.Amount.Amount && e.Currency == r.Amount.Currency && e.origin.in(r.Mode)
}

// claim adds a revision.
func (p *payment) claim(r *Revision) {
	at, found := slices.BinarySearchFunc(p.revisions, r.Number, func(have *Revision, n int) int { return cmp.Compare(have.Number, n) })
	if !found {
		p.revisions = slices.Insert(p.revisions, at, r)
	}
}

// admits reports whether an object was seen in the mode of one of the
// payment's revisions. A test event says nothing about a live quote (R76).
func (p *payment) admits(o *Origin) bool {
	for _, r := range p.revisions {
		if o.in(r.Mode) {
			return true
		}
	}
	return false
}

// newest is the newest revision the payment names.
func (p *payment) newest() *Revision { return p.revisions[len(p.revisions)-1] }

// settle adds the evidence of one object.
func (p *payment) settle(e evidence, settled []Settlement) {
	if p.settled == nil && len(settled) > 0 {
		p.settled = make([]evidence, 0, 4) // session, intent, charge, invoice
	}
	for i := range settled {
		e.Settlement = &settled[i]
		p.settled = append(p.settled, e)
	}
}

func (p *payment) addSession(s *SessionFact) {
	p.settle(evidence{origin: &s.Origin, kind: kindSession, id: s.ID, intents: s.Intents, invoices: s.Invoices}, s.Settled)
	p.unpaid = p.unpaid || s.Unpaid != 0
	p.sessionFailed = p.sessionFailed || s.Failed != 0
	p.contradicts = p.contradicts || len(s.Intents) > 1 || len(s.Invoices) > 1 || len(s.Subscriptions) > 1 || s.ambiguous()
	settled := len(s.Settled) > 0
	p.name(kindSession, s.ID, settled)
	p.nameAll(kindIntent, s.Intents, settled)
	p.nameAll(kindInvoice, s.Invoices, settled)
}

func (p *payment) addIntent(i *IntentFact) {
	p.settle(evidence{origin: &i.Origin, kind: kindIntent, id: i.ID}, i.Settled)
	p.processing = p.processing || (i.Processing != 0 && i.Failed == 0 && i.Canceled == 0)
	if i.Canceled != 0 && (p.stopped == 0 || i.Canceled < p.stopped) {
		p.stopped = i.Canceled
	}
	p.failed = p.failed || i.Failed != 0
	p.contradicts = p.contradicts || len(i.Invoices) > 1 || i.ambiguous()
	settled := len(i.Settled) > 0
	p.name(kindIntent, i.ID, settled)
	p.nameAll(kindInvoice, i.Invoices, settled)
}

func (p *payment) addCharge(c *ChargeFact) {
	p.settle(evidence{origin: &c.Origin, kind: kindCharge, id: c.ID, intents: c.Intents}, c.Settled)
	p.pending = p.pending || (c.Pending != 0 && c.Failed == 0 && len(c.Settled) == 0)
	p.failed = p.failed || c.Failed != 0
	p.contradicts = p.contradicts || len(c.Intents) > 1 || len(c.Invoices) > 1 || c.ambiguous()
	p.nameAll(kindIntent, c.Intents, len(c.Settled) > 0)
	p.nameAll(kindInvoice, c.Invoices, len(c.Settled) > 0)
	if back, at := c.returned(); back > 0 {
		p.returned += back
		p.returnAt = max(p.returnAt, at)
	}
}

func (p *payment) addInvoice(i *InvoiceFact) {
	p.settle(evidence{origin: &i.Origin, kind: kindInvoice, id: i.ID}, i.Settled)
	p.failed = p.failed || i.Failed != 0
	p.contradicts = p.contradicts || len(i.Subscriptions) > 1 || i.ambiguous()
	p.name(kindInvoice, i.ID, len(i.Settled) > 0)
	p.nameAll(kindIntent, i.Intents, len(i.Settled) > 0)
}

func (p *payment) addRefund(r *RefundFact) {
	if r.Dead != 0 {
		p.deadRefund = true
		return
	}
	p.refunds += r.Money.Amount
	p.refundAt = max(p.refundAt, r.At)
}

// addDispute: a dispute is lost when "lost" was seen and "won" was not. When
// both were seen (a late reversal, in either direction) the money decides: what
// its balance transactions sum up to. Without any known, the seller is better
// served by the alarm.
func (p *payment) addDispute(d *DisputeFact) {
	var open, ended, won, warning, calm bool
	var lostAt Moment
	for _, s := range d.Statuses {
		switch {
		case s.Name == "won":
			won, ended = true, true
		case s.Name == "lost":
			lostAt, ended = max(s.Since, 1), true
		case s.Name == "charge_refunded" || s.Name == "prevented":
			ended = true
		case s.Name == "warning_closed":
			calm = true
		case strings.HasPrefix(s.Name, "warning_"):
			warning = true
		default:
			open = true
		}
	}
	p.disputed = p.disputed || (open && !ended)
	p.inquiry = p.inquiry || (warning && !calm && !open && !ended)
	if lostAt == 0 {
		return
	}
	var sum int64
	back := false
	for _, t := range d.Transactions {
		sum += t.Amount
		back = back || t.Amount > 0
	}
	if won && len(d.Transactions) > 0 && sum >= 0 {
		return
	}
	// Money that came back yet does not make up for what went may be the
	// exchange rate between the two days.
	p.contradicts = p.contradicts || (won && (back || len(d.Transactions) == 0))
	p.lost = true
	if p.lostAt == 0 || lostAt < p.lostAt {
		p.lostAt = lostAt
	}
}

// returned is the greatest amount_refunded the charge showed, and since when.
func (h *ChargeFact) returned() (int64, Moment) {
	var most Returned
	for _, r := range h.Refunded {
		if r.Amount > most.Amount {
			most = r
		}
	}
	return most.Amount, most.At
}

// ambiguous reports whether the object's own metadata contradicts itself.
func (o *Origin) ambiguous() bool { return len(o.Claims) > 1 || (o.Live && o.Test) }

// name takes an object as the payment's: the first one, or better the first one
// that was settled.
func (p *payment) name(k kind, id string, settled bool) {
	field := &p.ids.Session
	switch k {
	case kindIntent:
		field = &p.ids.Intent
	case kindInvoice:
		field = &p.ids.Invoice
	case kindSession, kindCharge, kinds:
	}
	if *field == "" || (settled && !p.sure[k]) {
		*field, p.sure[k] = id, settled
	}
}

func (p *payment) nameAll(k kind, ids Set, settled bool) {
	for _, id := range ids {
		p.name(k, id, settled)
	}
}

// judge compares what was settled with what was asked for.
func (p *payment) judge() {
	for _, r := range slices.Backward(p.revisions) {
		if p.best = p.earliest(r); p.best != nil {
			p.matched = r
			break
		}
	}
	p.clean = p.matched != nil
	var first *Settlement
	for i := range p.settled {
		e := &p.settled[i]
		switch {
		case e.Currency == "":
			p.contradicts = true
			continue
		case p.matched != nil && !e.exact(p.matched):
			p.clean = false
		}
		p.total = max(p.total, e.Amount)
		if first == nil || compareSettlement(e.Settlement, first) < 0 {
			first, p.ids.Event = e.Settlement, e.Event
		}
	}
	if p.matched != nil {
		p.total, p.ids.Event = p.matched.Amount.Amount, p.best.Event
	}
}

// earliest is the best evidence that exactly r's amount was settled, nil if
// there is none.
func (p *payment) earliest(r *Revision) *Settlement {
	var best *Settlement
	for i := range p.settled {
		e := &p.settled[i]
		if e.exact(r) && (best == nil || compareSettlement(e.Settlement, best) < 0) {
			best = e.Settlement
		}
	}
	return best
}

// refunded is what went back. The charges' own count includes refunds that
// failed later, so it serves only while no refund is known to be dead.
func (p *payment) refunded() int64 {
	if p.deadRefund {
		return p.refunds
	}
	return max(p.refunds, p.returned)
}

// refundedAt is when the last of it went back.
func (p *payment) refundedAt() Moment {
	if p.refundAt != 0 && p.refunds == p.refunded() {
		return p.refundAt
	}
	return p.returnAt
}

// gone reports whether nothing is left of the money. A payment of zero cannot
// go: nothing was due.
func (p *payment) gone() bool {
	return p.total > 0 && (p.lost || p.refunded() >= p.total)
}

// flying reports whether an attempt is in flight. A session that was completed
// unpaid is in flight until it says otherwise, whatever attempts failed before
// it was completed.
func (p *payment) flying() bool {
	if len(p.settled) > 0 || p.sessionFailed {
		return false
	}
	return p.processing || ((p.unpaid || p.pending) && p.stopped == 0)
}
