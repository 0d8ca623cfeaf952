package sandbox_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/services/sandbox"
)

// What R55 rests on: what the ingress did not take comes again, each time signed anew, until it answers 2xx.
func TestDeliveriesAreRetriedUntil2xx(t *testing.T) {
	w, h := start(t, sandbox.Config{}), receiver(t)
	h.answer = func(n int) int { return map[int]int{1: 503, 2: 302}[n] + 200*min(1, max(0, n-2)) }
	p := w.endpoint(t, h, sandbox.Version20231016, false)
	if _, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")}); err != nil {
		t.Fatal(err)
	}
	for n, advance := range []string{"", "61s", "31m"} {
		if advance != "" {
			if got := w.undelivered(t); !slices.Equal(got, []string{"customer.created"}) {
				t.Errorf("delivery_success=false before attempt %d lists %v", n+1, got)
			}
			w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"`+advance+`"}`)
		}
		until(t, "the next attempt came", func() bool { return len(h.all()) == n+1 })
	}
	w.settled(t)
	if got := w.undelivered(t); got != nil {
		t.Errorf("delivery_success=false after a 2xx lists %v", got)
	}
	got := h.all()
	for _, r := range got {
		if r.event.ID != got[0].event.ID {
			t.Errorf("a retry has another event id")
		}
		if err := webhook.ValidatePayload(r.body, r.signature, p.Secret); err != nil {
			t.Errorf("signature %q: %v", r.signature, err)
		}
		if !strings.Contains(r.signature, ",v0=") {
			t.Errorf("no v0 in test mode: %q", r.signature)
		}
	}
}

// undelivered are the types that the catch-up of the reconciler would list.
func (w *world) undelivered(t *testing.T) []string {
	t.Helper()
	var types []string
	p := &stripe.EventListParams{DeliverySuccess: stripe.Bool(false)}
	i := w.Events.List(p)
	for i.Next() {
		types = append(types, string(i.Event().Type))
	}
	if i.Err() != nil {
		t.Fatal(i.Err())
	}
	return types
}

func TestGivenUpDeliveriesStayUndelivered(t *testing.T) {
	w, h := start(t, sandbox.Config{}), receiver(t)
	h.answer = func(int) int { return 500 }
	p := w.endpoint(t, h, sandbox.Version20231016, false)
	_, _ = w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")})
	for n := 1; n <= 4; n++ {
		until(t, "the attempt came", func() bool { return len(h.all()) == n })
		until(t, "the attempt is noted", func() bool {
			return !strings.Contains(body(t, w.admin(t, http.MethodGet, "/sandbox/deliveries", "")), `"attempts":[]`)
		})
		until(t, "the attempt is counted", func() bool {
			return strings.Count(body(t, w.admin(t, http.MethodGet, "/sandbox/deliveries", "")), `"status":500`) == n
		})
		w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"4h"}`)
	}
	if d := w.admin(t, http.MethodGet, "/sandbox/deliveries?state=failed", ""); d["deliveries"] == nil {
		t.Errorf("deliveries = %v, want one given up after four attempts", w.admin(t, http.MethodGet, "/sandbox/deliveries", ""))
	}
	if got := w.undelivered(t); len(got) != 1 {
		t.Errorf("delivery_success=false lists %v, want the event", got)
	}
	// A disabled endpoint gets nothing any more.
	if _, err := w.WebhookEndpoints.Update(p.ID, &stripe.WebhookEndpointParams{Disabled: stripe.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Customers.New(&stripe.CustomerParams{Email: stripe.String("c@b.example")})
	if d := w.admin(t, http.MethodGet, "/sandbox/deliveries?state=pending", ""); d["deliveries"] != nil {
		t.Errorf("a disabled endpoint has pending deliveries: %v", d)
	}
}

func body(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKnobsDisturbDelivery(t *testing.T) {
	for name, tt := range map[string]struct {
		knobs string
		check func(t *testing.T, w *world, h *hook)
	}{
		"duplicate": {`{"duplicate":true,"types":["charge.*"]}`, func(t *testing.T, w *world, h *hook) {
			t.Helper()
			until(t, "seven came", func() bool { return len(h.all()) == 7 })
		}},
		"second event id": {`{"second_event_id":true,"types":["checkout.session.completed"]}`, func(t *testing.T, w *world, h *hook) {
			t.Helper()
			until(t, "six came", func() bool { return len(h.all()) == 6 })
			ids := map[string]bool{}
			for _, r := range h.all() {
				if r.event.Type == "checkout.session.completed" {
					ids[r.event.ID] = true
				}
			}
			if len(ids) != 2 {
				t.Errorf("ids of checkout.session.completed: %v, want two", ids)
			}
		}},
		"drop": {`{"drop":true}`, func(t *testing.T, w *world, h *hook) {
			t.Helper()
			if got := w.undelivered(t); len(got) != 5 || len(h.all()) != 0 {
				t.Errorf("undelivered %v, delivered %v", got, h.types())
			}
			for i := w.Events.List(&stripe.EventListParams{}); i.Next(); {
				w.admin(t, http.MethodPost, "/sandbox/deliveries", `{"event":"`+i.Event().ID+`"}`)
			}
			until(t, "the dropped came", func() bool { return len(h.all()) == 5 })
			w.settled(t)
			if got := w.undelivered(t); got != nil {
				t.Errorf("undelivered after catching up: %v", got)
			}
		}},
		"late": {`{"late":"72h"}`, func(t *testing.T, w *world, h *hook) {
			t.Helper()
			if len(h.all()) != 0 {
				t.Errorf("delivered at once: %v", h.types())
			}
			w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"72h"}`)
			until(t, "five came", func() bool { return len(h.all()) == 5 })
		}},
		"reorder": {`{"reorder":true}`, func(t *testing.T, w *world, h *hook) {
			t.Helper()
			until(t, "five came", func() bool { return len(h.all()) == 5 })
			if strings.HasPrefix(strings.Join(h.types(), " "), "payment_intent.created charge.succeeded payment_intent.succeeded") {
				t.Errorf("order is that in which it happened")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, h := start(t, sandbox.Config{}), receiver(t)
			w.endpoint(t, h, sandbox.Version20231016, false)
			w.admin(t, http.MethodPost, "/sandbox/knobs", tt.knobs)
			w.act(t, w.open(t, oneTime()).ID, "pay")
			tt.check(t, w, h)
		})
	}
}

// The webhook that comes before the answer: laravel/cashier-stripe#1307.
func TestWebhooksCanOvertakeTheAnswer(t *testing.T) {
	w, h := start(t, sandbox.Config{}), receiver(t)
	w.endpoint(t, h, sandbox.Version20231016, false)
	w.admin(t, http.MethodPost, "/sandbox/knobs", `{"before_answer":true}`)
	if _, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")}); err != nil {
		t.Fatal(err)
	}
	if got := h.types(); !slices.Equal(got, []string{"customer.created"}) {
		t.Errorf("delivered when the answer came: %v, want customer.created", got)
	}
}

func TestARolledSecretSignsBesideTheNewOne(t *testing.T) {
	w, h := start(t, sandbox.Config{}), receiver(t)
	p := w.endpoint(t, h, sandbox.Version20231016, false)
	rolled := w.admin(t, http.MethodPost, "/sandbox/webhook_endpoints/"+p.ID, `{"roll":true,"keep":"24h"}`)
	fresh, _ := rolled["secret"].(string)
	create := func(n int) received {
		t.Helper()
		if _, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")}); err != nil {
			t.Fatal(err)
		}
		until(t, "it came", func() bool { return len(h.all()) == n })
		return h.all()[n-1]
	}
	r := create(1)
	for _, secret := range []string{p.Secret, fresh} {
		if err := webhook.ValidatePayload(r.body, r.signature, secret); err != nil {
			t.Errorf("within 24 hours: %v", err)
		}
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"25h"}`)
	r = create(2)
	if webhook.ValidatePayload(r.body, r.signature, p.Secret) == nil || webhook.ValidatePayload(r.body, r.signature, fresh) != nil {
		t.Errorf("after 24 hours the old secret still signs, or the new one does not")
	}
	w.admin(t, http.MethodPost, "/sandbox/webhook_endpoints/"+p.ID, `{"thin":true}`)
	if r = create(3); !strings.Contains(string(r.body), `"v2.core.event"`) {
		t.Errorf("thin event = %s", r.body)
	}
}

// What R76 rests on: each world tells its own endpoints; a live Connect endpoint also gets test events.
func TestEndpointsGetTheEventsOfTheirWorld(t *testing.T) {
	own, connect, live := receiver(t), receiver(t), receiver(t)
	cfg := sandbox.Config{Accounts: []sandbox.Account{{ID: seller, Name: "Solar", Country: "PL", Activated: true, Connected: true}}}
	w := start(t, cfg)
	w.endpoint(t, own, sandbox.Version20231016, false)
	w.endpoint(t, connect, sandbox.Version20231016, true)
	w.admin(t, http.MethodPost, "/sandbox/accounts/"+seller, `{"connected":true,"live":true}`)
	p := &stripe.CustomerParams{Email: stripe.String("a@b.example")}
	p.SetStripeAccount(seller)
	if _, err := w.Customers.New(p); err != nil {
		t.Fatal(err)
	}
	until(t, "the Connect endpoint has it", func() bool { return len(connect.all()) == 1 })
	if r := connect.all()[0]; r.event.Account != seller || r.event.Livemode {
		t.Errorf("event of account %q, livemode %v", r.event.Account, r.event.Livemode)
	}
	if _, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")}); err != nil {
		t.Fatal(err)
	}
	until(t, "the platform's endpoint has it", func() bool { return len(own.all()) == 1 })
	w.settled(t)
	if len(connect.all()) != 1 || len(own.all()) != 1 || own.all()[0].event.Account != "" || len(live.all()) != 0 {
		t.Errorf("events crossed worlds: own %v connect %v", own.types(), connect.types())
	}
	w.admin(t, http.MethodPost, "/sandbox/accounts/"+seller, `{"connected":false}`)
	until(t, "the end of the connection is told", func() bool { return slices.Contains(connect.types(), "account.application.deauthorized") })
}

func TestSessionsExpireByTheClock(t *testing.T) {
	w, h := start(t, sandbox.Config{}), receiver(t)
	w.endpoint(t, h, sandbox.Version20231016, false)
	p := oneTime()
	p.ExpiresAt = in(31 * time.Minute)
	s := w.open(t, p)
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"30m"}`)
	if got := w.session(t, s.ID); got.Status != stripe.CheckoutSessionStatusOpen || got.URL == "" {
		t.Errorf("after 30 of 31 minutes the session is %s", got.Status)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"72h"}`)
	if got := w.session(t, s.ID); got.Status != stripe.CheckoutSessionStatusExpired || got.URL != "" {
		t.Errorf("after its end the session is %s with url %q", got.Status, got.URL)
	}
	until(t, "it is told", func() bool { return len(h.all()) == 1 })
	if r := h.all()[0]; r.event.Created != *p.ExpiresAt {
		t.Errorf("expired event created %d, want %d: its own time, not the clock's", r.event.Created, *p.ExpiresAt)
	}
}
