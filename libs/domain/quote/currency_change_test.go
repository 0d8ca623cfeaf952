package quote_test

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"quittance.internal/libs/domain/quote"
)

// R53
func TestAnotherCurrencyKeepsTheAmountsAsTheyAreWritten(t *testing.T) {
	before := quote.Document{
		Currency:  "usd",
		LineItems: []quote.LineItem{{Name: "L", Quantity: 3, UnitAmount: 1200, DiscountAmount: 500}},
		Discount:  &quote.Discount{Amount: 100}, Tax: &quote.Tax{Name: "VAT", Amount: 700},
	}
	for currency, want := range map[string][4]int64{
		"eur": {1200, 500, 100, 700}, "jpy": {12, 5, 1, 7}, "kwd": {12000, 5000, 1000, 7000},
	} {
		got, err := before.InCurrency(currency)
		if err != nil || got.Currency != currency || [4]int64{got.LineItems[0].UnitAmount, got.LineItems[0].DiscountAmount, got.Discount.Amount, got.Tax.Amount} != want {
			t.Errorf("InCurrency(%s) = %+v, %v, want %v", currency, got, err, want)
		}
		back, err := got.InCurrency("usd")
		if err != nil || !reflect.DeepEqual(back, before) {
			t.Errorf("and back = %+v, %v, want %+v", back, err, before)
		}
	}
	if before.LineItems[0].UnitAmount != 1200 || before.Tax.Amount != 700 {
		t.Errorf("the document itself was changed: %+v", before)
	}
	before.Discount = &quote.Discount{Percent: "5"}
	if got, err := before.InCurrency("jpy"); err != nil || got.Discount.Percent != "5" || got.Discount.Amount != 0 {
		t.Errorf("a percentage became %+v, %v", got.Discount, err)
	}
	before.Tax.Amount = 710
	if _, err := before.InCurrency("jpy"); !errors.Is(err, quote.ErrFraction) {
		t.Errorf("7.10 in yen = %v, want ErrFraction", err)
	}
	before.Tax.Amount = math.MaxInt64/10 + 1
	if _, err := before.InCurrency("kwd"); !errors.Is(err, quote.ErrOverflow) {
		t.Errorf("too large = %v, want ErrOverflow", err)
	}
}
