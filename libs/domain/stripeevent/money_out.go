package stripeevent

import (
	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// refund reads a refund. Its own metadata are not ours: Stripe copies none.
func (d *decoder) refund() {
	c := d.change
	r := d.refundFact(c.Object)
	if c.Type == typeRefundFailed {
		r.Dead = d.since
	}
	c.Facts.Refunds = []quote.RefundFact{r}
	c.Names = names("", r.Charges, r.Intents)
	d.unlinked()
}

// refundFact reads the object as a refund.
func (d *decoder) refundFact(id string) quote.RefundFact {
	r := quote.RefundFact{
		ID: id, Origin: d.mode(),
		Charges: d.ids(fieldCharge), Intents: d.ids(fieldPaymentIntent), Money: d.money(fieldAmount),
		At:   quote.Moment(seconds(d.object[fieldCreated])),
		Done: d.when(d.is(fieldStatus, "succeeded")),
		Dead: d.when(d.is(fieldStatus, "failed") || d.is(fieldStatus, "canceled")),
	}
	if r.At == 0 {
		r.At = d.since
	}
	charge := ""
	if len(r.Charges) > 0 {
		charge = r.Charges[0]
	}
	r.Payments = add(nil, payment(r.Intents, charge))
	return r
}

// embeddedRefunds reads the refunds inside a charge: versions before 2022-11-15
// carry them there, and some send no event of their own for them.
func (d *decoder) embeddedRefunds(h *quote.ChargeFact) {
	whole := d.object
	var found quote.Facts
	each(whole[fieldRefunds], func(element []byte) {
		d.object = in(element)
		id := d.id(fieldID)
		if id == "" || !d.is(fieldObject, "refund") {
			return
		}
		r := d.refundFact(id)
		r.Charges = add(r.Charges, h.ID)
		if len(r.Intents) == 0 {
			r.Intents = h.Intents
		}
		r.Payments = quote.Set{payment(r.Intents, h.ID)}
		found.Merge(quote.Facts{Refunds: []quote.RefundFact{r}})
	})
	d.object = whole
	d.change.Facts.Refunds = found.Refunds
}

// dispute reads a dispute or an inquiry.
func (d *decoder) dispute() {
	c := d.change
	p := quote.DisputeFact{
		ID: c.Object, Origin: d.mode(),
		Charges: d.ids(fieldCharge), Intents: d.ids(fieldPaymentIntent), Money: d.money(fieldAmount),
	}
	if status := d.text(fieldStatus); status != "" && token(status) {
		p.Statuses = []quote.Seen{{Name: status, Since: d.since}}
	}
	var found quote.Facts
	each(d.object[fieldBalanceTransactions], func(element []byte) {
		t := in(element)
		amount, ok := d.signed(t[fieldAmount])
		if id := d.idIn(t[fieldID]); ok && id != "" {
			one := quote.DisputeFact{ID: p.ID, Transactions: []quote.Transaction{{ID: id, Amount: amount}}}
			found.Merge(quote.Facts{Disputes: []quote.DisputeFact{one}})
		}
	})
	if len(found.Disputes) > 0 {
		p.Transactions = found.Disputes[0].Transactions
	}
	c.Facts.Disputes = []quote.DisputeFact{p}
	c.Names = names("", p.Charges, p.Intents)
	d.unlinked()
}

// warning reads an early fraud warning or a review.
func (d *decoder) warning() {
	c := d.change
	open, ok := jsonscan.Bool(d.object[fieldOpen])
	w := quote.WarningFact{
		ID: c.Object, Origin: d.mode(),
		Charges: d.ids(fieldCharge), Intents: d.ids(fieldPaymentIntent),
		Opened: d.since, Closed: d.when(c.Type == typeReviewClosed || (ok && !open)),
	}
	c.Facts.Warnings = []quote.WarningFact{w}
	c.Names = names("", w.Charges, w.Intents)
	d.unlinked()
}

// unlinked ignores an object that names nothing it could belong to.
func (d *decoder) unlinked() {
	if len(d.change.Names) == 0 {
		d.change.Ignored = IgnoredNotOurs
	}
}

// coupon reads a coupon of ours.
func (d *decoder) coupon() {
	c := d.change
	c.Facts.Coupons = []quote.CouponFact{{
		ID: c.Object, Origin: d.origin, Changed: d.when(c.Type == typeCouponUpdated), Deleted: d.when(c.Type == typeCouponDeleted),
	}}
}
