package payments_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/payments"
)

// What a worker holds is bounded by bytes: events as large as ingress takes must not make a backlog a matter of memory.
func TestAWorkerHoldsNoMoreBytesThanItMay(t *testing.T) {
	r := newRig(t)
	r.run()
	r.redis.Stop()                        // nothing gets done
	const messages, size = 100, 400 << 10 // 40 MB
	filling := strings.Repeat("x", size)
	for i := range messages {
		r.stripe(fmt.Sprintf("evt_%d", i), "product.updated", "", object{"filling": filling}) // of no use to us, so that it takes no time
	}
	consumer, err := r.log.JetStream().Consumer(t.Context(), event.StreamStripe, natsstream.DurablePayments)
	if err != nil {
		t.Fatal(err)
	}
	stalls := func() int { return r.logs.FilterMessage("batch waits for a server").Len() }
	before := stalls()
	r.eventually("the worker has tried a batch once more, and would have asked for more", func() error {
		if stalls() == before {
			return errors.New("it has not")
		}
		return nil
	})
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if most := (payments.MostHeld + size) / size; info.NumAckPending > most || info.NumAckPending == 0 {
		t.Errorf("the worker holds %d events of %d KB, want 1 to %d", info.NumAckPending, size>>10, most)
	}
	r.redis.Start()
	r.drained()
}
