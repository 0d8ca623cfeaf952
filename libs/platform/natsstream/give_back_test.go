package natsstream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

func TestWhatNobodyTookComesAgainAtOnce(t *testing.T) {
	s := natstest.Start(t)
	log := s.Log("test")
	const count = 10
	for i := range count {
		id := fmt.Sprint("evt_", i)
		subject := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: id, Type: "charge.succeeded"}
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: subject.String(), ID: id, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := log.JetStream().Consumer(t.Context(), event.StreamStripe, natsstream.DurablePayments)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(count))
	if err != nil {
		t.Fatal(err)
	}
	m, err := messages.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		info, err := consumer.Info(t.Context())
		if err == nil && info.NumAckPending == count-1 && info.NumPending == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the subscription does not hold the other messages: %+v, %v", info, err)
		}
	}
	natsstream.GiveBack(messages)
	if _, err := messages.Next(); !errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.Errorf("Next = %v, want the end", err)
	}
	batch, err := consumer.Fetch(count-1, jetstream.FetchMaxWait(natsstream.AckWait/2))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range batch.Messages() {
		n++
	}
	if n != count-1 {
		t.Errorf("%d of %d messages come again before AckWait is over", n, count-1)
	}
}
