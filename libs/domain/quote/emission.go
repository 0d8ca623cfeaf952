package quote

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dueOrder is the order in which emissions are to be stored: an attempt is begun
// before it fails, and whoever reads quote.paid finds its siblings stored.
var dueOrder = []string{
	EventPaymentProcessing, EventPaymentFailed, EventRefunded, EventDisputed, EventDuplicatePayment, EventPaid,
}

// due lists the emissions whose predicate holds, by dueOrder and n.
//
// Each predicate stays true as facts grow, whatever comes later. So a refund
// that fails in the end was still emitted as a refund, and an attempt that
// failed and one that succeeded are both told.
func (v *view) due() []Emission {
	var all []Emission
	for i := range v.payments {
		p := &v.payments[i]
		p.refundedDue(v, &all)
	}
	v.attemptsDue(&all)
	v.disputesDue(&all)
	v.duplicatesDue(&all)
	order := func(a, b Emission) int {
		return cmp.Or(cmp.Compare(slices.Index(dueOrder, a.Event), slices.Index(dueOrder, b.Event)), strings.Compare(a.N, b.N))
	}
	slices.SortStableFunc(all, order)
	// Several charges and refunds tell of one refunded payment.
	all = slices.CompactFunc(all, func(a, b Emission) bool { return order(a, b) == 0 })
	return v.paidDue(all)
}

// paidDue: exactly the amount of the newest revision was settled at some time.
// An older revision cannot come due: its payment asks for review.
func (v *view) paidDue(all []Emission) []Emission {
	var first *payment
	var best *Settlement
	r := v.current()
	if r == nil || r.Number != v.newest {
		return all
	}
	for i := range v.payments {
		p := &v.payments[i]
		if !slices.Contains(p.revisions, r) {
			continue
		}
		if s := p.earliest(r); s != nil && (best == nil || s.At < best.At || (s.At == best.At && comparePayment(p, first) < 0)) {
			first, best = p, s
		}
	}
	if first == nil {
		return all
	}
	ids := first.ids
	ids.Event = best.Event
	return append(all, Emission{
		Event: EventPaid, N: strconv.Itoa(r.Number), Seller: r.Seller, Revision: r.Number, Amount: r.Amount,
		At: paidAt(r, best), Payment: ids,
	})
}

// duplicatesDue: two payments of one revision were surely made.
func (v *view) duplicatesDue(all *[]Emission) {
	for i := range v.f.Revisions {
		r := &v.f.Revisions[i]
		if r.Amount.Amount == 0 {
			continue
		}
		var seen distinct
		var last *payment
		var at int64
		for k := range v.payments {
			p := &v.payments[k]
			if !slices.Contains(p.revisions, r) {
				continue
			}
			seen.add(p, r)
			if s := p.earliest(r); s != nil && (last == nil || s.At >= at) {
				last, at = p, s.At
			}
		}
		if seen.several {
			*all = append(*all, Emission{
				Event: EventDuplicatePayment, N: strconv.Itoa(r.Number), Seller: r.Seller, Revision: r.Number, Amount: r.Amount,
				At: orPublished(Moment(at), r), Payment: last.ids,
			})
		}
	}
}

// attemptsDue: an attempt was in flight, an attempt failed. An attempt goes by
// the object that told of it: the charge, or the session of a delayed method;
// the intent only where it did not name its charge. What was told as in flight
// and failed is told as failed under the same n.
func (v *view) attemptsDue(all *[]Emission) {
	f := v.f
	for i := range f.Sessions {
		s := &f.Sessions[i]
		if p := v.admitting(v.base(sessionNodes)+i, &s.Origin); p != nil {
			p.tell(all, EventPaymentProcessing, s.ID, s.Unpaid)
			p.tell(all, EventPaymentFailed, s.ID, p.ended(s.Unpaid, s.Failed))
		}
	}
	for i := range f.Intents {
		t := &f.Intents[i]
		if p := v.admitting(v.base(intentNodes)+i, &t.Origin); p != nil && t.Processing != 0 {
			p.tell(all, EventPaymentProcessing, t.ID, t.Processing)
			p.tell(all, EventPaymentFailed, t.ID, p.ended(t.Processing, t.Failed))
		}
	}
	for i := range f.Charges {
		c := &f.Charges[i]
		if p := v.admitting(v.base(chargeNodes)+i, &c.Origin); p != nil {
			p.tell(all, EventPaymentProcessing, c.ID, c.Pending)
			p.tell(all, EventPaymentFailed, c.ID, p.ended(c.Pending, c.Failed))
		}
	}
}

// ended is when an attempt failed: by itself, or, once begun, with the
// cancellation of its intent.
func (p *payment) ended(begun, failed Moment) Moment {
	if failed == 0 && begun != 0 {
		return p.stopped
	}
	return failed
}

// disputesDue: a dispute was opened, more than an inquiry.
func (v *view) disputesDue(all *[]Emission) {
	for i := range v.f.Disputes {
		d := &v.f.Disputes[i]
		p := v.admitting(v.named(d.Charges, d.Intents), &d.Origin)
		if p == nil {
			continue
		}
		var since Moment
		for _, s := range d.Statuses {
			if at := max(s.Since, 1); !strings.HasPrefix(s.Name, "warning_") && (since == 0 || at < since) {
				since = at
			}
		}
		if p.tell(all, EventDisputed, d.ID, since) {
			(*all)[len(*all)-1].Amount = d.Money
		}
	}
}

// refundedDue: some amount of the payment went back, or was said to. The n is
// what the refunded charge or the refund itself called its payment (the intent,
// else the charge): unlike the group's ids it does not change as more becomes
// known.
func (p *payment) refundedDue(v *view, all *[]Emission) {
	tell := func(payment string, since Moment) {
		if p.tell(all, EventRefunded, payment, since) {
			e := &(*all)[len(*all)-1]
			e.Amount = Money{Amount: p.refunded(), Currency: p.newest().Amount.Currency}
			e.Full = p.total > 0 && p.refunded() >= p.total
		}
	}
	for i := range v.f.Charges {
		c := &v.f.Charges[i]
		if len(c.Refunded) == 0 || v.admitting(v.base(chargeNodes)+i, &c.Origin) != p {
			continue
		}
		for _, r := range c.Refunded {
			tell(r.Payment, max(r.At, 1))
		}
	}
	for i := range v.f.Refunds {
		r := &v.f.Refunds[i]
		if r.Money.Amount == 0 || v.admitting(v.named(r.Charges, r.Intents), &r.Origin) != p {
			continue
		}
		for _, payment := range r.Payments {
			tell(payment, max(r.At, 1))
		}
	}
}

// tell adds an emission about an object of p, unless since is never.
func (p *payment) tell(all *[]Emission, event, object string, since Moment) bool {
	if since == 0 {
		return false
	}
	r := p.newest()
	*all = append(*all, Emission{
		Event: event, N: object, Seller: r.Seller, Revision: r.Number, Amount: r.Amount,
		At: orPublished(since, r), Payment: p.ids, Object: object,
	})
	return true
}

// paidAt is the paid time of a revision.
func paidAt(r *Revision, s *Settlement) time.Time { return orPublished(Moment(s.At), r) }

// orPublished is m, or the revision's publication when Stripe gave no usable
// time: package stripeevent writes 1 for those.
func orPublished(m Moment, r *Revision) time.Time {
	if m <= 1 {
		return r.PublishedAt
	}
	return m.Time()
}
