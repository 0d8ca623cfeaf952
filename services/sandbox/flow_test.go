package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/services/sandbox"
)

// ledger folds webhooks as the payments worker does: decode, link, merge.
type ledger struct {
	account string
	facts   quote.Facts
	waiting []stripeevent.Change
}

func newLedger(account string, amount int64) *ledger {
	l := &ledger{account: account}
	l.facts = quote.RevisionFacts(quote.Revision{
		Seller: "main", Number: 1, Amount: quote.Money{Amount: amount, Currency: "pln"}, Account: account, Mode: "test", PublishedAt: time.Now().Add(-time.Hour),
	})
	return l
}

func (l *ledger) take(t *testing.T, body []byte) {
	t.Helper()
	c, err := stripeevent.Decode(body)
	if err != nil {
		t.Fatalf("decode: %v\n%s", err, body)
	}
	if c.Account != l.account {
		t.Errorf("%s of account %s, want %s", c.Type, c.Account, l.account)
	}
	if c.Ignored != "" {
		return
	}
	l.waiting = append(l.waiting, c)
	for again := true; again; {
		again = false
		objects := l.facts.Objects()
		l.waiting = slices.DeleteFunc(l.waiting, func(c stripeevent.Change) bool {
			linked := c.Claim.Quote == "q_1042" || slices.ContainsFunc(c.Names, func(n string) bool { return slices.Contains(objects, n) })
			if linked {
				l.facts.Merge(c.Facts)
				again = true
			}
			return linked
		})
	}
}

// story is what happens to one quote after its session was opened.
type story struct {
	recurring bool
	amount    int64
	play      func(t *testing.T, w *world, s *stripe.CheckoutSession)
	status    quote.Status
	flags     []quote.Flag
	types     string // of the events an endpoint at 2023-10-16 gets, in order; "" = not compared
}

