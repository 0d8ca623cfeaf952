// Package stripetest composes the bodies of Stripe events for the tests of
// libs/domain: the objects with the fields that real ones have, in either shape
// of the API, indented as Stripe sends them.
//
// It makes single events, in whatever odd combination a test wants; it knows no
// scenarios and no order. Tests alone use it.
package stripetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
)

// Shape is how the API renders an object.
type Shape string

// The shapes: before and from basil on.
const (
	Shape2023  Shape = "2023-10-16"
	ShapeBasil Shape = "2025-03-31.basil"
)

// Shapes are both.
var Shapes = []Shape{Shape2023, ShapeBasil}

// Object is a JSON object.
type Object map[string]any

// With is o with the members of over put over it.
func (o Object) With(over Object) Object {
	out := maps.Clone(o)
	if out == nil {
		out = Object{}
	}
	maps.Copy(out, over)
	return out
}

// Start is the time of the first event of a Maker, in Unix seconds:
// 2026-11-20T10:00:00Z.
const Start = 1795168800

// Maker makes events. Each has an id of its own and is a second younger than the
// one before.
type Maker struct {
	Shape   Shape
	Account string // no account field when empty
	Live    bool
	made    int
}

// Now is the created of the next event, in Unix seconds.
func (m *Maker) Now() int64 { return Start + int64(m.made) }

// Event is an event about an object.
func (m *Maker) Event(typ string, object Object) []byte {
	e := m.envelope(typ, object)
	m.made++
	return Encode(e)
}

func (m *Maker) envelope(typ string, object Object) Object {
	e := Object{
		"id": fmt.Sprintf("evt_1QuittanceEvent%05d", m.made), "object": "event", "api_version": string(m.Shape),
		"created": m.Now(), "data": Object{"object": object}, "livemode": m.Live, "pending_webhooks": 2,
		"request": Object{"id": "req_6bYvQ3cJ7hWkZ1", "idempotency_key": "5f1c2a3b-0d4e-4f5a-8b6c-7d8e9f0a1b2c"}, "type": typ,
	}
	if m.Account != "" {
		e["account"] = m.Account
	}
	return e
}

// WithPrevious adds what the object's changed fields were to an event of Event.
func WithPrevious(body []byte, previous Object) []byte {
	var e Object
	var data struct {
		Data Object `json:"data"`
	}
	if err := errors.Join(json.Unmarshal(body, &e), json.Unmarshal(body, &data)); err != nil {
		panic(err) // a test composed something that is no event
	}
	data.Data["previous_attributes"] = previous
	e["data"] = data.Data
	return Encode(e)
}

// Encode writes a body as Stripe does.
func Encode(o Object) []byte {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		panic(err) // a test composed something that is no JSON
	}
	return b
}

// Metadata is what our checkout writes on a quote's objects.
func Metadata(seller, quote string, revision int) Object {
	return Object{"quote_id": quote, "quote_revision": strconv.Itoa(revision), "seller": seller}
}

// list is Stripe's list object.
func list(url string, data ...any) Object {
	if data == nil {
		data = []any{}
	}
	return Object{"object": "list", "data": data, "has_more": false, "total_count": len(data), "url": url}
}

func address() Object {
	return Object{"city": "Kraków", "country": "PL", "line1": "ul. Długa 1", "line2": nil, "postal_code": "31-146", "state": nil}
}

