package payments_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// A worker that is told to stop hands back what it was given, so that another instance has it at once and not after AckWait.
func TestAStoppedWorkerHandsBackWhatItHolds(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.redis.Stop() // nothing gets done
	const messages = 120
	for i := range messages {
		id := fmt.Sprint(i)
		r.stripe("evt_"+id, "checkout.session.completed", "", session("cs_"+id, "q_"+id, 1, 1000, "pi_"+id))
	}
	consumer, err := r.log.JetStream().Consumer(t.Context(), event.StreamStripe, natsstream.DurablePayments)
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the worker holds all messages", func() error {
		info, err := consumer.Info(t.Context())
		if err == nil && info.NumAckPending < messages {
			err = fmt.Errorf("it holds %d", info.NumAckPending)
		}
		return err
	})
	stop()
	batch, err := consumer.Fetch(messages, jetstream.FetchMaxWait(natsstream.AckWait/2))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range batch.Messages() {
		n++
	}
	if n != messages {
		t.Errorf("%d of %d messages come again before AckWait is over, %v", n, messages, batch.Error())
	}
}
