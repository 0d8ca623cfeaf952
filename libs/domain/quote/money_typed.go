package quote

import (
	"errors"
	"math"
	"strings"
)

// What ParseMoney refuses.
var (
	// ErrAmountForm is a text that is no amount.
	ErrAmountForm = errors.New("not an amount")
	// ErrAmountTwoWays is a text such as "1,234" that means one thing here and a
	// thousand times as much there.
	ErrAmountTwoWays = errors.New("amount can be read in two ways")
	// ErrAmountDecimals is an amount with more decimals than its currency has.
	ErrAmountDecimals = errors.New("too many decimals for the currency")
	// ErrAmountNegative is an amount below zero.
	ErrAmountNegative = errors.New("amount below zero")
	// ErrAmountOtherCurrency is an amount with another currency's code after it.
	ErrAmountOtherCurrency = errors.New("amount in another currency")
)

// ParseMoney reads an amount as a person types it, in whole units of the
// currency: "1234.50", "1 234,50", "1,234.50", "1'234.50", "1234", also with the
// currency's own code after it. It is exact: nothing is rounded, and a text that
// can be read in two ways is refused instead of guessed at, with one of the
// errors above or ErrOverflow. It reads back what Decimal and String write of
// amounts that are not negative.
//
// The last point or comma is the decimal separator if no more digits follow it
// than the currency has decimals. One that stands before three digits may also
// part thousands: alone it is read only where one of the two is impossible.
func ParseMoney(typed, currency string) (Money, error) {
	text, err := withoutCode(typed, currency)
	if err != nil {
		return Money{}, err
	}
	if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "\u2212") {
		return Money{}, ErrAmountNegative
	}
	exponent := Exponent(currency)
	units, decimals, err := splitAmount(text, exponent)
	if err != nil {
		return Money{}, err
	}
	if len(decimals) > exponent {
		return Money{}, ErrAmountDecimals
	}
	digits := units + decimals + strings.Repeat("0", exponent-len(decimals))
	m := Money{Currency: currency}
	for i := range len(digits) {
		digit := int64(digits[i] - '0')
		if m.Amount > (math.MaxInt64-digit)/10 {
			return Money{}, ErrOverflow
		}
		m.Amount = m.Amount*10 + digit
	}
	return m, nil
}

// withoutCode trims spaces, makes every space an ASCII one, and takes the code
// of the currency off the end.
func withoutCode(typed, currency string) (string, error) {
	text := strings.TrimSpace(strings.Map(func(r rune) rune {
		switch r {
		case '\u00a0', '\u2009', '\u202f', '\t': // no-break, thin, narrow no-break
			return ' '
		case '\u2019': // the apostrophe of Swiss amounts
			return '\''
		default:
			return r
		}
	}, typed))
	end := strings.TrimRight(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	code := text[len(end):]
	if code == "" {
		return text, nil
	}
	if !strings.EqualFold(code, currency) {
		if len(code) == len(currency) {
			return "", ErrAmountOtherCurrency
		}
		return "", ErrAmountForm
	}
	return strings.TrimSpace(end), nil
}

// splitAmount parts an amount at its decimal separator and takes the separators
// of thousands out; both answers are digits alone, the first is never empty.
func splitAmount(text string, exponent int) (units, decimals string, err error) {
	at := strings.LastIndexAny(text, ".,")
	if at < 0 {
		units, err = ungroup(text)
		return units, "", err
	}
	mark, head, tail := text[at:at+1], text[:at], text[at+1:]
	if tail == "" || !digitsOnly(tail) {
		return "", "", ErrAmountForm
	}
	if strings.Contains(head, mark) { // 1,234,567: a number has one decimal separator
		units, err = ungroup(text)
		return units, "", err
	}
	thousands := len(tail) == 3 && len(head) <= 3 && digitsOnly(head) && head != "" && head[0] != '0'
	switch {
	case !thousands: // also 1.234,567 and 1 234.567
	case exponent == 0:
		return head + tail, "", nil
	case exponent == 3 && mark == ".": // as Decimal writes it
	default:
		return "", "", ErrAmountTwoWays
	}
	if head == "" { // .50
		return "0", tail, nil
	}
	units, err = ungroup(head)
	return units, tail, err
}

// ungroup takes the separators of thousands out: one kind of them, with three
// digits after each.
func ungroup(text string) (string, error) {
	if digitsOnly(text) {
		return text, nil
	}
	at := strings.IndexAny(text, " .,'")
	if at < 1 || at > 3 {
		return "", ErrAmountForm
	}
	groups := strings.Split(text, text[at:at+1])
	for i, group := range groups {
		if !digitsOnly(group) || i > 0 && len(group) != 3 {
			return "", ErrAmountForm
		}
	}
	return strings.Join(groups, ""), nil
}

// digitsOnly is false for the empty text.
func digitsOnly(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
