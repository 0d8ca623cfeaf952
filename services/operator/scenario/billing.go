package scenario

import (
	"strconv"
	"time"
)

// periodEnd is the end of the first billing period.
func (p *payment) periodEnd() time.Time {
	n := max(p.target.IntervalCount, 1)
	switch p.target.Interval {
	case "day":
		return p.start.AddDate(0, 0, n)
	case "week":
		return p.start.AddDate(0, 0, 7*n)
	case "year":
		return p.start.AddDate(n, 0, 0)
	default:
		return p.start.AddDate(0, n, 0)
	}
}

// invoiceObject is the subscription's first invoice as draft, open or paid. Its own metadata are empty; those of the
// subscription stand in subscription_details (2023-10-16) or parent.subscription_details (Basil).
func (p *payment) invoiceObject(status string) object {
	t := p.target
	paid := status == "paid"
	o := object{
		"id": p.invoice, "object": "invoice", "account_country": "PL", "account_name": t.Seller, "account_tax_ids": nil,
		"amount_due": t.Amount, "amount_paid": 0, "amount_remaining": t.Amount, "amount_shipping": 0, "application": nil,
		"attempt_count": 0, "attempted": paid, "auto_advance": false,
		"automatic_tax":  object{"enabled": false, "liability": nil, "status": nil},
		"billing_reason": "subscription_create", "collection_method": "charge_automatically", "created": p.after(0).Unix(),
		"currency": t.Currency, "custom_fields": nil, "customer": p.customer, "customer_address": address(),
		"customer_email": t.CustomerEmail, "customer_name": t.CustomerName, "customer_phone": nil, "customer_shipping": nil,
		"customer_tax_exempt": "none", "customer_tax_ids": []any{}, "default_payment_method": nil, "default_source": nil,
		"default_tax_rates": []any{}, "description": nil, "discounts": []any{}, "due_date": nil,
		"effective_at": nil, "ending_balance": nil, "footer": nil, "from_invoice": nil, "hosted_invoice_url": nil,
		"invoice_pdf": nil, "issuer": object{"type": "self"}, "last_finalization_error": nil, "latest_revision": nil,
		"lines":    list("/v1/invoices/"+p.invoice+"/lines", p.lineObject()),
		"livemode": t.Live, "metadata": object{}, "next_payment_attempt": nil, "number": nil, "on_behalf_of": nil,
		"payment_settings": object{"default_mandate": nil, "payment_method_options": nil, "payment_method_types": nil},
		"period_end":       p.after(0).Unix(), "period_start": p.after(0).Unix(), "post_payment_credit_notes_amount": 0,
		"pre_payment_credit_notes_amount": 0, "receipt_number": nil, "shipping_cost": nil, "shipping_details": nil,
		"starting_balance": 0, "statement_descriptor": nil, "status": status,
		"status_transitions": object{"finalized_at": nil, "marked_uncollectible_at": nil, "paid_at": nil, "voided_at": nil},
		"subtotal":           t.Amount, "subtotal_excluding_tax": t.Amount, "test_clock": nil, "total": t.Amount,
		"total_discount_amounts": []any{}, "total_excluding_tax": t.Amount, "webhooks_delivered_at": p.after(0).Unix(),
	}
	if status != "draft" {
		o = o.with(object{
			"effective_at": p.after(0).Unix(), "ending_balance": 0, "number": p.id("", p.label+"/number", 8) + "-0001",
			"hosted_invoice_url": "https://invoice.stripe.com/i/" + p.invoice, "invoice_pdf": "https://pay.stripe.com/invoice/" + p.invoice + "/pdf",
			"status_transitions": p.transitions(paid),
		})
	}
	if paid {
		o = o.with(object{"amount_paid": t.Amount, "amount_remaining": 0})
	}
	return o.with(p.invoiceLinks(status))
}

