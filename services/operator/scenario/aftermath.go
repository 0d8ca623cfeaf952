package scenario

import "strconv"

// refund plays the refund of amount of a card payment. Neither refund nor dispute carries our metadata: what leads to the
// quote is the charge and the intent. Before Basil a card refund announces itself by charge.refunded alone.
func (s *script) refund(p *payment, amount int64) {
	label := p.label + "/refund" + strconv.FormatInt(amount, 10)
	id := s.id("re_3", label, 23)
	charge := p.chargeObject(chargeState{status: "succeeded", captured: true, settled: true, refunded: amount})
	if s.basil() {
		s.emit(p.after(5), label, "refund.created", p.refundObject(id, amount, ""), nil)
	}
	s.emit(p.after(5), label, "charge.refunded", charge, object{"amount_refunded": 0, "refunded": false})
	if s.basil() {
		settled := p.refundObject(id, amount, "available")
		before := object{"destination_details": object{"card": object{"reference_status": "pending"}}}
		s.emit(p.after(6), label, "refund.updated", settled, before)
		s.emit(p.after(6), label, "charge.refund.updated", settled, before)
	}
}

func (p *payment) refundObject(id string, amount int64, reference string) object {
	status := "pending"
	if reference != "" {
		status = reference
	}
	return object{
		"id": id, "object": "refund", "amount": amount,
		"balance_transaction": p.id("txn_3", id, 23),
		"charge":              p.charge, "created": p.after(5).Unix(), "currency": p.target.Currency,
		"destination_details": object{
			"card": object{"reference_status": status, "reference_type": "acquirer_reference_number", "type": "refund"},
			"type": "card",
		},
		"metadata": object{}, "payment_intent": p.intent, "reason": "requested_by_customer",
		"receipt_number": nil, "source_transfer_reversal": nil, "status": "succeeded", "transfer_reversal": nil,
	}
}

// loseDispute plays a dispute of the whole payment: opened, the funds withdrawn, evidence sent, lost.
func (s *script) loseDispute(p *payment) {
	s.emit(p.after(5), p.label, "charge.dispute.created", p.disputeObject("needs_response", false), nil)
	s.emit(p.after(5), p.label, "charge.dispute.funds_withdrawn", p.disputeObject("needs_response", true), nil)
	s.emit(p.after(6), p.label, "charge.dispute.updated", p.disputeObject("under_review", true), object{"status": "needs_response"})
	s.emit(p.after(8), p.label, "charge.dispute.closed", p.disputeObject("lost", true), nil)
}

func (p *payment) disputeObject(status string, withdrawn bool) object {
	id := p.id("du_1", p.label+"/dispute", 23)
	transactions := []any{}
	if withdrawn {
		const fee = 1500
		transactions = append(transactions, object{
			"id": p.id("txn_1", p.label+"/dispute/withdrawal", 23), "object": "balance_transaction",
			"amount": -p.target.Amount, "available_on": p.after(5).Unix(), "created": p.after(5).Unix(),
			"currency": p.target.Currency, "description": "Chargeback withdrawal for " + p.charge, "exchange_rate": nil,
			"fee":         fee,
			"fee_details": []any{object{"amount": fee, "application": nil, "currency": p.target.Currency, "description": "Dispute fee", "type": "stripe_fee"}},
			"net":         -p.target.Amount - fee, "reporting_category": "dispute", "source": id, "status": "pending", "type": "adjustment",
		})
	}
	return object{
		"id": id, "object": "dispute", "amount": p.target.Amount, "balance_transaction": nil,
		"balance_transactions": transactions, "charge": p.charge, "created": p.after(5).Unix(),
		"currency": p.target.Currency, "evidence": p.evidence(),
		"evidence_details": object{
			"due_by": p.after(7 * 24 * 3600).Unix(), "has_evidence": status != "needs_response", "past_due": false,
			"submission_count": submissions(status),
		},
		"is_charge_refundable": false, "livemode": p.target.Live, "metadata": object{}, "payment_intent": p.intent,
		"payment_method_details": object{"card": object{"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"}, "type": "card"},
		"reason":                 "fraudulent", "status": status,
	}
}

func submissions(status string) int {
	if status == "needs_response" {
		return 0
	}
	return 1
}

// evidence is what Stripe fills in by itself at the start of a dispute.
func (p *payment) evidence() object {
	o := object{"customer_email_address": p.target.CustomerEmail, "customer_name": p.target.CustomerName}
	for _, name := range []string{
		"access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal",
		"customer_communication", "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation",
		"duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy",
		"refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
		"shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file",
		"uncategorized_text",
	} {
		o[name] = nil
	}
	return o
}
