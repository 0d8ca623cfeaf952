package sandbox

import "time"

// deal is one customer's business with a session: what the pay page's buttons work on.
type deal struct {
	*world
	session, intent, invoice, subscription, customer object
	cart                                             *cart
	who                                              payer
	method, methodID                                 string
	challenged                                       bool
}

// Actions of the pay page.
const (
	actionPay           = "pay"
	actionDecline       = "decline"
	actionChallenge     = "challenge"
	actionChallengePass = "challenge_pass"
	actionChallengeFail = "challenge_fail"
	actionDebit         = "debit"
	actionDebitFail     = "debit_fail"
)

// pay plays an action on an open session. The answer is what the customer is told when the session stays open.
func (w *world) pay(session object, action string, who payer) (string, error) {
	if session.str("status") != "open" {
		return "", refuse("", "", "This Checkout Session is %s.", session.str("status"))
	}
	d := w.deal(session, who)
	d.method = "card"
	if action == actionDebit || action == actionDebitFail {
		d.method = debitMethod(d.cart.currency)
	}
	d.begin()
	if d.cart.total == 0 {
		d.free()
		return "", nil
	}
	switch action {
	case actionPay:
		d.succeed()
	case actionDecline:
		d.decline("card_declined", "generic_decline", "Your card was declined.")
		return "Your card was declined. Try another way to pay.", nil
	case actionChallenge:
		d.challenge()
	case actionChallengePass:
		d.challenged = true
		d.succeed()
	case actionChallengeFail:
		d.intent["next_action"] = nil
		d.unpaid("payment_intent_authentication_failure", "", "The provided PaymentMethod has failed authentication.", nil)
		return "Authentication failed. Try again, or another way to pay.", nil
	case actionDebit, actionDebitFail:
		d.debit(action == actionDebit)
	default:
		return "", refuse("", "action", "Unknown action %s", action)
	}
	return "", nil
}

// deal finds what earlier attempts on the session have made.
func (w *world) deal(session object, who payer) *deal {
	k, _ := session["_cart"].(*cart)
	d := &deal{world: w, session: session, cart: k, who: who}
	d.intent = w.objects[session.str("_intent")]
	d.subscription = w.objects[session.str("_subscription")]
	if d.subscription != nil {
		d.invoice = w.objects[d.subscription.str("latest_invoice")]
	}
	if id := session.str("customer"); id != "" {
		d.customer = w.objects[id]
	} else {
		d.customer = w.objects[session.str("_customer")]
	}
	return d
}

// begin makes what a first attempt makes: the intent, and in subscription mode customer, subscription and invoice before.
func (d *deal) begin() {
	d.methodID = d.sim.id("pm_1", 23)
	if d.session.str("mode") == "subscription" && d.subscription == nil {
		d.openSubscription()
	}
	if d.intent == nil && d.cart.total > 0 {
		d.intent = d.newIntent(d.cart.total)
		d.session["_intent"] = d.intent["id"]
		if d.invoice != nil {
			d.invoice["payment_intent"] = d.intent["id"]
		} else {
			d.session["payment_intent"] = d.intent["id"]
		}
	}
	if d.intent != nil {
		d.intent["payment_method_types"], d.intent["payment_method_options"] = []any{d.method}, object{d.method: object{}}
	}
}

// succeed pays by card: five events of a payment, about fourteen of a subscription, in the order that was recorded.
func (d *deal) succeed() {
	charge := d.newCharge("succeeded")
	d.emit("charge.succeeded", charge)
	d.settleIntent()
	if d.invoice != nil {
		d.payInvoice(d.invoice, charge)
		d.activate()
	}
	d.complete("paid")
	d.change(charge, "charge.updated", func() { d.balance(charge) })
}

func (d *deal) balance(charge object) {
	charge["balance_transaction"] = d.transaction(charge.int("amount"), 0, "charge", charge.str("id"))["id"]
}

func (d *deal) settleIntent() {
	d.intent["status"], d.intent["amount_received"], d.intent["next_action"], d.intent["last_payment_error"] = "succeeded", d.intent["amount"], nil, nil
	d.emit("payment_intent.succeeded", d.intent)
}

// complete closes the session as paid, unpaid or no_payment_required.
func (d *deal) complete(status string) {
	o := d.session
	if d.customer == nil && o.str("customer_creation") == "always" {
		d.customer = d.newCustomer(object{"email": d.who.email, "name": d.who.name})
	}
	if d.customer != nil {
		o["customer"] = d.customer["id"]
	}
	if d.subscription != nil {
		o["subscription"], o["invoice"] = d.subscription["id"], d.invoice["id"]
	}
	if d.subscription == nil && status == "paid" && o.obj("invoice_creation").bool("enabled") {
		d.billOnce()
	}
	o["status"], o["payment_status"], o["url"] = "complete", status, nil
	o["customer_details"] = object{
		"address": address(), "email": nilIfEmpty(d.who.email), "name": nilIfEmpty(d.who.name), "phone": nil, "tax_exempt": "none", "tax_ids": []any{},
	}
	d.redeem()
	d.emit("checkout.session.completed", o)
}

