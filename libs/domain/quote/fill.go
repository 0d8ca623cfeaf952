package quote

// claim opens a payment for each group in which some object's metadata names a
// revision that is published on this account in the object's mode.
func (v *view) claim() {
	f := v.f
	for i := range f.Sessions {
		v.claimFor(v.base(sessionNodes)+i, &f.Sessions[i].Origin)
	}
	for i := range f.Intents {
		v.claimFor(v.base(intentNodes)+i, &f.Intents[i].Origin)
	}
	for i := range f.Charges {
		v.claimFor(v.base(chargeNodes)+i, &f.Charges[i].Origin)
	}
	for i := range f.Invoices {
		v.claimFor(v.base(invoiceNodes)+i, &f.Invoices[i].Origin)
	}
	for i := range f.Subscriptions {
		v.claimFor(v.base(subscriptionNodes)+i, &f.Subscriptions[i].Origin)
	}
	for i := range f.Coupons {
		if r := v.revision(&f.Coupons[i].Origin); r != nil && r.Number == v.newest {
			v.coupon = true
		}
	}
	for i := range f.Renewals {
		r := &f.Renewals[i]
		if v.revision(&r.Origin) != nil {
			v.pastDue = r.Failed != 0 && r.Status != "paid" && r.Status != "void"
		}
	}
}

// claimFor adds the object's revisions to the payment of its node.
func (v *view) claimFor(n int, o *Origin) {
	for _, claim := range o.Claims {
		r := v.lookup(claim)
		if r == nil {
			v.unknown = true
			continue
		}
		if !v.fits(r, o) {
			continue
		}
		p := v.at(n)
		if p == nil {
			v.payments = append(v.payments, payment{root: v.root(n)})
			p = &v.payments[len(v.payments)-1]
		}
		p.claim(r)
	}
}

// revision is the newest revision that an object outside of payments is for,
// nil if there is none.
func (v *view) revision(o *Origin) *Revision {
	var newest *Revision
	for _, claim := range o.Claims {
		switch r := v.lookup(claim); {
		case r == nil:
			v.unknown = true
		case v.fits(r, o) && (newest == nil || r.Number > newest.Number):
			newest = r
		}
	}
	return newest
}

// fill puts each object into its payment. Objects that belong to none, or were
// seen in another mode, say nothing.
func (v *view) fill() {
	f := v.f
	for i := range f.Sessions {
		if p := v.admitting(v.base(sessionNodes)+i, &f.Sessions[i].Origin); p != nil {
			p.addSession(&f.Sessions[i])
		}
	}
	for i := range f.Intents {
		if p := v.admitting(v.base(intentNodes)+i, &f.Intents[i].Origin); p != nil {
			p.addIntent(&f.Intents[i])
		}
	}
	for i := range f.Charges {
		if p := v.admitting(v.base(chargeNodes)+i, &f.Charges[i].Origin); p != nil {
			p.addCharge(&f.Charges[i])
		}
	}
	for i := range f.Invoices {
		if p := v.admitting(v.base(invoiceNodes)+i, &f.Invoices[i].Origin); p != nil {
			p.addInvoice(&f.Invoices[i])
		}
	}
	for i := range f.Subscriptions {
		if v.admitting(v.base(subscriptionNodes)+i, &f.Subscriptions[i].Origin) == nil {
			continue
		}
		v.going++
		if f.Subscriptions[i].Ended != 0 {
			v.going, v.ended = v.going-1, v.ended+1
		}
	}
	for i := range f.Refunds {
		r := &f.Refunds[i]
		if p := v.admitting(v.named(r.Charges, r.Intents), &r.Origin); p != nil {
			p.addRefund(r)
		}
	}
	for i := range f.Disputes {
		d := &f.Disputes[i]
		if p := v.admitting(v.named(d.Charges, d.Intents), &d.Origin); p != nil {
			p.addDispute(d)
		}
	}
	for i := range f.Warnings {
		w := &f.Warnings[i]
		if p := v.admitting(v.named(w.Charges, w.Intents), &w.Origin); p != nil {
			p.warned = p.warned || (w.Opened != 0 && w.Closed == 0)
		}
	}
}

// admitting is the payment of a node if the object counts for it.
func (v *view) admitting(n int, o *Origin) *payment {
	if n < 0 {
		return nil
	}
	p := v.at(n)
	if p == nil || !p.admits(o) {
		return nil
	}
	return p
}
