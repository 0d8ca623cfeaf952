package operator_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/services/operator/scenario"
)

// R34 R46 R47 R58 R60 R62, seen from outside.
func TestEveryScenarioEndsAsItMust(t *testing.T) {
	t.Parallel()
	for _, s := range scenario.All() {
		for _, kind := range []string{"one-time", "recurring"} {
			if s.Name == "paid" && kind == "recurring" || s.Name == "subscription" && kind == "one-time" {
				continue
			}
			t.Run(s.Name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				change := []func(*quote.Published){onAccount}
				if kind == "recurring" {
					change = append(change, monthly)
				}
				w := newWorld(t, change...)
				args := []string{"simulate", s.Name, "--quote", "q_1042", "--shuffle", "--duplicate", "1", "--seed", "11", "--settle", "200ms", "-o", "json"}
				r := w.run(args...)
				r.want(t, 0)
				var report struct {
					OK         bool
					Seed       int64
					Deliveries []struct{ Answer string }
					Checks     []struct{ Check, Expected, Got string }
				}
				if err := json.Unmarshal([]byte(r.out), &report); err != nil {
					t.Fatal(err)
				}
				if !report.OK || report.Seed != 11 || len(report.Checks) < 7 {
					t.Errorf("report = %+v", report)
				}
				r = w.run(args...) // the same seed: nothing new
				r.want(t, 0)
				if strings.Contains(r.out, `"stored"`) {
					t.Errorf("a repeated seed sent new events:\n%s", r.out)
				}
			})
		}
	}
}

func TestSimulateFailsWhenRealityDiffers(t *testing.T) {
	t.Run("the money is not seen", func(t *testing.T) {
		w := newWorld(t)
		w.lose = func(typ string) bool { return typ != "payment_intent.created" }
		w.run("simulate", "paid", "--quote", "q_1042", "--timeout", "1s").want(t, 3,
			"status: expected paid, got published", "quote.paid: expected 1, got 0", "next: quotectl explain q_1042")
	})
	t.Run("two mails", func(t *testing.T) {
		w := newWorld(t)
		w.mailTwice = true
		w.run("simulate", "paid", "--quote", "q_1042").want(t, 3, "mails: expected 1, got 2")
	})
	t.Run("paid before", func(t *testing.T) {
		w := newWorld(t)
		w.run("simulate", "paid", "--quote", "q_1042", "--seed", "1", "--settle", "0s").want(t, 0)
		w.run("simulate", "paid", "--quote", "q_1042", "--seed", "2", "--timeout", "1s").want(t, 3,
			"flags: expected -, got duplicate_payment", "before the first event the quote was paid", "publish a fresh quote")
	})
}

func TestSimulatedEventsAreSignedAndLabelled(t *testing.T) {
	w := newWorld(t)
	w.unready = 2 // Stripe repeats what is answered with 503, and so do we
	r := w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s")
	r.want(t, 0, "seed ", "payment_intent.created")
	for _, h := range w.headers {
		if h.Get("Quittance-Source") != event.SourceSimulate || h.Get("Stripe-Signature") == "" {
			t.Errorf("headers = %v", h)
		}
	}
	if strings.Contains(r.out+r.err, secret) || strings.Contains(r.out+r.err, token) {
		t.Error("a secret was printed")
	}
}

