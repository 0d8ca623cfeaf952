package quote_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"quittance.internal/libs/domain/quote"
)

// R53
func TestATypedAmountIsReadExactlyOrRefused(t *testing.T) {
	for _, tt := range []struct {
		typed, currency string
		want            int64
		err             error
	}{
		{"1234.50", "pln", 123450, nil},
		{"1 234,50", "pln", 123450, nil},
		{"1\u00a0234,50", "pln", 123450, nil},
		{"1\u202f234,5", "pln", 123450, nil},
		{"1,234.50", "usd", 123450, nil},
		{"1.234,50", "eur", 123450, nil},
		{"1'234.50", "chf", 123450, nil},
		{"1\u2019234.50", "chf", 123450, nil},
		{"1234.5", "usd", 123450, nil},
		{"1234", "usd", 123400, nil},
		{"  1234 ", "usd", 123400, nil},
		{"1 234 567", "usd", 123456700, nil},
		{"1,234,567", "usd", 123456700, nil},
		{"1.234.567", "eur", 123456700, nil},
		{"1,234,567.89", "usd", 123456789, nil},
		{"0", "usd", 0, nil},
		{"0,00", "usd", 0, nil},
		{".50", "usd", 50, nil},
		{",5", "usd", 50, nil},
		{"007", "usd", 700, nil},
		{"1 234.50 PLN", "pln", 123450, nil},
		{"12pln", "pln", 1200, nil},
		{"1234", "jpy", 1234, nil},
		{"1,234", "jpy", 1234, nil},
		{"1.234", "jpy", 1234, nil},
		{"1.234", "kwd", 1234, nil},
		{"0,234", "kwd", 234, nil},
		{"12345.678", "kwd", 12345678, nil},
		{"1 234.567", "kwd", 1234567, nil},
		{"100.00", "isk", 10000, nil},
		{"92233720368547758.07", "usd", math.MaxInt64, nil},
		{"9223372036854775807", "jpy", math.MaxInt64, nil},

		{"1,234", "usd", 0, quote.ErrAmountTwoWays},
		{"1.234", "eur", 0, quote.ErrAmountTwoWays},
		{"999,000", "usd", 0, quote.ErrAmountTwoWays},
		{"1,234", "kwd", 0, quote.ErrAmountTwoWays},
		{"12.345", "usd", 0, quote.ErrAmountTwoWays},
		{"0.345", "usd", 0, quote.ErrAmountDecimals},
		{"1234.567", "usd", 0, quote.ErrAmountDecimals},
		{"1 234.567", "usd", 0, quote.ErrAmountDecimals},
		{"12.3456", "usd", 0, quote.ErrAmountDecimals},
		{"12.5", "jpy", 0, quote.ErrAmountDecimals},
		{"12.00", "jpy", 0, quote.ErrAmountDecimals},
		{"-5", "usd", 0, quote.ErrAmountNegative},
		{"\u22125", "usd", 0, quote.ErrAmountNegative},
		{"12 EUR", "usd", 0, quote.ErrAmountOtherCurrency},
		{"92233720368547758.08", "usd", 0, quote.ErrOverflow},
		{"92233720368547759", "usd", 0, quote.ErrOverflow},
		{strings.Repeat("9", 100000), "usd", 0, quote.ErrOverflow},
		{"", "usd", 0, quote.ErrAmountForm},
		{" ", "usd", 0, quote.ErrAmountForm},
		{".", "usd", 0, quote.ErrAmountForm},
		{"12.", "usd", 0, quote.ErrAmountForm},
		{"usd", "usd", 0, quote.ErrAmountForm},
		{"12 34", "usd", 0, quote.ErrAmountForm},
		{"1 23,50", "usd", 0, quote.ErrAmountForm},
		{"1 234'567", "usd", 0, quote.ErrAmountForm},
		{"1,234.567,89", "usd", 0, quote.ErrAmountForm},
		{"1234,567.89", "usd", 0, quote.ErrAmountForm},
		{"12.50,00", "usd", 0, quote.ErrAmountForm},
		{"1e3", "usd", 0, quote.ErrAmountForm},
		{"+5", "usd", 0, quote.ErrAmountForm},
		{"$5", "usd", 0, quote.ErrAmountForm},
		{"twelve", "usd", 0, quote.ErrAmountForm},
		{"١٢", "usd", 0, quote.ErrAmountForm},
		{"1\n2", "usd", 0, quote.ErrAmountForm},
	} {
		got, err := quote.ParseMoney(tt.typed, tt.currency)
		if !errors.Is(err, tt.err) || got.Amount != tt.want || err == nil && got.Currency != tt.currency {
			t.Errorf("ParseMoney(%.40q, %s) = %v, %v, want %d, %v", tt.typed, tt.currency, got.Amount, err, tt.want, tt.err)
		}
	}
}

// FuzzTypedAmount checks that whatever is taken has exactly the value of its
// digits, and that what we write is read back.
func FuzzTypedAmount(f *testing.F) {
	for _, s := range []string{"1234.50", "1 234,50", "1,234", "1.234.567,8", ".5", "9'223'372'036'854'775'807", "12 PLN", "-1", "\u00a01"} {
		f.Add(s, int64(123450), "pln")
		f.Add(s, int64(7), "jpy")
		f.Add(s, int64(math.MaxInt64), "kwd")
	}
	f.Fuzz(func(t *testing.T, typed string, amount int64, currency string) {
		if !quote.CurrencyCode(currency) {
			return // no currency, no decimals to hold the amount against
		}
		if m, err := quote.ParseMoney(typed, currency); err == nil {
			if m.Amount < 0 || m.Currency != currency {
				t.Fatalf("ParseMoney(%q, %s) = %+v", typed, currency, m)
			}
			// The value is that of the digits, moved by the decimals that were typed.
			digits := strings.Map(func(r rune) rune {
				if r < '0' || r > '9' {
					return -1
				}
				return r
			}, typed)
			n, _ := new(big.Int).SetString("0"+digits, 10)
			fits := false
			for decimals := range quote.Exponent(currency) + 1 {
				scaled := new(big.Int).Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(quote.Exponent(currency)-decimals)), nil))
				fits = fits || scaled.Cmp(big.NewInt(m.Amount)) == 0
			}
			if !fits {
				t.Fatalf("ParseMoney(%q, %s) = %d: not the digits' value", typed, currency, m.Amount)
			}
		}
		if amount < 0 {
			return
		}
		written := quote.Money{Amount: amount, Currency: currency}
		for _, text := range []string{written.Decimal(), written.String()} {
			if got, err := quote.ParseMoney(text, currency); err != nil || got != written {
				t.Fatalf("ParseMoney(%q) = %+v, %v, want %+v", text, got, err, written)
			}
		}
	})
}
