package allinone_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/services/allinone"
	"quittance.internal/services/sandbox"
)

// browser keeps where it is led instead of going there.
var browser = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// press posts a form as a page's button does and returns where it leads.
func press(t *testing.T, target string, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("POST %s = %s, want 303", target, res.Status)
	}
	return res.Header.Get("Location")
}

// page is the sample quote's page, as the tour tells it.
func (s system) page() string {
	s.t.Helper()
	m := regexp.MustCompile(`Open it as its customer: +(\S+)`).FindStringSubmatch(s.out.String())
	if m == nil {
		s.t.Fatalf("the tour opens with no sample quote:\n%s", s.out)
	}
	return m[1]
}

// quotes are the ids of all quotes.
func (s system) quotes() []string {
	s.t.Helper()
	return regexp.MustCompile(`q_[a-z2-7]{26}`).FindAllString(s.mustQuotectl("quotes", "list"), -1)
}

// R20 R33 R34 R73: the tour's first step works as it stands, without a Stripe account: Check out, pay, Paid, one mail; and what says
// so are the sandbox's webhooks.
func TestCustomerPaysTheSampleQuote(t *testing.T) {
	s := start(t, settings(t, filepath.Join(t.TempDir(), "data"), nil))
	page, quote := s.page(), s.quotes()[0]
	if signIn := s.URL("QUOTES_ADDR") + "/signin"; !strings.Contains(s.out.String(), signIn) || get(t, signIn) != http.StatusOK {
		t.Errorf("the tour does not lead the seller to %s:\n%s", signIn, s.out)
	}
	pay := press(t, page+"/checkout", nil)
	if !strings.HasPrefix(pay, s.URL("SANDBOX_ADDR")+"/pay/cs_test_") {
		t.Fatalf("Check out leads to %s, want the sandbox's pay page", pay)
	}
	if back := press(t, pay, url.Values{"action": {"pay"}, "email": {"jan@nowak.example"}}); !strings.HasPrefix(back, page) {
		t.Errorf("paying leads to %s, want the quote's page", back)
	}
	eventually(t, "the card says Paid", func() bool { return strings.HasPrefix(s.card(quote), "Paid: ") })
	eventually(t, "its owner has a mail", func() bool { return s.mails() == 1 })
	if story := s.mustQuotectl("explain", quote); !strings.Contains(story, "secret sandbox ") {
		t.Errorf("no event came by the sandbox's webhook endpoint:\n%s", story)
	}
}

// A connected account's events come by an endpoint of their own, with a secret of its own.
func TestEventsOfConnectedAccountsReachIngress(t *testing.T) {
	s := start(t, settings(t, t.TempDir(), nil))
	admin := s.URL("SANDBOX_ADDR") + "/sandbox"
	call(t, http.MethodPost, admin+"/accounts/acct_1SandboxSolar", "", `{"connected":true,"activated":false}`)
	eventually(t, "account.updated is delivered", func() bool {
		list, _ := call(t, http.MethodGet, admin+"/deliveries?type=account.updated&state=delivered", "", "")["deliveries"].([]any)
		return len(list) == 1
	})
}

// The sandbox forgets at the end of the process; a customer's next click opens another session, and he pays once.
func TestCheckOutGoesOnAfterARestart(t *testing.T) {
	values := settings(t, filepath.Join(t.TempDir(), "data"), nil)
	first := start(t, values)
	press(t, first.page()+"/checkout", nil)
	quote := first.quotes()
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	second := start(t, values)
	if again := second.quotes(); len(again) != 1 || again[0] != quote[0] {
		t.Fatalf("quotes = %v after the restart, want %v: the sample quote is made once", again, quote)
	}
	pay := press(t, second.page()+"/checkout", nil)
	if !strings.HasPrefix(pay, second.URL("SANDBOX_ADDR")) {
		t.Fatalf("Check out leads to %s, want the new sandbox", pay)
	}
	press(t, pay, url.Values{"action": {"pay"}, "email": {"jan@nowak.example"}})
	eventually(t, "the card says Paid", func() bool { return strings.HasPrefix(second.card(quote[0]), "Paid: ") })
	eventually(t, "its owner has a mail", func() bool { return second.mails() == 1 })
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}

	third := start(t, values)
	eventually(t, "the card is rebuilt", func() bool { return strings.HasPrefix(third.card(quote[0]), "Paid: ") })
	if out := third.out.String(); !strings.Contains(out, "is paid already") || len(third.quotes()) != 1 {
		t.Errorf("the tour of a paid sample quote says:\n%s", out)
	}
}

// With a key the very same system speaks to Stripe: no sandbox starts, and the webhooks come by the secret that was given.
func TestAKeyOfOnesOwnReplacesTheSandbox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stripe, err := sandbox.New(t.Context(), sandbox.Config{Addr: "127.0.0.1:0", TestKey: "sk_test_mine"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- stripe.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	s := start(t, settings(t, dir, map[string]string{
		"STRIPE_API_KEY": "sk_test_mine", "STRIPE_API_BASE": stripe.URL(), "STRIPE_WEBHOOK_SECRETS": "cli=whsec_cli",
	}))
	if addr, env := s.URL("SANDBOX_ADDR"), s.clientEnv(); addr != "" || env["SANDBOX_URL"] != "" {
		t.Errorf("a sandbox runs at %s although a key was given", addr)
	}
	if out := s.out.String(); strings.Contains(out, "sandbox") || !strings.Contains(out, "4242 4242 4242 4242") {
		t.Errorf("the tour does not speak of Stripe's page:\n%s", out)
	}
	pay := press(t, s.page()+"/checkout", nil)
	if !strings.HasPrefix(pay, stripe.URL()) {
		t.Fatalf("Check out leads to %s, want the Stripe of the key", pay)
	}
}

// Webhook secrets of one's own are the only ones that ingress accepts; the sandbox signs with the first of them.
func TestTheSandboxSignsWithTheSecretsThatWereGiven(t *testing.T) {
	s := start(t, settings(t, t.TempDir(), map[string]string{"STRIPE_WEBHOOK_SECRETS": "mine=whsec_of_my_own,old=whsec_old"}))
	quote := s.quotes()[0]
	press(t, press(t, s.page()+"/checkout", nil), url.Values{"action": {"pay"}, "email": {"jan@nowak.example"}})
	eventually(t, "the card says Paid", func() bool { return strings.HasPrefix(s.card(quote), "Paid: ") })
	if story := s.mustQuotectl("explain", quote); !strings.Contains(story, "secret mine ") {
		t.Errorf("no event was signed with the first secret:\n%s", story)
	}
}

func TestAStripeAddressNeedsAKey(t *testing.T) {
	_, err := allinone.ConfigFromEnv(lookup(map[string]string{"STRIPE_API_BASE": "http://127.0.0.1:1"}))
	if err == nil || !strings.Contains(fmt.Sprint(err), "STRIPE_API_BASE: goes with STRIPE_API_KEY") {
		t.Errorf("ConfigFromEnv = %v, want to hear that a key is missing", err)
	}
}
