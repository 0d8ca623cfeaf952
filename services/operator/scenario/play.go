package scenario

// card plays one checkout paid by card, as payment or as subscription, and returns the payment.
func (s *script) card() *payment {
	p := s.newPayment("card", "card")
	switch {
	case s.target.recurring():
		p.subscribe()
	case s.target.Amount == 0:
		p.send(2, "checkout.session.completed", p.sessionObject("no_payment_required"), nil)
	default:
		p.payByCard()
	}
	if s.target.Amount == 0 {
		p.paid(2, 3) // the invoice's time or that of the session's event
	} else {
		p.paid(1, 3) // the charge's time
	}
	return p
}

// payByCard is a card payment of a one-time quote: five events within three seconds.
func (p *payment) payByCard() {
	succeeded := chargeState{status: "succeeded", captured: true}
	p.send(0, "payment_intent.created", p.intentObject("requires_payment_method", ""), nil)
	p.send(1, "charge.succeeded", p.chargeObject(succeeded), nil)
	p.send(1, "payment_intent.succeeded", p.intentObject("succeeded", ""), nil)
	p.send(2, "checkout.session.completed", p.sessionObject("paid"), nil)
	succeeded.settled = true
	p.send(3, "charge.updated", p.chargeObject(succeeded), object{"balance_transaction": nil, "receipt_url": nil})
}

// subscribe is the first charge of a subscription: fourteen events, one more from Basil on, fewer when nothing is due.
func (p *payment) subscribe() {
	p.openSubscription()
	if p.target.Amount > 0 {
		p.send(1, "charge.succeeded", p.chargeObject(chargeState{status: "succeeded", captured: true}), nil)
		p.send(1, "payment_intent.succeeded", p.intentObject("succeeded", ""), nil)
	}
	p.payInvoice(2)
	p.send(2, "customer.subscription.updated", p.subscriptionObject("active"), object{"status": "incomplete", "default_payment_method": nil})
	status := "paid"
	if p.target.Amount == 0 {
		status = "no_payment_required"
	}
	p.send(3, "checkout.session.completed", p.sessionObject(status), nil)
}

// openSubscription makes customer, subscription and the open first invoice.
func (p *payment) openSubscription() {
	p.send(0, "customer.created", p.customerObject(false), nil)
	p.send(0, "payment_method.attached", p.methodObject(), nil)
	p.send(0, "customer.updated", p.customerObject(true), object{"invoice_settings": object{"default_payment_method": nil}})
	p.send(0, "invoice.created", p.invoiceObject("draft"), nil)
	p.send(0, "invoice.finalized", p.invoiceObject("open"), nil)
	p.send(0, "customer.subscription.created", p.subscriptionObject("incomplete"), nil)
	if p.target.Amount > 0 {
		p.send(0, "payment_intent.created", p.intentObject("requires_confirmation", ""), nil)
	}
}

// payInvoice settles the first invoice; invoice.paid and invoice.payment_succeeded are two events about one fact.
func (p *payment) payInvoice(seconds int) {
	paid := p.invoiceObject("paid")
	p.send(seconds, "invoice.updated", paid, object{"amount_paid": 0, "amount_remaining": p.target.Amount, "attempted": false, "status": "open"})
	p.send(seconds, "invoice.paid", paid, nil)
	p.send(seconds, "invoice.payment_succeeded", paid, nil)
	if p.basil() && p.target.Amount > 0 {
		p.send(seconds, "invoice_payment.paid", p.invoicePaymentObject(), nil)
	}
}

// debit plays a checkout by bank debit. The checkout is complete while the money is under way; seconds stand for the days
// that a bank takes.
func (s *script) debit(succeeds bool) {
	kind := "debit"
	if !succeeds {
		kind = "bad_debit" // so that one seed can first fail and then succeed, as two sessions
	}
	p := s.newPayment(kind, debitMethod(s.target.Currency))
	if s.target.recurring() {
		p.openSubscription()
		p.send(2, "customer.subscription.updated", p.subscriptionObject("active"), object{"status": "incomplete", "default_payment_method": nil})
	} else {
		p.send(0, "payment_intent.created", p.intentObject("requires_payment_method", ""), nil)
	}
	p.send(1, "charge.pending", p.chargeObject(chargeState{status: "pending", captured: true}), nil)
	p.send(1, "payment_intent.processing", p.intentObject("processing", ""), nil)
	p.send(2, "checkout.session.completed", p.sessionObject("unpaid"), nil)
	if succeeds {
		p.clearDebit()
		return
	}
	p.bounceDebit()
}

func (p *payment) clearDebit() {
	p.paid(1, 9)
	p.send(8, "charge.succeeded", p.chargeObject(chargeState{status: "succeeded", captured: true, settled: true}), nil)
	p.send(8, "payment_intent.succeeded", p.intentObject("succeeded", ""), nil)
	if p.target.recurring() {
		p.payInvoice(8)
	}
	p.send(9, "checkout.session.async_payment_succeeded", p.sessionObject("paid"), nil)
}

func (p *payment) bounceDebit() {
	const code = "insufficient_funds"
	p.send(8, "charge.failed", p.chargeObject(chargeState{status: "failed", failure: code}), nil)
	p.send(8, "payment_intent.payment_failed", p.intentObject("requires_payment_method", code), nil)
	if p.target.recurring() {
		p.send(8, "invoice.payment_failed", p.invoiceObject("open").with(object{"attempt_count": 1, "attempted": true}), nil)
		p.emit(p.after(8), p.label+"/past_due", "customer.subscription.updated", p.subscriptionObject("past_due"), object{"status": "active"})
	}
	p.send(9, "checkout.session.async_payment_failed", p.sessionObject("unpaid"), nil)
}

// debitMethod is a delayed payment method of the currency. Where Stripe has no direct debit for a currency, the SEPA one
// stands in: nothing of ours depends on the method.
func debitMethod(currency string) string {
	switch currency {
	case "usd":
		return "us_bank_account"
	case "gbp":
		return "bacs_debit"
	case "aud":
		return "au_becs_debit"
	case "cad":
		return "acss_debit"
	default:
		return "sepa_debit"
	}
}
