package quotes_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

// checkOut clicks Check out as a customer does: without a token, without
// following where it leads.
func (f *fixture) checkOut(t *testing.T, token string) answer {
	t.Helper()
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return f.call(t, "POST", "/q/"+token+"/checkout", "", "Authorization", "")
}

// offered publishes a quote and returns its id and page token.
func (f *fixture) offered(t *testing.T, change func(string) string) (id, token string) {
	t.Helper()
	text := document
	if change != nil {
		text = change(text)
	}
	id = f.call(t, "POST", "/v1/quotes", text).want(t, http.StatusCreated).text(t, "id")
	token = f.publish(t, id)
	f.project(t, id)
	return id, token
}

func (a answer) leadsTo(t *testing.T, want string) {
	t.Helper()
	if got := a.want(t, http.StatusSeeOther).header.Get("Location"); got != want {
		t.Errorf("leads to %s, want %s", got, want)
	}
}

const firstSession = "https://checkout.stripe.example/cs_test_1"

func TestWithoutAKeyPaymentIsNotConfigured(t *testing.T) {
	f := start(t)
	_, token := f.offered(t, nil)
	refused := f.checkOut(t, token).problem(t, http.StatusNotImplemented, "payment-not-configured")
	if !strings.Contains(refused.text(t, "detail"), "STRIPE_API_KEY") {
		t.Errorf("refused = %s", refused.body)
	}
}

