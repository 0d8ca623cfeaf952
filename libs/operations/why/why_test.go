package why_test

import (
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/operations/signatures"
	"quittance.internal/libs/operations/why"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// offered is a quote that can be paid and that nobody has touched.
func offered(change func(*why.Situation)) why.Situation {
	s := why.Situation{Quote: "q_1", Exists: true, Lifecycle: "published", Revision: 1, Status: "pending", Now: now}
	change(&s)
	return s
}

// refused is a quote whose session was opened two hours ago, and an ingress that has refused eight signatures in the last hour.
func refused(change func(*signatures.Figures)) why.Situation {
	s := withRefusals(offered(func(s *why.Situation) { s.Checkouts, s.Session, s.SessionEnds = 1, "cs_1", now.Add(time.Hour) }))
	change(s.Signatures)
	return s
}

func withRefusals(s why.Situation) why.Situation {
	s.OfferedAt = now.Add(-2 * time.Hour)
	s.Signatures = &signatures.Figures{
		Since: now.Add(-4 * time.Hour), Good: 92, LastGood: now.Add(-90 * time.Minute),
		Bad: map[string]float64{"no_matching_signature": 8}, LastBad: map[string]time.Time{"no_matching_signature": now.Add(-time.Hour)},
	}
	return s
}

func paid(change func(*why.Situation)) why.Situation {
	return offered(func(s *why.Situation) {
		s.Status, s.Events, s.PaidDue, s.PaidFact = "paid", 3, true, "QUOTES:7"
		s.Mail = &why.Mail{Key: "main.q_1.1.paid", State: "sent", Code: 250, SentAt: now}
		change(s)
	})
}

// For every link of the chain there is a situation in which it is the first that is missing.
func TestTheFirstMissingLinkIsNamedWithTheNextCommand(t *testing.T) {
	for _, c := range []struct {
		name    string
		ask     func(why.Situation) why.Answer
		s       why.Situation
		missing string
		because string
		next    string
	}{
		{"no such quote", why.Paid, why.Situation{Quote: "q_1"}, "the quote exists", "no quote of that name", "quotectl quotes list"},
		{"draft", why.Paid, offered(func(s *why.Situation) { s.Revision, s.Lifecycle = 0, "draft" }), "it is published", "draft", "/publish"},
		{"recalled", why.Paid, offered(func(s *why.Situation) { s.Lifecycle = "recalled" }), "it is offered", "recalled", "explain q_1"},
		{"expired", why.Paid, offered(func(s *why.Situation) { s.Lifecycle, s.ExpiresAt = "expired", now }), "it is offered", "2026-11-25", "explain q_1"},
		{"edited", why.Paid, offered(func(s *why.Situation) { s.Lifecycle = "draft" }), "it is offered", "not published again", "explain q_1"},
		{"switch off", why.Paid, offered(func(s *why.Situation) { s.StripeOff = true }), "it is to be paid by Stripe", "switched off", "quotes get"},
		{"policy", why.Paid, offered(func(s *why.Situation) { s.Refusals = []string{"too small"} }), "policy and connection let it be paid", "too small", "policy check"},
		{"no click", why.Paid, offered(func(*why.Situation) {}), "the customer has checked out", "nobody has clicked", "quotes get"},
		{"no session", why.Paid, offered(func(s *why.Situation) { s.Checkouts = 1 }), "a Checkout Session was opened", "no session", "explain q_1"},
		{
			"webhooks refused", why.Paid, refused(func(*signatures.Figures) {}), "ingress takes Stripe's webhooks",
			"8 of 100 signatures have failed since ingress started at 2026-11-25T08:00:00Z: 8 no_matching_signature (a changed body, another endpoint's or mode's secret, or a forgery); the last at 2026-11-25T11:00:00Z; none was right since", "quotectl doctor",
		},
		{"by a bad clock", why.Paid, refused(func(f *signatures.Figures) {
			f.Bad, f.LastBad = map[string]float64{"future": 1}, map[string]time.Time{"future": now}
		}), "ingress takes Stripe's webhooks", "1 future (genuine and dated ahead: this machine's clock is behind)", "doctor"},
		{"some refused, some right", why.Paid, refused(func(f *signatures.Figures) { f.LastGood = now }), "ingress takes Stripe's webhooks", "others are right: it is one endpoint's secret", "doctor"},
		{"refused by a version that does not say when", why.Paid, refused(func(f *signatures.Figures) { f.LastBad, f.LastGood = nil, time.Time{} }), "ingress takes Stripe's webhooks", "8 of 100", "doctor"},
		{"a forgery among right ones", why.Paid, refused(func(f *signatures.Figures) {
			f.Bad["no_matching_signature"], f.LastGood = 4, now
		}), "Stripe has told of a payment", "not seen here", "reconcile"},
		{"few refused among many", why.Paid, refused(func(f *signatures.Figures) { f.Good, f.LastGood = 10_000, now }), "Stripe has told of a payment", "not seen here", "reconcile"},
		{"refused before it was offered", why.Paid, refused(func(f *signatures.Figures) {
			f.LastBad["no_matching_signature"] = now.Add(-3 * time.Hour)
		}), "Stripe has told of a payment", "not seen here", "reconcile"},
		{"refused while a debit is processing", why.Paid, withRefusals(offered(func(s *why.Situation) { s.Status, s.Events = "processing", 1 })), "ingress takes Stripe's webhooks", "none was right since", "doctor"},
		{"strangers", why.Paid, refused(func(f *signatures.Figures) {
			f.Bad, f.LastBad = map[string]float64{"missing_signature": 500}, map[string]time.Time{"missing_signature": now}
		}), "Stripe has told of a payment", "not seen here", "reconcile"},
		{"session ended", why.Paid, offered(func(s *why.Situation) {
			s.Checkouts, s.Session, s.SessionEnds = 1, "cs_1", now.Add(-time.Hour)
		}), "the session is open", "cs_1 ended", "reconcile"},
		{"open session", why.Paid, offered(func(s *why.Situation) {
			s.Checkouts, s.Session, s.SessionEnds = 1, "cs_1", now.Add(time.Hour)
		}), "Stripe has told of a payment", "not seen here", "reconcile"},
		{"in flight", why.Paid, offered(func(s *why.Situation) { s.InFlight = 2 }), "payments has worked on every message", "2 messages", "check conservation"},
		{"far behind", why.Paid, offered(func(s *why.Situation) { s.Unseen, s.Checkouts, s.Session = 5000, 1, "cs_1" }), "payments has worked on every message", "5000 messages wait", "check lag"},
		{"refused", why.Paid, offered(func(s *why.Situation) {
			s.Aside = []why.Aside{{"STRIPE:5", "refused", "live-mode event"}}
		}), "every event of it became a fact", "STRIPE:5 is refused", "explain STRIPE:5"},
		{"dead", why.Paid, offered(func(s *why.Situation) {
			s.Aside = []why.Aside{{"STRIPE:5", "dead", "currency"}}
		}), "every event of it became a fact", "dead: currency", "dead list"},
		{"review", why.Paid, offered(func(s *why.Situation) {
			s.Status, s.Events, s.Flags = "review", 1, []string{"mismatch"}
		}), "the payment is what was asked for", "another amount", "explain q_1"},
		{"processing", why.Paid, offered(func(s *why.Situation) { s.Status, s.Events = "processing", 1 }), "the money has come", "delayed method", "explain q_1"},
		{"failed", why.Paid, offered(func(s *why.Situation) {
			s.Events, s.Flags = 1, []string{"attempt_failed"}
		}), "an attempt to pay has succeeded", "failed", "explain q_1"},
		{"unsettled", why.Paid, offered(func(s *why.Situation) { s.Events = 1 }), "a payment was settled", "1 events", "reconcile"},
		{"paid", why.Paid, paid(func(*why.Situation) {}), "", "nothing is missing", "explain q_1"},

		{"mail of an unpaid quote", why.Mailed, offered(func(*why.Situation) {}), "the customer has checked out", "nobody", "quotes get"},
		{"not emitted", why.Mailed, paid(func(s *why.Situation) { s.PaidFact, s.Mail = "", nil }), "quote.paid is in the log", "due and was not published", "payments"},
		{"none due", why.Mailed, paid(func(s *why.Situation) { s.PaidFact, s.PaidDue, s.Mail = "", false, nil }), "quote.paid is in the log", "does not count", "explain"},
		{"dead at the notifier", why.Mailed, paid(func(s *why.Situation) { s.NotifierDead, s.Mail = "no address", nil }), "the notifier can use it", "no address", "dead list"},
		{"notifier behind", why.Mailed, paid(func(s *why.Situation) { s.NotifierBehind, s.Mail = true, nil }), "the notifier has come to it", "behind", "subscribers lag"},
		{"no entry", why.Mailed, paid(func(s *why.Situation) { s.Mail = nil }), "the ledger has the mail", "no entry", "mail list"},
		{"waits", why.Mailed, paid(func(s *why.Situation) {
			s.Mail = &why.Mail{Key: "k", State: "claimed", Attempts: 3, Code: 451, Reply: "greylisted", NotBefore: now}
		}), "the mail server accepted it", "after 3, not before 2026-11-25T12:00:00Z: 451 greylisted", "mail show k"},
		{"on the wire", why.Mailed, paid(func(s *why.Situation) { s.Mail.State = "sending" }), "the mail server accepted it", "on the wire", "mail show"},
		{"ambiguous", why.Mailed, paid(func(s *why.Situation) { s.Mail.State = "ambiguous" }), "the mail server accepted it", "once more", "mail show"},
		{"parked", why.Mailed, paid(func(s *why.Situation) { s.Mail.State = "parked" }), "the mail server accepted it", "operator decides", "mail resend"},
		{"rejected", why.Mailed, paid(func(s *why.Situation) {
			s.Mail = &why.Mail{State: "rejected", Code: 550, Reply: "no such user"}
		}), "the mail server accepted it", "rejected: 550 no such user", "mail resend"},
		{"mailed", why.Mailed, paid(func(*why.Situation) {}), "", "accepted it at 2026-11-25", "explain q_1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.ask(c.s)
			if a.Missing != c.missing || !strings.Contains(a.Because, c.because) || !strings.Contains(a.Next, c.next) {
				t.Errorf("answer = %+v\nwant missing %q because %q next %q", a, c.missing, c.because, c.next)
			}
			for i, s := range a.Steps {
				if s.Unknown {
					continue
				}
				if s.Holds == (a.Missing != "" && i == len(a.Steps)-1) {
					t.Errorf("step %d = %+v: only the last one is missing, and only when one is", i, s)
				}
			}
		})
	}
}

// What ingress's figures do not tell is said, and never taken for well.
func TestWhatIngressDoesNotTellIsNotKnown(t *testing.T) {
	link := func(s why.Situation) why.Step {
		t.Helper()
		for _, step := range why.Paid(s).Steps {
			if step.Link == "ingress takes Stripe's webhooks" {
				return step
			}
		}
		t.Fatal("the link is not looked at")
		return why.Step{}
	}
	s := refused(func(f *signatures.Figures) { f.Bad = nil })
	if got := link(s); got.Unknown || !got.Holds || !strings.Contains(got.Detail, "no signature has failed since ingress started at 2026-11-25T08:00:00Z") {
		t.Errorf("no refusals: %+v", got)
	}
	s.Signatures.Since = now
	if got := link(s); !got.Unknown || got.Holds || !strings.Contains(got.Detail, "before that is not known") {
		t.Errorf("ingress started after the checkout: %+v", got)
	}
	s.Signatures, s.NoSignatures = nil, "connection refused"
	if got := link(s); !got.Unknown || got.Holds || got.Detail != "not known: connection refused" {
		t.Errorf("ingress does not answer: %+v", got)
	}
}