// redeem counts the coupon's use.
func (d *deal) redeem() {
	if d.cart.coupon == nil {
		return
	}
	if coupon := d.get("coupon", d.cart.coupon.str("id")); coupon != nil {
		n := coupon.int("times_redeemed") + 1
		coupon["times_redeemed"] = n
		if limit := coupon.int("max_redemptions"); limit > 0 && n >= limit {
			coupon["valid"] = false
		}
	}
}

// free completes a session of which nothing is due.
func (d *deal) free() {
	if d.invoice != nil {
		d.payInvoice(d.invoice, nil)
		d.activate()
	}
	d.complete("no_payment_required")
}

// decline is a refused card: the session stays open.
func (d *deal) decline(code, declineCode, message string) {
	charge := d.newCharge("failed")
	charge["failure_code"], charge["failure_message"] = code, message
	d.emit("charge.failed", charge)
	d.unpaid(code, declineCode, message, charge)
}

// unpaid is an attempt that failed, with or without a charge.
func (d *deal) unpaid(code, declineCode, message string, charge object) {
	e := object{"code": code, "doc_url": "https://stripe.com/docs/error-codes/" + code, "message": message, "type": cardFailure, "payment_method": d.methodObject()}
	if declineCode != "" {
		e["decline_code"] = declineCode
	}
	if charge != nil {
		e["charge"] = charge["id"]
	}
	d.intent["status"], d.intent["last_payment_error"], d.intent["payment_method"] = "requires_payment_method", e, nil
	d.emit("payment_intent.payment_failed", d.intent)
	if d.invoice != nil {
		d.invoice["attempt_count"], d.invoice["attempted"] = d.invoice.int("attempt_count")+1, true
		d.emit("invoice.payment_failed", d.invoice)
	}
}

// challenge asks for 3-D Secure.
func (d *deal) challenge() {
	d.intent["status"], d.intent["payment_method"] = "requires_action", d.methodID
	d.intent["next_action"] = object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"type": "three_d_secure_redirect"}}
	d.emit("payment_intent.requires_action", d.intent)
	if d.invoice != nil {
		d.emit("invoice.payment_action_required", d.invoice)
	}
}

// debit starts a bank debit; it ends after the knob debit_after on the sandbox's clock.
func (d *deal) debit(succeeds bool) {
	charge := d.newCharge("pending")
	d.emit("charge.pending", charge)
	d.intent["status"] = "processing"
	d.emit("payment_intent.processing", d.intent)
	if d.invoice != nil {
		d.activate()
	}
	d.complete("unpaid")
	d.sim.at(d.sim.now().Add(time.Duration(d.sim.knobs.DebitAfter)), func() {
		if succeeds {
			d.clear(charge)
			return
		}
		d.bounce(charge)
	})
}

func (d *deal) clear(charge object) {
	d.settleCharge(charge)
	d.balance(charge)
	d.emit("charge.succeeded", charge)
	d.settleIntent()
	if d.invoice != nil {
		d.payInvoice(d.invoice, charge)
	} else if d.session.obj("invoice_creation").bool("enabled") {
		d.billOnce()
	}
	d.session["payment_status"] = "paid"
	d.emit("checkout.session.async_payment_succeeded", d.session)
}

func (d *deal) bounce(charge object) {
	const message = "The customer's account has insufficient funds to cover this payment."
	charge["status"], charge["captured"], charge["failure_code"], charge["failure_message"] = "failed", false, "insufficient_funds", message
	charge["outcome"] = outcome("failed")
	d.emit("charge.failed", charge)
	d.unpaid("payment_intent_payment_attempt_failed", "insufficient_funds", message, charge)
	if d.subscription != nil {
		d.change(d.subscription, "customer.subscription.updated", func() { d.subscription["status"] = "past_due" })
	}
	d.emit("checkout.session.async_payment_failed", d.session)
}

func (d *deal) methodObject() object {
	o := object{
		"id": d.methodID, "object": "payment_method", "billing_details": d.who.billing(), "created": d.now(), "customer": nil,
		"livemode": d.live, "metadata": object{}, "type": d.method, d.method: object{"country": "PL", "last4": "4242"},
	}
	if d.customer != nil {
		o["customer"] = d.customer["id"]
	}
	if d.method == "card" {
		o["card"] = object{
			"brand": "visa", "country": "PL", "exp_month": int64(12), "exp_year": int64(2034), "fingerprint": "s1mUlAtEd0000000",
			"funding": "credit", "last4": "4242", "networks": object{"available": []any{"visa"}, "preferred": nil},
			"three_d_secure_usage": object{"supported": true}, "wallet": nil,
		}
	}
	return o
}