func TestSimulateRefusesWhatItMustNotPlay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*world)
		args   []string
		code   int
		texts  []string
	}{
		{"no quote", nil, []string{"paid"}, 2, []string{"--quote is missing", "next: quotectl simulate paid --help"}},
		{"unknown scenario", nil, []string{"pay"}, 2, []string{`has no command "pay"`, `did you mean "paid"`}},
		{"unknown quote", nil, []string{"paid", "--quote", "q_9"}, 5, []string{"there is no quote q_9", "next: quotectl quotes list"}},
		{"hostile quote", nil, []string{"paid", "--quote", "../x"}, 2, []string{"is not a quote id"}},
		{"draft", func(w *world) { w.status = "draft" }, []string{"paid", "--quote", "q_1042"}, 1, []string{"is draft and cannot be paid", "/publish"}},
		{"never published", (*world).draftOnly, []string{"paid", "--quote", "q_7"}, 1, []string{"is not published", "/publish"}},
		{"recalled", func(w *world) { w.status = "recalled" }, []string{"paid", "--quote", "q_1042"}, 1, []string{"is recalled"}},
		{"live", (*world).republishLive, []string{"paid", "--quote", "q_1042"}, 2, []string{"live mode", "--live"}},
		{"wrong kind", nil, []string{"subscription", "--quote", "q_1042"}, 2, []string{"no recurring line"}},
		{"bad version", nil, []string{"paid", "--quote", "q_1042", "--api-version", "2019"}, 2, []string{"neither 2023-10-16 nor basil"}},
		{"bad seed", nil, []string{"paid", "--quote", "q_1042", "--seed", "0"}, 2, []string{"1 or more"}},
		{
			"wrong secret", func(w *world) { w.settings["STRIPE_WEBHOOK_SECRETS"] = "main=whsec_other" },
			[]string{"paid", "--quote", "q_1042"},
			1,
			[]string{"refuses the signature", "STRIPE_WEBHOOK_SECRETS"},
		},
		{
			"no secret", func(w *world) { delete(w.settings, "STRIPE_WEBHOOK_SECRETS") },
			[]string{"paid", "--quote", "q_1042"},
			1,
			[]string{"cannot be signed"},
		},
		{
			"bare secret", func(w *world) { w.settings["STRIPE_WEBHOOK_SECRETS"] = "whsec_bare" },
			[]string{"paid", "--quote", "q_1042"},
			1,
			[]string{"not of the form"},
		},
		{
			"ingress away", func(w *world) { w.settings["INGRESS_URL"] = "http://127.0.0.1:1" },
			[]string{"paid", "--quote", "q_1042", "--timeout", "500ms"},
			1,
			[]string{"send ", "INGRESS_URL"},
		},
		{"bad token", func(w *world) { w.settings["API_TOKEN"] = "other" }, []string{"paid", "--quote", "q_1042"}, 1, []string{"refuses the token", "API_TOKEN"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if tt.change != nil {
				tt.change(w)
			}
			r := w.run(append([]string{"simulate"}, tt.args...)...)
			r.want(t, tt.code, tt.texts...)
			stored, err := w.log.ReadAll(t.Context(), event.StreamStripe, "stripe.>")
			if err != nil || len(stored) != 0 {
				t.Errorf("%d events were stored, error %v", len(stored), err)
			}
			if strings.Contains(r.err, "whsec_") && tt.name != "no secret" && tt.name != "bare secret" {
				t.Errorf("stderr shows a secret: %s", r.err)
			}
		})
	}
}

// Without Redis and a mail catcher, card and log are judged.
func TestSimulateNeedsTheAPIAndTheLogAlone(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"REDIS_URL", "MAILBOX_URL"} {
		delete(w.settings, name)
	}
	r := w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "5")
	r.want(t, 0, "quote.paid", "2026-11-20T09:00:02Z")
	if strings.Contains(r.out, "decided") || strings.Contains(r.out, "mails") {
		t.Errorf("checks what it cannot see:\n%s", r.out)
	}
}

func TestSimulateListNamesEveryScenario(t *testing.T) {
	r := runWith(t, nil, "simulate", "list", "-o", "json")
	r.want(t, 0)
	var items []struct {
		Name   string
		Expect struct {
			Status string
			Flags  []string
		}
	}
	if err := json.Unmarshal([]byte(r.out), &items); err != nil {
		t.Fatal(err)
	}
	want := []string{"paid", "bank-debit", "bank-debit-failed", "subscription", "refund", "partial-refund", "dispute-lost", "duplicate-payment"}
	var got []string
	for _, i := range items {
		got = append(got, i.Name)
		if i.Expect.Status == "" || i.Expect.Flags == nil {
			t.Errorf("%s has expectation %+v", i.Name, i.Expect)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("scenarios = %v, want %v", got, want)
	}
}
