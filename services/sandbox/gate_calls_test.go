package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/sandbox"
)

// gateTest is stripegate on the sandbox, with Stripe's own mock looking on.
type gateTest struct {
	*stripegate.Client
	w *world
	n int
}

func (g *gateTest) order(email string, lines ...quote.CheckoutLine) stripegate.Checkout {
	g.n++
	return stripegate.Checkout{
		Key: fmt.Sprint("checkout:", g.n), Account: seller, Currency: "pln", Email: email, Metadata: metadata, Lines: lines, Reference: "q_1042",
		ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second), RequestedAt: time.Now(), SuccessURL: "https://quotes.example/paid?s={CHECKOUT_SESSION_ID}", CancelURL: "https://quotes.example/q",
	}
}

var (
	roof    = quote.CheckoutLine{Name: "Roof", Quantity: 3, UnitAmount: 41000}
	service = quote.CheckoutLine{Name: "Service", Quantity: 1, UnitAmount: 9900, Recurring: &quote.Recurring{Interval: "month", IntervalCount: 3}}
)

// calls are all that stripegate can be asked for, by method; a method that is not among them fails the test.
func (g *gateTest) calls(ctx context.Context, t *testing.T) map[string]func() error {
	t.Helper()
	open := func() string {
		s, err := g.OpenCheckout(ctx, g.order("a@b.example", roof))
		if err != nil {
			t.Fatal(err)
		}
		return s.ID
	}
	return map[string]func() error{
		"OpenCheckout": func() error {
			_, err := g.OpenCheckout(ctx, g.order("a@b.example", roof, service))
			if err != nil {
				return err
			}
			g.n++
			coupon := stripegate.Coupon{Account: seller, ID: fmt.Sprint("quittance_q_", g.n), Name: "Quote discount", Amount: 500, Currency: "pln", Forever: true, Metadata: metadata}
			if err := g.EnsureCoupon(ctx, coupon); err != nil {
				return err
			}
			o := g.order("", roof)
			o.Coupon = coupon.ID
			if o.Customer, err = g.CreateCustomer(ctx, stripegate.Customer{Account: seller, Email: fmt.Sprint("open", g.n, "@b.example")}); err != nil {
				return err
			}
			_, err = g.OpenCheckout(ctx, o)
			return err
		},
		"Session": func() error { _, err := g.Session(ctx, seller, open()); return err },
		"ExpireSession": func() error {
			id := open()
			if _, err := g.ExpireSession(ctx, seller, id); err != nil {
				return err
			}
			_, err := g.ExpireSession(ctx, seller, id) // it is ended already
			return err
		},
		"ExpireOpenSessions": func() error { open(); _, err := g.ExpireOpenSessions(ctx, seller, "main"); return err },
		"EnsureCoupon": func() error {
			g.n++
			o := stripegate.Coupon{Account: seller, ID: fmt.Sprint("quittance_q_", g.n), Name: "Quote discount", Amount: 500, Currency: "pln", Metadata: metadata}
			if err := g.EnsureCoupon(ctx, o); err != nil {
				return err
			}
			return g.EnsureCoupon(ctx, o) // it is there already
		},
		"FindCustomer": func() error { _, err := g.FindCustomer(ctx, seller, "Anna@B.example"); return err },
		"CreateCustomer": func() error {
			g.n++
			_, err := g.CreateCustomer(ctx, stripegate.Customer{Account: seller, Email: fmt.Sprint("c", g.n, "@b.example"), Name: "Customer & Sons", Metadata: metadata})
			return err
		},
		"NameCustomer": func() error {
			g.n++
			id, err := g.CreateCustomer(ctx, stripegate.Customer{Account: seller, Email: fmt.Sprint("n", g.n, "@b.example")})
			if err != nil {
				return err
			}
			_, err = g.NameCustomer(ctx, seller, id, "Anna Nowak")
			return err
		},
		"SessionEvents": func() error {
			id := open()
			g.w.act(t, id, "pay")
			events, err := g.SessionEvents(ctx, seller, id, time.Now().Add(-time.Minute))
			if err == nil && len(events) == 0 {
				err = fmt.Errorf("no events of session %s", id)
			}
			return err
		},
		"Account": func() error { _, err := g.Account(ctx, seller); return err },
		"Events": func() error {
			g.w.act(t, open(), "pay")
			first, err := g.Events(ctx, stripegate.EventQuery{Account: seller, Types: []string{"checkout.session.completed", "charge.succeeded"}, Since: time.Now().Add(-time.Minute)})
			if err != nil {
				return err
			}
			_, err = g.Events(ctx, stripegate.EventQuery{Account: seller, Types: []string{"charge.succeeded"}, Since: time.Now().Add(-time.Minute), After: first.Last})
			return err
		},
		"Object":     func() error { return g.readPaid(ctx, t, open()) },
		"SessionsOf": func() error { return g.readPaid(ctx, t, open()) },
		"Endpoints":  func() error { _, _, err := g.Endpoints(ctx); return err },
		// OAuth is no part of the mock's specification; the proof of Connect is in services/quotes.
		"Exchange": nil, "Deauthorize": nil,
	}
}

