package quote

import (
	"cmp"
	"slices"
)

// Derive is what the facts of a quote on an account mean. It is a pure function
// of both: no clock, no history.
//
// A payment counts when exactly the revision's amount in its currency was
// settled, nothing else was, and no newer revision is published. A settled
// payment that does not count asks for review until its money has gone back.
//
// One case looks odd and is meant: when the session says 100 and its intent 90,
// the status is review with a mismatch, and quote.paid is due nevertheless, in
// every order of arrival. The session's evidence alone makes the quote paid
// (stripe.md §2.5, row 2), and what was once due must stay due.
func Derive(account string, f Facts) State {
	// Room for what nearly every quote has, in one piece.
	var room struct {
		facts    Facts
		forest   [24]int
		payments [2]payment
		view     view
	}
	room.facts = f
	room.view = view{f: &room.facts, account: account, parent: room.forest[:0], payments: room.payments[:0]}
	v := &room.view
	v.group()

	s := State{Status: StatusPending}
	c := v.count()
	v.status(&s, &c)
	v.flags(&s, &c)
	v.describe(&s, &c)
	s.Due = v.due()
	return s
}

// tally is the payments by what they mean for the quote.
type tally struct {
	counting []*payment // settled, and what was asked for
	live     []*payment // of these, the ones whose money is still there
	reviewed []*payment // settled, there, and not what was asked for
	flying   bool       // an attempt is in flight
	failed   bool       // an attempt failed of a payment that is not settled
}

func (v *view) count() tally {
	var c tally
	for i := range v.payments {
		p := &v.payments[i]
		switch {
		case len(p.settled) == 0:
			c.flying = c.flying || p.flying()
			c.failed = c.failed || p.failed || p.sessionFailed
		case v.counts(p):
			c.counting = append(c.counting, p)
			if !p.gone() {
				c.live = append(c.live, p)
			}
		case !p.gone():
			c.reviewed = append(c.reviewed, p)
		}
	}
	return c
}

// counts reports whether p pays for the quote as it stands.
func (v *view) counts(p *payment) bool { return p.clean && p.matched.Number == v.newest }

func (v *view) status(s *State, c *tally) {
	lost := slices.ContainsFunc(c.counting, func(p *payment) bool { return p.lost })
	switch {
	case len(c.live) > 0:
		s.Status = StatusPaid
	case lost:
		s.Status = StatusChargedBack
	case len(c.counting) > 0:
		s.Status = StatusRefunded
	case len(c.reviewed) > 0:
		s.Status = StatusReview
	case c.flying:
		s.Status = StatusProcessing
	}
}

func (v *view) flags(s *State, c *tally) {
	raise := func(f Flag, when bool) {
		if when && !slices.Contains(s.Flags, f) {
			s.Flags = append(s.Flags, f)
		}
	}
	raise(FlagUnknownQuote, v.unknown)
	raise(FlagRenewalPastDue, v.pastDue)
	raise(FlagCouponChanged, v.coupon)
	raise(FlagSubscriptionEnded, v.ended > 0 && v.going == 0)
	raise(FlagAttemptFailed, c.failed && s.Status == StatusPending)
	raise(FlagDuplicatePayment, several(c.live))
	for i := range v.payments {
		p := &v.payments[i]
		raise(FlagDisputed, p.disputed)
		raise(FlagInquiry, p.inquiry)
		raise(FlagFraudWarning, p.warned)
		raise(FlagRefetch, p.contradicts)
		raise(FlagPartiallyRefunded, len(p.settled) > 0 && !p.gone() && p.refunded() > 0)
	}
	for _, p := range c.reviewed {
		raise(FlagMismatch, !p.clean)
		raise(FlagSuperseded, p.newest().Number < v.newest)
	}
	decisive := c.counting
	if len(c.live) > 0 {
		decisive = c.live
	}
	for _, p := range decisive {
		raise(FlagLate, p.late())
	}
	slices.Sort(s.Flags)
}

// late reports whether the payment came after its revision's end.
func (p *payment) late() bool {
	r := p.matched
	return r.Recalled || (!r.ExpiresAt.IsZero() && p.best.At > r.ExpiresAt.Unix())
}

// describe fills in what the status speaks of.
func (v *view) describe(s *State, c *tally) {
	subject := c.counting
	if len(subject) == 0 {
		subject = c.reviewed
	}
	r := v.current()
	if len(subject) > 0 {
		first := slices.MinFunc(subject, comparePayment)
		s.Payment = first.ids
		if len(c.counting) > 0 {
			r, s.PaidAt = first.matched, paidAt(first.matched, first.best)
		}
	}
	if r != nil {
		s.Revision, s.Seller, s.Deal, s.Amount = r.Number, r.Seller, r.Deal, r.Amount
	}
	if len(c.live) > 0 {
		subject = c.live
	}
	var refunded, lost Moment
	for _, p := range subject {
		s.Refunded += p.refunded()
		refunded = max(refunded, p.refundedAt())
		lost = max(lost, p.lostAt)
	}
	switch s.Status {
	case StatusRefunded:
		s.RefundedAt = refunded.Time()
	case StatusChargedBack:
		s.ChargedBackAt = lost.Time()
	case StatusPending, StatusProcessing, StatusPaid, StatusReview:
	}
}

// current is the newest revision published on this account, nil if none is.
func (v *view) current() *Revision {
	for i := len(v.f.Revisions) - 1; i >= 0; i-- {
		if r := &v.f.Revisions[i]; r.published() && r.Account == v.account {
			return r
		}
	}
	return nil
}

// comparePayment puts the payment first that was paid first.
func comparePayment(a, b *payment) int {
	return cmp.Or(
		cmp.Compare(a.when(), b.when()),
		cmp.Compare(a.ids.Session, b.ids.Session),
		cmp.Compare(a.ids.Intent, b.ids.Intent),
		cmp.Compare(a.ids.Invoice, b.ids.Invoice),
	)
}

// when is the time it was paid, in Unix seconds; 0 if unknown or if it does not
// match.
func (p *payment) when() int64 {
	if p.best == nil {
		return 0
	}
	return p.best.At
}

// several reports whether more than one payment was surely made.
func several(payments []*payment) bool {
	var seen distinct
	for _, p := range payments {
		if p.matched.Amount.Amount != 0 {
			seen.add(p, p.matched)
		}
	}
	return seen.several
}

// distinct counts payments that are surely different ones. Objects of different
// kinds may turn out to be of one payment once a further event links them; two
// sessions, or two intents, never do.
type distinct struct {
	first   [kinds]string
	several bool
}

// add counts the objects that surely settled r's amount: those that say so, and
// those they name.
func (d *distinct) add(p *payment, r *Revision) {
	for i := range p.settled {
		e := &p.settled[i]
		if !e.exact(r) {
			continue
		}
		d.see(e.kind, e.id)
		for _, id := range e.intents {
			d.see(kindIntent, id)
		}
		for _, id := range e.invoices {
			d.see(kindInvoice, id)
		}
	}
}

func (d *distinct) see(k kind, id string) {
	if d.first[k] == "" {
		d.first[k] = id
	}
	d.several = d.several || d.first[k] != id
}
