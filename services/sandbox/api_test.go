package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/services/sandbox"
)

// What R28 rests on: by e-mail the list is exact and case-sensitive, several may match; search lags behind.
func TestCustomersAreFoundAsInStripe(t *testing.T) {
	w := start(t, sandbox.Config{})
	w.admin(t, http.MethodPost, "/sandbox/knobs", `{"search_lag":"1m"}`)
	for _, email := range []string{"anna@b.example", "anna@b.example", "Anna@b.example"} {
		if _, err := w.Customers.New(&stripe.CustomerParams{Email: &email, Name: stripe.String("Anna"), Metadata: map[string]string{"managed_by": "quittance"}}); err != nil {
			t.Fatal(err)
		}
	}
	count := func(email string) (n int) {
		for i := w.Customers.List(&stripe.CustomerListParams{Email: &email}); i.Next(); {
			n++
		}
		return n
	}
	if a, b, c := count("anna@b.example"), count("Anna@b.example"), count("ANNA@b.example"); a != 2 || b != 1 || c != 0 {
		t.Errorf("list by e-mail finds %d %d %d, want 2 1 0", a, b, c)
	}
	search := func(query string) (n int) {
		i := w.Customers.Search(&stripe.CustomerSearchParams{SearchParams: stripe.SearchParams{Query: query}})
		for i.Next() {
			n++
		}
		if i.Err() != nil {
			t.Fatal(i.Err())
		}
		return n
	}
	if n := search("email:'anna@b.example'"); n != 0 {
		t.Errorf("search finds %d before the index has caught up", n)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"61s"}`)
	if a, b := search("email:'anna@b.example'"), search(`metadata["managed_by"]:"quittance" AND name~"ann"`); a != 3 || b != 3 {
		t.Errorf("search finds %d and %d, want 3", a, b)
	}
	i := w.Customers.List(&stripe.CustomerListParams{})
	i.Next()
	c, err := w.Customers.Update(i.Customer().ID, &stripe.CustomerParams{Name: stripe.String("Anna N."), Metadata: map[string]string{"managed_by": ""}})
	if err != nil || c.Name != "Anna N." || len(c.Metadata) != 0 || c.Email != "Anna@b.example" {
		t.Errorf("updated customer %+v, %v", c, err)
	}
	if _, err := w.Customers.Del(c.ID, nil); err != nil {
		t.Error(err)
	}
	if c, err := w.Customers.Get(c.ID, nil); err != nil || !c.Deleted {
		t.Errorf("deleted customer %+v, %v", c, err)
	}
}

// What R25 rests on: a coupon can be renamed and deleted, not changed; both are told.
func TestCouponsKeepTheirAmount(t *testing.T) {
	w := start(t, sandbox.Config{})
	p := &stripe.CouponParams{ID: stripe.String("q_1042-1"), AmountOff: stripe.Int64(500), Currency: stripe.String("pln"), Duration: stripe.String("once"), Metadata: metadata}
	if _, err := w.Coupons.New(p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Coupons.New(p); err == nil || refusal(t, err).Code != stripe.ErrorCodeResourceAlreadyExists {
		t.Errorf("second coupon of one id: %v", err)
	}
	c, err := w.Coupons.Update("q_1042-1", &stripe.CouponParams{Name: stripe.String("renamed")})
	if err != nil || c.Name != "renamed" || c.AmountOff != 500 || c.Metadata["quote_id"] != "q_1042" {
		t.Errorf("coupon %+v, %v", c, err)
	}
	if _, err := w.Coupons.Update("q_1042-1", &stripe.CouponParams{AmountOff: stripe.Int64(1)}); err == nil || refusal(t, err).Code != "parameter_unknown" {
		t.Errorf("change of the amount: %v", err)
	}
	if c, err := w.Coupons.Del("q_1042-1", nil); err != nil || !c.Deleted {
		t.Errorf("deleted coupon %+v, %v", c, err)
	}
	if _, err := w.Coupons.Get("q_1042-1", nil); err == nil {
		t.Error("a deleted coupon is still there")
	}
	if got := w.eventTypes(t, &stripe.EventListParams{}); !slices.Equal(got, []string{"coupon.deleted", "coupon.updated", "coupon.created"}) {
		t.Errorf("events %v", got)
	}
}

func (w *world) eventTypes(t *testing.T, p *stripe.EventListParams) []string {
	t.Helper()
	var types []string
	i := w.Events.List(p)
	for i.Next() {
		types = append(types, string(i.Event().Type))
	}
	if i.Err() != nil {
		t.Fatal(i.Err())
	}
	return types
}

func TestEventsAreListedByPagesAndFilters(t *testing.T) {
	w := start(t, sandbox.Config{})
	w.act(t, w.open(t, oneTime()).ID, "pay")
	all := w.eventTypes(t, &stripe.EventListParams{})
	if want := []string{"charge.updated", "checkout.session.completed", "payment_intent.succeeded", "charge.succeeded", "payment_intent.created"}; !slices.Equal(all, want) {
		t.Fatalf("events %v, want %v", all, want)
	}
	paged := &stripe.EventListParams{}
	paged.Limit = stripe.Int64(2)
	if got := w.eventTypes(t, paged); !slices.Equal(got, all) {
		t.Errorf("by pages of two: %v", got)
	}
	i := w.Events.List(&stripe.EventListParams{})
	for range 4 {
		i.Next()
	}
	back := &stripe.EventListParams{}
	back.Limit, back.EndingBefore = stripe.Int64(1), stripe.String(i.Event().ID)
	got := w.eventTypes(t, back)
	slices.Reverse(all)
	if !slices.Equal(got, all[2:]) {
		t.Errorf("ending_before the second, by pages of one: %v, want %v", got, all[2:])
	}
	two := &stripe.EventListParams{Types: []*string{stripe.String("charge.succeeded"), stripe.String("payment_intent.*")}}
	if got := w.eventTypes(t, two); !slices.Equal(got, []string{"payment_intent.succeeded", "charge.succeeded", "payment_intent.created"}) {
		t.Errorf("by types: %v", got)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"1h"}`)
	since := &stripe.EventListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: time.Now().Add(30 * time.Minute).Unix()}}
	if got := w.eventTypes(t, since); got != nil {
		t.Errorf("since later: %v", got)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"744h"}`)
	if got := w.eventTypes(t, &stripe.EventListParams{Type: stripe.String("charge.succeeded")}); got != nil {
		t.Errorf("after 31 days the list still has %v", got)
	}
}

func TestSessionsAreReadListedAndExpired(t *testing.T) {
	w := start(t, sandbox.Config{})
	s, other := w.open(t, oneTime()), w.open(t, oneTime())
	if s.Metadata["quote_id"] != "q_1042" || s.ID == other.ID || s.Status != "open" || s.PaymentStatus != "unpaid" {
		t.Errorf("session %+v", s)
	}
	w.act(t, s.ID, "pay")
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("payment_intent.latest_charge")
	p.AddExpand("line_items")
	got, err := w.CheckoutSessions.Get(s.ID, p)
	if err != nil || got.PaymentIntent.LatestCharge.ReceiptURL == "" || got.PaymentIntent.Metadata["seller"] != "main" || len(got.LineItems.Data) != 1 {
		t.Fatalf("expanded session %+v, %v", got, err)
	}
	if got.PaymentIntent.LatestCharge.Metadata["quote_revision"] != "1" {
		t.Errorf("charge metadata %v, want the intent's", got.PaymentIntent.LatestCharge.Metadata)
	}
	lines := w.CheckoutSessions.ListLineItems(&stripe.CheckoutSessionListLineItemsParams{Session: &s.ID})
	if !lines.Next() || lines.LineItem().AmountTotal != 123000 || lines.LineItem().Description != "Roof" || lines.LineItem().Price.UnitAmount != 123000 {
		t.Errorf("line item %+v, %v", lines.LineItem(), lines.Err())
	}
	by := w.CheckoutSessions.List(&stripe.CheckoutSessionListParams{PaymentIntent: &got.PaymentIntent.ID})
	if !by.Next() || by.CheckoutSession().ID != s.ID || by.Next() {
		t.Errorf("list by payment intent, %v", by.Err())
	}
	if e, err := w.CheckoutSessions.Expire(other.ID, nil); err != nil || e.Status != "expired" || e.URL != "" {
		t.Errorf("expired session %+v, %v", e, err)
	}
	for _, id := range []string{s.ID, other.ID} {
		if _, err := w.CheckoutSessions.Expire(id, nil); err == nil {
			t.Errorf("%s expired once more", id)
		}
	}
}

func TestRefundsCannotExceedTheCharge(t *testing.T) {
	w := start(t, sandbox.Config{})
	s := w.open(t, oneTime())
	w.act(t, s.ID, "pay")
	intent := w.session(t, s.ID).PaymentIntent.ID
	refund := func(amount int64) error {
		_, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent, Amount: &amount})
		return err
	}
	if err := refund(23000); err != nil {
		t.Error(err)
	}
	if err := refund(100001); err == nil || refusal(t, err).Param != "amount" {
		t.Errorf("over-refund: %v", err)
	}
	if err := refund(100000); err != nil {
		t.Error(err)
	}
	if err := refund(1); err == nil || refusal(t, err).Code != stripe.ErrorCodeChargeAlreadyRefunded {
		t.Errorf("refund of a refunded charge: %v", err)
	}
}

// What R53 rests on: the total is the exact sum of the lines minus the coupon, and so are the lines' parts.
func TestAmountsAddUpExactly(t *testing.T) {
	w := start(t, sandbox.Config{})
	random := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		p := oneTime()
		p.LineItems = nil
		sum := int64(0)
		for i := range 1 + random.Int64N(6) {
			amount, quantity := 100+random.Int64N(99999), 1+random.Int64N(9)
			p.LineItems = append(p.LineItems, line(fmt.Sprint("line ", i), amount, quantity))
			sum += amount * quantity
		}
		off := random.Int64N(sum / 2)
		if off > 0 {
			c, err := w.Coupons.New(&stripe.CouponParams{AmountOff: &off, Currency: stripe.String("pln")})
			if err != nil {
				t.Fatal(err)
			}
			p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: &c.ID}}
		}
		if sum-off < 200 {
			continue
		}
		p.AddExpand("line_items")
		s := w.open(t, p)
		parts := int64(0)
		for _, l := range s.LineItems.Data {
			parts += l.AmountTotal
			if l.AmountDiscount < 0 || l.AmountTotal < 0 {
				t.Fatalf("line %+v", l)
			}
		}
		if s.AmountSubtotal != sum || s.AmountTotal != sum-off || parts != s.AmountTotal {
			t.Fatalf("subtotal %d total %d parts %d, want %d and %d", s.AmountSubtotal, s.AmountTotal, parts, sum, sum-off)
		}
	}
}

func TestASeedRepeatsTheIDs(t *testing.T) {
	var ids [2][]string
	for i := range ids {
		w := start(t, sandbox.Config{})
		for range 3 {
			ids[i] = append(ids[i], w.open(t, oneTime()).ID)
		}
	}
	if !slices.Equal(ids[0], ids[1]) {
		t.Errorf("ids %v and %v of one seed", ids[0], ids[1])
	}
}
