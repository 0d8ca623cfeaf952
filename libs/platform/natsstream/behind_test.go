package natsstream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// The server counts a message as pending a moment after it has stored it, and a message under way not at all: the ack floor
// tells both.
func TestTheAckFloorTellsWhatIsBehind(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("test")
	store := func(subject string) {
		t.Helper()
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: subject, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := log.JetStream().Stream(t.Context(), event.StreamQuotes)
	if err != nil {
		t.Fatal(err)
	}
	consumer := func(name string) jetstream.Consumer {
		t.Helper()
		c, err := stream.Consumer(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	behind := func(c jetstream.Consumer, change ...func(*jetstream.ConsumerInfo)) natsstream.Behind {
		t.Helper()
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range change {
			f(info)
		}
		b, err := natsstream.ReadBehind(t.Context(), stream, info)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	uncounted := func(info *jetstream.ConsumerInfo) { info.NumPending, info.NumAckPending = 0, 0 }

	payments, planner, notifier := consumer(natsstream.DurablePayments), consumer(natsstream.DurablePlanner), consumer(natsstream.DurableNotifier)
	if b := behind(payments); b != (natsstream.Behind{}) || b.Age(time.Now()) != 0 {
		t.Errorf("on an empty stream: %+v", b)
	}
	store("quote.published.main.q_1.1")
	store("quote.paid.main.q_1.1")
	if b := behind(payments, uncounted); b.Waiting != 1 || b.Oldest != 1 || b.Age(b.Since.Add(time.Minute)) != time.Minute {
		t.Errorf("stored and not counted yet: %+v, want at least one, the first", b)
	}
	if b := behind(planner, uncounted); b.Waiting != 1 || b.Oldest != 1 {
		t.Errorf("planner = %+v, want quote.published", b)
	}
	m, err := payments.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if b := behind(payments); b.Waiting != 2 || b.Oldest != 1 {
		t.Errorf("one under way, one not delivered: %+v, want two, the first", b)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := behind(payments); b.Waiting != 1 || b.Oldest != 2 {
		t.Errorf("one acknowledged: %+v, want the second", b)
	}

	// What is held back on purpose is not behind, and what is not a consumer's own never is.
	if b := behind(notifier, uncounted); b.Waiting != 1 || b.Oldest != 2 {
		t.Errorf("notifier = %+v, want quote.paid", b)
	}
	if _, err := notifier.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if b := behind(notifier); b.Waiting != 0 || b.Oldest != 0 {
		t.Errorf("notifier holds a mail back: %+v, want nothing behind", b)
	}
	if b := behind(consumer(natsstream.DurableReminders)); b.Waiting != 0 || b.Oldest != 0 {
		t.Errorf("reminders = %+v, want nothing: no quote expires", b)
	}

	// One that began with what is new has no floor before its first message.
	late, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "late", DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if b := behind(late, func(info *jetstream.ConsumerInfo) { info.AckFloor.Stream = 0 }); b.Waiting != 0 || b.Oldest != 0 {
		t.Errorf("late = %+v, want nothing", b)
	}
}
