package quote_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
)

// R24, R40, R53
func TestWhatIsSentToStripeSumsUpToWhatIsDue(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 100_000 {
		d := quote.Document{Currency: "eur"}
		for range 1 + r.IntN(5) {
			item := quote.LineItem{Name: "L", Quantity: 1 + r.Int64N(9), UnitAmount: r.Int64N(100_000)}
			if r.IntN(2) == 0 {
				item.DiscountAmount = r.Int64N(item.Quantity*item.UnitAmount + 1)
			}
			if r.IntN(3) == 0 {
				item.Recurring = every("month", 1)
			}
			d.LineItems = append(d.LineItems, item)
		}
		if r.IntN(2) == 0 {
			d.Discount = &quote.Discount{Percent: []string{"12.5", "33.333333", "100", "0.000001", "7"}[r.IntN(5)]}
		}
		if r.IntN(2) == 0 {
			d.Tax = &quote.Tax{Name: "VAT", Amount: r.Int64N(10_000)}
		}
		total, err := d.Total()
		if err != nil {
			t.Fatal(err)
		}
		lines, err := d.CheckoutLines()
		if err != nil {
			t.Fatal(err)
		}
		var once, recurring int64
		for _, l := range lines {
			if l.Recurring != nil {
				recurring += l.Quantity * l.UnitAmount
				continue
			}
			once += l.Quantity * l.UnitAmount
		}
		if once != total.OneTime+total.Tax || recurring != total.Recurring || once+recurring-total.Discount != total.Due {
			t.Fatalf("quote %d: %+v sends %d once and %d recurring less %d, want %+v", n, d, once, recurring, total.Discount, total)
		}
	}
}

func TestALineDiscountThatDoesNotDivideGoesAsOnePiece(t *testing.T) {
	d := payable(func(d *quote.Document) { d.Tax = &quote.Tax{Name: "VAT", Amount: 7} },
		lines(quote.LineItem{Name: "Chair", Quantity: 3, UnitAmount: 100, DiscountAmount: 30}, quote.LineItem{Name: "Desk", Quantity: 3, UnitAmount: 100, DiscountAmount: 1}))
	got, err := d.CheckoutLines()
	if err != nil || len(got) != 3 || got[0] != (quote.CheckoutLine{Name: "Chair", Quantity: 3, UnitAmount: 90}) ||
		got[1] != (quote.CheckoutLine{Name: "3 × Desk", Quantity: 1, UnitAmount: 299}) || got[2] != (quote.CheckoutLine{Name: "VAT", Quantity: 1, UnitAmount: 7}) {
		t.Errorf("lines = %+v, %v", got, err)
	}
}

// offeredQuote is a published quote that expires at end.
func offeredQuote(end time.Time) *quote.Aggregate {
	a := &quote.Aggregate{}
	d := payable()
	a.Drafted(quote.Drafted{Seller: "main", QuoteID: "q_1", Version: 1, Document: d})
	a.Published(quote.Published{
		Seller: "main", QuoteID: "q_1", Revision: 1, Version: 1, Document: d, Amount: 10000, Currency: "pln", Account: "acct_1", Mode: "test", ExpiresAt: end,
	})
	return a
}

func refusalCodes(err error) string {
	if refusal, ok := errors.AsType[*quote.Refusal](err); ok {
		return said(refusal.Reasons)
	}
	return ""
}

func TestCheckoutIsGuardedOnceMore(t *testing.T) { // R11, R19, R27, R44, R76
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	off := quote.Payee{Plan: "free", Account: "acct_2"}
	for _, tt := range []struct {
		name   string
		a      *quote.Aggregate
		change func(*quote.Aggregate)
		payee  quote.Payee
		mode   string
		want   string
	}{
		{"payable", offeredQuote(now.Add(time.Hour)), nil, entitled, "test", ""},
		{"expired", offeredQuote(now.Add(-time.Second)), nil, entitled, "test", "expired R44"},
		{"paid", offeredQuote(time.Time{}), func(a *quote.Aggregate) { a.Paid(quote.Paid{Revision: 1}) }, entitled, "test", "paid R27"},
		{"in flight", offeredQuote(time.Time{}), func(a *quote.Aggregate) { a.PaymentProcessing(quote.PaymentFact{Object: "cs_1"}) }, entitled, "test", "payment_open R27"},
		{"all at once", offeredQuote(time.Time{}), nil, off, "live", "plan_not_entitled R3 payment.stripe, stripe_not_activated R14 payment.stripe, account_changed R11, mode_changed R76"},
	} {
		if tt.change != nil {
			tt.change(tt.a)
		}
		if got := refusalCodes(tt.a.MayCheckOut(quote.DefaultPolicy(), tt.payee, tt.mode, now)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestASessionNeverOutlivesTheQuote(t *testing.T) { // R44
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		end  time.Time
		want time.Duration // from now; 0: refused
	}{
		{time.Time{}, quote.CheckoutMost},
		{now.Add(48 * time.Hour), quote.CheckoutMost},
		{now.Add(2 * time.Hour), 2 * time.Hour},
		{now.Add(31 * time.Minute), 31 * time.Minute},
		{now.Add(30 * time.Minute), 0},
	} {
		got, err := offeredQuote(tt.end).NextCheckout("cus_1", now)
		if tt.want == 0 {
			if refusalCodes(err) != "expires_too_soon R44" {
				t.Errorf("end %s: %+v, %v", tt.end, got, err)
			}
			continue
		}
		if err != nil || got.ExpiresAt.Sub(now) != tt.want || got.Attempt != 1 || got.Customer != "cus_1" {
			t.Errorf("end %s: %+v, %v, want %s", tt.end, got, err, tt.want)
		}
	}
}

// R37, R40, R46
func TestARenewalChargesTheRecurringLinesAlone(t *testing.T) {
	monthly := &quote.Recurring{Interval: "month", IntervalCount: 1}
	lines := []quote.LineItem{{Name: "Design", Quantity: 1, UnitAmount: 50000}, {Name: "Hosting", Quantity: 2, UnitAmount: 9900, DiscountAmount: 800, Recurring: monthly}}
	for name, tt := range map[string]struct {
		lines    []quote.LineItem
		discount *quote.Discount
		want     int64
	}{
		"tax is not charged again":  {lines, nil, 19000},
		"a discount of the first":   {lines, &quote.Discount{Amount: 1000}, 19000},
		"a discount for ever":       {lines, &quote.Discount{Amount: 1000, Duration: quote.DurationForever}, 18000},
		"never less than nothing":   {lines, &quote.Discount{Amount: 30000, Duration: quote.DurationForever}, 0},
		"a share of the whole":      {lines, &quote.Discount{Percent: "10", Duration: quote.DurationForever}, 12100}, // the coupon is an amount
		"nothing recurs, no charge": {lines[:1], nil, 0},
	} {
		d := quote.Document{Currency: "pln", LineItems: tt.lines, Discount: tt.discount, Tax: &quote.Tax{Name: "VAT", Amount: 2300}}
		if got, err := d.Renewal(); err != nil || got != (quote.Money{Amount: tt.want, Currency: "pln"}) {
			t.Errorf("%s: Renewal = %v, %v, want %d", name, got, err, tt.want)
		}
		every, ok := d.Frequency()
		if ok != d.Recurs() || ok && every != *monthly {
			t.Errorf("%s: Frequency = %v, %t", name, every, ok)
		}
	}
}
