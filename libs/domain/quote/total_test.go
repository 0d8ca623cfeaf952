package quote_test

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"quittance.internal/libs/domain/quote"
)

func line(quantity, unit, discount int64) quote.LineItem {
	return quote.LineItem{Name: "L", Quantity: quantity, UnitAmount: unit, DiscountAmount: discount}
}

func monthly(quantity, unit, discount int64) quote.LineItem {
	l := line(quantity, unit, discount)
	l.Recurring = &quote.Recurring{Interval: "month", IntervalCount: 1}
	return l
}

// R36, R40, R53
func TestTotalIsTheSumOfItsRoundedParts(t *testing.T) {
	for name, tt := range map[string]struct {
		doc  quote.Document
		want quote.Total
	}{
		"one line": {
			quote.Document{LineItems: []quote.LineItem{line(3, 1999, 0)}},
			quote.Total{Lines: []int64{5997}, Subtotal: 5997, OneTime: 5997, Due: 5997},
		},
		"line discounts come off the line": {
			quote.Document{LineItems: []quote.LineItem{line(2, 100, 50), line(1, 100, 100)}},
			quote.Total{Lines: []int64{150, 0}, Subtotal: 150, OneTime: 150, Due: 150},
		},
		"recurring lines are charged for their first period": {
			quote.Document{LineItems: []quote.LineItem{line(1, 1000, 0), monthly(2, 300, 100)}},
			quote.Total{Lines: []int64{1000, 500}, Subtotal: 1500, OneTime: 1000, Recurring: 500, Due: 1500},
		},
		"tax is never discounted": {
			quote.Document{
				LineItems: []quote.LineItem{line(1, 1000, 0)}, Tax: &quote.Tax{Name: "VAT", Amount: 230},
				Discount: &quote.Discount{Percent: "50"},
			},
			quote.Total{Lines: []int64{1000}, Subtotal: 1000, OneTime: 1000, Discount: 500, Tax: 230, Due: 730},
		},
		"half a minor unit goes away from zero": {
			quote.Document{LineItems: []quote.LineItem{line(1, 1, 0)}, Discount: &quote.Discount{Percent: "50"}},
			quote.Total{Lines: []int64{1}, Subtotal: 1, OneTime: 1, Discount: 1},
		},
		"less than half goes down": {
			quote.Document{LineItems: []quote.LineItem{line(1, 333, 0)}, Discount: &quote.Discount{Percent: "10"}},
			quote.Total{Lines: []int64{333}, Subtotal: 333, OneTime: 333, Discount: 33, Due: 300},
		},
		"an amount off": {
			quote.Document{LineItems: []quote.LineItem{line(1, 333, 0)}, Discount: &quote.Discount{Amount: 33}},
			quote.Total{Lines: []int64{333}, Subtotal: 333, OneTime: 333, Discount: 33, Due: 300},
		},
		"all off leaves the tax": {
			quote.Document{LineItems: []quote.LineItem{line(1, 333, 0)}, Discount: &quote.Discount{Percent: "100"}, Tax: &quote.Tax{Name: "VAT", Amount: 1}},
			quote.Total{Lines: []int64{333}, Subtotal: 333, OneTime: 333, Discount: 333, Tax: 1, Due: 1},
		},
		"the largest amount": {
			quote.Document{LineItems: []quote.LineItem{line(1, math.MaxInt64, 0)}, Discount: &quote.Discount{Percent: "0.000001"}},
			quote.Total{Lines: []int64{math.MaxInt64}, Subtotal: math.MaxInt64, OneTime: math.MaxInt64, Discount: 92233720369, Due: math.MaxInt64 - 92233720369},
		},
	} {
		tt.doc.Currency, tt.want.Currency = "pln", "pln"
		got, err := tt.doc.Total()
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: Total() = %+v, %v, want %+v", name, got, err, tt.want)
		}
		due, err := tt.doc.DueAtCheckout()
		if want := (quote.Money{Amount: tt.want.Due, Currency: "pln"}); err != nil || due != want {
			t.Errorf("%s: DueAtCheckout() = %v, %v, want %v", name, due, err, want)
		}
	}
}

func TestTotalThatDoesNotFitIsAnError(t *testing.T) {
	for name, doc := range map[string]quote.Document{
		"quantity times unit": {LineItems: []quote.LineItem{line(math.MaxInt64, 2, 0)}},
		"128 bits":            {LineItems: []quote.LineItem{line(math.MaxInt64, math.MaxInt64, 0)}},
		"lines":               {LineItems: []quote.LineItem{line(1, math.MaxInt64, 0), line(1, 1, 0)}},
		"mixed lines":         {LineItems: []quote.LineItem{line(1, math.MaxInt64, 0), monthly(1, 1, 0)}},
		"tax":                 {LineItems: []quote.LineItem{line(1, math.MaxInt64, 0)}, Tax: &quote.Tax{Amount: 1}},
	} {
		if got, err := doc.Total(); !errors.Is(err, quote.ErrOverflow) {
			t.Errorf("%s: Total() = %+v, %v, want ErrOverflow", name, got, err)
		}
	}
}

func TestTotalOfAnUnsoundDocumentIsAnError(t *testing.T) {
	one := []quote.LineItem{line(1, 100, 0)}
	for name, doc := range map[string]quote.Document{
		"line discount above the line": {LineItems: []quote.LineItem{line(1, 100, 101)}},
		"negative quantity":            {LineItems: []quote.LineItem{line(-1, 100, 0)}},
		"negative line discount":       {LineItems: []quote.LineItem{line(1, 100, -1)}},
		"negative discount":            {LineItems: one, Discount: &quote.Discount{Amount: -1}},
		"discount above the subtotal":  {LineItems: one, Discount: &quote.Discount{Amount: 101}},
		"two discounts":                {LineItems: one, Discount: &quote.Discount{Amount: 1, Percent: "1"}},
		"no discount":                  {LineItems: one, Discount: &quote.Discount{}},
		"no percentage":                {LineItems: one, Discount: &quote.Discount{Percent: "ten"}},
		"negative tax":                 {LineItems: one, Tax: &quote.Tax{Amount: -1}},
	} {
		if got, err := doc.Total(); err == nil {
			t.Errorf("%s: Total() = %+v, want an error", name, got)
		}
	}
}

// Percentages agree with exact rational arithmetic, half away from zero.
func TestPercentageIsExact(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		amount := r.Int64N(math.MaxInt64) >> r.IntN(63)
		millionths := 1 + r.Int64N(100_000_000)
		if r.IntN(2) == 0 {
			millionths = 500_000 * (1 + r.Int64N(200))
		}
		text := strconv.FormatInt(millionths/1_000_000, 10) + "." + strconv.FormatInt(1_000_000+millionths%1_000_000, 10)[1:]
		doc := quote.Document{LineItems: []quote.LineItem{line(1, amount, 0)}, Discount: &quote.Discount{Percent: text}}
		got, err := doc.Total()
		if err != nil {
			t.Fatalf("seed %d: Total of %d with %s%% = %v", seed, amount, text, err)
		}
		if want := exact(amount, millionths); got.Discount != want {
			t.Fatalf("seed %d: %s%% of %d = %d, want %d", seed, text, amount, got.Discount, want)
		}
	}
}

func exact(amount, millionths int64) int64 {
	n := new(big.Int).Mul(big.NewInt(amount), big.NewInt(millionths))
	n.Add(n, big.NewInt(50_000_000))
	return n.Quo(n, big.NewInt(100_000_000)).Int64()
}
