package purchase_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/platform/stripegate"
)

// rounds is how often each race is run; every round has a quote of its own.
const rounds = 25

// together runs both at one time and waits for them.
func together(a, b func()) {
	var both sync.WaitGroup
	begin := make(chan struct{})
	for _, f := range []func(){a, b} {
		both.Go(func() { <-begin; f() })
	}
	close(begin)
	both.Wait()
}

// stagger lets either of two that start together come first.
func stagger() { time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Millisecond)))) }

// paidOnce fails unless a quote gets exactly one quote.paid. The card may say Paid a moment before: facts are committed first.
func (s *shop) paidOnce(q sale) {
	s.tb.Helper()
	count := func() int { return strings.Count(fmt.Sprint(s.events(q)), " paid.") }
	s.eventually("quote.paid is in the log", func() error {
		if count() == 0 {
			return fmt.Errorf("it is not among %v", s.events(q))
		}
		return nil
	})
	s.quiet()
	if n := count(); n != 1 {
		s.tb.Errorf("%d quote.paid: %v", n, s.events(q))
	}
}

// R24: at two instances, by eight clicks at one time.
func TestManyClicksMakeOneSession(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range rounds {
		q, before := s.offer(document), s.coupons()
		var clicks sync.WaitGroup
		begin := make(chan struct{})
		answers := make([]answer, 8)
		for i := range answers {
			clicks.Go(func() { <-begin; answers[i] = s.click(i%2, q) })
		}
		close(begin)
		clicks.Wait()
		target := ""
		for _, a := range answers {
			for deadline := time.Now().Add(time.Minute); !s.clear(a, http.StatusSeeOther) && !t.Failed() && time.Now().Before(deadline); {
				a = s.click(0, q) // it was told to try again, and then gets there
			}
			if target == "" {
				target = s.session(a)
			}
			if got := s.session(a); got != target {
				t.Errorf("clicks lead to %s and %s", target, got)
			}
		}
		s.one(q, before, address)
	}
}

// R60: Stripe's answer to the checkout is late; its customer has paid, and the webhooks are through, before quotes knows the session.
func TestAWebhookBeforeTheAnswerOfTheAPIIsNotLost(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *stripegate.Config) { c.Timeout = 2 * time.Minute })
	for range rounds {
		q := s.offer(document)
		s.strike(`"kind":"slow","delay":"1m","after":true`, "POST", "/v1/checkout/sessions", 1)
		var clicked answer
		together(func() { clicked = s.click(0, q) }, func() {
			s.eventually("Stripe has the session", func() error {
				if all := s.sessions(q); len(all) == 1 && s.act(all[0].ID, "pay").status == http.StatusOK {
					return nil
				}
				return fmt.Errorf("sessions = %v", s.sessions(q))
			})
			s.stands(q, "paid []")
			s.heal() // now the answer comes
		})
		if clicked.status != http.StatusSeeOther && !strings.Contains(string(clicked.body), `"code":"paid"`) {
			t.Errorf("click = %d %s", clicked.status, clicked.body)
		}
		s.quiet()
		s.stands(q, "paid []")
		s.paidOnce(q)
		if all := s.sessions(q); len(all) != 1 {
			t.Errorf("%d sessions, want 1", len(all))
		}
	}
}

// R27: whichever comes first, either the quote is paid and not recalled, or it is recalled and cannot be paid.
func TestOfARecallAndAPaymentOneWins(t *testing.T) {
	t.Parallel()
	s := open(t)
	paid := 0
	for range rounds {
		q := s.offer(document)
		id := s.session(s.click(0, q))
		var payment, recall answer
		together(func() { stagger(); payment = s.act(id, "pay") }, func() { recall = s.api("POST", "/v1/quotes/"+q.id+"/recall", "") })
		s.quiet()
		recalled := slices.Contains(s.events(q), "recalled.1")
		switch {
		case payment.status == http.StatusOK && recall.status == http.StatusConflict && !recalled:
			paid++
			s.stands(q, "paid []")
			s.paidOnce(q)
		case payment.status != http.StatusOK && recall.status == http.StatusOK && recalled:
			if got := s.standing(q); got != "recalled []" {
				t.Errorf("recalled quote stands %s", got)
			}
		default:
			t.Errorf("payment = %d %s, recall = %d %s, events %v", payment.status, payment.body, recall.status, recall.body, s.events(q))
		}
	}
	t.Logf("%d of %d paid first", paid, rounds)
}

// R27: a click and a recall at one time leave no session that can be paid.
func TestARecallLeavesNoSessionOfAClickAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range rounds {
		q := s.offer(document)
		var recall answer
		together(func() { stagger(); s.click(1, q) }, func() { stagger(); recall = s.api("POST", "/v1/quotes/"+q.id+"/recall", "") })
		if !s.clear(recall, http.StatusOK) {
			if recall = s.api("POST", "/v1/quotes/"+q.id+"/recall", ""); recall.status != http.StatusOK {
				t.Fatalf("recall = %d %s", recall.status, recall.body)
			}
		}
		for _, session := range s.sessions(q) {
			if session.Status == stripe.CheckoutSessionStatusOpen {
				t.Errorf("session %s can be paid after the recall: %v", session.ID, s.events(q))
			}
		}
		if a := s.click(0, q); a.status != http.StatusNotFound && a.status != http.StatusGone {
			t.Errorf("a click after the recall = %d %s", a.status, a.body)
		}
	}
}