func stories() map[string]story {
	pay := func(actions ...string) func(*testing.T, *world, *stripe.CheckoutSession) {
		return func(t *testing.T, w *world, s *stripe.CheckoutSession) {
			t.Helper()
			for _, a := range actions {
				if later, ok := strings.CutPrefix(a, "+"); ok {
					w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"`+later+`"}`)
					continue
				}
				w.act(t, s.ID, a)
			}
		}
	}
	const first = "customer.created payment_method.attached customer.updated invoice.created invoice.finalized customer.subscription.created payment_intent.created "
	const paidInvoice = "invoice.updated invoice.paid invoice.payment_succeeded "
	const settled = "charge.succeeded payment_intent.succeeded "
	const subscribed = first + settled + paidInvoice + "customer.subscription.updated checkout.session.completed charge.updated"
	return map[string]story{
		"paid":                 {false, 123000, pay("pay"), "paid", nil, "payment_intent.created " + settled + "checkout.session.completed charge.updated"},
		"declined":             {false, 123000, pay("decline"), "pending", []quote.Flag{"attempt_failed"}, "payment_intent.created charge.failed payment_intent.payment_failed"},
		"declined, then paid":  {false, 123000, pay("decline", "pay"), "paid", nil, ""},
		"3-D Secure":           {false, 123000, pay("challenge", "challenge_pass"), "paid", nil, "payment_intent.created payment_intent.requires_action " + settled + "checkout.session.completed charge.updated"},
		"3-D Secure failed":    {false, 123000, pay("challenge", "challenge_fail"), "pending", []quote.Flag{"attempt_failed"}, "payment_intent.created payment_intent.requires_action payment_intent.payment_failed"},
		"bank debit under way": {false, 123000, pay("debit"), "processing", nil, "payment_intent.created charge.pending payment_intent.processing checkout.session.completed"},
		"bank debit":           {false, 123000, pay("debit", "+3m"), "paid", nil, "payment_intent.created charge.pending payment_intent.processing checkout.session.completed " + settled + "checkout.session.async_payment_succeeded"},
		"bank debit failed":    {false, 123000, pay("debit_fail", "+3m"), "pending", []quote.Flag{"attempt_failed"}, "payment_intent.created charge.pending payment_intent.processing checkout.session.completed charge.failed payment_intent.payment_failed checkout.session.async_payment_failed"},
		"expired":              {false, 123000, pay("+25h"), "pending", nil, "checkout.session.expired"},
		"refunded":             {false, 123000, refunded(0), "refunded", nil, ""},
		"partly refunded":      {false, 123000, refunded(23000), "paid", []quote.Flag{"partially_refunded"}, ""},
		"refund that fails": {false, 123000, func(t *testing.T, w *world, s *stripe.CheckoutSession) {
			t.Helper()
			refunded(0)(t, w, s)
			for i := w.Refunds.List(&stripe.RefundListParams{}); i.Next(); {
				w.admin(t, http.MethodPost, "/sandbox/refunds/"+i.Refund().ID, `{"action":"fail"}`)
			}
		}, "paid", nil, ""},
		"disputed":                         {false, 123000, disputed(""), "paid", []quote.Flag{"disputed"}, ""},
		"dispute lost":                     {false, 123000, disputed("lose"), "charged_back", nil, ""},
		"dispute won":                      {false, 123000, disputed("win"), "paid", nil, ""},
		"subscription":                     {true, 123000, pay("pay"), "paid", nil, subscribed},
		"subscription declined":            {true, 123000, pay("decline"), "pending", []quote.Flag{"attempt_failed"}, ""},
		"subscription declined, then paid": {true, 123000, pay("decline", "pay"), "paid", nil, ""},
		"subscription declined and left":   {true, 123000, pay("decline", "+25h"), "pending", []quote.Flag{"attempt_failed", "subscription_ended"}, ""},
		"subscription by bank debit":       {true, 123000, pay("debit", "+3m"), "paid", nil, ""},
		"renewed twice":                    {true, 123000, pay("pay", "+1560h"), "paid", nil, ""},
		"renewal failed":                   {true, 123000, renewalFails(false), "paid", []quote.Flag{"renewal_past_due"}, ""},
		"renewal failed, then paid":        {true, 123000, renewalFails(true), "paid", nil, ""},
		"subscription cancelled": {true, 123000, func(t *testing.T, w *world, s *stripe.CheckoutSession) {
			t.Helper()
			w.act(t, s.ID, "pay")
			got := w.session(t, s.ID)
			if _, err := w.Subscriptions.Cancel(got.Subscription.ID, nil); err != nil {
				t.Fatal(err)
			}
		}, "paid", []quote.Flag{"subscription_ended"}, ""},
	}
}

func (w *world) session(t *testing.T, id string) *stripe.CheckoutSession {
	t.Helper()
	s, err := w.CheckoutSessions.Get(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func refunded(amount int64) func(t *testing.T, w *world, s *stripe.CheckoutSession) {
	return func(t *testing.T, w *world, s *stripe.CheckoutSession) {
		t.Helper()
		w.act(t, s.ID, "pay")
		p := &stripe.RefundParams{PaymentIntent: &w.session(t, s.ID).PaymentIntent.ID}
		if amount > 0 {
			p.Amount = &amount
		}
		if _, err := w.Refunds.New(p); err != nil {
			t.Fatal(err)
		}
	}
}

func disputed(end string) func(t *testing.T, w *world, s *stripe.CheckoutSession) {
	return func(t *testing.T, w *world, s *stripe.CheckoutSession) {
		t.Helper()
		w.act(t, s.ID, "pay")
		d := w.admin(t, http.MethodPost, "/sandbox/disputes", `{"payment_intent":"`+w.session(t, s.ID).PaymentIntent.ID+`"}`)
		id := fmt.Sprint(d["id"])
		if _, err := w.Disputes.Update(id, &stripe.DisputeParams{Submit: stripe.Bool(true), Evidence: &stripe.DisputeEvidenceParams{CustomerName: stripe.String("Anna")}}); err != nil {
			t.Fatal(err)
		}
		if end != "" {
			w.admin(t, http.MethodPost, "/sandbox/disputes/"+id, `{"action":"`+end+`"}`)
		}
	}
}

func renewalFails(thenPaid bool) func(t *testing.T, w *world, s *stripe.CheckoutSession) {
	return func(t *testing.T, w *world, s *stripe.CheckoutSession) {
		t.Helper()
		w.act(t, s.ID, "pay")
		path := "/sandbox/subscriptions/" + w.session(t, s.ID).Subscription.ID
		w.admin(t, http.MethodPost, path, `{"renewals":"fail"}`)
		w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"770h"}`)
		if thenPaid {
			w.admin(t, http.MethodPost, path, `{"renewals":"succeed"}`)
			w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"96h"}`)
		}
	}
}

// One event reaches two endpoints in two shapes; both must decode to facts from which the same status derives, on the
// platform's own account and on a connected one. (R46 R47 R60, rows 1-4, 6, 8, 10, 12-14, 18, 25-30 of stripe.md §2.5.)
func TestBothShapesDeriveTheExpectedStatus(t *testing.T) {
	t.Parallel()
	for name, s := range stories() {
		for _, account := range []string{"platform", seller} {
			t.Run(name+"/"+account, func(t *testing.T) {
				t.Parallel()
				tell(t, s, account)
			})
		}
	}
}

func tell(t *testing.T, s story, account string) {
	t.Helper()
	w := start(t, sandbox.Config{Accounts: []sandbox.Account{{ID: seller, Name: "Solar", Country: "PL", Activated: true, Connected: true}}})
	old, basil := receiver(t), receiver(t)
	first := w.endpoint(t, old, sandbox.Version20231016, account != "platform")
	second := w.endpoint(t, basil, sandbox.VersionBasil, account != "platform")
	p := oneTime()
	if s.recurring {
		p = recurring()
	}
	if account != "platform" {
		p.SetStripeAccount(account)
		w.API = onAccount(w, account)
	}
	session := w.open(t, p)
	s.play(t, w, session)
	w.settled(t)
	for _, end := range []struct {
		hook   *hook
		secret string
		shape  string
	}{{old, first.Secret, sandbox.Version20231016}, {basil, second.Secret, sandbox.VersionBasil}} {
		l := newLedger(account, s.amount)
		for _, r := range end.hook.all() {
			if err := webhook.ValidatePayload(r.body, r.signature, end.secret); err != nil {
				t.Errorf("%s %s: %v", end.shape, r.event.Type, err)
			}
			if r.event.APIVersion != end.shape {
				t.Errorf("%s: event of version %s", end.shape, r.event.APIVersion)
			}
			l.take(t, r.body)
		}
		state := quote.Derive(account, l.facts)
		if state.Status != s.status || !slices.Equal(state.Flags, s.flags) {
			t.Errorf("%s: %s %v, want %s %v\nevents %v\nfacts %s", end.shape, state.Status, state.Flags, s.status, s.flags, end.hook.types(), l.facts.Encode())
		}
	}
	if got := strings.Join(old.types(), " "); s.types != "" && got != s.types {
		t.Errorf("events\n%s, want\n%s", got, s.types)
	}
}

// settled waits until nothing is on its way.
func (w *world) settled(t *testing.T) {
	t.Helper()
	until(t, "all is delivered", func() bool {
		for _, state := range []string{"held", "pending"} {
			if w.admin(t, http.MethodGet, "/sandbox/deliveries?state="+state, "")["deliveries"] != nil {
				return false
			}
		}
		return true
	})
}

// onAccount is the SDK that sends Stripe-Account with each request.
func onAccount(w *world, account string) *stripeAPI {
	return apiWith(w.url, sandbox.DefaultTestKey, &http.Client{Transport: accountTransport{account}})
}
