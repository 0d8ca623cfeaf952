package stripetest

// Invoice is a finalized invoice of 100.00 PLN of the subscription, with the
// subscription's metadata. The payment's intent and charge may be empty. At
// basil the links to the payment are in a list that is not always expanded:
// over may leave it out with "payments": nil.
func (m *Maker) Invoice(id, subscription, intent, charge string, metadata, over Object) Object {
	o := Object{
		"id": id, "object": "invoice", "account_country": "PL", "account_name": "Acme", "amount_due": 10000, "amount_paid": 0,
		"amount_remaining": 10000, "attempt_count": 0, "attempted": false, "auto_advance": false, "billing_reason": "subscription_create",
		"collection_method": "charge_automatically", "created": Start - 40, "currency": "pln", "customer": "cus_Q0000000000001",
		"customer_email": "anna@example.com", "customer_name": "Anna Żak", "default_tax_rates": []any{}, "discounts": []any{},
		"hosted_invoice_url": "https://invoice.stripe.com/i/" + id, "livemode": m.Live, "metadata": Object{}, "number": "ACME-0001",
		"lines": list("/v1/invoices/"+id+"/lines", Object{
			"id": "il_1Q0000000000000001", "object": "line_item", "amount": 10000, "currency": "pln", "description": "1 × Plan",
			"livemode": m.Live, "metadata": metadata, "period": Object{"end": Start + 2592000, "start": Start}, "quantity": 1,
		}),
		"period_end": Start - 40, "period_start": Start - 40, "status": "open",
		"status_transitions": Object{"finalized_at": Start - 39, "marked_uncollectible_at": nil, "paid_at": nil, "voided_at": nil},
		"subtotal":           10000, "total": 10000, "webhooks_delivered_at": Start - 38,
	}
	switch {
	case m.Shape == Shape2023:
		o = o.With(Object{
			"charge": orNull(charge), "paid": false, "payment_intent": orNull(intent), "subscription": orNull(subscription), "quote": nil,
		})
		if subscription != "" {
			o["subscription_details"] = Object{"metadata": metadata}
		} else {
			o["metadata"] = metadata
		}
	case subscription != "":
		o["parent"] = Object{
			"quote_details": nil, "type": "subscription_details",
			"subscription_details": Object{"metadata": metadata, "subscription": subscription},
		}
	default:
		o["parent"], o["metadata"] = nil, metadata
	}
	if m.Shape == ShapeBasil && intent != "" {
		o["payments"] = list("/v1/invoices/"+id+"/payments", m.InvoicePayment("inpay_1"+id, id, intent))
	}
	return o.With(over)
}

// PaidInvoice is what an invoice changes when it is paid.
func (m *Maker) PaidInvoice() Object {
	over := Object{
		"amount_paid": 10000, "amount_remaining": 0, "attempt_count": 1, "attempted": true, "status": "paid",
		"status_transitions": Object{"finalized_at": Start - 39, "marked_uncollectible_at": nil, "paid_at": Start - 20, "voided_at": nil},
	}
	if m.Shape == Shape2023 {
		over["paid"] = true
	}
	return over
}

// InvoicePayment links an intent to its invoice.
func (m *Maker) InvoicePayment(id, invoice, intent string) Object {
	return Object{
		"id": id, "object": "invoice_payment", "amount_paid": 10000, "amount_requested": 10000, "created": Start - 40, "currency": "pln",
		"invoice": invoice, "is_default": true, "livemode": m.Live, "payment": Object{"payment_intent": intent, "type": "payment_intent"},
		"status": "paid", "status_transitions": Object{"canceled_at": nil, "paid_at": Start - 20},
	}
}

// Subscription is an active subscription.
func (m *Maker) Subscription(id, latestInvoice string, over Object) Object {
	item := Object{
		"id": "si_Q0000000000001", "object": "subscription_item", "created": Start - 40, "metadata": Object{}, "quantity": 1,
		"price": Object{"id": "price_1Q0000000000001", "object": "price", "currency": "pln", "unit_amount": 10000, "type": "recurring"}, "subscription": id,
	}
	o := Object{
		"id": id, "object": "subscription", "billing_cycle_anchor": Start, "cancel_at": nil, "cancel_at_period_end": false, "canceled_at": nil,
		"collection_method": "charge_automatically", "created": Start - 40, "currency": "pln", "customer": "cus_Q0000000000001",
		"days_until_due": nil, "default_payment_method": "pm_1Q000000000000001", "ended_at": nil, "latest_invoice": latestInvoice, "livemode": m.Live,
		"metadata": Object{}, "start_date": Start, "status": "active", "trial_end": nil, "trial_start": nil,
	}
	if m.Shape == Shape2023 {
		o["current_period_start"], o["current_period_end"] = Start, Start+2592000
	} else {
		item["current_period_start"], item["current_period_end"] = Start, Start+2592000
	}
	o["items"] = list("/v1/subscription_items?subscription="+id, item)
	return o.With(over)
}

func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}
