package operating_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/why"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/operator/scenario"
)

// play delivers a scenario's events to a quote.
func (r *rig) play(name, id string) {
	r.t.Helper()
	s, ok := scenario.Find(name)
	if !ok {
		r.t.Fatalf("no scenario %s", name)
	}
	b, err := s.Run(scenario.Target{
		Quote: id, Seller: "main", Revision: 1, Title: "x", Amount: 1000, Currency: "eur", CustomerName: "Jan", CustomerEmail: "customer@buyer.example",
	}, 7, published, scenario.V20231016)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range b.Events {
		r.deliver(e)
	}
}

// The gathered situation of a real system leads to the link that is missing there.
func TestAbsencesAreExplainedOnARealSystem(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.publish(1, 6)
	r.play("paid", "q_2")
	r.play("bank-debit-failed", "q_3")
	s := event.StripeSubject{Mode: event.ModeLive, Account: event.Platform, EventID: "evt_live", Type: "checkout.session.completed"}
	r.store(s.String(), "evt_live", []byte(`{"id":"evt_live","metadata":{"quote_id":"q_4"}}`))
	r.store("stripe.test.platform.evt_dead.checkout.session.completed", "evt_dead", []byte(`{"id":"evt_dead","metadata":{"quote_id":"q_5"},`))
	r.settled()
	ask := func(id, flag string) why.Answer {
		t.Helper()
		code := 0
		if id == "q_none" {
			code = 5 // as every command ends that is asked for what is not there
		}
		var a why.Answer
		if err := json.Unmarshal([]byte(r.quotectl("explain", id, flag, "-o", "json").want(t, code).out), &a); err != nil {
			t.Fatal(err)
		}
		if a.Next == "" || a.Because == "" {
			t.Errorf("answer = %+v, want a reason and a next command", a)
		}
		return a
	}
	missing := func(id, flag, want string) {
		t.Helper()
		if a := ask(id, flag); a.Missing != want {
			t.Errorf("explain %s %s = %+v, want %q missing", id, flag, a, want)
		}
	}
	missing("q_none", "--why-not-paid", "the quote exists")
	missing("q_1", "--why-not-paid", "it is to be paid by Stripe")
	missing("q_2", "--why-not-paid", "")
	missing("q_2", "--why-no-email", "the notifier has come to it")
	missing("q_3", "--why-not-paid", "an attempt to pay has succeeded")
	missing("q_4", "--why-not-paid", "every event of it became a fact")
	missing("q_5", "--why-not-paid", "every event of it became a fact")
	stop()
	r.play("paid", "q_1")
	missing("q_1", "--why-not-paid", "payments has worked on every message")
	r.quotectl("explain", "q_1", "--why-not-paid").want(t, 0, "MISSING", "next: quotectl")
	r.quotectl("explain", "q_1", "--why-not-paid", "--why-no-email").want(t, 2, "ask one")
}

// What payments has taken and not finished is in flight, although nothing is pending.
func TestWhatIsUnderWayIsNoAbsence(t *testing.T) {
	r := newRig(t)
	stop := r.worker()
	r.publish(1, 2)
	r.settled()
	stop()
	r.quotectl("explain", "q_1", "--why-not-paid").want(t, 0, "MISSING  it is to be paid by Stripe")
	r.play("paid", "q_1")
	c, err := r.log.JetStream().Consumer(t.Context(), event.StreamStripe, natsstream.DurablePayments)
	if err != nil {
		t.Fatal(err)
	}
	for { // a worker takes them all and dies
		_, err := c.Next(jetstream.FetchMaxWait(30 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := c.Info(t.Context()); err != nil || info.NumPending == 0 {
			break
		}
	}
	r.quotectl("explain", "q_1", "--why-not-paid").want(t, 0,
		"MISSING  payments has worked on every message", "payments has not come to ", "next: quotectl check conservation")
}
