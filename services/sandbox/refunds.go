package sandbox

import "time"

func refundRoutes() []route {
	return []route{
		{"POST /v1/refunds", parseSpec(`
charge str
payment_intent str
amount int
reason enum duplicate|fraudulent|requested_by_customer
metadata meta
refund_application_fee no
reverse_transfer no
instructions_email no
origin no
`), createRefund},
		{"GET /v1/refunds/{id}", parseSpec(""), getter("refund")},
		{"GET /v1/refunds", parseSpec(pageSpec + "charge str\npayment_intent str\ncreated range\n"), lister("refund", "/v1/refunds", "charge", "payment_intent")},
		{"POST /v1/refunds/{id}", parseSpec("metadata meta"), annotate("refund", "charge.refund.updated")},
		{"GET /v1/disputes/{id}", parseSpec(""), getter("dispute")},
		{"GET /v1/disputes", parseSpec(pageSpec + "charge str\npayment_intent str\ncreated range\n"), lister("dispute", "/v1/disputes", "charge", "payment_intent")},
		{"POST /v1/disputes/{id}", parseSpec("evidence map\nsubmit bool\nmetadata meta"), submitDispute},
		{"POST /v1/disputes/{id}/close", parseSpec(""), func(c *call) (any, error) {
			o, err := c.openDispute(c.id)
			if err != nil {
				return nil, err
			}
			c.closeDispute(o, "lost")
			return o, nil
		}},
		{"GET /v1/balance_transactions/{id}", parseSpec(""), getter("balance_transaction")},
	}
}

// transaction books an amount on the account's balance.
func (w *world) transaction(amount, fee int64, category, source string) object {
	currency := w.objects[source].str("currency")
	return w.add(object{
		"id": w.sim.id("txn_3", 23), "object": "balance_transaction", "amount": amount, "available_on": w.now() + 2*24*3600, "currency": currency,
		"description": nil, "exchange_rate": nil, "fee": fee, "fee_details": []any{}, "net": amount - fee, "reporting_category": category,
		"source": source, "status": "pending", "type": category,
	})
}

// paidCharge finds the charge that charge or payment_intent names.
func (c *call) paidCharge() (object, error) {
	p := c.p
	if p.has("charge") && p.has("payment_intent") || !p.has("charge") && !p.has("payment_intent") {
		return nil, refuse("parameter_missing", "", "One of the following params should be provided for this request: payment_intent or charge.")
	}
	id, param := p.str("charge"), "charge"
	if p.has("payment_intent") {
		intent, err := c.find("payment_intent", p.str("payment_intent"), "payment_intent")
		if err != nil {
			return nil, err
		}
		if intent.str("status") != "succeeded" {
			return nil, refuse("", "payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", intent.str("id"))
		}
		id, param = intent.str("latest_charge"), "payment_intent"
	}
	charge, err := c.find("charge", id, param)
	if err != nil {
		return nil, err
	}
	if !charge.bool("paid") {
		return nil, refuse("charge_not_refundable", "", "Charge %s has not been paid.", id)
	}
	return charge, nil
}

func createRefund(c *call) (any, error) {
	charge, err := c.paidCharge()
	if err != nil {
		return nil, err
	}
	left := charge.int("amount") - charge.int("amount_refunded")
	amount := left
	if c.p.has("amount") {
		amount = c.p.int("amount")
	}
	currency := charge.str("currency")
	switch {
	case charge.bool("refunded"):
		return nil, refuse("charge_already_refunded", "", "Charge %s has already been refunded.", charge.str("id"))
	case charge.bool("_charged_back"):
		return nil, refuse("charge_disputed", "", "Charge %s has been charged back; cannot issue a refund.", charge.str("id"))
	case amount < 1:
		return nil, refuse("parameter_invalid_integer", "amount", "Invalid positive integer")
	case amount > left:
		return nil, refuse("", "amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", money(amount, currency), money(left, currency))
	}
	return c.refund(charge, amount, c.p), nil
}

