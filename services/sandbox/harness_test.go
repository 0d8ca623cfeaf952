package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"go.uber.org/zap"

	"quittance.internal/services/sandbox"
)

// world is a running sandbox and Stripe's own SDK as its client.
type world struct {
	*client.API
	url string
	svc *sandbox.Service
}

const seller = "acct_1SandboxSolar"

func start(t *testing.T, cfg sandbox.Config) *world {
	t.Helper()
	cfg.Addr, cfg.Seed = "127.0.0.1:0", t.Name()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := sandbox.New(ctx, cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return &world{API: api(s.URL(), sandbox.DefaultTestKey), url: s.URL(), svc: s}
}

// api is the SDK with a key, without retries of its own.
func api(url, key string) *client.API {
	return apiWith(url, key, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
}

type stripeAPI = client.API

// accountTransport adds Stripe-Account.
type accountTransport struct{ account string }

func (a accountTransport) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Header.Set("Stripe-Account", a.account)
	return http.DefaultTransport.RoundTrip(q)
}

func apiWith(url, key string, h *http.Client) *client.API {
	retries := int64(0)
	b := &stripe.BackendConfig{
		URL: stripe.String(url), MaxNetworkRetries: &retries, LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		HTTPClient: h,
	}
	return client.New(key, &stripe.Backends{
		API: stripe.GetBackendWithConfig(stripe.APIBackend, b), Connect: stripe.GetBackendWithConfig(stripe.ConnectBackend, b),
	})
}

// admin calls the admin API and fails the test on a refusal.
func (w *world) admin(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	status, got := call(t, method, w.url+path, body, nil)
	var out map[string]any
	if err := json.Unmarshal([]byte(got), &out); err != nil || status != http.StatusOK {
		t.Fatalf("%s %s %s = %d %s", method, path, body, status, got)
	}
	return out
}

func call(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if location := res.Header.Get("Location"); location != "" {
		return res.StatusCode, location
	}
	return res.StatusCode, string(b)
}

var metadata = map[string]string{"quote_id": "q_1042", "quote_revision": "1", "seller": "main"}

// oneTime is a checkout of one line of 1230.00 PLN.
func oneTime() *stripe.CheckoutSessionParams {
	return &stripe.CheckoutSessionParams{
		Mode: stripe.String("payment"), SuccessURL: stripe.String("https://quotes.example/paid?s={CHECKOUT_SESSION_ID}"),
		CancelURL: stripe.String("https://quotes.example/q"), CustomerEmail: stripe.String("anna@customer.example"), Metadata: metadata,
		LineItems:         []*stripe.CheckoutSessionLineItemParams{line("Roof", 123000, 1)},
		PaymentIntentData: &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: metadata},
	}
}

func line(name string, amount, quantity int64) *stripe.CheckoutSessionLineItemParams {
	return &stripe.CheckoutSessionLineItemParams{
		Quantity: stripe.Int64(quantity),
		PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: stripe.String("pln"), UnitAmount: stripe.Int64(amount),
			ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(name)},
		},
	}
}

func monthly(name string, amount, quantity int64) *stripe.CheckoutSessionLineItemParams {
	l := line(name, amount, quantity)
	l.PriceData.Recurring = &stripe.CheckoutSessionLineItemPriceDataRecurringParams{Interval: stripe.String("month")}
	return l
}

// recurring is a checkout of 1000.00 PLN a month and 230.00 PLN once.
func recurring() *stripe.CheckoutSessionParams {
	p := oneTime()
	p.Mode, p.PaymentIntentData = stripe.String("subscription"), nil
	p.LineItems = []*stripe.CheckoutSessionLineItemParams{monthly("Service", 50000, 2), line("Tax", 23000, 1)}
	p.SubscriptionData = &stripe.CheckoutSessionSubscriptionDataParams{Metadata: metadata}
	return p
}

// open makes a session.
func (w *world) open(t *testing.T, p *stripe.CheckoutSessionParams) *stripe.CheckoutSession {
	t.Helper()
	s, err := w.CheckoutSessions.New(p)
	if err != nil {
		t.Fatalf("create session: %v", err)
	}
	return s
}

// act presses a button of the pay page by the admin API.
func (w *world) act(t *testing.T, session, action string) {
	t.Helper()
	w.admin(t, http.MethodPost, "/sandbox/sessions/"+session, `{"action":"`+action+`","name":"Anna Nowak"}`)
}

// refusal is the error in Stripe's shape.
func refusal(t *testing.T, err error) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want one in Stripe's shape", err)
	}
	return e
}

// hook is a receiver of webhooks.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(n int) int // status for the n-th request, from 1; nil: 200
}

type received struct {
	signature string
	body      []byte
	event     stripe.Event
}

func receiver(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		r := received{signature: q.Header.Get("Stripe-Signature"), body: b}
		_ = json.NewDecoder(bytes.NewReader(b)).Decode(&r.event)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, r)
		if h.answer != nil {
			w.WriteHeader(h.answer(len(h.got)))
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) all() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received(nil), h.got...)
}

func (h *hook) types() []string {
	var types []string
	for _, r := range h.all() {
		types = append(types, string(r.event.Type))
	}
	return types
}

// until polls until ok, at most a minute.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("gave up waiting until %s", what)
		case <-tick.C:
		}
	}
}

// endpoint registers h for the platform's own events.
func (w *world) endpoint(t *testing.T, h *hook, version string, connect bool) *stripe.WebhookEndpoint {
	t.Helper()
	p, err := w.WebhookEndpoints.New(&stripe.WebhookEndpointParams{
		URL: stripe.String(h.URL), EnabledEvents: []*string{stripe.String("*")}, Connect: stripe.Bool(connect), APIVersion: stripe.String(version),
	})
	if err != nil {
		t.Fatalf("create endpoint: %v", err)
	}
	return p
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}
