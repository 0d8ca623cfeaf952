package sandbox

// newInvoice makes a draft over the cart. Its own metadata are empty; those of the subscription stand beside it.
func (d *deal) newInvoice(k *cart, reason string, from, to int64) object {
	id := d.sim.id("in_1", 23)
	subscription := any(nil)
	if d.subscription != nil {
		subscription = d.subscription["id"]
	}
	o := d.add(nulls(`account_tax_ids application application_fee_amount charge custom_fields customer_address customer_phone customer_shipping
		default_payment_method default_source description discount due_date effective_at ending_balance footer from_invoice hosted_invoice_url
		invoice_pdf last_finalization_error latest_revision next_payment_attempt number on_behalf_of payment_intent quote receipt_number rendering
		rendering_options shipping_cost shipping_details statement_descriptor tax test_clock transfer_data webhooks_delivered_at`).with(object{
		"id": id, "object": "invoice", "account_country": d.account.country, "account_name": d.account.name, "amount_due": k.total, "amount_paid": int64(0),
		"amount_remaining": k.total, "amount_shipping": int64(0), "attempt_count": int64(0), "attempted": false, "auto_advance": true,
		"automatic_tax": object{"enabled": false, "status": nil}, "billing_reason": reason, "collection_method": "charge_automatically", "currency": k.currency,
		"customer": nil, "customer_email": nilIfEmpty(d.who.email), "customer_name": nilIfEmpty(d.who.name), "customer_tax_exempt": "none",
		"customer_tax_ids": []any{}, "default_tax_rates": []any{}, "discounts": []any{}, "lines": list("/v1/invoices/"+id+"/lines", d.invoiceLines(k, id)),
		"metadata": object{}, "paid": false, "paid_out_of_band": false, "period_end": to, "period_start": from, "post_payment_credit_notes_amount": int64(0),
		"pre_payment_credit_notes_amount": int64(0), "starting_balance": int64(0), "status": "draft", "subscription": subscription,
		"payment_settings":     nulls("default_mandate payment_method_options payment_method_types"),
		"status_transitions":   nulls("finalized_at marked_uncollectible_at paid_at voided_at"),
		"subscription_details": object{"metadata": nil}, "subtotal": k.subtotal, "subtotal_excluding_tax": k.subtotal, "total": k.total,
		"total_discount_amounts": []any{}, "total_excluding_tax": k.total, "total_tax_amounts": []any{},
	}))
	if d.customer != nil {
		o["customer"] = d.customer["id"]
	}
	if d.subscription != nil {
		o["subscription_details"] = object{"metadata": d.subscription.obj("metadata").clone()}
	}
	if k.coupon != nil {
		discount := d.sim.id("di_1", 23)
		o["discounts"], o["total_discount_amounts"] = []any{discount}, []any{object{"amount": k.subtotal - k.total, "discount": discount}}
	}
	return o
}

func (d *deal) invoiceLines(k *cart, invoice string) []object {
	metadata := object{}
	if d.subscription != nil {
		metadata = d.subscription.obj("metadata").clone()
	}
	var all []object
	for _, l := range k.lines {
		o := object{
			"id": d.sim.id("il_1", 23), "object": "line_item", "amount": l.subtotal, "amount_excluding_tax": l.subtotal, "currency": k.currency,
			"description": l.name, "discount_amounts": []any{}, "discountable": true, "discounts": []any{}, "invoice": invoice, "livemode": d.live,
			"metadata": object{}, "period": object{"start": d.now(), "end": d.now()}, "plan": nil, "price": l.price, "proration": false,
			"proration_details": object{"credited_items": nil}, "quantity": l.quantity, "subscription": nil, "tax_amounts": []any{}, "tax_rates": []any{},
			"type": "invoiceitem", "unit_amount_excluding_tax": decimal(l.unit),
		}
		if d.subscription != nil {
			o["subscription"] = d.subscription["id"]
		}
		if l.interval != "" {
			o["type"], o["plan"], o["metadata"] = "subscription", l.plan(k.currency), metadata
			o["period"] = object{"start": d.subscription["current_period_start"], "end": d.subscription["current_period_end"]}
			o["subscription_item"] = l.item["_subscription_item"]
		} else {
			o["invoice_item"] = d.sim.id("ii_1", 23)
		}
		all = append(all, o)
	}
	return all
}

func (d *deal) finalize(o object) {
	number := len(d.order["invoice"])
	o["status"], o["auto_advance"], o["effective_at"], o["ending_balance"] = "open", false, d.now(), int64(0)
	o["number"] = invoiceNumber("SANDBOX", number)
	o["hosted_invoice_url"], o["invoice_pdf"] = nil, nil // the sandbox hosts no invoices
	o["status_transitions"] = o.obj("status_transitions").with(object{"finalized_at": d.now()})
	d.emit("invoice.finalized", o)
}

// payInvoice settles an open invoice; invoice.paid and invoice.payment_succeeded are two events about one fact.
func (d *deal) payInvoice(o, charge object) {
	d.change(o, "invoice.updated", func() {
		o["status"], o["paid"], o["amount_paid"], o["amount_remaining"], o["attempted"] = "paid", true, o["amount_due"], int64(0), true
		if charge != nil {
			o["charge"], o["attempt_count"] = charge["id"], o.int("attempt_count")+1
		}
		o["status_transitions"] = o.obj("status_transitions").with(object{"paid_at": d.now()})
	})
	d.emit("invoice.paid", o)
	d.emit("invoice.payment_succeeded", o)
	if charge == nil {
		return
	}
	d.emit("invoice_payment.paid", d.add(object{
		"id": d.sim.id("inpay_1", 23), "object": "invoice_payment", "amount_paid": o["amount_paid"], "amount_requested": o["amount_due"],
		"currency": o["currency"], "invoice": o["id"], "is_default": true, "payment": object{"payment_intent": d.intent["id"], "type": "payment_intent"},
		"status": "paid", "status_transitions": object{"canceled_at": nil, "paid_at": d.now()},
	}))
}

// billOnce makes the paid invoice of a one-time payment whose session asked for one.
func (d *deal) billOnce() {
	o := d.newInvoice(d.cart, "manual", d.now(), d.now())
	data := d.session.obj("invoice_creation").obj("invoice_data")
	o["metadata"], o["description"], o["footer"] = cloneValue(data.or("metadata", object{})), data["description"], data["footer"]
	o["payment_intent"] = d.intent["id"]
	d.session["invoice"], d.intent["invoice"] = o["id"], o["id"]
	d.emit("invoice.created", o)
	d.finalize(o)
	d.payInvoice(o, d.objects[d.intent.str("latest_charge")])
}
