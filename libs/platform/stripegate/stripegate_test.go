package stripegate_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/stripegate"
)

// calls records what a Stripe was asked.
type calls struct {
	mu   sync.Mutex
	keys []string
	list []string
}

// against returns a client of a server that answers as told, one answer after
// the other and the last one for ever.
func against(t *testing.T, answers ...string) (*stripegate.Client, *calls) {
	t.Helper()
	seen := &calls{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.keys = append(seen.keys, r.Header.Get("Idempotency-Key"))
		seen.list = append(seen.list, r.Method+" "+r.URL.String()+" "+r.Header.Get("Stripe-Account"))
		status, text, _ := strings.Cut(answers[min(len(seen.keys), len(answers))-1], " ")
		code := http.StatusOK
		if _, err := fmt.Sscan(status, &code); err != nil {
			t.Error(err)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return stripegate.New(stripegate.Config{Key: env.NewSecret("sk_test_1"), Base: server.URL}), seen
}

func TestARepeatedCallKeepsItsKey(t *testing.T) {
	c, seen := against(t, `503 {"error":{"message":"later"}}`, `200 {"id":"cus_1","object":"customer"}`)
	id, err := c.CreateCustomer(t.Context(), stripegate.Customer{Account: "acct_1", Email: "A@b.example"})
	if err != nil || id != "cus_1" || len(seen.keys) != 2 || seen.keys[0] != seen.keys[1] {
		t.Errorf("customer %q, %v after %v", id, err, seen.keys)
	}
	if !strings.HasPrefix(seen.keys[0], "customer:acct_1:") || strings.Contains(seen.keys[0], "@") || len(seen.keys[0]) != len("customer:acct_1:")+64 {
		t.Errorf("key = %s", seen.keys[0])
	}
	other, again := against(t, `200 {"id":"cus_1","object":"customer"}`)
	if _, err := other.CreateCustomer(t.Context(), stripegate.Customer{Account: "acct_1", Email: "a@B.example"}); err != nil || again.keys[0] != seen.keys[0] {
		t.Errorf("the same address in other letters has key %v, %v", again.keys, err)
	}
}

func TestTroubleIsToldFromRefusals(t *testing.T) {
	for _, tt := range []struct {
		answer      string
		unavailable bool
		code        string
		detached    bool
	}{
		{`500 {"error":{"message":"oops"}}`, true, "", false},
		{`502 <html>bad gateway</html>`, true, "", false},
		{`429 {"error":{"code":"rate_limit"}}`, true, "", false},
		{`401 {"error":{"message":"Invalid API Key"}}`, true, "", false},
		{`400 {"error":{"code":"amount_too_small","message":"too small","param":"line_items"}}`, false, "amount_too_small", false},
		{`400 {"error":{"type":"idempotency_error","message":"other parameters"}}`, false, "idempotency_error", false},
		{`403 {"error":{"code":"account_invalid"}}`, false, "account_invalid", true},
		{`404 {"error":{"code":"resource_missing"}}`, false, "resource_missing", false},
	} {
		c, _ := against(t, tt.answer)
		_, err := c.OpenCheckout(t.Context(), stripegate.Checkout{Key: "k", Account: "platform", Currency: "eur"})
		refused, ok := errors.AsType[*stripegate.RefusedError](err)
		if errors.Is(err, stripegate.ErrUnavailable) != tt.unavailable || ok == tt.unavailable || ok && (refused.Code != tt.code || refused.AccountDetached != tt.detached) {
			t.Errorf("%s: %v", tt.answer, err)
		}
	}
}

func TestNobodyThereIsTrouble(t *testing.T) {
	c := stripegate.New(stripegate.Config{Key: env.NewSecret("sk_test_1"), Base: "http://127.0.0.1:1"})
	if _, err := c.Session(t.Context(), "platform", "cs_1"); !errors.Is(err, stripegate.ErrUnavailable) {
		t.Errorf("Session = %v", err)
	}
}

func TestOnlyTheConnectedAccountIsNamed(t *testing.T) { // R4, R21
	for account, want := range map[string]string{"platform": "", "acct_1": "acct_1"} {
		c, seen := against(t, `200 {"object":"list","data":[],"has_more":false,"url":"/v1/customers"}`)
		id, err := c.FindCustomer(t.Context(), account, "Ann@b.example")
		if id != "" || err != nil || len(seen.list) != 2 || !strings.HasSuffix(seen.list[0], " "+want) {
			t.Errorf("%s: %q, %v, %q", account, id, err, seen.list)
		}
	}
}

func TestTheKeyMustBeOfTheMode(t *testing.T) { // R76
	for _, tt := range []struct{ key, mode, base, want string }{
		{"sk_test_1", "test", "", ""},
		{"rk_live_1", "live", "", ""},
		{"", "live", "", ""},
		{"sk_live_1", "test", "", "STRIPE_API_KEY: is not a key of test mode"},
		{"sk_test_1", "live", "", "STRIPE_API_KEY: is not a key of live mode"},
		{"sk_test_1", "test", "localhost:12111", "STRIPE_API_BASE"},
	} {
		set := map[string]string{"STRIPE_API_KEY": tt.key, "STRIPE_API_BASE": tt.base}
		r := env.NewReader(func(name string) (string, bool) { v, ok := set[name]; return v, ok })
		c := stripegate.ConfigFromEnv(r, tt.mode)
		if err := r.Err(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || c.Configured() != (tt.key != "") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