// R20, R21, R23, R24, R25, R36, R39, R40, R42, R43, R45
func TestCheckOutSendsTheQuoteToStripe(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	f.sellerEvent(t, 1, event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	id, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	got := s.session("cs_test_1")
	want := map[string]string{
		"mode": "subscription", "customer_email": "carl@customer.example", "client_reference_id": id,
		"line_items[0][price_data][product_data][name]": "Design", "line_items[0][quantity]": "2", "line_items[0][price_data][unit_amount]": "61500",
		"line_items[1][price_data][recurring][interval]": "month", "line_items[1][price_data][recurring][interval_count]": "1",
		"line_items[2][price_data][product_data][name]": "VAT", "line_items[2][price_data][unit_amount]": "2300", "line_items[2][price_data][recurring][interval]": "",
		"discounts[0][coupon]": "quittance_" + id + "_1", "metadata[quote_id]": id, "metadata[quote_revision]": "1", "metadata[seller]": "main",
		"subscription_data[metadata][quote_id]": id, "subscription_data[metadata][quote_revision]": "1", "subscription_data[metadata][seller]": "main",
		"expires_at":  fmt.Sprint(noon.Add(24*time.Hour - time.Minute).Unix()),
		"success_url": "https://quotes.example/q/" + token + "?session_id={CHECKOUT_SESSION_ID}", "cancel_url": "https://quotes.example/q/" + token,
		// No trial, no deferred start, no end: whatever is not sent.
		"subscription_data[trial_end]": "", "subscription_data[trial_period_days]": "", "subscription_data[billing_cycle_anchor]": "", "customer": "",
	}
	for name, value := range want {
		if got.form.Get(name) != value {
			t.Errorf("%s = %q, want %q", name, got.form.Get(name), value)
		}
	}
	if got.account != "acct_1" || got.amount != 118587 {
		t.Errorf("session on %q charges %d", got.account, got.amount)
	}
	coupon := s.coupons["acct_1 quittance_"+id+"_1"]
	if coupon.Get("amount_off") != "16613" || coupon.Get("currency") != "pln" || coupon.Get("duration") != "once" || coupon.Get("metadata[managed_by]") != "quittance" {
		t.Errorf("coupon = %v", coupon)
	}
	if log := fmt.Sprint(f.log(t, id)); !strings.Contains(log, "quote.checkout_requested.main."+id+".1_1 quote.checkout_opened.main."+id+".1_1") {
		t.Errorf("log = %s", log)
	}
}

func TestAOneTimeQuoteIsOnePaymentWithoutACoupon(t *testing.T) { // R22, R24, R28
	f := start(t)
	s := f.withStripe(t)
	s.with(func() {
		s.customers = []customer{{"cus_9", "", "CARL@customer.example", ""}, {"cus_8", "", "carl@customer.example", "Carl"}, {"cus_7", "acct_9", "carl@customer.example", ""}}
	})
	id, token := f.offered(t, func(d string) string {
		d = strings.Replace(d, `"discount":{"percent":"12.5"},`, "", 1)
		d = strings.Replace(d, "carl@customer", "Carl@Customer", 1)
		return strings.Replace(d, `,"recurring":{"interval":"month","interval_count":1}`, "", 1)
	})
	f.checkOut(t, token).leadsTo(t, firstSession)
	got := s.session("cs_test_1")
	for name, value := range map[string]string{
		"mode": "payment", "customer": "cus_8", "customer_email": "", "payment_intent_data[metadata][quote_id]": id, "discounts[0][coupon]": "",
		"invoice_creation[enabled]": "", "customer_creation": "", "subscription_data[metadata][quote_id]": "",
	} {
		if got.form.Get(name) != value {
			t.Errorf("%s = %q, want %q", name, got.form.Get(name), value)
		}
	}
	if len(s.coupons) != 0 {
		t.Errorf("coupons = %v", s.coupons)
	}
}

func TestClicksLeadToOneSession(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, a := range f.race(t, 8, "POST", "/q/"+token+"/checkout", "", func(int) []string { return []string{"Authorization", ""} }) {
		a.leadsTo(t, firstSession)
	}
	f.clock.move(23 * time.Hour)
	f.checkOut(t, token).leadsTo(t, firstSession)
	if n := s.count(); n != 1 || len(s.coupons) != 1 {
		t.Errorf("%d sessions, %d coupons", n, len(s.coupons))
	}
	// One that is about to end is ended, and so is the wait for one that did.
	f.clock.move(58 * time.Minute)
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_2")
	s.with(func() { s.sessions["cs_test_2"].status = "expired" })
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_3")
	if s.session("cs_test_1").status != "expired" || len(s.coupons) != 1 {
		t.Errorf("first session = %+v, %d coupons", s.session("cs_test_1"), len(s.coupons))
	}
	if log := f.log(t, id); len(log) != 8 {
		t.Errorf("log = %v", log)
	}
}

// The answer is lost after the effect; the next click finds the same session.
func TestALostAnswerMakesNoSecondSession(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	_, token := f.offered(t, nil)
	for _, path := range []string{"/v1/coupons", "/v1/checkout/sessions"} {
		s.with(func() { s.after = func(method, p string) bool { return method == "POST" && p == path } })
		f.checkOut(t, token).problem(t, http.StatusServiceUnavailable, "unavailable")
	}
	s.with(func() { s.after = nil })
	f.checkOut(t, token).leadsTo(t, firstSession)
	if n := s.count(); n != 1 || len(s.coupons) != 1 {
		t.Errorf("%d sessions, %d coupons", n, len(s.coupons))
	}
}

func TestStripesRefusalIsAReason(t *testing.T) { // R11, R18
	f := start(t)
	s := f.withStripe(t)
	_, token := f.offered(t, nil)
	for _, tt := range []struct {
		status          int
		code, want, has string
	}{
		{400, "amount_too_small", "[amount_below_minimum]", `"rule":"R18"`},
		{400, "amount_too_large", "[amount_above_maximum]", `"rule":"R18"`},
		{403, "account_invalid", "[stripe_deauthorized]", `"rule":"R11"`},
		{400, "parameter_invalid", "[stripe_refused]", "no: parameter_invalid"},
	} {
		s.with(func() {
			s.refuse = func(method, path string, _ url.Values) (int, string, string) {
				if method == "POST" && path == "/v1/checkout/sessions" {
					return tt.status, tt.code, ""
				}
				return 0, "", ""
			}
		})
		a := f.checkOut(t, token).problem(t, http.StatusConflict, "refused-by-stripe")
		if got := fmt.Sprint(a.codes(t)); got != tt.want || !strings.Contains(string(a.body), tt.has) {
			t.Errorf("%s: %s", tt.code, a.body)
		}
	}
	s.with(func() { s.refuse = nil })
	f.checkOut(t, token).leadsTo(t, firstSession)
}

func TestWhatIsNotPayableIsRefused(t *testing.T) { // R13, R16, R19, R27, R44
	f := start(t)
	s := f.withStripe(t)
	refused := func(token, want string) {
		t.Helper()
		a := f.checkOut(t, token).problem(t, http.StatusConflict, "conflict")
		if got := fmt.Sprint(a.codes(t)); got != want {
			t.Errorf("reasons = %s, want %s", got, want)
		}
	}
	_, off := f.offered(t, func(d string) string { return strings.Replace(d, `"stripe":true`, `"stripe":false`, 1) })
	refused(off, "[not_payable]")

	settled, token := f.offered(t, nil)
	f.fact(t, settled, "paid", "1", paid(settled, 1, noon))
	refused(token, "[paid]")

	gone, token := f.offered(t, nil)
	f.call(t, "POST", "/v1/quotes/"+gone+"/recall", "").want(t, http.StatusOK)
	f.checkOut(t, token).problem(t, http.StatusNotFound, "not-found")
	f.checkOut(t, strings.Repeat("a", 26)).problem(t, http.StatusNotFound, "not-found")

	_, soon := f.offered(t, func(d string) string { return strings.Replace(d, "2026-12-31", "2026-11-20T13:00:00Z", 1) })
	_, other := f.offered(t, nil)
	f.sellerEvent(t, 1, event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	f.sellerEvent(t, 2, event.NameDeauthorized, seller.Deauthorized{Seller: "main", Account: "acct_1"})
	refused(other, "[stripe_deauthorized payment.stripe account_changed]")
	if s.count() != 0 {
		t.Errorf("%d sessions", s.count())
	}
	f.clock.move(time.Hour + time.Second)
	refused(soon, "[expired]")
}

func TestNoSessionOutlivesTheQuote(t *testing.T) { // R44
	f := start(t)
	s := f.withStripe(t)
	_, token := f.offered(t, func(d string) string { return strings.Replace(d, "2026-12-31", "2026-11-20T13:00:00Z", 1) })
	f.checkOut(t, token).leadsTo(t, firstSession)
	if got := s.session("cs_test_1").form.Get("expires_at"); got != fmt.Sprint(noon.Add(time.Hour).Unix()) {
		t.Errorf("expires_at = %s", got)
	}
	f.clock.move(40 * time.Minute) // the open one is still good
	f.checkOut(t, token).leadsTo(t, firstSession)
	s.with(func() { s.sessions["cs_test_1"].status = "expired" })
	a := f.checkOut(t, token).problem(t, http.StatusConflict, "conflict")
	if got := fmt.Sprint(a.codes(t)); got != "[expires_too_soon]" {
		t.Errorf("reasons = %s", got)
	}
}

func TestARecallEndsTheOpenSessions(t *testing.T) { // R27
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession)
	recall := func() answer { return f.call(t, "POST", "/v1/quotes/"+id+"/recall", "") }
	s.with(func() {
		s.after = func(_, path string) bool { return strings.HasPrefix(path, "/v1/checkout/sessions/") }
	})
	recall().problem(t, http.StatusServiceUnavailable, "unavailable")
	s.with(func() { s.after = nil; s.sessions["cs_test_1"].status = "complete" })
	if got := fmt.Sprint(recall().problem(t, http.StatusConflict, "conflict").codes(t)); got != "[payment_open]" {
		t.Errorf("recall of what is being paid = %s", got)
	}
	// Until its events come, a click leads back to the page.
	f.checkOut(t, token).leadsTo(t, "https://quotes.example/q/"+token+"?session_id=cs_test_1")
	f.fact(t, id, "payment_failed", "cs_test_1", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Account: "platform", Object: "cs_test_1"})
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_2")
	recall().want(t, http.StatusOK)
	if got := s.session("cs_test_2").status; got != "expired" {
		t.Errorf("session after the recall is %s", got)
	}
}

