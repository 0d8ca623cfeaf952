package quote

import (
	"errors"
	"math"
	"slices"
)

// ErrFraction is what InCurrency returns when an amount has decimals that the
// other currency does not have.
var ErrFraction = errors.New("amount has more decimals than the currency")

// InCurrency is the document with every amount as it is written, in another
// currency: 12.00 USD becomes 12 JPY, and not 1 200 JPY, although both are 1200
// and 12 minor units. It returns ErrFraction when an amount has decimals that
// the other currency does not have, and ErrOverflow.
func (d Document) InCurrency(currency string) (Document, error) {
	from, to := Exponent(d.Currency), Exponent(currency)
	var fault error
	move := func(amount int64) int64 {
		for i := from; i < to && fault == nil; i++ {
			if amount > math.MaxInt64/10 {
				fault = ErrOverflow
			}
			amount *= 10
		}
		for i := to; i < from && fault == nil; i++ {
			if amount%10 != 0 {
				fault = ErrFraction
			}
			amount /= 10
		}
		return amount
	}
	d.Currency = currency
	d.LineItems = slices.Clone(d.LineItems)
	for i := range d.LineItems {
		line := &d.LineItems[i]
		line.UnitAmount, line.DiscountAmount = move(line.UnitAmount), move(line.DiscountAmount)
	}
	if d.Discount != nil {
		discount := *d.Discount
		discount.Amount = move(discount.Amount)
		d.Discount = &discount
	}
	if d.Tax != nil {
		tax := *d.Tax
		tax.Amount = move(tax.Amount)
		d.Tax = &tax
	}
	if fault != nil {
		return Document{}, fault
	}
	return d, nil
}
