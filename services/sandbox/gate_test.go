package sandbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/sandbox"
)

// What quotes calls Stripe with makes one session and one coupon, whatever Stripe does to the first of its requests (R24).
func TestFaultsNeverMakeASecondSession(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{
		"none": "", "503 after the effect": `{"kind":"unavailable","after":true,"method":"POST"}`, "503 before": `{"kind":"unavailable","method":"POST"}`,
		"reset after the effect": `{"kind":"reset","after":true,"method":"POST"}`, "proxy's 502": `{"kind":"html_502","after":true,"method":"POST"}`,
		"lock_timeout": `{"kind":"lock_timeout","method":"POST"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oneOfEach(t, fault)
		})
	}
}

func oneOfEach(t *testing.T, fault string) {
	t.Helper()
	w := start(t, sandbox.Config{Accounts: []sandbox.Account{{ID: seller, Name: "Solar", Country: "PL", Activated: true, Connected: true}}})
	gate := stripegate.New(stripegate.Config{Key: env.NewSecret(sandbox.DefaultTestKey), Base: w.url})
	strike := func() {
		if fault != "" {
			w.admin(t, http.MethodPost, "/sandbox/faults", fault)
		}
	}
	coupon := stripegate.Coupon{Account: seller, ID: "q_1042-1", Name: "Discount", Amount: 3000, Currency: "pln", Metadata: metadata}
	order := stripegate.Checkout{
		Key: "checkout:q_1042:1:1", Account: seller, Currency: "pln", Coupon: coupon.ID, Email: "anna@customer.example", Metadata: metadata,
		Lines:     []quote.CheckoutLine{{Name: "Roof", Quantity: 1, UnitAmount: 126000}},
		Reference: "q_1042", ExpiresAt: time.Now().Add(time.Hour), SuccessURL: "https://quotes.example/paid", CancelURL: "https://quotes.example/q",
	}
	var ids []string
	for range 2 {
		strike()
		if err := gate.EnsureCoupon(t.Context(), coupon); err != nil {
			t.Fatalf("ensure coupon: %v", err)
		}
		strike()
		s, err := gate.OpenCheckout(t.Context(), order)
		if err != nil || s.Amount != 123000 {
			t.Fatalf("open checkout = %+v, %v", s, err)
		}
		ids = append(ids, s.ID)
	}
	w.API = onAccount(w, seller)
	n := 0
	for i := w.CheckoutSessions.List(&stripe.CheckoutSessionListParams{}); i.Next(); {
		n++
	}
	if n != 1 || ids[0] != ids[1] {
		t.Errorf("%d sessions, ids %v; want one", n, ids)
	}
	if got, err := gate.ExpireSession(t.Context(), seller, ids[0]); err != nil || got.Status != stripegate.SessionExpired {
		t.Errorf("expire = %+v, %v", got, err)
	}
}
