package quote_test

import (
	"math"
	"strings"
	"testing"

	"quittance.internal/libs/domain/quote"
)

func TestMoneyReadsAsPeopleWriteIt(t *testing.T) {
	for _, tt := range []struct {
		amount   int64
		currency string
		want     string
		decimal  string
	}{
		{123450, "pln", "1 234.50 PLN", "1234.50"},
		{0, "eur", "0.00 EUR", "0.00"},
		{5, "usd", "0.05 USD", "0.05"},
		{-5, "usd", "-0.05 USD", "-0.05"},
		{-123456, "usd", "-1 234.56 USD", "-1234.56"},
		{99999, "usd", "999.99 USD", "999.99"},
		{100000, "usd", "1 000.00 USD", "1000.00"},
		{1234, "jpy", "1 234 JPY", "1234"},
		{-999, "jpy", "-999 JPY", "-999"},
		{0, "jpy", "0 JPY", "0"},
		{1234567, "kwd", "1 234.567 KWD", "1234.567"},
		{7, "kwd", "0.007 KWD", "0.007"},
		{10000, "isk", "100.00 ISK", "100.00"},
		{1, "", "0.01", "0.01"},
		{math.MaxInt64, "usd", "92 233 720 368 547 758.07 USD", "92233720368547758.07"},
		{math.MinInt64, "jpy", "-9 223 372 036 854 775 808 JPY", "-9223372036854775808"},
	} {
		m := quote.Money{Amount: tt.amount, Currency: tt.currency}
		if got := m.String(); got != tt.want {
			t.Errorf("Money{%d, %q}.String() = %q, want %q", tt.amount, tt.currency, got, tt.want)
		}
		if got := m.Decimal(); got != tt.decimal {
			t.Errorf("Money{%d, %q}.Decimal() = %q, want %q", tt.amount, tt.currency, got, tt.decimal)
		}
	}
}

// R53
func TestExponentIsStripesCountingAndNotISOs(t *testing.T) {
	for exponent, codes := range map[int]string{
		0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf",
		2: "usd eur pln gbp isk ugx huf twd idr cop",
		3: "bhd jod kwd omr tnd",
	} {
		for code := range strings.FieldsSeq(codes) {
			if got := quote.Exponent(code); got != exponent {
				t.Errorf("Exponent(%q) = %d, want %d", code, got, exponent)
			}
			if got := quote.Exponent(strings.ToUpper(code)); got != exponent {
				t.Errorf("Exponent(%q) = %d, want %d", strings.ToUpper(code), got, exponent)
			}
		}
	}
}

// R53
func TestStepNamesTheDigitsThatMustBeZero(t *testing.T) {
	for code, want := range map[string]int64{"isk": 100, "UGX": 100, "kwd": 10, "tnd": 10, "usd": 1, "jpy": 1, "huf": 1} {
		if got := quote.Step(code); got != want {
			t.Errorf("Step(%q) = %d, want %d", code, got, want)
		}
	}
}

func TestCurrencyCodeIsThreeLowerCaseLetters(t *testing.T) {
	for code, want := range map[string]bool{
		"usd": true, "zzz": true, "": false, "us": false, "usdt": false, "USD": false, "u1d": false, "złn": false, "u d": false,
	} {
		if got := quote.CurrencyCode(code); got != want {
			t.Errorf("CurrencyCode(%q) = %v, want %v", code, got, want)
		}
	}
}
