package stripeevent

import (
	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// when is since if the fact holds, else never.
func (d *decoder) when(holds bool) quote.Moment {
	if holds {
		return d.since
	}
	return 0
}

// either is the first amount, or where that is missing or zero the second.
func (d *decoder) either(first, second field) quote.Money {
	a, b := d.money(first), d.money(second)
	if a.Amount == 0 {
		return b
	}
	return a
}

// mode is the origin of an object without metadata of its own.
func (d *decoder) mode() quote.Origin { return quote.Origin{Live: d.origin.Live, Test: d.origin.Test} }

// session reads a Checkout Session.
func (d *decoder) session() {
	typ := d.change.Type
	s := quote.SessionFact{
		ID: d.change.Object, Origin: d.origin,
		Intents: d.ids(fieldPaymentIntent), Invoices: d.ids(fieldInvoice), Subscriptions: d.ids(fieldSubscription),
	}
	complete := d.is(fieldStatus, "complete") || typ == typeSessionCompleted || typ == typeSessionSucceeded || typ == typeSessionFailed
	paid := d.is(fieldPaymentStatus, "paid") || typ == typeSessionSucceeded
	due := d.money(fieldAmountTotal)
	// An open session of a total of zero says no_payment_required as well, and
	// so does one with a trial, of an amount: only together with the end and an
	// amount of zero does it mean that nothing was due.
	free := complete && d.is(fieldPaymentStatus, "no_payment_required") && due.Amount == 0 && due.Currency != ""
	if paid || free {
		s.Settled = d.settled(due, quote.RankEvent, d.created)
	}
	s.Complete = d.when(complete)
	s.Unpaid = d.when(complete && !paid && d.is(fieldPaymentStatus, "unpaid"))
	s.Failed = d.when(typ == typeSessionFailed)
	s.Expired = d.when(typ == typeSessionExpired || d.is(fieldStatus, "expired"))
	d.change.Facts.Sessions = []quote.SessionFact{s}
}

// intent reads a PaymentIntent.
func (d *decoder) intent() {
	c := d.change
	i := quote.IntentFact{ID: c.Object, Origin: d.origin, Invoices: d.ids(fieldInvoice)}
	if c.Claim == (Claim{}) && len(i.Invoices) == 0 && d.object[fieldInvoice] != nil {
		// The shape before basil has the key, and the intents of our
		// subscriptions have an invoice under it. Later shapes lack the key.
		c.Ignored = IgnoredNotOurs
		return
	}
	latest := d.id(fieldLatestCharge)
	i.Charges = add(i.Charges, latest)
	each(d.object[fieldCharges], func(charge []byte) { i.Charges = add(i.Charges, d.idIn(charge)) })

	money, lastError := d.either(fieldAmountReceived, fieldAmount), d.object[fieldLastPaymentError]
	switch status := d.intentStatus(); {
	case status == "succeeded":
		i.Settled = d.settled(money, quote.RankEvent, d.created)
	case status == "processing" && latest != "":
		c.Facts.Charges = d.attempt(latest, quote.ChargeFact{Pending: d.since})
	case status == "processing":
		i.Processing = d.since
	case status == "canceled":
		i.Canceled = d.since
	case c.Type == typeIntentFailed, status == "requires_payment_method" && jsonscan.IsObject(lastError):
		i.Failed = d.since
		reason := in(lastError)
		failed := d.idIn(reason[fieldCharge])
		if failed == "" && c.Type == typeIntentFailed {
			failed = latest
		}
		i.Charges = add(i.Charges, failed)
		c.Facts.Charges = d.attempt(failed, quote.ChargeFact{Failed: d.since})
	}
	c.Facts.Intents = []quote.IntentFact{i}
	c.Names = names(i.ID, i.Invoices)
}

// intentStatus is the intent's status; where the snapshot has none, what the
// event's name says.
func (d *decoder) intentStatus() string {
	if status := d.text(fieldStatus); status != "" {
		return status
	}
	return d.change.Type[len("payment_intent."):]
}

// attempt is what an intent says about one of its charges.
func (d *decoder) attempt(id string, c quote.ChargeFact) []quote.ChargeFact {
	if id == "" {
		return nil
	}
	c.ID, c.Origin, c.Intents = id, d.mode(), quote.Set{d.change.Object}
	return []quote.ChargeFact{c}
}

// charge reads a charge, and the refunds that older versions embed.
func (d *decoder) charge() {
	c := d.change
	h := quote.ChargeFact{ID: c.Object, Origin: d.origin, Intents: d.ids(fieldPaymentIntent), Invoices: d.ids(fieldInvoice)}
	captured, ok := jsonscan.Bool(d.object[fieldCaptured])
	captured = captured || !ok
	money, back := d.either(fieldAmountCaptured, fieldAmount), d.money(fieldAmountRefunded)
	succeeded := d.is(fieldStatus, "succeeded") || (d.text(fieldStatus) == "" && d.truth(fieldPaid))
	released := !captured && (back.Amount > 0 || d.truth(fieldRefunded))
	failed := d.is(fieldStatus, "failed") || c.Type == typeChargeExpired || released
	if succeeded && captured {
		h.Settled = d.settled(d.taken(money))
	}
	if captured && back.Amount > 0 {
		h.Refunded = []quote.Returned{{Payment: payment(h.Intents, h.ID), Amount: back.Amount, At: d.since}}
	}
	h.Failed = d.when(failed)
	h.Pending = d.when(!failed && (d.is(fieldStatus, "pending") || (succeeded && !captured)))
	c.Facts.Charges = []quote.ChargeFact{h}
	c.Names = names(h.ID, h.Intents, h.Invoices)
	d.embeddedRefunds(&h)
}

// taken is the time at which a charge's money was taken. A charge by card is
// settled the moment it is created. By a delayed method it is created when the
// customer pays and settled days later, when charge.succeeded tells it (R33:
// when it was paid); what later events repeat of it ranks last.
func (d *decoder) taken(m quote.Money) (quote.Money, int, int64) {
	created := seconds(d.object[fieldCreated])
	details := in(d.object[fieldMethodDetails])
	switch {
	case !delayed(text(details[fieldType])):
		return m, quote.RankExact, created
	case d.change.Type == typeChargeSucceeded:
		return m, quote.RankExact, d.created
	default:
		return m, quote.RankBegun, created
	}
}

// delayed reports whether a payment method confirms its payments hours or days
// after the customer has paid (Stripe docs, "Payment methods: delayed
// notification").
func delayed(method string) bool {
	switch method {
	case "ach_credit_transfer", "ach_debit", "acss_debit", "au_becs_debit", "bacs_debit", "boleto", "customer_balance", "konbini",
		"multibanco", "nz_bank_account", "oxxo", "sepa_credit_transfer", "sepa_debit", "us_bank_account":
		return true
	}
	return false
}

// payment is what an object calls its payment: its intent, else its charge.
func payment(intents quote.Set, charge string) string {
	if len(intents) > 0 {
		return intents[0]
	}
	return charge
}

// names lists the objects through which a change may find its quote.
func names(own string, others ...quote.Set) []string {
	var all []string
	if own != "" {
		all = append(make([]string, 0, 1+len(others)), own)
	}
	for _, set := range others {
		all = append(all, set...)
	}
	return all
}
