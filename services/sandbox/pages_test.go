package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/services/sandbox"
)

// press posts a button of the pay page and returns where it leads.
func press(t *testing.T, page, action, email string) string {
	t.Helper()
	status, location := call(t, http.MethodPost, page, form("action", action, "email", email, "name", "Anna Nowak"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if status != http.StatusSeeOther {
		t.Fatalf("%s on %s = %d %s, want 303", action, page, status, location)
	}
	return location
}

func plain(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

func TestPayPageShowsWhatIsDueAndLeadsBack(t *testing.T) {
	w := start(t, sandbox.Config{})
	coupon, err := w.Coupons.New(&stripe.CouponParams{AmountOff: stripe.Int64(10000), Currency: stripe.String("pln"), Name: stripe.String("Spring")})
	if err != nil {
		t.Fatal(err)
	}
	p := oneTime()
	p.CustomerEmail = nil
	p.LineItems = append(p.LineItems, line("<Montage>", 5025, 3))
	p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: &coupon.ID}}
	s := w.open(t, p)
	if s.AmountSubtotal != 138075 || s.AmountTotal != 128075 || s.TotalDetails.AmountDiscount != 10000 {
		t.Errorf("amounts %d %d %+v", s.AmountSubtotal, s.AmountTotal, s.TotalDetails)
	}
	status, page := call(t, http.MethodGet, s.URL, "", nil)
	page = plain(page)
	for _, want := range []string{"Roof", "&lt;Montage&gt;", "3 × 50.25 PLN", "150.75 PLN", "-100.00 PLN", "(Spring)", "1 280.75 PLN", `type="email"`, "Pay by card", "bank debit"} {
		if status != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("page (%d) lacks %q", status, want)
		}
	}
	if got := press(t, s.URL, "close", ""); got != "https://quotes.example/q" {
		t.Errorf("close leads to %s", got)
	}
	if got := press(t, s.URL, "pay", "nonsense"); got != "/pay/"+s.ID {
		t.Errorf("a bad e-mail leads to %s", got)
	}
	if got := press(t, s.URL, "decline", "anna@customer.example"); got != "/pay/"+s.ID {
		t.Errorf("a declined card leads to %s", got)
	}
	if _, page := call(t, http.MethodGet, s.URL, "", nil); !strings.Contains(page, "Your card was declined.") || !strings.Contains(page, "anna@customer.example") {
		t.Errorf("the page does not tell of the decline, or forgot the e-mail")
	}
	if got := press(t, s.URL, "challenge", "anna@customer.example"); got != "/pay/"+s.ID+"/challenge" {
		t.Errorf("3-D Secure leads to %s", got)
	}
	if _, page := call(t, http.MethodGet, s.URL+"/challenge", "", nil); !strings.Contains(page, "Complete authentication") {
		t.Errorf("no challenge: %s", page)
	}
	want := "https://quotes.example/paid?s=" + s.ID
	for range 2 { // the second is a double click
		if got := press(t, s.URL, "challenge_pass", ""); got != want {
			t.Errorf("paid leads to %s, want %s", got, want)
		}
	}
	if status, _ := call(t, http.MethodGet, s.URL, "", nil); status != http.StatusGone {
		t.Errorf("a completed page = %d, want 410", status)
	}
	got := w.session(t, s.ID)
	if got.PaymentStatus != "paid" || got.CustomerDetails.Email != "anna@customer.example" || got.CustomerDetails.Name != "Anna Nowak" || got.Customer != nil {
		t.Errorf("session %s %+v customer %v", got.PaymentStatus, got.CustomerDetails, got.Customer)
	}
	if n := charges(w); n != 2 {
		t.Errorf("%d charges, want a declined and a paid one", n)
	}
}

func charges(w *world) int {
	n := 0
	for i := w.Charges.List(&stripe.ChargeListParams{}); i.Next(); {
		n++
	}
	return n
}

func TestPagesAllowNothingForeign(t *testing.T) {
	w := start(t, sandbox.Config{})
	s := w.open(t, oneTime())
	for _, u := range []string{s.URL, w.url + "/oauth/authorize?client_id=ca_sandbox&response_type=code&redirect_uri=http%3A%2F%2F127.0.0.1%3A8081%2Fback"} {
		res, err := http.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'; style-src 'self'") || strings.Contains(policy, "unsafe") {
			t.Errorf("policy of %s = %q", u, policy)
		}
		if !strings.Contains(policy, "https://quotes.example") && !strings.Contains(policy, "http://127.0.0.1:8081") {
			t.Errorf("policy of %s does not let its forms lead back: %q", u, policy)
		}
	}
}