// readPaid pays a session and reads what came of it: its intent, the intent's charge, and the session by the intent.
func (g *gateTest) readPaid(ctx context.Context, t *testing.T, session string) error {
	t.Helper()
	g.w.act(t, session, "pay")
	var paid struct {
		PaymentIntent string `json:"payment_intent"`
	}
	var intent struct {
		LatestCharge string `json:"latest_charge"`
	}
	for _, read := range []struct {
		id   *string
		into any
	}{{&session, &paid}, {&paid.PaymentIntent, &intent}, {&intent.LatestCharge, &struct{}{}}} {
		raw, err := g.Object(ctx, seller, *read.id)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, read.into); err != nil {
			return err
		}
	}
	sessions, err := g.SessionsOf(ctx, seller, paid.PaymentIntent)
	if err == nil && len(sessions) != 1 {
		err = fmt.Errorf("intent %s came out of %d sessions, want 1", paid.PaymentIntent, len(sessions))
	}
	return err
}

// R45: nothing that is asked of Stripe cancels or changes a subscription; what is asked is this list and nothing else.
func TestStripesOwnMockAcceptsEveryRequestOfTheGate(t *testing.T) {
	both := mocked(t)
	const key = "sk_test_123456789"
	for _, fault := range []string{
		"", `"kind":"unavailable"`, `"kind":"unavailable","after":true`, `"kind":"reset","after":true`, `"kind":"html_502"`, `"kind":"lock_timeout"`, `"kind":"server_error","after":true`,
	} {
		t.Run(strings.ReplaceAll(fault, `"`, ""), func(t *testing.T) {
			w := start(t, sandbox.Config{TestKey: key, Accounts: []sandbox.Account{{ID: seller, Name: "Solar", Country: "PL", Activated: true, Connected: true}}})
			g := &gateTest{Client: stripegate.New(stripegate.Config{Key: env.NewSecret(key), Base: w.url, Transport: both}), w: w}
			calls := g.calls(t.Context(), t)
			for i := range reflect.TypeFor[*stripegate.Client]().NumMethod() {
				name := reflect.TypeFor[*stripegate.Client]().Method(i).Name
				call, known := calls[name]
				if !known {
					t.Errorf("nothing proves how the requests of %s are spelt: add it to the calls of this test", name)
				}
				if call == nil {
					continue
				}
				if fault != "" {
					w.admin(t, http.MethodPost, "/sandbox/faults", "{"+fault+`,"method":"POST"}`)
				}
				if err := call(); err != nil && !strings.Contains(fault, "server_error") {
					t.Errorf("%s: %v", name, err)
				}
				w.admin(t, http.MethodDelete, "/sandbox/faults", "")
			}
		})
	}
	if len(both.against) > 0 {
		t.Errorf("the mock refuses:\n%s", strings.Join(both.against, "\n"))
	}
	want := []string{
		"GET /v1/accounts/{id}", "GET /v1/charges/{id}", "GET /v1/checkout/sessions", "GET /v1/checkout/sessions/{id}", "GET /v1/customers",
		"GET /v1/customers/{id}", "GET /v1/events", "GET /v1/payment_intents/{id}", "GET /v1/webhook_endpoints",
		"POST /v1/checkout/sessions", "POST /v1/checkout/sessions/{id}/expire", "POST /v1/coupons", "POST /v1/customers", "POST /v1/customers/{id}",
	}
	if got := slices.Sorted(maps.Keys(both.asked)); !slices.Equal(got, want) {
		t.Errorf("Stripe is asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
