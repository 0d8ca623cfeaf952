package proof_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

// rebuildPoints are the fault points within a rebuild.
var rebuildPoints = []string{"payments.rebuild-batch", "payments.rebuild-written", "payments.rebuild-read", "payments.rebuild-removed"}

// A worker that is killed at any point of a rebuild loses and doubles nothing: the next one carries on, or begins anew.
func TestARebuildKilledAtAnyPointLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range rebuildPoints {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // the next worker waits until the killed one has been silent for 15 s
			killedRebuild(t, newWorld(t, nil, 16), point)
		})
	}
}

func killedRebuild(t *testing.T, w *world, point string) {
	t.Helper()
	nc := w.nats.Conn("operator")
	var events []scenario.Event
	for i := range 9 {
		q := w.publish(i, false)
		events = append(events, w.burst([]string{"paid", "refund", "bank-debit"}[i%3], q, int64(i)).Events...)
	}
	half := len(events) / 2
	w.deliver(events[:half], 4, patience)
	w.payments.Kill()
	w.payments.Start("FAULT=" + point + ":1")
	w.payments.Ready()
	body, err := json.Marshal(natsstream.RebuildRequest{By: "test", Reason: point})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := nc.Request(natsstream.RebuildSubject, body, patience)
	if err != nil {
		t.Fatal(err)
	}
	var answer natsstream.RebuildAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil || answer.Error != "" {
		t.Fatalf("answer %s, %v", msg.Data, err)
	}
	delivered := make(chan struct{})
	go func() { defer close(delivered); w.deliver(shuffled(events[half:], 1), 4, patience) }()
	if !w.payments.Died(patience) {
		t.Fatalf("%s was not hit: the point proves nothing", point)
	}
	w.payments.Start()
	w.payments.Ready()
	<-delivered
	processtest.Eventually(t, patience, "the rebuild has ended", func() error {
		s, err := w.log.RebuildState(t.Context())
		if err == nil && (s.Phase != natsstream.RebuildDone || s.Generation != answer.State.Generation) {
			err = fmt.Errorf("it is %s to %s %s", s.Phase, s.Generation, s.Trouble)
		}
		return err
	})
	w.settled(patience)
	processtest.Eventually(t, patience, "everything holds", func() error {
		var all []error
		for _, text := range w.checkInvariants() {
			all = append(all, errors.New(text))
		}
		return errors.Join(all...)
	})
	keys, err := w.cache.Keys(t.Context(), answer.State.From+":*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("after %s %d old keys are left, %v", point, len(keys), err)
	}
}
