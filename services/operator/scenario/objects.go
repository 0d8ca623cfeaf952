package scenario

// sessionObject is the Checkout Session after the customer has finished; paymentStatus is paid, unpaid or
// no_payment_required.
func (p *payment) sessionObject(paymentStatus string) object {
	t := p.target
	o := object{
		"id": p.session, "object": "checkout.session", "after_expiration": nil, "allow_promotion_codes": nil,
		"amount_subtotal": t.Amount, "amount_total": t.Amount,
		"automatic_tax":              object{"enabled": false, "liability": nil, "status": nil},
		"billing_address_collection": nil, "cancel_url": nil, "client_reference_id": nil, "client_secret": nil,
		"consent": nil, "consent_collection": nil, "created": p.after(0).Unix(), "currency": t.Currency,
		"currency_conversion": nil, "custom_fields": []any{},
		"custom_text": object{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"customer":    nil, "customer_creation": "if_required", "customer_details": p.customerDetails(),
		"customer_email": t.CustomerEmail, "expires_at": p.after(24 * 3600).Unix(), "invoice": nil,
		"invoice_creation": object{"enabled": false, "invoice_data": object{
			"account_tax_ids": nil, "custom_fields": nil, "description": nil, "footer": nil, "issuer": nil,
			"metadata": object{}, "rendering_options": nil,
		}},
		"livemode": t.Live, "locale": nil, "metadata": p.metadata(), "mode": "payment", "payment_intent": p.intent,
		"payment_link": nil, "payment_method_collection": "if_required", "payment_method_configuration_details": nil,
		"payment_method_options": object{"card": object{"request_three_d_secure": "automatic"}},
		"payment_method_types":   []any{p.method}, "payment_status": paymentStatus,
		"phone_number_collection": object{"enabled": false}, "recovered_from": nil, "redirect_on_completion": "always",
		"return_url": nil, "setup_intent": nil, "shipping_address_collection": nil, "shipping_cost": nil,
		"shipping_options": []any{}, "status": "complete", "submit_type": nil, "subscription": nil,
		"success_url":   "https://quotes.example/paid?session_id={CHECKOUT_SESSION_ID}",
		"total_details": object{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted", "url": nil,
	}
	if t.Amount == 0 {
		o["payment_intent"] = nil
	}
	if t.recurring() {
		o = o.with(object{
			"customer": p.customer, "customer_creation": "always", "customer_email": nil, "invoice": p.invoice,
			"invoice_creation": nil, "mode": "subscription", "payment_intent": nil, "payment_method_collection": "always",
			"subscription": p.subscription,
		})
	}
	if p.basil() {
		return o.with(object{
			"adaptive_pricing": object{"enabled": false}, "collected_information": object{"shipping_details": nil},
			"discounts": []any{}, "permissions": nil, "presentment_details": nil, "saved_payment_method_options": nil,
			"wallet_options": nil,
		})
	}
	return o.with(object{"shipping_details": nil})
}

func (p *payment) customerDetails() object {
	return object{
		"address": address(), "email": p.target.CustomerEmail, "name": p.target.CustomerName, "phone": nil,
		"tax_exempt": "none", "tax_ids": []any{},
	}
}

func address() object {
	return object{"city": nil, "country": "PL", "line1": nil, "line2": nil, "postal_code": "00-001", "state": nil}
}

// intentObject is the PaymentIntent in a status; failure is the decline code of a failed attempt, else "". In payment mode
// it carries our metadata, in subscription mode none: there the invoice leads to the quote.
func (p *payment) intentObject(status, failure string) object {
	t := p.target
	o := object{
		"id": p.intent, "object": "payment_intent", "amount": t.Amount, "amount_capturable": 0,
		"amount_details": object{"tip": object{}}, "amount_received": 0, "application": nil, "application_fee_amount": nil,
		"automatic_payment_methods": nil, "canceled_at": nil, "cancellation_reason": nil,
		"capture_method": "automatic", "client_secret": p.intent + "_secret_" + p.id("", p.label+"/secret", 24),
		"confirmation_method": "automatic", "created": p.after(0).Unix(), "currency": t.Currency, "customer": nil,
		"description": nil, "invoice": nil, "last_payment_error": nil, "latest_charge": nil, "livemode": t.Live,
		"metadata": p.metadata(), "next_action": nil, "on_behalf_of": nil, "payment_method": nil,
		"payment_method_configuration_details": nil,
		"payment_method_options":               object{p.method: object{"mandate_options": nil, "network": nil, "request_three_d_secure": "automatic"}},
		"payment_method_types":                 []any{p.method}, "processing": nil, "receipt_email": t.CustomerEmail, "review": nil,
		"setup_future_usage": nil, "shipping": nil, "source": nil, "statement_descriptor": nil,
		"statement_descriptor_suffix": nil, "status": status, "transfer_data": nil, "transfer_group": nil,
	}
	switch status {
	case "succeeded":
		o["amount_received"], o["latest_charge"], o["payment_method"] = t.Amount, p.charge, p.paymentMethod
	case "processing":
		o["latest_charge"], o["payment_method"] = p.charge, p.paymentMethod
	}
	if failure != "" {
		o["latest_charge"] = p.charge
		o["last_payment_error"] = object{
			"charge": p.charge, "code": "payment_intent_payment_attempt_failed", "decline_code": failure,
			"message":        "The customer's account has insufficient funds to cover this payment.",
			"payment_method": p.methodObject().without("customer"), "type": "invalid_request_error",
		}
	}
	if t.recurring() {
		o = o.with(object{
			"customer": p.customer, "description": "Subscription creation", "invoice": p.invoice, "metadata": object{},
			"receipt_email": nil, "setup_future_usage": "off_session",
		})
	}
	if p.basil() {
		return o.without("invoice")
	}
	return o
}

// chargeState is what differs between the snapshots of a charge.
type chargeState struct {
	status   string // succeeded, pending or failed
	captured bool
	settled  bool   // the balance transaction exists
	refunded int64  // minor units
	failure  string // code, "" when none
}

// chargeObject is the charge in a state. The intent's metadata are copied to it when it is created.
func (p *payment) chargeObject(c chargeState) object {
	t := p.target
	o := object{
		"id": p.charge, "object": "charge", "amount": t.Amount, "amount_captured": 0, "amount_refunded": c.refunded,
		"application": nil, "application_fee": nil, "application_fee_amount": nil, "balance_transaction": nil,
		"billing_details":                 object{"address": address(), "email": t.CustomerEmail, "name": t.CustomerName, "phone": nil},
		"calculated_statement_descriptor": "QUITTANCE", "captured": c.captured, "created": p.after(1).Unix(),
		"currency": t.Currency, "customer": nil, "description": nil, "destination": nil, "dispute": nil, "disputed": false,
		"failure_balance_transaction": nil, "failure_code": nil, "failure_message": nil, "fraud_details": object{},
		"invoice": nil, "livemode": t.Live, "metadata": p.metadata(), "on_behalf_of": nil, "order": nil,
		"outcome": object{
			"network_status": "approved_by_network", "reason": nil, "risk_level": "normal",
			"seller_message": "Payment complete.", "type": "authorized",
		},
		"paid": c.status == "succeeded", "payment_intent": p.intent, "payment_method": p.paymentMethod,
		"payment_method_details": p.methodDetails(), "radar_options": object{}, "receipt_email": t.CustomerEmail,
		"receipt_number": nil, "receipt_url": nil, "refunded": c.refunded == t.Amount, "review": nil, "shipping": nil,
		"source": nil, "source_transfer": nil, "statement_descriptor": nil, "statement_descriptor_suffix": nil,
		"status": c.status, "transfer_data": nil, "transfer_group": nil,
	}
	if c.status == "succeeded" {
		o["amount_captured"] = t.Amount
		o["receipt_url"] = "https://pay.stripe.com/receipts/payment/" + p.id("", p.label+"/receipt", 32)
	}
	if c.settled {
		o["balance_transaction"] = p.id("txn_3", p.label+"/balance", 23)
	}
	if c.failure != "" {
		o = o.with(object{
			"failure_code": c.failure, "failure_message": "The customer's account has insufficient funds to cover this payment.",
			"outcome": object{
				"network_status": "declined_by_network", "reason": c.failure, "risk_level": "not_assessed",
				"seller_message": "The bank returned the decline code `insufficient_funds`.", "type": "issuer_declined",
			},
		})
	}
	if t.recurring() {
		o = o.with(object{
			"customer": p.customer, "description": "Subscription creation", "invoice": p.invoice, "metadata": object{},
			"receipt_email": nil,
		})
	}
	if p.basil() {
		return o.without("invoice")
	}
	return o
}

// methodDetails is how the charge was paid; the numbers are those of Stripe's test methods.
func (p *payment) methodDetails() object {
	if p.method != "card" {
		return object{p.method: object{"bank_name": "STRIPE TEST BANK", "country": "PL", "fingerprint": "s1mUlAtEd0000001", "last4": "6789"}, "type": p.method}
	}
	return object{
		"card": object{
			"amount_authorized": p.target.Amount, "brand": "visa",
			"checks":  object{"address_line1_check": nil, "address_postal_code_check": "pass", "cvc_check": "pass"},
			"country": "PL", "exp_month": 12, "exp_year": 2034, "fingerprint": "s1mUlAtEd0000000", "funding": "credit",
			"installments": nil, "last4": "4242", "mandate": nil, "network": "visa",
			"network_token": object{"used": false}, "three_d_secure": nil, "wallet": nil,
		},
		"type": "card",
	}
}

func (p *payment) methodObject() object {
	o := object{
		"id": p.paymentMethod, "object": "payment_method",
		"billing_details": object{"address": address(), "email": p.target.CustomerEmail, "name": p.target.CustomerName, "phone": nil},
		"created":         p.after(0).Unix(), "customer": p.customer, "livemode": p.target.Live, "metadata": object{}, "type": p.method,
	}
	if p.method == "card" {
		o["card"] = object{
			"brand": "visa", "checks": object{"address_line1_check": nil, "address_postal_code_check": "pass", "cvc_check": "pass"},
			"country": "PL", "exp_month": 12, "exp_year": 2034, "fingerprint": "s1mUlAtEd0000000", "funding": "credit",
			"generated_from": nil, "last4": "4242", "networks": object{"available": []any{"visa"}, "preferred": nil},
			"three_d_secure_usage": object{"supported": true}, "wallet": nil,
		}
		return o
	}
	o[p.method] = object{"bank_name": "STRIPE TEST BANK", "country": "PL", "fingerprint": "s1mUlAtEd0000001", "last4": "6789"}
	return o
}

func (p *payment) customerObject(withMethod bool) object {
	settings := object{"custom_fields": nil, "default_payment_method": nil, "footer": nil, "rendering_options": nil}
	if withMethod {
		settings["default_payment_method"] = p.paymentMethod
	}
	return object{
		"id": p.customer, "object": "customer", "address": address(), "balance": 0, "created": p.after(0).Unix(),
		"currency": nil, "default_source": nil, "delinquent": false, "description": nil, "discount": nil,
		"email": p.target.CustomerEmail, "invoice_prefix": p.id("", p.label+"/prefix", 8), "invoice_settings": settings,
		"livemode": p.target.Live, "metadata": object{}, "name": p.target.CustomerName, "phone": nil,
		"preferred_locales": []any{"pl"}, "shipping": nil, "tax_exempt": "none", "test_clock": nil,
	}
}
