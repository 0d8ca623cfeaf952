package quotes

import (
	"errors"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// fault is what is wrong with an input; Input is empty when it is the whole quote.
type fault struct {
	Input, Label string
	told
}

// faults are reasons beside the inputs that they are about. Label is what the
// sentence does not say itself: of one that names its input, the line at most.
func (v view) faults(reasons []quote.Reason) []fault {
	list := make([]fault, 0, len(reasons))
	for _, r := range reasons {
		input := inputName(r.Field)
		f := fault{input, label(v, input), v.reason(r)}
		if _, _, ok := named(r); ok && f.English == "" {
			f.Label = ""
			if line, _, ok := cutLine(input); ok {
				f.Label = v.T("Line %d", line+1)
			}
		}
		list = append(list, f)
	}
	return list
}

// ID is the id of the input, for a link.
func (f fault) ID() string { return inputID(f.Input) }

// Href leads from a page of the quote to the input, on its step.
func (f fault) Href(id string) string {
	return "/seller/quotes/" + id + "/" + stepOf(f.Input) + "#" + f.ID()
}

// inputID is an input's name as an id that needs no escaping in a link.
func inputID(name string) string {
	return "f-" + strings.NewReplacer("[", "-", "]", "", ".", "-").Replace(name)
}

// stepOf is the step that an input is on.
func stepOf(input string) string {
	switch {
	case strings.HasPrefix(input, "line_items"), strings.HasPrefix(input, "discount"), strings.HasPrefix(input, "tax"), input == "":
		return stepLines
	case strings.HasPrefix(input, "payment"):
		return stepPayment
	default:
		return stepDetails
	}
}

// moneyFault says what is wrong with a typed amount.
func (v view) moneyFault(input, typed, currency string, err error) fault {
	exponent := quote.Exponent(currency)
	code := strings.ToUpper(currency)
	example := quote.Money{Amount: 1234 * pow10(exponent), Currency: currency}.Decimal()
	f := fault{Input: input, Label: label(v, input)}
	switch {
	case errors.Is(err, quote.ErrAmountTwoWays):
		f.Text = v.T("%s can be read in two ways. Write %s if that is what you mean.", typed, undivided(typed, currency))
	case errors.Is(err, quote.ErrAmountDecimals) && exponent == 0:
		f.Text = v.T("%s has no decimals.", code)
	case errors.Is(err, quote.ErrAmountDecimals):
		f.Text = v.T("%s has %d decimals at most.", code, int64(exponent))
	case errors.Is(err, quote.ErrAmountNegative):
		f.Text = v.T("Enter an amount of zero or more.")
	case errors.Is(err, quote.ErrAmountOtherCurrency):
		f.Text = v.T("The amounts of this quote are in %s.", code)
	case errors.Is(err, quote.ErrOverflow):
		f.Text = v.T("This amount is too large.")
	default:
		f.Text = v.T("Enter an amount such as %s.", example)
	}
	return f
}

// undivided is a typed amount with its one point or comma taken for a separator of
// thousands.
func undivided(typed, currency string) string {
	m, err := quote.ParseMoney(strings.NewReplacer(".", "", ",", "").Replace(typed), currency)
	if err != nil {
		return typed
	}
	return m.Decimal()
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}