func (p *payment) transitions(paid bool) object {
	o := object{"finalized_at": p.after(0).Unix(), "marked_uncollectible_at": nil, "paid_at": nil, "voided_at": nil}
	if paid {
		o["paid_at"] = p.paidTime().Unix()
	}
	return o
}

// paidTime is when the invoice was paid: a second after the card's charge, or when the bank debit cleared.
func (p *payment) paidTime() time.Time {
	if p.method == "card" {
		return p.after(2)
	}
	return p.after(8)
}

// invoiceLinks are the fields in which the two API shapes differ.
func (p *payment) invoiceLinks(status string) object {
	details := object{"metadata": p.metadata(), "subscription": p.subscription}
	if p.basil() {
		return object{
			"amount_overpaid": 0, "automatically_finalizes_at": nil,
			"parent":                      object{"quote_details": nil, "subscription_details": details, "type": "subscription_details"},
			"total_pretax_credit_amounts": []any{}, "total_taxes": []any{},
		}
	}
	o := object{
		"application_fee_amount": nil, "charge": nil, "discount": nil, "paid": status == "paid", "paid_out_of_band": false,
		"payment_intent": nil, "quote": nil, "rendering": nil, "rendering_options": nil, "subscription": p.subscription,
		"subscription_details": details.without("subscription"), "tax": nil, "total_tax_amounts": []any{}, "transfer_data": nil,
	}
	if p.target.Amount > 0 && status != "draft" {
		o["payment_intent"] = p.intent
	}
	if p.target.Amount > 0 && status == "paid" {
		o["charge"] = p.charge
	}
	return o
}

// lineObject is the one line of the invoice; the first invoice of a real quote has one for each line, which changes no sum.
func (p *payment) lineObject() object {
	t := p.target
	o := object{
		"id": p.line, "object": "line_item", "amount": t.Amount, "currency": t.Currency, "description": "1 × " + t.Title,
		"discount_amounts": []any{}, "discountable": true, "discounts": []any{}, "invoice": p.invoice, "livemode": t.Live,
		"metadata": p.metadata(), "period": object{"end": p.periodEnd().Unix(), "start": p.after(0).Unix()}, "quantity": 1,
	}
	if p.basil() {
		return o.with(object{
			"parent": object{
				"invoice_item_details": nil,
				"subscription_item_details": object{
					"invoice_item": nil, "proration": false, "proration_details": object{"credited_items": nil},
					"subscription": p.subscription, "subscription_item": p.item,
				},
				"type": "subscription_item_details",
			},
			"pretax_credit_amounts": []any{},
			"pricing": object{
				"price_details": object{"price": p.price, "product": p.product}, "type": "price_details",
				"unit_amount_decimal": decimal(t.Amount),
			},
			"taxes": []any{},
		})
	}
	return o.with(object{
		"amount_excluding_tax": t.Amount, "plan": p.planObject(), "price": p.priceObject(), "proration": false,
		"proration_details": object{"credited_items": nil}, "subscription": p.subscription, "subscription_item": p.item,
		"tax_amounts": []any{}, "tax_rates": []any{}, "type": "subscription", "unit_amount_excluding_tax": decimal(t.Amount),
	})
}

func (p *payment) priceObject() object {
	return object{
		"id": p.price, "object": "price", "active": false, "billing_scheme": "per_unit", "created": p.after(0).Unix(),
		"currency": p.target.Currency, "custom_unit_amount": nil, "livemode": p.target.Live, "lookup_key": nil, "metadata": object{},
		"nickname": nil, "product": p.product, "recurring": p.recurringObject(), "tax_behavior": "unspecified",
		"tiers_mode": nil, "transform_quantity": nil, "type": "recurring", "unit_amount": p.target.Amount,
		"unit_amount_decimal": decimal(p.target.Amount),
	}
}

func (p *payment) recurringObject() object {
	o := object{
		"interval": p.target.Interval, "interval_count": max(p.target.IntervalCount, 1), "trial_period_days": nil,
		"usage_type": "licensed",
	}
	if p.basil() {
		return o.with(object{"meter": nil})
	}
	return o.with(object{"aggregate_usage": nil})
}

