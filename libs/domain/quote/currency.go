package quote

import "strings"

// zeroDecimal holds the currencies whose amount Stripe counts in whole units
// (Stripe docs, "Zero-decimal currencies"; stripe.md §3.3). UGX and ISK are not
// among them although older pages say so: they are sent times 100.
var zeroDecimal = map[string]bool{
	"bif": true, "clp": true, "djf": true, "gnf": true, "jpy": true,
	"kmf": true, "krw": true, "mga": true, "pyg": true, "rwf": true,
	"vnd": true, "vuv": true, "xaf": true, "xof": true, "xpf": true,
}

// threeDecimal holds the currencies whose amount Stripe counts in thousandths.
var threeDecimal = map[string]bool{
	"bhd": true, "jod": true, "kwd": true, "omr": true, "tnd": true,
}

// wholeUnits holds the currencies that have no minor unit in life but are sent
// times 100: Stripe refuses an amount that does not end in 00.
var wholeUnits = map[string]bool{"isk": true, "ugx": true}

// Exponent tells how many decimal places Stripe counts an amount of the
// currency in: 0, 2 or 3. The code may be in either case; a code that is in no
// table has two places, as Stripe documents for "all others".
//
// It is Stripe's counting and not ISO 4217's: ISK and UGX answer 2 (sent
// times 100), HUF and TWD answer 2 (only their payouts are in whole units).
func Exponent(currency string) int {
	c := strings.ToLower(currency)
	switch {
	case zeroDecimal[c]:
		return 0
	case threeDecimal[c]:
		return 3
	default:
		return 2
	}
}

// Step is the smallest amount, in minor units, by which a charge in the
// currency may vary: 100 for ISK and UGX (the amount must end in 00), 10 for
// the three-decimal currencies (the last digit must be 0), else 1.
func Step(currency string) int64 {
	c := strings.ToLower(currency)
	switch {
	case wholeUnits[c]:
		return 100
	case threeDecimal[c]:
		return 10
	default:
		return 1
	}
}

// CurrencyCode reports whether s has the shape of a currency code as Stripe
// writes it: three lower-case ASCII letters. It does not say that the currency
// exists or that Stripe takes it.
func CurrencyCode(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return true
}
