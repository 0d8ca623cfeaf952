package quotes_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"quittance.internal/libs/platform/env"
)

// stripe is a small stateful Stripe: sessions, coupons, customers, and
// idempotency by key, each account a world of its own.
type stripe struct {
	url string

	mu        sync.Mutex
	replies   map[string]reply // by account and key
	sessions  map[string]*session
	coupons   map[string]url.Values // by account and id
	customers []customer
	events    []map[string]any
	calls     []string

	refuse func(method, path string, form url.Values) (status int, code, param string) // 0: go on
	after  func(method, path string) bool                                              // true: the effect happens, the answer is a 503
}

type reply struct {
	form   string
	status int
	body   []byte
}

type session struct {
	account string
	form    url.Values
	status  string
	amount  int64
	made    string // the customer that it has made
}

type customer struct{ ID, Account, Email, Name string }

// withStripe starts the service again, with a key and a Stripe to call.
func (f *fixture) withStripe(t *testing.T) *stripe {
	t.Helper()
	s := &stripe{replies: map[string]reply{}, sessions: map[string]*session{}, coupons: map[string]url.Values{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	f.stop()
	f.cfg.Stripe.Key, f.cfg.Stripe.Base = env.NewSecret("sk_test_1"), server.URL
	f.run(t)
	return s
}

func (s *stripe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "Bearer sk_test_1" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	account := r.Header.Get("Stripe-Account")
	s.calls = append(s.calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+account))
	key := account + " " + r.Header.Get("Idempotency-Key")
	old, known := s.replies[key]
	if r.Method != http.MethodPost {
		known = false
	}
	switch {
	case known && old.form != r.PostForm.Encode():
		old = reply{status: http.StatusBadRequest, body: []byte(`{"error":{"type":"idempotency_error","message":"other parameters"}}`)}
	case !known:
		old = s.answer(account, r)
		old.form = r.PostForm.Encode()
		if r.Method == http.MethodPost && old.status == http.StatusOK { // nothing is saved of a refused call
			s.replies[key] = old
		}
	}
	if s.after != nil && s.after(r.Method, r.URL.Path) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(old.status)
	_, _ = w.Write(old.body)
}

func (s *stripe) answer(account string, r *http.Request) reply {
	if s.refuse != nil {
		if status, code, param := s.refuse(r.Method, r.URL.Path, r.PostForm); status != 0 {
			return body(status, map[string]any{"error": map[string]any{"type": "invalid_request_error", "code": code, "param": param, "message": "no: " + code}})
		}
	}
	switch parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/"); {
	case r.URL.Path == "/v1/coupons":
		id := account + " " + r.PostForm.Get("id")
		if s.coupons[id] != nil {
			return body(http.StatusBadRequest, map[string]any{"error": map[string]any{"code": "resource_already_exists"}})
		}
		s.coupons[id] = r.PostForm
		return body(http.StatusOK, map[string]any{"id": r.PostForm.Get("id"), "object": "coupon"})
	case r.URL.Path == "/v1/customers" && r.Method == http.MethodGet:
		data := []any{}
		for _, c := range s.customers {
			if c.Account == account && c.Email == r.Form.Get("email") { // letter by letter, as Stripe does
				data = append(data, map[string]any{"id": c.ID, "object": "customer", "email": c.Email})
			}
		}
		return body(http.StatusOK, map[string]any{"object": "list", "data": data, "has_more": false, "url": "/v1/customers"})
	case r.URL.Path == "/v1/customers":
		c := customer{fmt.Sprint("cus_", len(s.customers)+1), account, r.PostForm.Get("email"), r.PostForm.Get("name")}
		s.customers = append(s.customers, c)
		return body(http.StatusOK, map[string]any{"id": c.ID, "object": "customer"})
	case r.URL.Path == "/v1/events":
		return body(http.StatusOK, map[string]any{"object": "list", "data": s.events, "has_more": false, "url": "/v1/events"})
	case parts[0] == "customers":
		for i := range s.customers {
			if c := &s.customers[i]; c.ID == parts[1] && c.Account == account {
				if r.Method == http.MethodPost {
					c.Name = r.PostForm.Get("name")
				}
				return body(http.StatusOK, map[string]any{"id": c.ID, "object": "customer", "email": c.Email, "name": c.Name})
			}
		}
		return body(http.StatusNotFound, map[string]any{"error": map[string]any{"code": "resource_missing"}})
	case r.URL.Path == "/v1/checkout/sessions":
		return s.open(account, r.PostForm)
	case len(parts) >= 3 && s.sessions[parts[2]] != nil && s.sessions[parts[2]].account == account:
		found := s.sessions[parts[2]]
		if len(parts) == 4 {
			if found.status != "open" {
				return body(http.StatusBadRequest, map[string]any{"error": map[string]any{"message": "only open sessions"}})
			}
			found.status = "expired"
		}
		return found.reply(parts[2])
	default:
		return body(http.StatusNotFound, map[string]any{"error": map[string]any{"code": "resource_missing"}})
	}
}

// open works the amount out as Stripe does, from what it was sent.
func (s *stripe) open(account string, form url.Values) reply {
	n := func(name string) int64 { v, _ := strconv.ParseInt(form.Get(name), 10, 64); return v }
	made := &session{account: account, form: form, status: "open"}
	for i := 0; form.Has(fmt.Sprintf("line_items[%d][quantity]", i)); i++ {
		at := fmt.Sprintf("line_items[%d]", i)
		made.amount += n(at+"[quantity]") * n(at+"[price_data][unit_amount]")
	}
	if id := form.Get("discounts[0][coupon]"); id != "" {
		coupon := s.coupons[account+" "+id]
		if coupon == nil {
			return body(http.StatusBadRequest, map[string]any{"error": map[string]any{"code": "resource_missing", "param": "discounts[0][coupon]"}})
		}
		off, _ := strconv.ParseInt(coupon.Get("amount_off"), 10, 64)
		made.amount -= off
	}
	id := fmt.Sprint("cs_test_", len(s.sessions)+1)
	s.sessions[id] = made
	return made.reply(id)
}

func (c *session) reply(id string) reply {
	expires, _ := strconv.ParseInt(c.form.Get("expires_at"), 10, 64)
	v := map[string]any{
		"id": id, "object": "checkout.session", "status": c.status, "amount_total": c.amount,
		"currency": c.form.Get("line_items[0][price_data][currency]"), "expires_at": expires,
	}
	if c.made != "" {
		v["customer"] = c.made
	}
	if c.status == "open" {
		v["url"] = "https://checkout.stripe.example/" + id
	}
	return body(http.StatusOK, v)
}

func body(status int, v any) reply {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return reply{status: status, body: b}
}

// with runs f while nothing is served.
func (s *stripe) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stripe) session(id string) (found session) {
	s.with(func() {
		if s.sessions[id] != nil {
			found = *s.sessions[id]
		}
	})
	return found
}

func (s *stripe) count() (n int) {
	s.with(func() { n = len(s.sessions) })
	return n
}

// called counts the calls of "METHOD /path".
func (s *stripe) called(what string) (n int) {
	s.with(func() {
		for _, c := range s.calls {
			if c == what {
				n++
			}
		}
	})
	return n
}
