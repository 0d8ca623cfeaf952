package stripeevent

import (
	"strings"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// invoice reads an invoice: the first one of a subscription, that of a one-time
// payment, or a renewal.
func (d *decoder) invoice() {
	c := d.change
	status, subscription := d.invoiceStatus(), d.subscriptionOf()
	attempts, _ := jsonscan.Int(d.object[fieldAttemptCount])
	attempts = min(max(attempts, 0), 1<<31-1)
	failed, paid := d.when(c.Type == typeInvoiceFailed), d.money(fieldAmountPaid)
	if d.renewal(subscription) {
		c.Facts.Renewals = []quote.RenewalFact{{
			ID: c.Object, PeriodEnd: seconds(d.object[fieldPeriodEnd]), Origin: d.origin,
			Status: status, Attempts: int(attempts), Failed: failed,
		}}
		return
	}
	i := quote.InvoiceFact{
		ID: c.Object, Origin: d.origin, Subscriptions: add(nil, subscription), Intents: d.ids(fieldPaymentIntent), Charges: d.ids(fieldCharge),
		Status: status, Attempts: int(attempts), Failed: failed,
	}
	each(d.object[fieldPayments], func(element []byte) {
		intent, charge := d.paymentOf(in(element))
		i.Intents, i.Charges = add(i.Intents, intent), add(i.Charges, charge)
	})
	if status == "paid" {
		transitions := in(d.object[fieldStatusTransitions])
		i.Settled = d.settled(paid, quote.RankExact, seconds(transitions[fieldPaidAt]))
	}
	c.Facts.Invoices = []quote.InvoiceFact{i}
}

// renewal reports whether the invoice is not the one our checkout caused: it is
// any invoice of a subscription but its first. Where a version does not give the
// reason, the invoice of a subscription counts as a renewal: the session then
// tells of the first payment, and a renewal must never pay for a quote.
func (d *decoder) renewal(subscription string) bool {
	reason := d.text(fieldBillingReason)
	if strings.HasPrefix(reason, "subscription") {
		return reason != "subscription_create"
	}
	return subscription != ""
}

// invoiceStatus is the invoice's status, empty if it is none we know. A
// snapshot without one may have the older boolean, or only the event's name.
func (d *decoder) invoiceStatus() string {
	switch status := d.text(fieldStatus); status {
	case "draft", "open", "paid", "uncollectible", "void":
		return status
	case "":
		if d.truth(fieldPaid) || d.change.Type == typeInvoicePaid || d.change.Type == typeInvoiceSucceeded {
			return "paid"
		}
	}
	return ""
}

// subscriptionOf is the invoice's subscription, in either shape.
func (d *decoder) subscriptionOf() string {
	if id := d.id(fieldSubscription); id != "" {
		return id
	}
	parent := in(d.object[fieldParent])
	details := in(parent[fieldSubscriptionDetails])
	return d.idIn(details[fieldSubscription])
}

// paymentOf is the intent or charge of an invoice payment.
func (d *decoder) paymentOf(invoicePayment members) (intent, charge string) {
	p := in(invoicePayment[fieldPayment])
	return d.idIn(p[fieldPaymentIntent]), d.idIn(p[fieldCharge])
}

// invoicePayment reads what links an intent to its invoice from basil on. The
// money itself is the intent's and the invoice's to tell.
func (d *decoder) invoicePayment() {
	c := d.change
	intent, charge := d.paymentOf(d.object)
	invoices := d.ids(fieldInvoice)
	if len(invoices) == 0 || (intent == "" && charge == "") {
		c.Ignored = IgnoredNothing
		return
	}
	if intent != "" {
		c.Facts.Intents = []quote.IntentFact{{ID: intent, Origin: d.mode(), Charges: add(nil, charge), Invoices: invoices}}
	} else {
		c.Facts.Charges = []quote.ChargeFact{{ID: charge, Origin: d.mode(), Invoices: invoices}}
	}
	c.Names = names(intent, add(nil, charge), invoices)
}

// subscription reads a subscription.
func (d *decoder) subscription() {
	c := d.change
	ended := c.Type == typeSubscriptionDeleted || d.is(fieldStatus, "canceled") || d.is(fieldStatus, "incomplete_expired")
	c.Facts.Subscriptions = []quote.SubscriptionFact{{ID: c.Object, Origin: d.origin, Ended: d.when(ended)}}
}
