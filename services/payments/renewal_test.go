package payments_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
)

// invoice is a paid invoice of a subscription of a quote.
func invoice(id, quoteID, reason, charge string, periodEnd int64) object {
	return object{
		"id": id, "object": "invoice", "status": "paid", "paid": true, "amount_paid": 1000, "currency": "eur", "billing_reason": reason,
		"subscription": "sub_1", "charge": charge, "payment_intent": "pi_" + id, "period_end": periodEnd,
		"status_transitions":   object{"paid_at": periodEnd - 1000},
		"subscription_details": object{"metadata": metadata(quoteID, 1)}, "metadata": object{},
	}
}

func renewalCharge(id, invoiceID string) object {
	c := charge(id, "pi_"+invoiceID, 1000, 0)
	c["invoice"] = invoiceID
	return c
}

// R46: renewals create nothing and change nothing; their charges do not wait for days, whichever comes first.
func TestARenewalChangesNothingAndItsChargeIsIgnored(t *testing.T) {
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "invoice.paid", "", invoice("in_1", "q_1", "subscription_create", "ch_1", 1_700_002_000))
	r.status(event.Platform, "q_1", "paid")
	r.drained()

	early := r.stripe("evt_2", "charge.succeeded", "", renewalCharge("ch_2", "in_2"))
	r.outcome(early, "parked")
	r.stripe("evt_3", "invoice.paid", "", invoice("in_2", "q_1", "subscription_cycle", "ch_2", 1_702_600_000))
	r.outcome(early, "ignored")
	r.stripe("evt_4", "invoice.paid", "", invoice("in_3", "q_1", "subscription_cycle", "ch_3", 1_705_200_000))
	r.drained()
	late := r.stripe("evt_5", "charge.succeeded", "", renewalCharge("ch_3", "in_3"))
	r.outcome(late, "ignored")
	old := r.stripe("evt_6", "charge.updated", "", renewalCharge("ch_2", "in_2")) // of a renewal that the facts have let go
	r.outcome(old, "ignored")

	after := r.status(event.Platform, "q_1", "paid")
	if len(after.Flags) != 0 || len(after.Marks) > 1 {
		t.Errorf("after renewals: flags %v, marks %v, want none and the one quote.paid", after.Flags, after.Marks)
	}
	paid, err := r.paidFact("q_1", 1)
	if err != nil || paid.Invoice != "in_1" || paid.PaidAt.Unix() != 1_700_001_000 {
		t.Errorf("quote.paid = %+v, %v, want the first invoice's payment", paid, err)
	}
}