// A request whose answer never came may be a session that can be paid.
func TestARecallEndsAlsoASessionThatNobodyHeardOf(t *testing.T) { // R27
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	s.with(func() { s.after = func(_, path string) bool { return path == "/v1/checkout/sessions" } })
	f.checkOut(t, token).problem(t, http.StatusServiceUnavailable, "unavailable")
	s.with(func() { s.after = nil })
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
	if s.count() != 1 || s.session("cs_test_1").status != "expired" {
		t.Errorf("%d sessions, the first %s", s.count(), s.session("cs_test_1").status)
	}
}

// R28, R29, R30, R31, R32
func TestACustomerIsCreatedAfterSuccessWhereThereIsNone(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	person, _ := f.offered(t, func(d string) string {
		return strings.Replace(strings.Replace(d, `,"company":"Customer & Sons"`, "", 1), "carl@", "Cara@", 1)
	})
	f.checkOut(t, token).leadsTo(t, firstSession)
	created := func() (list []customer) {
		s.with(func() { list = append(list, s.customers...) })
		return list
	}
	if len(created()) != 0 {
		t.Errorf("before success: %v", created())
	}
	s.with(func() {
		s.after = func(method, path string) bool { return method == "POST" && path == "/v1/customers" }
	})
	f.fact(t, id, "paid", "1", paid(id, 1, noon))
	eventually(t, "the first try", func() bool { return len(created()) == 1 })
	s.with(func() { s.after = nil })
	f.fact(t, person, "paid", "1", paid(person, 1, noon))
	eventually(t, "a customer each", func() bool { return len(created()) == 2 })
	again, _ := f.offered(t, func(d string) string { return strings.Replace(d, "carl@", "CARL@", 1) })
	f.fact(t, again, "paid", "1", paid(again, 1, noon))
	eventually(t, "the log is read to its end", func() bool { return f.customersDone(t) })
	want := []customer{{"cus_1", "", "carl@customer.example", "Customer & Sons"}, {"cus_2", "", "Cara@customer.example", "Carl Customer"}}
	if got := fmt.Sprint(created()); got != fmt.Sprint(want) {
		t.Errorf("customers = %s, want %v", got, want)
	}
}