func (p *payment) planObject() object {
	return object{
		"id": p.price, "object": "plan", "active": false, "amount": p.target.Amount, "amount_decimal": decimal(p.target.Amount),
		"billing_scheme": "per_unit", "created": p.after(0).Unix(), "currency": p.target.Currency, "interval": p.target.Interval,
		"interval_count": max(p.target.IntervalCount, 1), "livemode": p.target.Live, "metadata": object{}, "nickname": nil,
		"product": p.product, "tiers_mode": nil, "transform_usage": nil, "trial_period_days": nil, "usage_type": "licensed",
	}
}

// subscriptionObject carries our metadata; from Basil on the current period stands on its items.
func (p *payment) subscriptionObject(status string) object {
	t := p.target
	period := object{"current_period_end": p.periodEnd().Unix(), "current_period_start": p.after(0).Unix()}
	item := object{
		"id": p.item, "object": "subscription_item", "billing_thresholds": nil, "created": p.after(0).Unix(),
		"metadata": object{}, "plan": p.planObject(), "price": p.priceObject(), "quantity": 1, "subscription": p.subscription,
		"tax_rates": []any{},
	}
	o := object{
		"id": p.subscription, "object": "subscription", "application": nil, "application_fee_percent": nil,
		"automatic_tax": object{"enabled": false, "liability": nil}, "billing_cycle_anchor": p.after(0).Unix(),
		"billing_thresholds": nil, "cancel_at": nil, "cancel_at_period_end": false, "canceled_at": nil,
		"cancellation_details": object{"comment": nil, "feedback": nil, "reason": nil},
		"collection_method":    "charge_automatically", "created": p.after(0).Unix(), "currency": t.Currency,
		"customer": p.customer, "days_until_due": nil, "default_payment_method": nil, "default_source": nil,
		"default_tax_rates": []any{}, "description": nil, "ended_at": nil,
		"latest_invoice": p.invoice, "livemode": t.Live, "metadata": p.metadata(), "next_pending_invoice_item_invoice": nil,
		"on_behalf_of": nil, "pause_collection": nil,
		"payment_settings":              object{"payment_method_options": nil, "payment_method_types": nil, "save_default_payment_method": "off"},
		"pending_invoice_item_interval": nil, "pending_setup_intent": nil, "pending_update": nil, "plan": p.planObject(),
		"quantity": 1, "schedule": nil, "start_date": p.after(0).Unix(), "status": status, "test_clock": nil,
		"transfer_data": nil, "trial_end": nil,
		"trial_settings": object{"end_behavior": object{"missing_payment_method": "create_invoice"}}, "trial_start": nil,
	}
	if status != "incomplete" {
		o["default_payment_method"] = p.paymentMethod
	}
	url := "/v1/subscription_items?subscription=" + p.subscription
	if p.basil() {
		return o.with(object{"billing_mode": object{"type": "classic"}, "discounts": []any{}, "items": list(url, item.with(period).with(object{"discounts": []any{}}))})
	}
	return o.with(period).with(object{"discount": nil, "items": list(url, item)})
}

// invoicePaymentObject links intent and invoice; Stripe has it from Basil on.
func (p *payment) invoicePaymentObject() object {
	return object{
		"id": p.id("inpay_1", p.label+"/invoice_payment", 23), "object": "invoice_payment", "amount_paid": p.target.Amount,
		"amount_requested": p.target.Amount, "created": p.after(0).Unix(), "currency": p.target.Currency, "invoice": p.invoice,
		"is_default": true, "livemode": p.target.Live,
		"payment":            object{"payment_intent": p.intent, "type": "payment_intent"},
		"status":             "paid",
		"status_transitions": object{"canceled_at": nil, "paid_at": p.paidTime().Unix()},
	}
}

func decimal(amount int64) string { return strconv.FormatInt(amount, 10) }
