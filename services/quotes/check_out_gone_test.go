package quotes_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// forget makes Stripe know nothing of what was asked of it so far: the key is now another account's, or the sandbox was
// started again.
func (s *stripe) forget() {
	s.with(func() {
		s.replies, s.coupons, s.customers = map[string]reply{}, map[string]url.Values{}, nil
		s.sessions = map[string]*session{"cs_elsewhere": {account: "acct_elsewhere"}} // so that ids are not given again
	})
}

// R20: a click on a quote whose session Stripe does not know opens a new one.
func TestASessionThatIsGoneMakesRoomForANewOne(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	s.with(func() { s.customers = []customer{{"cus_9", "", "carl@customer.example", ""}} })
	_, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	s.forget()
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_2")
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_2")
	if got := s.session("cs_test_2").form; got.Get("customer") != "" || got.Get("customer_email") != "carl@customer.example" || len(s.coupons) != 1 {
		t.Errorf("the new session = %v, %d coupons", got, len(s.coupons))
	}
}

// R26: a quote whose session is gone can be recalled.
func TestASessionThatIsGoneDoesNotHoldARecallUp(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	s.forget()
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
}

// R28: a paid quote whose session is gone still gets its customer, and an old one stays as he is.
func TestASessionThatIsGoneDoesNotSetTheCustomerAside(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	s.forget()
	s.with(func() { s.customers = []customer{{"cus_9", "", "carl@customer.example", ""}} })
	f.fact(t, id, "paid", "1", paid(id, 1, noon))
	eventually(t, "the log is read to its end", func() bool { return f.customersDone(t) })
	s.with(func() {
		if len(s.customers) != 1 || s.customers[0].Name != "" {
			t.Errorf("customers = %v, want the one that was there, as it was", s.customers)
		}
		if !strings.Contains(strings.Join(s.calls, "\n"), "GET /v1/checkout/sessions/cs_test_1") {
			t.Errorf("nobody looked at the session: %v", s.calls)
		}
	})
	eventually(t, "the log says what was found", func() bool { return f.chores("customer", "found") == 1 })
}