// In subscription mode Stripe makes the customer of the session; it is given the
// name that we would have created it with. One that was there before is not.
func TestOnlyTheCustomerThatOurSessionMadeIsNamed(t *testing.T) { // R28, R30, R31, R32
	f := start(t)
	s := f.withStripe(t)
	s.with(func() { s.customers = []customer{{"cus_old", "", "olly@customer.example", ""}} })
	for i, email := range []string{"olly@", "nina@", "nora@"} {
		id, token := f.offered(t, func(d string) string { return strings.Replace(d, "carl@", email, 1) })
		f.checkOut(t, token).want(t, http.StatusSeeOther)
		s.with(func() {
			name := map[string]string{"nora@": "N. Payer"}[email] // what the payer typed
			made := s.sessions[fmt.Sprint("cs_test_", i+1)]
			if made.status = "complete"; email != "olly@" {
				made.made = "cus_" + email
				s.customers = append(s.customers, customer{made.made, "", email + "customer.example", name})
			} else {
				made.made = "cus_old"
			}
		})
		f.fact(t, id, "paid", "1", paid(id, 1, noon))
	}
	want := "[{cus_old  olly@customer.example } {cus_nina@  nina@customer.example Customer & Sons} {cus_nora@  nora@customer.example N. Payer}]"
	eventually(t, "the log is read to its end", func() bool { return f.customersDone(t) })
	s.with(func() {
		if got := fmt.Sprint(s.customers); got != want {
			t.Errorf("customers = %s\nwant        %s", got, want)
		}
	})
}

// customersDone reports whether every quote.paid was worked on.
func (f *fixture) customersDone(t *testing.T) bool {
	t.Helper()
	return f.upToDate(t, event.StreamQuotes, f.consumer(t, event.StreamQuotes, natsstream.DurableCustomers))
}