// refund returns money. Its metadata are its own: none are copied from or to the charge.
func (w *world) refund(charge object, amount int64, p object) object {
	o := w.add(nulls("failure_reason receipt_number source_transfer_reversal transfer_reversal").with(object{
		"id": w.sim.id("re_3", 23), "object": "refund", "amount": amount, "charge": charge["id"], "currency": charge["currency"],
		"balance_transaction": w.transaction(-amount, 0, "refund", charge.str("id"))["id"],
		"metadata":            p.or("metadata", object{}), "payment_intent": charge["payment_intent"], "reason": p.or("reason", nil), "status": "succeeded",
		"destination_details": object{"type": "card", "card": object{"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}},
	}))
	w.emit("refund.created", o)
	w.change(charge, "charge.refunded", func() {
		charge["amount_refunded"] = charge.int("amount_refunded") + amount
		charge["refunded"] = charge.int("amount_refunded") == charge.int("amount")
	})
	w.change(o, "refund.updated", func() {
		o["destination_details"] = object{"type": "card", "card": object{"reference": "sandbox", "reference_status": "available", "reference_type": "acquirer_reference_number", "type": "refund"}}
	})
	w.emit("charge.refund.updated", o)
	return o
}

// failRefund plays the bank that sends a refund back.
func (w *world) failRefund(o object) {
	before := o.clone()
	o["status"], o["failure_reason"] = "failed", "lost_or_stolen_card"
	o["failure_balance_transaction"] = w.transaction(o.int("amount"), 0, "refund_failure", o.str("charge"))["id"]
	w.emitChanged("charge.refund.updated", o, o.changed(before))
	w.emitChanged("refund.updated", o, o.changed(before))
	w.emit("refund.failed", o)
}

// disputeFee is what Stripe keeps of a lost or withdrawn amount, in minor units.
const disputeFee = 1500

// dispute opens a dispute of the whole charge, or an inquiry that withdraws nothing.
func (w *world) dispute(charge object, reason string, inquiry bool) object {
	status := "needs_response"
	if inquiry {
		status = "warning_needs_response"
	}
	o := w.add(object{
		"id": w.sim.id("du_1", 23), "object": "dispute", "amount": charge["amount"], "balance_transaction": nil, "balance_transactions": []any{},
		"charge": charge["id"], "currency": charge["currency"], "evidence": object{}, "metadata": object{}, "payment_intent": charge["payment_intent"],
		"evidence_details":     object{"due_by": w.sim.now().Add(7 * 24 * time.Hour).Unix(), "has_evidence": false, "past_due": false, "submission_count": int64(0)},
		"is_charge_refundable": inquiry, "reason": reason, "status": status,
		"payment_method_details": object{"type": "card", "card": object{"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"}},
	})
	charge["disputed"] = true
	w.emit("charge.dispute.created", o)
	if !inquiry {
		w.withdraw(o)
	}
	return o
}

func (w *world) withdraw(o object) {
	w.objects[o.str("charge")]["_charged_back"] = true
	t := w.transaction(-o.int("amount"), disputeFee, "dispute", o.str("charge"))
	w.change(o, "charge.dispute.funds_withdrawn", func() {
		o["balance_transactions"] = append(o["balance_transactions"].([]any), t) //nolint:errcheck,forcetypeassert // made as a list, kept as one
	})
}

func (w *world) reinstate(o object) {
	w.objects[o.str("charge")]["_charged_back"] = false
	t := w.transaction(o.int("amount"), -disputeFee, "dispute_reversal", o.str("charge"))
	w.change(o, "charge.dispute.funds_reinstated", func() {
		o["balance_transactions"] = append(o["balance_transactions"].([]any), t) //nolint:errcheck,forcetypeassert // made as a list, kept as one
	})
}

// openDispute is a dispute that is not closed.
func (w *world) openDispute(id string) (object, error) {
	o, err := w.find("dispute", id, "id")
	if err != nil {
		return nil, err
	}
	switch o.str("status") {
	case "won", "lost", "warning_closed":
		return nil, refuse("", "", "This dispute is already closed")
	}
	return o, nil
}

func submitDispute(c *call) (any, error) {
	o, err := c.openDispute(c.id)
	if err != nil {
		return nil, err
	}
	c.change(o, "charge.dispute.updated", func() {
		o["evidence"] = o.obj("evidence").clone().with(c.p.obj("evidence"))
		if c.p.has("metadata") {
			o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
		}
		if submit, given := c.p["submit"]; !given || submit == true {
			details := o.obj("evidence_details")
			o["evidence_details"] = details.with(object{"has_evidence": true, "submission_count": details.int("submission_count") + 1})
			o["status"] = map[string]string{"warning_needs_response": "warning_under_review"}[o.str("status")]
			if o["status"] == "" {
				o["status"] = "under_review"
			}
		}
	})
	return o, nil
}

// closeDispute ends it as won, lost or warning_closed; what was withdrawn comes back with a win.
func (w *world) closeDispute(o object, status string) {
	if status == "won" && len(o.objs("balance_transactions")) > 0 {
		w.reinstate(o)
	}
	if status == "lost" {
		w.objects[o.str("charge")]["_charged_back"] = true
	}
	w.change(o, "charge.dispute.closed", func() { o["status"] = status })
}
