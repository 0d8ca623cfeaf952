package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/services/sandbox"
)

func verified(t *testing.T, r received, secret string) {
	t.Helper()
	if _, err := webhook.ConstructEvent(r.body, r.signature, secret); err != nil {
		t.Errorf("%s: %v", r.event.Type, err)
	}
}

// Rows 15, 17 and 20 of stripe.md §2.5, and a dispute that the seller accepts.
func TestDisputesEndAsTheyDoInStripe(t *testing.T) {
	for name, tt := range map[string]struct {
		inquiry bool
		actions []string // of the admin API, or "close" by the API
		status  stripe.DisputeStatus
		quote   quote.Status
		types   string
	}{
		"accepted":      {false, []string{"close"}, "lost", "charged_back", "created funds_withdrawn closed"},
		"late reversal": {false, []string{"lose", "win"}, "won", "paid", "created funds_withdrawn closed funds_reinstated closed"},
		"inquiry":       {true, []string{"close_inquiry"}, "warning_closed", "paid", "created closed"},
	} {
		t.Run(name, func(t *testing.T) {
			w, h := start(t, sandbox.Config{}), receiver(t)
			w.endpoint(t, h, sandbox.Version20231016, false)
			s := w.open(t, oneTime())
			w.act(t, s.ID, "pay")
			charge := w.session(t, s.ID).PaymentIntent.ID
			id := fmt.Sprint(w.admin(t, http.MethodPost, "/sandbox/disputes", fmt.Sprintf(`{"payment_intent":%q,"inquiry":%v}`, charge, tt.inquiry))["id"])
			for _, action := range tt.actions {
				if action == "close" {
					if _, err := w.Disputes.Close(id, nil); err != nil {
						t.Fatal(err)
					}
					continue
				}
				w.admin(t, http.MethodPost, "/sandbox/disputes/"+id, `{"action":"`+action+`"}`)
			}
			d, err := w.Disputes.Get(id, nil)
			if err != nil || d.Status != tt.status {
				t.Errorf("dispute %+v, %v", d, err)
			}
			if _, err := w.Disputes.Close(id, nil); err == nil {
				t.Error("a closed dispute closes again")
			}
			w.settled(t)
			l := newLedger("platform", 123000)
			var types []string
			for _, r := range h.all() {
				l.take(t, r.body)
				if rest, ok := strings.CutPrefix(string(r.event.Type), "charge.dispute."); ok {
					types = append(types, rest)
				}
			}
			if got := quote.Derive("platform", l.facts); got.Status != tt.quote {
				t.Errorf("quote is %s %v, want %s", got.Status, got.Flags, tt.quote)
			}
			if got := strings.Join(types, " "); got != tt.types {
				t.Errorf("events %s, want %s", got, tt.types)
			}
		})
	}
}

// A charge whose money a dispute has taken cannot be refunded, as its is_charge_refundable says; one of an inquiry, or won back, can.
func TestAChargeThatIsChargedBackCannotBeRefunded(t *testing.T) {
	for name, tt := range map[string]struct {
		inquiry bool
		actions string
		refused bool
	}{"open": {false, "", true}, "lost": {false, "lose", true}, "won": {false, "win", false}, "won late": {false, "lose win", false}, "inquiry": {true, "", false}} {
		w := start(t, sandbox.Config{})
		s := w.open(t, oneTime())
		w.act(t, s.ID, "pay")
		intent := w.session(t, s.ID).PaymentIntent.ID
		id := fmt.Sprint(w.admin(t, http.MethodPost, "/sandbox/disputes", fmt.Sprintf(`{"payment_intent":%q,"inquiry":%v}`, intent, tt.inquiry))["id"])
		for action := range strings.FieldsSeq(tt.actions) {
			w.admin(t, http.MethodPost, "/sandbox/disputes/"+id, `{"action":"`+action+`"}`)
		}
		_, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent, Amount: stripe.Int64(100)})
		if (err != nil) != tt.refused || tt.refused && refusal(t, err).Code != "charge_disputed" {
			t.Errorf("refund while the dispute is %s: %v", name, err)
		}
	}
}

