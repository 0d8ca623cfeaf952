package quote

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// ErrOverflow is what Total returns when a sum does not fit an amount.
var ErrOverflow = errors.New("amount does not fit 64 bits")

// Total is the arithmetic of a quote, all in minor units of Currency: the sum
// of rounded parts, so that page, session and charge agree.
type Total struct {
	Currency string  `json:"currency"`
	Lines    []int64 `json:"lines"`    // quantity times unit amount less the line's discount, in the document's order
	Subtotal int64   `json:"subtotal"` // sum of Lines
	OneTime  int64   `json:"one_time"` // share of Subtotal that is charged once
	// Recurring is the share of Subtotal that is charged every period, before
	// the quote's discount.
	Recurring int64 `json:"recurring"`
	Discount  int64 `json:"discount"` // what the quote's discount takes off the first charge
	Tax       int64 `json:"tax"`      // charged once, never discounted
	// Due is the first charge, on the day of check out: every line, recurring
	// ones for their first period, less Discount, plus Tax.
	Due int64 `json:"due"`
}

// Total works out what the quote comes to. It returns ErrOverflow when a part
// does not fit, and an error naming the part for what Decode would not have let
// through: a discount above what it is taken from, or a percentage that is none.
func (d Document) Total() (Total, error) {
	t := Total{Currency: d.Currency, Lines: make([]int64, 0, len(d.LineItems))}
	for i, line := range d.LineItems {
		net, err := line.net()
		if err != nil {
			return Total{}, fmt.Errorf("line item %d: %w", i+1, err)
		}
		t.Lines = append(t.Lines, net)
		part := &t.OneTime
		if line.Recurring != nil {
			part = &t.Recurring
		}
		var ok, both bool
		*part, ok = add(*part, net)
		t.Subtotal, both = add(t.Subtotal, net)
		if !ok || !both {
			return Total{}, fmt.Errorf("subtotal: %w", ErrOverflow)
		}
	}
	var err error
	if t.Discount, err = d.Discount.of(t.Subtotal); err != nil {
		return Total{}, fmt.Errorf("discount: %w", err)
	}
	if d.Tax != nil {
		if d.Tax.Amount < 0 {
			return Total{}, fmt.Errorf("tax: negative amount %d", d.Tax.Amount)
		}
		t.Tax = d.Tax.Amount
	}
	due, ok := add(t.Subtotal-t.Discount, t.Tax)
	if !ok {
		return Total{}, fmt.Errorf("total: %w", ErrOverflow)
	}
	t.Due = due
	return t, nil
}

// DueAtCheckout is the first charge, Total's Due with its currency. A payment
// settles the quote only with exactly this amount.
func (d Document) DueAtCheckout() (Money, error) {
	t, err := d.Total()
	if err != nil {
		return Money{}, err
	}
	return Money{Amount: t.Due, Currency: t.Currency}, nil
}

// net is quantity times unit amount less the line's discount.
func (l LineItem) net() (int64, error) {
	if l.Quantity < 0 || l.UnitAmount < 0 || l.DiscountAmount < 0 {
		return 0, errors.New("negative quantity or amount")
	}
	hi, lo := bits.Mul64(uint64(l.Quantity), uint64(l.UnitAmount))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, ErrOverflow
	}
	gross := int64(lo)
	if l.DiscountAmount > gross {
		return 0, fmt.Errorf("discount %d is above %d", l.DiscountAmount, gross)
	}
	return gross - l.DiscountAmount, nil
}

// of is what the discount takes off the subtotal: nothing for a nil discount.
func (d *Discount) of(subtotal int64) (int64, error) {
	switch {
	case d == nil:
		return 0, nil
	case (d.Percent != "") == (d.Amount != 0):
		return 0, errors.New("exactly one of amount and percent is wanted")
	case d.Percent != "":
		p, ok := parsePercent(d.Percent)
		if !ok {
			return 0, fmt.Errorf("percent %q: want a decimal above 0, at most 100, with at most %d decimals", d.Percent, percentDecimals)
		}
		return p.of(subtotal), nil
	case d.Amount < 0:
		return 0, fmt.Errorf("negative amount %d", d.Amount)
	case d.Amount > subtotal:
		return 0, fmt.Errorf("amount %d is above the subtotal %d", d.Amount, subtotal)
	}
	return d.Amount, nil
}

// percentDecimals is how many places a percentage may have.
const percentDecimals = 6

// percent is a percentage in units of 10^-6 percent: above 0, at most 10^8.
type percent uint64

const hundredPercent percent = 100_000_000

// parsePercent reads a plain decimal: digits, at most one point with digits on
// both sides, no sign and no exponent.
func parsePercent(s string) (percent, bool) {
	units, decimals, point := strings.Cut(s, ".")
	if units == "" || len(units) > 3 || (point && decimals == "") || len(decimals) > percentDecimals {
		return 0, false
	}
	digits := units + decimals + strings.Repeat("0", percentDecimals-len(decimals))
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n == 0 || percent(n) > hundredPercent {
		return 0, false
	}
	return percent(n), true
}

// of is the percentage of an amount of zero or more, rounded half away from
// zero. The product has 128 bits, so it is exact.
func (p percent) of(amount int64) int64 {
	hi, lo := bits.Mul64(uint64(amount), uint64(p)) //nolint:gosec // G115: callers pass sums of amounts that net() proved not negative
	lo, carry := bits.Add64(lo, uint64(hundredPercent/2), 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(hundredPercent))
	return int64(q) //nolint:gosec // G115: p is at most one hundred percent, so q is at most amount
}

// add sums two amounts of zero or more.
func add(a, b int64) (int64, bool) {
	if a > math.MaxInt64-b {
		return 0, false
	}
	return a + b, true
}
