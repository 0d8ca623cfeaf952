package quote

import (
	"strconv"
	"strings"
)

// Money is an amount in the minor units that Stripe counts its currency in:
// 1234 of usd is 12.34 USD, 1234 of jpy is 1 234 JPY. There are no fractions of
// a minor unit and no floating point anywhere.
type Money struct {
	// Amount is in minor units; negative amounts occur only in differences.
	Amount int64 `json:"amount"`
	// Currency is the ISO 4217 code in lower case.
	Currency string `json:"currency"`
}

// String writes the amount for people: thousands apart by a space, a point
// before the decimals, the code in upper case: "1 234.50 PLN", "-0.05 USD",
// "1 234 JPY". An amount without a currency is written with two decimals.
func (m Money) String() string {
	text := m.Decimal()
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	units, decimals, _ := strings.Cut(text, ".")

	var b strings.Builder
	b.WriteString(sign)
	for i := range len(units) {
		if i > 0 && (len(units)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(units[i])
	}
	if decimals != "" {
		b.WriteByte('.')
		b.WriteString(decimals)
	}
	if m.Currency != "" {
		b.WriteByte(' ')
		b.WriteString(strings.ToUpper(m.Currency))
	}
	return b.String()
}

// Decimal writes the amount alone, for machines: "1234.50", "-0.05", "1234".
func (m Money) Decimal() string {
	digits := strconv.FormatInt(m.Amount, 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	exp := Exponent(m.Currency)
	if exp == 0 {
		return sign + digits
	}
	if len(digits) <= exp {
		digits = strings.Repeat("0", exp+1-len(digits)) + digits
	}
	at := len(digits) - exp
	return sign + digits[:at] + "." + digits[at:]
}
