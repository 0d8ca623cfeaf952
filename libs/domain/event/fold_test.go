package event_test

import (
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

func TestAQuoteIsFoldedFromItsOwnEvents(t *testing.T) {
	a := &quote.Aggregate{}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	envelopes := wire(t)
	for i, step := range []struct {
		name, n string
		state   quote.Lifecycle
	}{
		{event.NameDrafted, "1", quote.LifecycleDraft},
		{event.NamePublished, "1", quote.LifecyclePublished},
		{event.NamePaymentProcessing, "cs_test_1", quote.LifecyclePublished},
		{event.NamePaymentFailed, "ch_1", quote.LifecyclePublished},
		{event.NameRefunded, "pi_1", quote.LifecyclePublished},
		{event.NameExpiring, "1", quote.LifecyclePublished},
		{event.NameExpired, "1", quote.LifecycleExpired},
		{event.NameRecalled, "1", quote.LifecycleRecalled},
		{event.NamePaid, "1", quote.LifecycleRecalled},
	} {
		subject := event.QuoteSubject{Event: step.name, Seller: "main", Quote: "q_1", N: step.n}.String()
		if err := event.Fold(a, uint64(10+i), subject, envelopes[step.name].Encode()); err != nil {
			t.Fatalf("Fold(%s) = %v", subject, err)
		}
		if a.Sequence != uint64(10+i) || a.StateAt(at) != step.state {
			t.Errorf("after %s: sequence %d, state %s, want %d, %s", subject, a.Sequence, a.StateAt(at), 10+i, step.state)
		}
	}
	if a.Version != 1 || a.Revision() != 1 || len(a.Recalls) != 1 || len(a.Payments) != 1 || a.Document.Title != document().Title || a.RequestHash != "9f86" {
		t.Errorf("aggregate = %+v", a)
	}
}

func TestAnUnknownEventMovesTheSequenceOnly(t *testing.T) {
	a := &quote.Aggregate{}
	env, err := event.New(event.QuoteSubject{Event: "signed", Seller: "main", Quote: "q_1", N: "1"}, event.SourceQuotes, time.Unix(0, 0), map[string]int{"page": 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := event.Fold(a, 7, "quote.signed.main.q_1.1", env.Encode()); err != nil || a.Sequence != 7 || a.Exists() {
		t.Errorf("Fold of an unknown event = %v, %+v", err, a)
	}
}

func TestWhatCannotBeFoldedIsAnError(t *testing.T) {
	good := wire(t)[event.NameDrafted].Encode()
	for subject, body := range map[string]string{
		"stripe.test.platform.evt_1.charge": string(good),
		"quote.drafted.main.q_1.1":          "no JSON",
		"quote.drafted.main.q_1.2":          `{"specversion":"1.0","id":"x","source":"/s","type":"quote.drafted","data":{"version":"one"}}`,
	} {
		a := &quote.Aggregate{}
		if err := event.Fold(a, 7, subject, []byte(body)); err == nil || a.Sequence != 0 {
			t.Errorf("Fold(%s, %s) = %v at %d, want an error", subject, body, err, a.Sequence)
		}
	}
}
