package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/sandbox"
)

// till carries stripegate's calls to no network: it keeps the coupon's body and answers a session with the total that the
// sandbox works out of both bodies.
type till struct{ coupon string }

func (c *till) RoundTrip(q *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	answer := `{"id":"c","object":"coupon"}`
	if strings.HasSuffix(q.URL.Path, "/coupons") {
		c.coupon = string(b)
	} else {
		total, err := sandbox.AmountTotal(string(b), c.coupon)
		if err != nil {
			return nil, err
		}
		c.coupon = ""
		answer = `{"id":"cs","object":"checkout.session","amount_total":` + strconv.FormatInt(total, 10) + `}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(answer))), Request: q}, nil
}

// charge sends a quote as quotes does and returns what Stripe would charge.
func charge(ctx context.Context, gate *stripegate.Client, d quote.Document) (int64, error) {
	total, err := d.Total()
	if err != nil {
		return 0, err
	}
	lines, err := d.CheckoutLines()
	if err != nil {
		return 0, err
	}
	o := stripegate.Checkout{
		Key: rand.Text(), Account: "platform", Currency: d.Currency, Lines: lines, Email: "a@b.example", Metadata: metadata, Reference: "q_1",
		ExpiresAt: time.Now().Add(time.Hour), SuccessURL: "https://q.example/q", CancelURL: "https://q.example/q",
	}
	if total.Discount > 0 {
		o.Coupon = rand.Text()
		if err := gate.EnsureCoupon(ctx, stripegate.Coupon{
			Account: "platform", ID: o.Coupon, Name: "Quote discount", Amount: total.Discount, Currency: d.Currency,
			Forever: d.Discount.Duration == quote.DurationForever, Metadata: metadata,
		}); err != nil {
			return 0, err
		}
	}
	s, err := gate.OpenCheckout(ctx, o)
	return s.Amount, err
}

// anyQuote is a random quote in the currency; the policy may refuse it.
func anyQuote(r *mathrand.Rand, currency string) quote.Document {
	step := quote.Step(currency)
	amount := func(most int64) int64 { return r.Int64N(most) / step * step }
	d := quote.Document{Currency: currency, Payment: quote.PaymentOptions{Stripe: true}}
	every := &quote.Recurring{Interval: "month", IntervalCount: 1 + r.Int64N(12)}
	for i := range 1 + r.IntN(6) {
		item := quote.LineItem{Name: "Line " + strconv.Itoa(i), Quantity: 1 + r.Int64N(12), UnitAmount: amount(1 << (4 + r.IntN(18)))}
		if r.IntN(3) == 0 {
			item.DiscountAmount = amount(item.Quantity*item.UnitAmount + 1)
		}
		if r.IntN(4) == 0 {
			item.Recurring = every
		}
		d.LineItems = append(d.LineItems, item)
	}
	switch r.IntN(4) {
	case 0:
		d.Discount = &quote.Discount{Percent: fmt.Sprintf("%d.%06d", r.IntN(100), 1+r.IntN(999_999))}
	case 1:
		d.Discount = &quote.Discount{Percent: []string{"50", "12.5", "33.333333", "100", "0.5"}[r.IntN(5)], Duration: quote.DurationForever}
	case 2:
		d.Discount = &quote.Discount{Amount: step + amount(100_000)}
	}
	if r.IntN(2) == 0 {
		d.Tax = &quote.Tax{Name: "VAT", Amount: amount(1 << 16)}
	}
	return d
}

// exactly works the total out by fractions: the rule of the package comment, written down a second time as its judge.
func exactly(d quote.Document) int64 {
	subtotal := new(big.Int)
	for _, l := range d.LineItems {
		net := new(big.Int).Mul(big.NewInt(l.Quantity), big.NewInt(l.UnitAmount))
		subtotal.Add(subtotal, net.Sub(net, big.NewInt(l.DiscountAmount)))
	}
	due := new(big.Int).Set(subtotal)
	if d.Discount != nil {
		off := big.NewInt(d.Discount.Amount)
		if d.Discount.Percent != "" {
			percent, _ := new(big.Rat).SetString(d.Discount.Percent)
			part := percent.Mul(percent, new(big.Rat).SetFrac(subtotal, big.NewInt(100)))
			part.Add(part, big.NewRat(1, 2)) // half away from zero
			off = new(big.Int).Quo(part.Num(), part.Denom())
		}
		due.Sub(due, off)
	}
	if d.Tax != nil {
		due.Add(due, big.NewInt(d.Tax.Amount))
	}
	return due.Int64()
}

// shown reads an amount as the page writes it, "1 234.50 PLN", back into minor units.
func shown(text, currency string) (int64, error) {
	number, ok := strings.CutSuffix(text, " "+strings.ToUpper(currency))
	if !ok {
		return 0, fmt.Errorf("%q is no amount of %s", text, currency)
	}
	return strconv.ParseInt(strings.NewReplacer(" ", "", ".", "").Replace(number), 10, 64)
}

const (
	moneyQuotes     = 100_000
	moneyCurrencies = "usd eur pln gbp jpy krw clp vnd ugx twd mga sek chf"
)

var (
	policy = quote.DefaultPolicy()
	payee  = quote.Payee{Plan: "starter", Account: "platform", Activated: true}
)

// payableQuote is a random quote that may be published.
func payableQuote(r *mathrand.Rand) quote.Document {
	currencies := strings.Fields(moneyCurrencies)
	for {
		d := anyQuote(r, currencies[r.IntN(len(currencies))])
		if _, err := d.Total(); err == nil && len(policy.Lint(d, payee).Refusals) == 0 {
			return d
		}
	}
}

// R24, R40, R53: what the page shows, what is sent (the lines less the coupon) and what Stripe charges are one amount.
func TestAHundredThousandQuotesAreChargedWhatTheySay(t *testing.T) {
	t.Parallel()
	seed := mathrand.Uint64()
	const workers = 4
	var all sync.WaitGroup
	defer all.Wait()
	for n := range workers {
		all.Go(func() {
			r := mathrand.New(mathrand.NewPCG(seed, uint64(n)))
			gate := stripegate.New(stripegate.Config{Key: env.NewSecret("sk_test_1"), Base: "http://stripe.invalid", Transport: &till{}})
			seen := map[string]int{}
			for made := 0; made < moneyQuotes/workers && !t.Failed(); made++ {
				d := payableQuote(r)
				seen[d.Currency]++
				due, err := d.DueAtCheckout()
				text, showErr := shown(due.String(), d.Currency)
				charged, chargeErr := charge(t.Context(), gate, d)
				if want := exactly(d); due.Amount != want || text != want || charged != want || errors.Join(err, showErr, chargeErr) != nil {
					t.Errorf("seed %d, worker %d, quote %d: %+v is due %d, shown as %s and charged %d, want %d (%v)", seed, n, made, d, due.Amount, due, charged, want,
						errors.Join(err, showErr, chargeErr))
				}
			}
			if len(seen) != 13 && !t.Failed() {
				t.Errorf("seed %d: only %v were quoted", seed, seen)
			}
		})
	}
}

// AmountTotal is what the API answers.
func TestTheAPIChargesWhatItsArithmeticSays(t *testing.T) {
	t.Parallel()
	seed := mathrand.Uint64()
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	w := start(t, sandbox.Config{})
	gate := stripegate.New(stripegate.Config{Key: env.NewSecret(sandbox.DefaultTestKey), Base: w.url})
	for range testsize.Of(t, 60, 1000, 20_000) {
		d := payableQuote(r)
		if got, err := charge(t.Context(), gate, d); err != nil || got != exactly(d) {
			t.Fatalf("seed %d: the API charges %d for %+v (%v), want %d", seed, got, d, err, exactly(d))
		}
	}
}