// What R23 R36 R40 rests on: both kinds of lines, and what comes next.
func TestPayPageOfASubscriptionTellsTheRenewal(t *testing.T) {
	w := start(t, sandbox.Config{})
	s := w.open(t, recurring())
	_, page := call(t, http.MethodGet, s.URL, "", nil)
	for _, want := range []string{"Pay 1 230.00 PLN", "2 × 500.00 PLN every month", "Then 1 000.00 PLN every month", `value="anna@customer.example" readonly`} {
		if !strings.Contains(plain(page), want) {
			t.Errorf("page lacks %q", want)
		}
	}
	press(t, s.URL, "pay", "someone.else@customer.example")
	got := w.session(t, s.ID)
	c, err := w.Customers.Get(got.Customer.ID, nil)
	if err != nil || c.Email != "anna@customer.example" {
		t.Errorf("customer %+v, %v: want the session's e-mail", c, err)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"760h"}`)
	var totals []int64
	for i := w.Invoices.List(&stripe.InvoiceListParams{Subscription: &got.Subscription.ID}); i.Next(); {
		totals = append(totals, i.Invoice().AmountPaid)
	}
	if len(totals) != 2 || totals[0] != 100000 || totals[1] != 123000 {
		t.Errorf("invoices paid %v, want the renewal of 100000 and the first of 123000", totals)
	}
}

// Row 23: nothing is due.
func TestAFullDiscountNeedsNoPayment(t *testing.T) {
	w := start(t, sandbox.Config{})
	coupon, err := w.Coupons.New(&stripe.CouponParams{PercentOff: stripe.Float64(100), MaxRedemptions: stripe.Int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []func() *stripe.CheckoutSessionParams{oneTime, recurring} {
		p := base()
		p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: &coupon.ID}}
		s, err := w.CheckoutSessions.New(p)
		if err != nil { // used up by the first
			if e := refusal(t, err); e.Code != "coupon_expired" {
				t.Errorf("second use: %v", err)
			}
			continue
		}
		press(t, s.URL, "pay", "")
		if got := w.session(t, s.ID); got.PaymentStatus != "no_payment_required" || got.Status != "complete" || got.AmountTotal != 0 || got.PaymentIntent != nil {
			t.Errorf("session %+v", got)
		}
	}
}

// What R6 R8 R9 R10 R11 rests on: sign in, activate, authorize or deny; the code is good once and for five minutes.
func TestConnectIsAuthorizedOnStripesPage(t *testing.T) {
	w := start(t, sandbox.Config{})
	page := w.url + "/oauth/authorize?" + form("client_id", sandbox.DefaultClientID, "response_type", "code", "scope", "read_write", "state", "s1&2", "redirect_uri", "http://127.0.0.1:8081/connect?x=1")
	if status, html := call(t, http.MethodGet, page, "", nil); status != http.StatusOK || !strings.Contains(html, seller) || !strings.Contains(html, "not activated") {
		t.Errorf("page = %d %s", status, html)
	}
	post := func(action, account string) *url.URL {
		t.Helper()
		status, location := call(t, http.MethodPost, page, form("action", action, "account", account), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		u, err := url.Parse(location)
		if err != nil || status != http.StatusSeeOther {
			t.Fatalf("%s = %d %s", action, status, location)
		}
		return u
	}
	if q := post("deny", "").Query(); q.Get("error") != "access_denied" || q.Get("state") != "s1&2" || q.Get("x") != "1" {
		t.Errorf("deny leads back with %v", q)
	}
	post("activate", "acct_1SandboxNewShop")
	back := post("authorize", "acct_1SandboxNewShop")
	if back.Host != "127.0.0.1:8081" || back.Path != "/connect" || back.Query().Get("state") != "s1&2" {
		t.Errorf("authorize leads to %s", back)
	}
	exchange := &stripe.OAuthTokenParams{ClientSecret: stripe.String(sandbox.DefaultTestKey), Code: stripe.String(back.Query().Get("code")), GrantType: stripe.String("authorization_code")}
	token, err := w.OAuth.New(exchange)
	if err != nil || token.StripeUserID != "acct_1SandboxNewShop" || token.Livemode || token.Scope != "read_write" || token.AccessToken == "" {
		t.Fatalf("token = %+v, %v", token, err)
	}
	account, err := w.Accounts.GetByID(token.StripeUserID, nil)
	if err != nil || !account.ChargesEnabled {
		t.Errorf("account = %+v, %v", account, err)
	}
	if own, err := api(w.url, token.AccessToken).Accounts.Get(); err != nil || own.ID != token.StripeUserID {
		t.Errorf("the access token opens %+v, %v", own, err)
	}
	gone := &stripe.DeauthorizeParams{ClientID: stripe.String(sandbox.DefaultClientID), StripeUserID: &token.StripeUserID}
	if _, err := w.OAuth.Del(gone); err != nil {
		t.Errorf("deauthorize: %v", err)
	}
	if _, err := w.Accounts.GetByID(token.StripeUserID, nil); err == nil {
		t.Error("the account can still be read after deauthorization")
	}
	if _, err := w.OAuth.Del(gone); err == nil || refusal(t, err).OAuthError != "invalid_client" {
		t.Errorf("second deauthorization: %v", err)
	}
	late := post("authorize", seller).Query().Get("code")
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"6m"}`)
	for code, want := range map[string]string{back.Query().Get("code"): "invalid_grant", late: "invalid_grant", "ac_none": "invalid_grant"} {
		exchange.Code = &code
		if _, err := w.OAuth.New(exchange); err == nil || refusal(t, err).OAuthError != want {
			t.Errorf("code %s: %v, want %s", code, err, want)
		}
	}
	if status, _ := call(t, http.MethodGet, w.url+"/oauth/authorize?client_id=ca_other&response_type=code", "", nil); status != http.StatusBadRequest {
		t.Errorf("another application's request = %d", status)
	}
}
