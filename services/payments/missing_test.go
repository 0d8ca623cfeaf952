package payments_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/payments"
)

// The crash proof has it that this cannot happen. Should it happen all the same, somebody is told: no message is left in
// flight whose redelivery would make it good.
func TestASettledPaymentWithoutItsFactIsCounted(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	for _, id := range []string{"q_1", "q_2", "q_3"} {
		r.published(id, 1, 1000, event.Platform)
		r.stripe("evt_"+id, "checkout.session.completed", "", session("cs_"+id, id, 1, 1000, "pi_"+id))
		r.status(event.Platform, id, "paid")
		r.eventually("the fact of "+id+" is marked", func() error { _, err := r.paidFact(id, 1); return err })
	}
	r.drained()
	stop()
	missing := func(want float64) {
		t.Helper()
		if n, err := payments.MissingEmissions(t.Context(), r.config()); err != nil || n != want {
			t.Errorf("missing emissions = %v, %v, want %v", n, err, want)
		}
	}
	missing(0)

	r.lose("q_1")
	if err := r.cache.HDel(t.Context(), r.keys().Pay(event.Platform, "q_1"), "m:paid.1").Err(); err != nil {
		t.Fatal(err)
	}
	missing(1)

	// A log restored from an older copy ends before the fact that Redis remembers.
	r.lose("q_2")
	if err := r.cache.HSet(t.Context(), r.keys().Pay(event.Platform, "q_2"), "m:paid.1", `{"id":"x","seq":1000000}`).Err(); err != nil {
		t.Fatal(err)
	}
	missing(2)

	// A mark that is lost is no fact that is lost.
	if err := r.cache.HDel(t.Context(), r.keys().Pay(event.Platform, "q_3"), "m:paid.1").Err(); err != nil {
		t.Fatal(err)
	}
	missing(2)
}