// Session is an open Checkout Session of 100.00 PLN.
func (m *Maker) Session(id string, over Object) Object {
	return Object{
		"id": id, "object": "checkout.session", "adaptive_pricing": Object{"enabled": false}, "after_expiration": nil,
		"allow_promotion_codes": nil, "amount_subtotal": 10000, "amount_total": 10000,
		"automatic_tax":              Object{"enabled": false, "liability": nil, "status": nil},
		"billing_address_collection": nil, "cancel_url": nil, "client_reference_id": nil, "client_secret": nil,
		"consent": nil, "consent_collection": nil, "created": m.Now() - 120, "currency": "pln", "currency_conversion": nil,
		"custom_fields": []any{}, "custom_text": Object{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"customer": nil, "customer_creation": "if_required",
		"customer_details": Object{"address": address(), "email": "anna@example.com", "name": "Anna Żak", "phone": nil, "tax_exempt": "none", "tax_ids": []any{}},
		"customer_email":   "anna@example.com", "discounts": []any{}, "expires_at": m.Now() + 86400, "invoice": nil,
		"invoice_creation": Object{"enabled": false, "invoice_data": Object{"account_tax_ids": nil, "custom_fields": nil, "description": nil, "footer": nil, "issuer": nil, "metadata": Object{}, "rendering_options": nil}},
		"livemode":         m.Live, "locale": nil, "metadata": Object{}, "mode": "payment", "payment_intent": nil, "payment_link": nil,
		"payment_method_collection": "if_required", "payment_method_configuration_details": nil,
		"payment_method_options": Object{"card": Object{"request_three_d_secure": "automatic"}}, "payment_method_types": []any{"card", "p24"},
		"payment_status": "unpaid", "phone_number_collection": Object{"enabled": false}, "recovered_from": nil,
		"saved_payment_method_options": nil, "setup_intent": nil, "shipping_address_collection": nil, "shipping_cost": nil,
		"shipping_details": nil, "shipping_options": []any{}, "status": "open", "submit_type": nil, "subscription": nil,
		"success_url":   "https://quotes.example.com/q/7c9e6679f7425540de944be07fc1f90a/return?session={CHECKOUT_SESSION_ID}",
		"total_details": Object{"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "ui_mode": "hosted",
		"url": "https://checkout.stripe.com/c/pay/" + id,
	}.With(over)
}

// Intent is a PaymentIntent of 100.00 PLN that has not succeeded yet.
func (m *Maker) Intent(id string, over Object) Object {
	o := Object{
		"id": id, "object": "payment_intent", "amount": 10000, "amount_capturable": 0, "amount_details": Object{"tip": Object{}},
		"amount_received": 0, "application": nil, "application_fee_amount": nil, "automatic_payment_methods": nil, "canceled_at": nil,
		"cancellation_reason": nil, "capture_method": "automatic_async", "client_secret": id + "_secret_x", "confirmation_method": "automatic",
		"created": m.Now() - 60, "currency": "pln", "customer": nil, "description": nil, "last_payment_error": nil, "latest_charge": nil,
		"livemode": m.Live, "metadata": Object{}, "next_action": nil, "on_behalf_of": nil, "payment_method": nil,
		"payment_method_options": Object{"card": Object{"installments": nil, "mandate_options": nil, "network": nil, "request_three_d_secure": "automatic"}},
		"payment_method_types":   []any{"card"}, "processing": nil, "receipt_email": nil, "review": nil, "setup_future_usage": nil, "shipping": nil,
		"source": nil, "statement_descriptor": nil, "status": "requires_payment_method", "transfer_data": nil, "transfer_group": nil,
	}
	if m.Shape == Shape2023 {
		o["invoice"] = nil
	}
	return m.shaped(o.With(over))
}

// shaped drops what the newer shape no longer has.
func (m *Maker) shaped(o Object) Object {
	if m.Shape == ShapeBasil {
		delete(o, "invoice")
	}
	return o
}

// Charge is a captured charge of 100.00 PLN.
func (m *Maker) Charge(id string, over Object) Object {
	return m.shaped(Object{
		"id": id, "object": "charge", "amount": 10000, "amount_captured": 10000, "amount_refunded": 0, "application": nil,
		"balance_transaction": "txn_3Q0000000000000001", "billing_details": Object{"address": address(), "email": "anna@example.com", "name": "Anna Żak", "phone": nil},
		"calculated_statement_descriptor": "ACME", "captured": true, "created": Start - 30, "currency": "pln", "customer": nil, "description": nil,
		"disputed": false, "failure_balance_transaction": nil, "failure_code": nil, "failure_message": nil, "fraud_details": Object{},
		"invoice": nil, "livemode": m.Live, "metadata": Object{}, "on_behalf_of": nil,
		"outcome": Object{"network_status": "approved_by_network", "reason": nil, "risk_level": "normal", "risk_score": 12, "seller_message": "Payment complete.", "type": "authorized"},
		"paid":    true, "payment_intent": nil, "payment_method": "pm_1Q000000000000001",
		"payment_method_details": Object{"card": Object{"brand": "visa", "country": "PL", "exp_month": 4, "exp_year": 2030, "last4": "4242", "network": "visa"}, "type": "card"},
		"receipt_email":          nil, "receipt_number": nil, "receipt_url": "https://pay.stripe.com/receipts/" + id, "refunded": false, "review": nil,
		"shipping": nil, "source": nil, "statement_descriptor": nil, "status": "succeeded", "transfer_data": nil, "transfer_group": nil,
	}.With(over))
}

// Refund is a succeeded refund of 100.00 PLN.
func (m *Maker) Refund(id string, over Object) Object {
	return Object{
		"id": id, "object": "refund", "amount": 10000, "balance_transaction": "txn_3Q0000000000000002", "charge": nil, "created": m.Now(),
		"currency": "pln", "destination_details": Object{"card": Object{"type": "refund"}, "type": "card"}, "metadata": Object{},
		"payment_intent": nil, "reason": nil, "receipt_number": nil, "source_transfer_reversal": nil, "status": "succeeded", "transfer_reversal": nil,
	}.With(over)
}

// Dispute is a dispute of 100.00 PLN that asks for an answer.
func (m *Maker) Dispute(id string, over Object) Object {
	return Object{
		"id": id, "object": "dispute", "amount": 10000, "balance_transactions": []any{}, "charge": nil, "created": m.Now(), "currency": "pln",
		"enhanced_eligibility_types": []any{}, "evidence": Object{"customer_name": nil, "customer_email_address": nil, "product_description": nil},
		"evidence_details":     Object{"due_by": m.Now() + 700000, "has_evidence": false, "past_due": false, "submission_count": 0},
		"is_charge_refundable": false, "livemode": m.Live, "metadata": Object{}, "payment_intent": nil,
		"payment_method_details": Object{"card": Object{"brand": "visa", "case_type": "chargeback", "network_reason_code": "10"}, "type": "card"},
		"reason":                 "fraudulent", "status": "needs_response",
	}.With(over)
}

// Transaction is a balance transaction of a dispute; the fee is Stripe's.
func Transaction(id string, amount, fee int64) Object {
	return Object{"id": id, "object": "balance_transaction", "amount": amount, "currency": "pln", "fee": fee, "net": amount - fee, "status": "available", "type": "adjustment"}
}
