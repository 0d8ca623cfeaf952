package purchase_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/platform/stripegate"
)

// faults are what can become of a call at Stripe, as the sandbox plays them. Each strikes once, which stripe-go may get over by
// itself, or so often that it cannot.
var faults = []string{
	`"kind":"rate_limit"`, `"kind":"lock_timeout"`, `"kind":"server_error"`, `"kind":"server_error","after":true`,
	`"kind":"unavailable"`, `"kind":"unavailable","after":true`, `"kind":"html_502"`, `"kind":"html_502","after":true`,
	`"kind":"reset"`, `"kind":"reset","after":true`, `"kind":"slow","delay":"3s"`, `"kind":"slow","delay":"3s","after":true`,
}

// often is how many requests a fault strikes that no repetition gets over: three attempts of stripe-go, each of which net/http
// may make again after a reset.
const often = 20

// impatient makes a slow answer one that does not come.
func impatient(c *stripegate.Config) { c.Timeout = time.Second }

// strike sets a fault at a call.
func (s *shop) strike(fault, method, path string, times int) {
	s.tb.Helper()
	s.admin("POST", "/sandbox/faults", fmt.Sprintf(`{%s,"method":"%s","path":"%s","times":%d}`, fault, method, path, times))
}

func (s *shop) heal() { s.tb.Helper(); s.admin("DELETE", "/sandbox/faults", "") }

// clear fails unless an answer is one that a caller can act on: it was done, or it can be repeated and says so.
func (s *shop) clear(a answer, done int) bool {
	s.tb.Helper()
	if a.status == done {
		return true
	}
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.text("type") != "urn:quittance:problem:unavailable" ||
		!strings.Contains(a.text("detail"), "Repeat the request") {
		s.tb.Errorf("answer = %d %v %s, want %d or a problem that may be repeated", a.status, a.header, a.body, done)
	}
	return false
}

// buyer is a document whose customer nobody else has.
func buyer(n int) (text, email string) {
	email = fmt.Sprintf("buyer%d@customer.example", n)
	return strings.Replace(document, address, email, 1), email
}

// subscription makes a document one of a recurring line.
func subscription(text string) string {
	return strings.Replace(text, `"unit_amount":12000`, `"unit_amount":12000,"recurring":{"interval":"month","interval_count":1}`, 1)
}

// each runs a purchase under every fault, each with a quote of its own, in one shop.
func each(t *testing.T, purchase func(s *shop, fault string, times, n int)) {
	t.Helper()
	s := open(t, impatient)
	n := 0
	for _, fault := range faults {
		for _, times := range []int{1, often} {
			n++
			t.Run(fmt.Sprintf("%s %d", strings.NewReplacer(`"`, "", "kind:", "").Replace(fault), times), func(t *testing.T) {
				s.tb = t
				defer s.heal()
				purchase(s, fault, times, n)
			})
		}
	}
	s.tb = t
}

// one fails unless Stripe has one session of the quote, one more coupon than before, and at most one customer of the address.
func (s *shop) one(q sale, couponsBefore int, email string) {
	s.tb.Helper()
	if all := s.sessions(q); len(all) != 1 {
		s.tb.Errorf("%d sessions, want 1", len(all))
	}
	if n := s.coupons() - couponsBefore; n != 1 {
		s.tb.Errorf("%d coupons, want 1", n)
	}
	if n := len(s.customers(email)); n > 1 {
		s.tb.Errorf("%d customers, want one at most", n)
	}
}

// R24, R28, R44: the calls of a first click.
func TestNoFaultOfACheckoutCallMakesASecondSession(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct{ method, path string }{
		"list customers": {"GET", "/v1/customers"}, "create coupon": {"POST", "/v1/coupons"}, "create session": {"POST", "/v1/checkout/sessions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(s *shop, fault string, times, n int) {
				text, email := buyer(n)
				q, before := s.offer(text), s.coupons()
				s.strike(fault, call.method, call.path, times)
				if s.clear(s.click(0, q), http.StatusSeeOther) && times == often && !strings.Contains(fault, "after") && !strings.Contains(fault, "slow") {
					s.tb.Error("the fault did not strike")
				}
				s.heal()
				var a answer
				for range 3 { // a 500 is kept: the first click after it finds out, at the latest
					if a = s.click(1, q); s.clear(a, http.StatusSeeOther) {
						break
					}
				}
				s.act(s.session(a), "pay")
				s.stands(q, "paid []")
				s.quiet()
				s.one(q, before, email)
			})
		})
	}
}

// R27: the calls of a second click and of a recall, on a session that is there.
func TestNoFaultKeepsASessionOpenOverARecall(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct{ method, path string }{
		"read session": {"GET", "/v1/checkout/sessions/*"}, "expire session": {"POST", "/v1/checkout/sessions/*"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(s *shop, fault string, times, n int) {
				text, email := buyer(n)
				q, before := s.offer(text), s.coupons()
				first := s.session(s.click(0, q))
				s.strike(fault, call.method, call.path, times)
				if call.method == "GET" {
					s.clear(s.click(1, q), http.StatusSeeOther)
				}
				recall := func() bool { return s.clear(s.api("POST", "/v1/quotes/"+q.id+"/recall", ""), http.StatusOK) }
				recalled := recall()
				s.heal()
				if !recalled && !recall() {
					s.tb.Error("the recall does not go through without the fault")
				}
				s.one(q, before, email)
				if got := s.sessions(q)[0]; got.Status != stripe.CheckoutSessionStatusExpired {
					s.tb.Errorf("session after the recall is %s", got.Status)
				}
				if a := s.act(first, "pay"); a.status == http.StatusOK {
					s.tb.Error("the session of a recalled quote was paid")
				}
			})
		})
	}
}

// R28: the calls after the payment; nothing of them touches what was paid.
func TestNoFaultMakesASecondCustomer(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct {
		method, path string
		recurring    bool
	}{
		"list customers": {"GET", "/v1/customers", false}, "create customer": {"POST", "/v1/customers", false},
		"read customer": {"GET", "/v1/customers/*", true}, "name customer": {"POST", "/v1/customers/*", true}, "read session": {"GET", "/v1/checkout/sessions/*", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(s *shop, fault string, times, n int) {
				text, email := buyer(n)
				if call.recurring {
					text = subscription(text)
				}
				q := s.offer(text)
				id := s.session(s.click(0, q))
				s.strike(fault, call.method, call.path, times)
				s.act(id, "pay")
				s.stands(q, "paid []")
				if times == often {
					s.eventually("the fault has struck", func() error {
						if a := s.admin("GET", "/sandbox/faults", ""); strings.Contains(string(a.body), fmt.Sprintf(`"times":%d`, often)) {
							return fmt.Errorf("faults = %s", a.body)
						}
						return nil
					})
				}
				s.heal()
				s.eventually("there is a customer", func() error {
					if c := s.customers(email); len(c) == 0 || c[0].Name != "Carl Customer" {
						return fmt.Errorf("customers = %+v", c)
					}
					return nil
				})
				s.quiet()
				if c := s.customers(email); len(c) != 1 {
					s.tb.Errorf("%d customers, want 1", len(c))
				}
			})
		})
	}
}