// R44: a payment in the quote's last moments counts, in time; where the end comes first there is none.
func TestAPaymentAtTheExpiryCountsOrIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	paid := 0
	for range rounds {
		end := s.now().Add(40 * time.Minute).UTC().Truncate(time.Second)
		q := s.offer(strings.Replace(document, `"title"`, `"expires_at":"`+end.Format(time.RFC3339)+`","title"`, 1))
		id := s.session(s.click(0, q))
		if got := s.sessions(q)[0].ExpiresAt; got != end.Unix() {
			t.Errorf("the session ends at %d, the quote at %d", got, end.Unix())
		}
		var payment answer
		together(func() { stagger(); payment = s.act(id, "pay") }, func() { stagger(); s.advance(40 * time.Minute) })
		s.quiet()
		if payment.status == http.StatusOK {
			paid++
			s.stands(q, "paid []")
			s.paidOnce(q)
			continue
		}
		s.stands(q, "expired []")
		if a := s.click(0, q); a.status != http.StatusConflict && a.status != http.StatusGone {
			t.Errorf("a click after the expiry = %d %s", a.status, a.body)
		}
	}
	t.Logf("%d of %d paid first", paid, rounds)
}

// R44: a bank debit ordered before the expiry and settled after it is money received: paid, and flagged.
func TestADebitThatSettlesAfterTheExpiryIsPaidLate(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.admin("POST", "/sandbox/knobs", `{"debit_after":"72h"}`)
	end := s.now().Add(40 * time.Minute).UTC().Truncate(time.Second)
	q := s.offer(strings.Replace(document, `"title"`, `"expires_at":"`+end.Format(time.RFC3339)+`","title"`, 1))
	s.act(s.session(s.click(0, q)), "debit")
	s.stands(q, "processing []")
	s.advance(48 * time.Hour)
	if a := s.click(0, q); a.status != http.StatusConflict {
		t.Errorf("a click while it is processed = %d %s", a.status, a.body)
	}
	s.advance(24 * time.Hour)
	s.stands(q, "paid [late]")
	s.paidOnce(q)
}

// R27: the session is about to end, so a click ends it and opens another; a customer who pays it in that moment has paid, and is not
// led to pay once more.
func TestASessionPaidWhileItIsEndedIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *stripegate.Config) { c.Timeout = 2 * time.Minute })
	for range 5 {
		q := s.offer(document)
		id := s.session(s.click(0, q))
		s.advance(23*time.Hour + 58*time.Minute)
		s.admin("POST", "/sandbox/knobs", `{"late":"1h"}`) // nobody but Stripe knows of the payment
		s.strike(`"kind":"slow","delay":"1m"`, "POST", "/v1/checkout/sessions/*", 1)
		var clicked answer
		together(func() { clicked = s.click(1, q) }, func() {
			s.eventually("the end of the session is asked for", func() error {
				if a := s.admin("GET", "/sandbox/faults", ""); strings.Contains(string(a.body), "slow") {
					return fmt.Errorf("faults = %s", a.body)
				}
				return nil
			})
			if a := s.act(id, "pay"); a.status != http.StatusOK {
				t.Errorf("pay = %d %s", a.status, a.body)
			}
			s.heal() // now the end of the session is tried
		})
		if want := "https://quotes.example/q/" + q.token + "?session_id=" + id; clicked.location() != want {
			t.Errorf("click = %d %q %s", clicked.status, clicked.location(), clicked.body)
		}
		s.admin("DELETE", "/sandbox/knobs", "")
		s.advance(time.Hour)
		s.stands(q, "paid []")
		if all := s.sessions(q); len(all) != 1 {
			t.Errorf("%d sessions, want 1", len(all))
		}
	}
}

// Two sessions of one quote are paid at one time: once paid, with the earlier date, flagged for operators, and no money lost.
// Quotes opens no second one; here another program has, with the quote's metadata.
func TestTwoCustomersPayingTwoSessionsAreADuplicatePayment(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range rounds {
		q := s.offer(document)
		first := s.session(s.click(0, q))
		p := &stripe.CheckoutSessionParams{
			Mode: stripe.String("payment"), SuccessURL: stripe.String("https://quotes.example/x"), CustomerEmail: stripe.String(address),
			LineItems: []*stripe.CheckoutSessionLineItemParams{{Quantity: stripe.Int64(1), PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
				Currency: stripe.String("eur"), UnitAmount: stripe.Int64(due), ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String("Roof")},
			}}},
			Metadata: s.sessions(q)[0].Metadata,
		}
		p.PaymentIntentData = &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: p.Metadata}
		second, err := s.stripe.CheckoutSessions.New(p)
		if err != nil {
			t.Fatal(err)
		}
		together(func() { s.act(first, "pay") }, func() { s.act(second.ID, "pay") })
		s.stands(q, "paid [duplicate_payment]")
		s.quiet()
		s.paidOnce(q)
		if !strings.Contains(fmt.Sprint(s.events(q)), "duplicate_payment.") {
			t.Errorf("events = %v, want one for operators", s.events(q))
		}
	}
}
