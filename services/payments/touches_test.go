package payments_test

import (
	"fmt"
	"testing"

	"quittance.internal/libs/domain/event"
)

func TestEveryEventThatBoreOnAQuoteIsOnRecordWithIt(t *testing.T) {
	r := newRig(t)
	r.published("q_1", 1, 1000, event.Platform)
	want := map[string]uint64{ // all in one batch: the worker starts afterwards
		"evt_1": r.stripe("evt_1", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0)), // waits for evt_2
		"evt_2": r.stripe("evt_2", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1")),
		"evt_3": r.stripe("evt_3", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1")), // tells the same again
	}
	r.run()
	r.status(event.Platform, "q_1", "paid")
	r.drained()
	touches, err := r.read.Touches(t.Context(), event.Platform, "q_1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, touch := range touches {
		got[touch.EventID] = touch.Sequence
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events on record = %v, want %v", got, want)
	}
}
