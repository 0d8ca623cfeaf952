package sandbox

func paymentRoutes() []route {
	update := parseSpec("metadata meta\ndescription empty\nreceipt_email no\namount no\ncurrency no")
	return []route{
		{"GET /v1/payment_intents/{id}", parseSpec("client_secret str"), getter("payment_intent")},
		{"GET /v1/payment_intents", parseSpec(pageSpec + "customer str\ncreated range\n"), lister("payment_intent", "/v1/payment_intents", "customer")},
		{"POST /v1/payment_intents/{id}", update, annotate("payment_intent", "")},
		{"POST /v1/payment_intents/{id}/cancel", parseSpec("cancellation_reason enum duplicate|fraudulent|requested_by_customer|abandoned"), cancelIntent},
		{"GET /v1/charges/{id}", parseSpec(""), getter("charge")},
		{"GET /v1/charges", parseSpec(pageSpec + "payment_intent str\ncustomer str\ncreated range\n"), lister("charge", "/v1/charges", "payment_intent", "customer")},
		{"POST /v1/charges/{id}", parseSpec("metadata meta\ndescription empty"), annotate("charge", "charge.updated")},
	}
}

// getter answers with one object of a kind.
func getter(kind string) func(c *call) (any, error) {
	return func(c *call) (any, error) { return c.find(kind, c.id, "id") }
}

// lister answers with the objects of a kind, filtered by parameters that are fields.
func lister(kind, url string, filters ...string) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		return c.page(c.all(kind, func(o object) bool {
			for _, name := range filters {
				if c.p.has(name) && o[name] != c.p[name] {
					return false
				}
			}
			return within(c.p.obj("created"), o.int("created"))
		}), url)
	}
}

// annotate changes metadata and description and, where Stripe does, tells of it.
func annotate(kind, typ string) func(c *call) (any, error) {
	return func(c *call) (any, error) {
		o, err := c.find(kind, c.id, "id")
		if err != nil {
			return nil, err
		}
		before := o.clone()
		if c.p.has("metadata") {
			o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
		}
		if c.p.has("description") {
			o["description"] = nilIfEmpty(c.p.str("description"))
		}
		if typ != "" {
			c.emitChanged(typ, o, o.changed(before))
		}
		return o, nil
	}
}

func cancelIntent(c *call) (any, error) {
	o, err := c.find("payment_intent", c.id, "id")
	if err != nil {
		return nil, err
	}
	if s := o.str("status"); s == "succeeded" || s == "canceled" || s == "processing" {
		return nil, refuse("payment_intent_unexpected_state", "", "You cannot cancel this PaymentIntent because it has a status of %s.", s)
	}
	o["status"], o["canceled_at"], o["cancellation_reason"] = "canceled", c.now(), c.p.or("cancellation_reason", nil)
	c.emit("payment_intent.canceled", o)
	return o, nil
}

// payer is what the customer typed on the pay page.
type payer struct{ email, name string }

func (p payer) billing() object {
	return object{"address": address(), "email": nilIfEmpty(p.email), "name": nilIfEmpty(p.name), "phone": nil}
}

func address() object {
	return nulls("city line1 line2 state").with(object{"country": "PL", "postal_code": "00-001"})
}

// newIntent makes the PaymentIntent of a session or of an invoice, and tells of it.
func (d *deal) newIntent(amount int64) object {
	id := d.sim.id("pi_3", 23)
	data := d.session.obj("_intent_data")
	o := d.add(nulls(`application application_fee_amount automatic_payment_methods canceled_at cancellation_reason customer description invoice
		last_payment_error latest_charge next_action on_behalf_of payment_method payment_method_configuration_details processing receipt_email
		review setup_future_usage shipping source statement_descriptor statement_descriptor_suffix transfer_data transfer_group`).with(object{
		"id": id, "object": "payment_intent", "amount": amount, "amount_capturable": int64(0), "amount_details": object{"tip": object{}},
		"amount_received": int64(0), "capture_method": "automatic", "client_secret": id + "_secret_" + d.sim.id("", 24),
		"confirmation_method": "automatic", "currency": d.cart.currency, "metadata": object{}, "status": "requires_payment_method",
		"payment_method_options": object{d.method: object{}}, "payment_method_types": []any{d.method},
	}))
	for _, name := range []string{"metadata", "description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix", "setup_future_usage"} {
		if data.has(name) {
			o[name] = cloneValue(data[name])
		}
	}
	if d.invoice != nil {
		// In subscription mode the intent carries none of our metadata; the invoice leads to it.
		o["invoice"], o["metadata"], o["description"], o["setup_future_usage"] = d.invoice["id"], object{}, "Subscription creation", "off_session"
	}
	if d.customer != nil {
		o["customer"] = d.customer["id"]
	}
	d.emit("payment_intent.created", o)
	return o
}

