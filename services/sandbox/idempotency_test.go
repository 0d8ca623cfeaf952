package sandbox_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/services/sandbox"
)

// keyed is a request to create a customer under a key; it returns status, body and header.
func (w *world) keyed(t *testing.T, key, path, body, account string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+sandbox.DefaultTestKey)
	req.Header.Set("Idempotency-Key", key)
	if account != "" {
		req.Header.Set("Stripe-Account", account)
	}
	// A transport of its own: net/http repeats requests with an Idempotency-Key on a connection that broke.
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, string(b), res.Header
}

func (w *world) customers(t *testing.T) int {
	t.Helper()
	n := 0
	for i := w.Customers.List(&stripe.CustomerListParams{}); i.Next(); {
		n++
	}
	return n
}

// Each row sends the same key twice, the first time under a fault.
func TestIdempotencyIsStripes(t *testing.T) {
	const path, email = "/v1/customers", "email=a@b.example"
	for name, tt := range map[string]struct {
		fault         string
		path, body    string // of the second request
		first, second int
		replayed      bool
		customers     int
		says          string
		advance       string
	}{
		"replay":                       {"", path, email, 200, 200, true, 1, "cus_", ""},
		"more parameters":              {"", path, "name=x&" + email, 200, 400, false, 1, "same parameters", ""},
		"other parameters":             {"", path, "email=other@b.example", 200, 400, false, 1, "same parameters", ""},
		"other endpoint":               {"", "/v1/coupons", email, 200, 400, false, 1, "same endpoint", ""},
		"pruned after a day":           {"", path, email, 200, 200, false, 2, "cus_", "24h"},
		"500 after the effect":         {`{"kind":"server_error","after":true}`, path, email, 500, 500, true, 1, "unexpected error", ""},
		"500 before the effect":        {`{"kind":"server_error"}`, path, email, 500, 500, true, 0, "unexpected error", ""},
		"429 keeps nothing":            {`{"kind":"rate_limit"}`, path, email, 429, 200, false, 1, "cus_", ""},
		"lock_timeout keeps nothing":   {`{"kind":"lock_timeout"}`, path, email, 429, 200, false, 1, "cus_", ""},
		"503 before keeps nothing":     {`{"kind":"unavailable"}`, path, email, 503, 200, false, 1, "cus_", ""},
		"503 after keeps the answer":   {`{"kind":"unavailable","after":true}`, path, email, 503, 200, true, 1, "cus_", ""},
		"502 of a proxy after":         {`{"kind":"html_502","after":true}`, path, email, 502, 200, true, 1, "cus_", ""},
		"reset before keeps nothing":   {`{"kind":"reset"}`, path, email, 0, 200, false, 1, "cus_", ""},
		"reset after keeps the answer": {`{"kind":"reset","after":true}`, path, email, 0, 200, true, 1, "cus_", ""},
		"slow":                         {`{"kind":"slow","delay":"20ms"}`, path, email, 200, 200, true, 1, "cus_", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, sandbox.Config{})
			if tt.fault != "" {
				w.admin(t, http.MethodPost, "/sandbox/faults", tt.fault)
			}
			status, firstBody, _ := w.keyed(t, "k1", path, email, "")
			if status != tt.first {
				t.Fatalf("first request = %d %s, want %d", status, firstBody, tt.first)
			}
			if tt.advance != "" {
				w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"`+tt.advance+`"}`)
			}
			status, body, header := w.keyed(t, "k1", tt.path, tt.body, "")
			if status != tt.second || !strings.Contains(body, tt.says) {
				t.Errorf("second request = %d %s, want %d and %q", status, body, tt.second, tt.says)
			}
			if got := header.Get("Idempotent-Replayed") == "true"; got != tt.replayed {
				t.Errorf("Idempotent-Replayed = %v, want %v", got, tt.replayed)
			}
			if tt.replayed && status == tt.first && body != firstBody {
				t.Errorf("replayed body differs:\n%s\n%s", firstBody, body)
			}
			if tt.replayed && (header.Get("Original-Request") == "" || header.Get("Request-Id") == header.Get("Original-Request")) {
				t.Errorf("Request-Id %q, Original-Request %q", header.Get("Request-Id"), header.Get("Original-Request"))
			}
			if n := w.customers(t); n != tt.customers {
				t.Errorf("%d customers, want %d", n, tt.customers)
			}
		})
	}
}

func TestARefusedRequestLeavesItsKeyFree(t *testing.T) {
	w := start(t, sandbox.Config{})
	if status, body, _ := w.keyed(t, "k", "/v1/customers", "email=nonsense", ""); status != 400 {
		t.Fatalf("bad e-mail = %d %s", status, body)
	}
	if status, body, header := w.keyed(t, "k", "/v1/customers", "email=a@b.example", ""); status != 200 || header.Get("Idempotent-Replayed") != "" {
		t.Errorf("corrected request under the same key = %d %s", status, body)
	}
}

func TestAKeyInFlightIsRefused(t *testing.T) {
	w := start(t, sandbox.Config{})
	w.admin(t, http.MethodPost, "/sandbox/faults", `{"kind":"slow","delay":"300ms"}`)
	var both sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		both.Go(func() { statuses[i], _, _ = w.keyed(t, "k", "/v1/customers", "email=a@b.example", "") })
	}
	both.Wait()
	conflicts := 0
	for _, s := range statuses {
		if s == http.StatusConflict {
			conflicts++
		}
	}
	if conflicts == 0 || w.customers(t) != 1 {
		t.Errorf("statuses %v and %d customers, want some 409 and one customer", statuses, w.customers(t))
	}
}

func TestKeysBelongToOneAccountAndMode(t *testing.T) {
	w := start(t, sandbox.Config{Accounts: []sandbox.Account{{ID: seller, Name: "Solar", Country: "PL", Activated: true, Connected: true}}})
	_, first, _ := w.keyed(t, "k", "/v1/customers", "email=a@b.example", "")
	_, second, header := w.keyed(t, "k", "/v1/customers", "email=a@b.example", seller)
	if first == second || header.Get("Idempotent-Replayed") != "" {
		t.Errorf("the key of the platform was replayed for %s", seller)
	}
	live := api(w.url, sandbox.DefaultLiveKey)
	p := &stripe.CustomerParams{Email: stripe.String("a@b.example")}
	p.SetIdempotencyKey("k")
	if c, err := live.Customers.New(p); err != nil || !c.Livemode || w.customers(t) != 1 {
		t.Errorf("live customer = %+v, %v", c, err)
	}
}

// The SDK tries a 503 again under the same key: one effect.
func TestTheSDKsRetriesHaveOneEffect(t *testing.T) {
	w := start(t, sandbox.Config{})
	retries := int64(3)
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{URL: &w.url, MaxNetworkRetries: &retries, LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}})
	w.Init(sandbox.DefaultTestKey, &stripe.Backends{API: b, Connect: b})
	w.admin(t, http.MethodPost, "/sandbox/faults", `{"kind":"unavailable","method":"POST","after":true}`)
	if _, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")}); err != nil {
		t.Fatal(err)
	}
	if n := w.customers(t); n != 1 {
		t.Errorf("%d customers after a retry, want 1", n)
	}
}
