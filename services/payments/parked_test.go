package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

// ask asks the worker about a dead letter, as an operator's tool does.
func (r *rig) ask(verb string, seq uint64) deadletter.Answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	a, err := deadletter.Ask(ctx, r.nats.Conn("operator"), deadletter.Request{
		Verb: verb, Key: deadletter.Key{Consumer: "payments", Stream: "STRIPE", Sequence: seq}, Who: "ada@desk", Why: "ticket 7",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// poisoned publishes a quote in a currency that the policy excludes and stores its payment.
func (r *rig) poisoned(id string) uint64 {
	r.t.Helper()
	r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: "1"}, event.Published{
		Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "huf", Account: event.Platform, Mode: event.ModeTest,
	})
	paid := session("cs_"+id, id, 1, 1000, "pi_"+id)
	paid["currency"] = "huf"
	seq := r.stripe("evt_"+id, "checkout.session.completed", "", paid)
	r.outcome(seq, "dead")
	return seq
}

// R69: giving up is a state, not a delete.
func TestDiscardedLetterCanBeRetried(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	seq := r.poisoned("q_1")
	if a := r.ask(deadletter.VerbDiscard, seq); a.Error != "" || a.Before != deadletter.Open || a.Letter.State != deadletter.Discarded || a.Letter.Decision.Who != "ada@desk" {
		t.Fatalf("discard = %+v", a)
	}
	if a := r.ask(deadletter.VerbDiscard, seq); !strings.Contains(a.Error, "is discarded already") {
		t.Errorf("discard again = %+v, want it refused", a)
	}
	// Under the same policy the retry cannot help: one more round, with the reason, and open again.
	a := r.ask(deadletter.VerbRetry, seq)
	if !strings.Contains(a.Error, "set aside again") || a.Letter.State != deadletter.Open || a.Letter.Rounds != 2 || !strings.Contains(a.Letter.Reason, "R49") {
		t.Fatalf("retry under the same policy = %+v, want a second round", a)
	}
	if a := r.ask(deadletter.VerbDiscard, seq); a.Error != "" || a.Letter.Decisions != 2 {
		t.Errorf("discard of the second round = %+v", a)
	}
	stop()
	open := *quote.DefaultPolicy()
	open.Excluded = nil
	r.policy = &open
	r.run()
	a = r.ask(deadletter.VerbRetry, seq)
	if a.Error != "" || a.Outcome != "applied" || a.Before != deadletter.Discarded || a.Letter.State != deadletter.Resolved {
		t.Fatalf("retry under a policy that takes the currency = %+v, want it applied", a)
	}
	r.status(event.Platform, "q_1", "paid")
	if o := r.outcome(seq, "applied"); o.Quote != "q_1" || o.After != "paid" {
		t.Errorf("outcome on record = %+v, want that of the retry", o)
	}
	if _, err := r.paidFact("q_1", 1); err != nil {
		t.Errorf("quote.paid after the retry: %v", err)
	}
	if a := r.ask(deadletter.VerbRetry, seq); !strings.Contains(a.Error, "is resolved already") {
		t.Errorf("retry of a resolved letter = %+v, want it refused", a)
	}
	// Nothing of it was deleted.
	for _, subject := range []string{"dead.payments.STRIPE.1.1", "dead.payments.STRIPE.1.2", "deadstate.payments.STRIPE.1.3"} {
		if _, err := r.log.Read(t.Context(), event.StreamDead, subject); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestWhatIsNoLetterCannotBeRetried(t *testing.T) {
	r := newRig(t)
	r.run()
	if a := r.ask(deadletter.VerbRetry, 99); !strings.Contains(a.Error, natsstream.ErrNotFound.Error()) {
		t.Errorf("retry of nothing = %+v", a)
	}
	nc := r.nats.Conn("operator")
	for _, body := range []string{"no json", `{"verb":"retry","consumer":"payments","stream":"STRIPE","sequence":1}`, `{"verb":"retry","consumer":"crm","stream":"QUOTES","sequence":1,"who":"a","why":"b"}`} {
		msg, err := nc.Request(deadletter.Subject("payments"), []byte(body), 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var a deadletter.Answer
		if err := json.Unmarshal(msg.Data, &a); err != nil || a.Error == "" {
			t.Errorf("%s: answer %s, %v, want an error", body, msg.Data, err)
		}
	}
	_, err := deadletter.Ask(t.Context(), nc, deadletter.Request{Verb: "retry", Key: deadletter.Key{Consumer: "notifier", Stream: "QUOTES", Sequence: 1}, Who: "a", Why: "b"})
	if !errors.Is(err, deadletter.ErrNobody) {
		t.Errorf("ask a service that does not run = %v, want ErrNobody", err)
	}
}

func (r *rig) release(seq uint64, giveUp bool) natsstream.ParkedAnswer {
	r.t.Helper()
	body, err := json.Marshal(natsstream.ParkedRequest{Sequence: seq, GiveUp: giveUp, Who: "ada@desk", Why: "ticket 8"})
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := r.nats.Conn("operator").Request(natsstream.ParkedSubject, body, 30*time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	var a natsstream.ParkedAnswer
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

// Money whose link turns up after somebody gave it up is still counted.
func TestWhatWasGivenUpIsStillCountedWhenItsLinkTurnsUp(t *testing.T) {
	r := newRig(t)
	r.run()
	seq := r.stripe("evt_ch", "charge.refunded", "", charge("ch_1", "pi_1", 1000, 1000))
	r.outcome(seq, "parked")
	waiting, err := r.read.ParkedMessages(t.Context())
	if err != nil || len(waiting) != 1 || waiting[0].Sequence != seq || waiting[0].EventID != "evt_ch" || strings.Join(waiting[0].Objects, " ") != "ch_1 pi_1" {
		t.Fatalf("ParkedMessages = %+v, %v", waiting, err)
	}
	if a := r.release(seq, false); a.Outcome != "parked" || a.Error != "" {
		t.Errorf("release of what has no link = %+v, want it parked still", a)
	}
	if a := r.release(seq, true); a.Outcome != "ignored" || !strings.Contains(a.Reason, "given up by ada@desk: ticket 8") {
		t.Fatalf("give up = %+v", a)
	}
	if waiting, err := r.read.ParkedMessages(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("ParkedMessages after giving up = %+v, %v, want none", waiting, err)
	}
	if a := r.release(seq, true); !strings.Contains(a.Error, "is not parked, it is ignored") {
		t.Errorf("give up twice = %+v, want it refused", a)
	}
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_cs", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "refunded")
	if o := r.outcome(seq, "applied"); o.Quote != "q_1" {
		t.Errorf("outcome of what was given up = %+v, want it applied to q_1", o)
	}
}

// scrape reads one figure of the worker's metrics.
func (r *rig) figure(addr, name string) string {
	r.t.Helper()
	res, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}

// Alerts stand on what waits and for how long: parked messages, payments of unknown quotes, dead letters.
func TestWhatWaitsIsMeasuredWithItsAge(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.outcome(r.stripe("evt_ch", "charge.refunded", "", charge("ch_1", "pi_1", 1000, 1000)), "parked")
	r.outcome(r.stripe("evt_cs", "checkout.session.completed", "", session("cs_9", "q_unknown", 1, 1000, "pi_9")), "applied")
	r.poisoned("q_1")
	dealt := r.poisoned("q_2")
	r.ask(deadletter.VerbDiscard, dealt)
	stop()
	r.now = func() time.Time { return time.Now().Add(time.Hour) } // within which nothing was swept
	r.run()
	for name, want := range map[string]string{
		`quittance_waiting{kind="parked"}`: "1", `quittance_waiting{kind="unknown_quote"}`: "1", `quittance_dead_letters{consumer="payments"}`: "1",
	} {
		r.eventually(name, func() error {
			if got := r.figure(r.addr, name); got != want {
				return errors.New(got)
			}
			return nil
		})
	}
	for _, name := range []string{
		`quittance_parked_oldest_seconds{kind="parked"}`, `quittance_parked_oldest_seconds{kind="unknown_quote"}`,
		`quittance_dead_letters_oldest_seconds{consumer="payments"}`,
	} {
		if got := r.figure(r.addr, name); !strings.HasPrefix(got, "36") && !strings.HasPrefix(got, "37") {
			t.Errorf("%s = %s, want an hour in seconds", name, got)
		}
	}
}