// newCharge makes a charge of the intent and copies the intent's metadata, as Stripe does at this moment and never later.
func (d *deal) newCharge(status string) object {
	prefix := "ch_3"
	if d.method != "card" {
		prefix = "py_3"
	}
	o := d.add(nulls(`application application_fee application_fee_amount balance_transaction destination dispute failure_balance_transaction
		failure_code failure_message on_behalf_of order receipt_email receipt_number receipt_url review shipping source source_transfer
		statement_descriptor statement_descriptor_suffix transfer_data transfer_group`).with(object{
		"id": d.sim.id(prefix, 23), "object": "charge", "amount": d.intent["amount"], "amount_captured": int64(0), "amount_refunded": int64(0),
		"billing_details": d.who.billing(), "calculated_statement_descriptor": "SANDBOX", "captured": status != "failed", "currency": d.intent["currency"],
		"customer": d.intent["customer"], "description": d.intent["description"], "disputed": false, "fraud_details": object{},
		"invoice": d.intent["invoice"], "metadata": d.intent.obj("metadata").clone(), "outcome": outcome(status), "paid": false,
		"payment_intent": d.intent["id"], "payment_method": d.methodID, "payment_method_details": d.methodDetails(), "radar_options": object{},
		"refunded": false, "status": status,
	}))
	if d.invoice == nil {
		o["receipt_email"] = nilIfEmpty(d.who.email)
	}
	d.intent["latest_charge"], d.intent["payment_method"] = o["id"], d.methodID
	if status == "succeeded" {
		d.settleCharge(o)
	}
	return o
}

func (d *deal) settleCharge(o object) {
	o["status"], o["paid"], o["amount_captured"] = "succeeded", true, o["amount"]
	o["outcome"] = outcome("succeeded")
	o["receipt_url"] = d.sim.cfg.PublicURL + "/receipts/" + o.str("id")
}

func outcome(status string) object {
	if status == "failed" {
		return object{
			"network_status": "declined_by_network", "reason": "generic_decline", "risk_level": "normal", "risk_score": int64(20),
			"seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined",
		}
	}
	return object{
		"network_status": "approved_by_network", "reason": nil, "risk_level": "normal", "risk_score": int64(20),
		"seller_message": "Payment complete.", "type": "authorized",
	}
}

func (d *deal) methodDetails() object {
	if d.method != "card" {
		return object{"type": d.method, d.method: object{"bank_name": "SANDBOX BANK", "country": "PL", "fingerprint": "s1mUlAtEd0000001", "last4": "6789"}}
	}
	return object{"type": "card", "card": nulls("installments mandate wallet").with(object{
		"amount_authorized": d.intent["amount"], "brand": "visa", "country": "PL", "exp_month": int64(12), "exp_year": int64(2034),
		"checks":      object{"address_line1_check": nil, "address_postal_code_check": "pass", "cvc_check": "pass"},
		"fingerprint": "s1mUlAtEd0000000", "funding": "credit", "last4": "4242", "network": "visa", "network_token": object{"used": false},
		"three_d_secure": d.threeDSecure(),
	})}
}

func (d *deal) threeDSecure() any {
	if !d.challenged {
		return nil
	}
	return object{"authentication_flow": "challenge", "result": "authenticated", "result_reason": nil, "version": "2.2.0"}
}

// isDebit reports whether a payment method is a bank debit of the sandbox.
func isDebit(method string) bool {
	switch method {
	case "us_bank_account", "bacs_debit", "au_becs_debit", "acss_debit", "sepa_debit":
		return true
	}
	return false
}

// debitMethod is the bank debit of a currency; SEPA's stands in where Stripe has none.
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
	}
	return "sepa_debit"
}
