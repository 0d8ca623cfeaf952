package stripegate_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/stripegate"
)

func TestTheBrowserGoesToStripesOwnPage(t *testing.T) { // R8, R9, R10
	for _, tt := range []struct {
		set  map[string]string
		want string
	}{
		{map[string]string{}, "https://connect.stripe.com/oauth/authorize"},
		{map[string]string{"STRIPE_API_BASE": "http://sandbox:8083/"}, "http://sandbox:8083/oauth/authorize"},
		{map[string]string{"STRIPE_API_BASE": "http://sandbox:8083", "STRIPE_CONNECT_URL": "http://127.0.0.1:8083/"}, "http://127.0.0.1:8083/oauth/authorize"},
	} {
		tt.set["STRIPE_API_KEY"], tt.set["STRIPE_CLIENT_ID"] = "sk_test_1", "ca_1"
		r := env.NewReader(func(name string) (string, bool) { v, ok := tt.set[name]; return v, ok })
		c := stripegate.ConfigFromEnv(r, "test")
		if err := r.Err(); err != nil || !c.ConnectConfigured() {
			t.Fatalf("%v: %v, connect %t", tt.set, err, c.ConnectConfigured())
		}
		u, err := url.Parse(c.AuthorizeURL("s&1", "https://quotes.example/back?a=b"))
		if err != nil || u.Scheme+"://"+u.Host+u.Path != tt.want {
			t.Errorf("AuthorizeURL = %v, %v, want %s", u, err, tt.want)
			continue
		}
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "ca_1", "scope": "read_write", "state": "s&1", "redirect_uri": "https://quotes.example/back?a=b",
		} {
			if got := u.Query().Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
	}
	for name, set := range map[string]map[string]string{
		"STRIPE_CLIENT_ID":   {"STRIPE_CLIENT_ID": "sk_test_1"},
		"STRIPE_CONNECT_URL": {"STRIPE_CONNECT_URL": "connect.stripe.com"},
	} {
		r := env.NewReader(func(name string) (string, bool) { v, ok := set[name]; return v, ok })
		if stripegate.ConfigFromEnv(r, "test"); r.Err() == nil || !strings.Contains(r.Err().Error(), name) {
			t.Errorf("%v: %v", set, r.Err())
		}
	}
}

// A code that is used twice loses the access that its first use gave.
func TestACodeIsUsedOnceWhateverHappens(t *testing.T) {
	for _, trouble := range []string{`503 {"error":"server_error"}`, `409 {"error":{"code":"lock_timeout"}}`, `502 <html>`} {
		c, seen := against(t, trouble)
		if _, err := c.Exchange(t.Context(), "ac_1"); !errors.Is(err, stripegate.ErrUnavailable) || len(seen.list) != 1 {
			t.Errorf("%s: %v after %d requests", trouble, err, len(seen.list))
		}
	}
	c, seen := against(t, `200 {"stripe_user_id":"acct_1","livemode":false,"scope":"read_write"}`)
	got, err := c.Exchange(t.Context(), "ac_1")
	if err != nil || got != (stripegate.Authorization{Account: "acct_1", Mode: "test"}) || !strings.HasPrefix(seen.list[0], "POST /oauth/token") {
		t.Errorf("Exchange = %+v, %v, %v", got, err, seen.list)
	}
	c, _ = against(t, `400 {"error":"invalid_grant","error_description":"This authorization code has already been used."}`)
	_, err = c.Exchange(t.Context(), "ac_1")
	if refused, ok := errors.AsType[*stripegate.RefusedError](err); !ok || refused.Code != stripegate.CodeInvalidGrant || !strings.Contains(refused.Message, "already been used") {
		t.Errorf("a void code: %v", err)
	}
	c, _ = against(t, `200 {"livemode":false}`)
	if _, err := c.Exchange(t.Context(), "ac_1"); err == nil {
		t.Error("an answer without an account is taken")
	}
}

func TestActivationIsAskedOfStripe(t *testing.T) { // R6
	c, seen := against(t, `200 {"id":"acct_1","object":"account","charges_enabled":false,"requirements":{"disabled_reason":"requirements.past_due"}}`)
	got, err := c.Account(t.Context(), "acct_1")
	if err != nil || got != (stripegate.Account{ID: "acct_1", Disabled: "requirements.past_due"}) || !strings.HasPrefix(seen.list[0], "GET /v1/accounts/acct_1") {
		t.Errorf("Account = %+v, %v, %v", got, err, seen.list)
	}
}

func TestDeauthorizingMayBeRepeated(t *testing.T) { // R11
	const notConnected = `401 {"error":"invalid_client","error_description":"This application is not connected to stripe account acct_1."}`
	for _, tt := range []struct {
		answers []string
		ok      bool
	}{
		{[]string{`200 {"stripe_user_id":"acct_1"}`}, true},
		{[]string{notConnected, `403 {"error":{"code":"account_invalid"}}`}, true},
		{[]string{notConnected, `200 {"id":"acct_1","object":"account","charges_enabled":true}`}, false}, // a wrong client id
		{[]string{`503 {"error":"server_error"}`}, false},
	} {
		c, _ := against(t, tt.answers...)
		if err := c.Deauthorize(t.Context(), "acct_1"); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.answers, err)
		}
	}
}