// What R45 rests on: ended at the period's end, by hand, and no renewal after it.
func TestASubscriptionEndsWithItsPeriodWhenAsked(t *testing.T) {
	w := start(t, sandbox.Config{})
	s := w.open(t, recurring())
	w.act(t, s.ID, "pay")
	id := w.session(t, s.ID).Subscription.ID
	if _, err := w.Subscriptions.Update(id, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Subscriptions.Get(id, nil); err != nil || got.Status != "active" || got.CancelAt != got.CurrentPeriodEnd || got.Metadata["seller"] != "main" {
		t.Errorf("subscription %+v, %v", got, err)
	}
	w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"2000h"}`)
	if got, err := w.Subscriptions.Get(id, nil); err != nil || got.Status != "canceled" {
		t.Errorf("subscription %+v, %v", got, err)
	}
	n := 0
	for i := w.Invoices.List(&stripe.InvoiceListParams{Subscription: &id}); i.Next(); {
		n++
	}
	if n != 1 {
		t.Errorf("%d invoices, want the first alone", n)
	}
}

// What R22 R23 rests on: a one-time payment whose session asks for it has an invoice too, with its metadata.
func TestAnInvoiceForAOneTimePayment(t *testing.T) {
	w := start(t, sandbox.Config{})
	p := oneTime()
	p.InvoiceCreation = &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(true), InvoiceData: &stripe.CheckoutSessionInvoiceCreationInvoiceDataParams{Metadata: metadata}}
	s := w.open(t, p)
	w.act(t, s.ID, "pay")
	invoice, err := w.Invoices.Get(w.session(t, s.ID).Invoice.ID, nil)
	if err != nil || !invoice.Paid || invoice.Total != 123000 || invoice.Metadata["quote_id"] != "q_1042" || invoice.Subscription != nil {
		t.Errorf("invoice %+v, %v", invoice, err)
	}
	i := w.Charges.List(&stripe.ChargeListParams{})
	i.Next()
	if !strings.Contains(i.Charge().ReceiptURL, "/receipts/"+i.Charge().ID) {
		t.Errorf("receipt_url = %q", i.Charge().ReceiptURL)
	}
	if status, page := call(t, http.MethodGet, i.Charge().ReceiptURL, "", nil); status != http.StatusOK || !strings.Contains(plain(page), "1 230.00 PLN") {
		t.Errorf("receipt = %d %s", status, page)
	}
}

// Discounts: once takes from the first charge, forever from each.
func TestCouponsLastAsLongAsTheySay(t *testing.T) {
	for duration, want := range map[string][]int64{"once": {100000, 100000, 113000}, "forever": {90000, 90000, 113000}, "repeating": {100000, 90000, 113000}} {
		t.Run(duration, func(t *testing.T) {
			w := start(t, sandbox.Config{})
			cp := &stripe.CouponParams{AmountOff: stripe.Int64(10000), Currency: stripe.String("pln"), Duration: &duration}
			if duration == "repeating" {
				cp.DurationInMonths = stripe.Int64(2)
			}
			coupon, err := w.Coupons.New(cp)
			if err != nil {
				t.Fatal(err)
			}
			p := recurring()
			p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: &coupon.ID}}
			w.act(t, w.open(t, p).ID, "pay")
			w.admin(t, http.MethodPost, "/sandbox/clock", `{"advance":"1530h"}`)
			var paid []int64
			for i := w.Invoices.List(&stripe.InvoiceListParams{}); i.Next(); {
				paid = append(paid, i.Invoice().AmountPaid)
			}
			if !slices.Equal(paid, want) {
				t.Errorf("invoices paid, newest first: %v, want %v", paid, want)
			}
		})
	}
}

// Double click: one session is paid once.
func TestASessionIsPaidOnce(t *testing.T) {
	w := start(t, sandbox.Config{})
	s := w.open(t, oneTime())
	var clicks sync.WaitGroup
	for range 8 {
		clicks.Go(func() {
			status, location := call(t, http.MethodPost, s.URL, form("action", "pay", "email", "anna@customer.example"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
			if status != http.StatusSeeOther || !strings.HasPrefix(location, "https://quotes.example/paid") {
				t.Errorf("click = %d %s", status, location)
			}
		})
	}
	clicks.Wait()
	if n := charges(w); n != 1 {
		t.Errorf("%d charges, want 1", n)
	}
}
