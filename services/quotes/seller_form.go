package quotes

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// field is one input of a form as it is shown: with what was typed, what is wrong
// with it, and what is stored by now where that differs.
type field struct {
	Name, Label, Hint string
	// Kind is the type of an input, or select or radio.
	Kind     string
	Value    string
	Fault    *fault
	Saved    string
	Options  []option
	Required bool
	// SavedLabel is what stands before Saved.
	SavedLabel string
	// Auto, Mode, List and Class are HTML attributes; Show is the label as people
	// see it where Label names more, such as the line's number.
	Auto, Mode, List, Class, Show string
}

// ID is the input's id.
func (f field) ID() string { return inputID(f.Name) }

// Describes lists the ids of what is said about the input.
func (f field) Describes() string {
	var ids []string
	if f.Fault != nil {
		ids = append(ids, f.ID()+"-fault")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID()+"-hint")
	}
	if f.Saved != "" {
		ids = append(ids, f.ID()+"-saved")
	}
	return strings.Join(ids, " ")
}

// form fills fields with what was typed, or with what is stored.
type form struct {
	view
	values url.Values
	faults []fault
	// stored is what the newest version would show; nil while nobody else has
	// written one.
	stored url.Values
}

// put is the field with its value; its label is that of the input.
func (f form) put(x field) field {
	x.Label, x.Value = label(f.view, x.Name), f.values.Get(x.Name)
	if x.Show == "" {
		x.Show = x.Label
	}
	if at := slices.IndexFunc(f.faults, func(fault fault) bool { return fault.Input == x.Name }); at >= 0 {
		x.Fault = &f.faults[at]
	}
	for i := range x.Options {
		x.Options[i].Chosen = x.Options[i].Value == x.Value
	}
	if f.stored != nil && f.stored.Get(x.Name) != x.Value {
		x.Saved, x.SavedLabel = f.stored.Get(x.Name), f.T("Stored now:")
		for _, o := range x.Options {
			if o.Value == x.Saved {
				x.Saved = o.Name
			}
		}
		if x.Saved == "" {
			x.Saved = f.T("nothing")
		}
	}
	return x
}

// typed is a value without the spaces around it; nil, which removes a field of
// the document, when nothing was typed.
func typed(values url.Values, name string) any {
	value := strings.TrimSpace(values.Get(name))
	if value == "" {
		return nil
	}
	return value
}

// typedNumber is a whole number as the document takes it; anything else is handed
// on as it is, for the document's own rules to refuse.
func typedNumber(values url.Values, name string) any {
	value := strings.ReplaceAll(strings.TrimSpace(values.Get(name)), "\u00a0", " ")
	switch {
	case value == "":
		return nil
	case strings.Trim(value, "0123456789") == "" && (len(value) == 1 || value[0] != '0'):
		return json.Number(value)
	case strings.HasPrefix(value, "-") && len(value) > 1 && strings.Trim(value[1:], "0123456789") == "":
		return json.Number(value)
	default:
		return value
	}
}

// typedMoney is an amount in minor units; nil when nothing was typed, or what is
// wrong with it.
func (v view) typedMoney(values url.Values, name, currency string) (any, *fault) {
	text := strings.TrimSpace(values.Get(name))
	if text == "" {
		return nil, nil
	}
	m, err := quote.ParseMoney(text, currency)
	if err != nil {
		f := v.moneyFault(name, text, currency, err)
		return nil, &f
	}
	return m.Amount, nil
}

// refusedForm is the error of a form whose content is not acceptable.
type refusedForm struct{ faults []fault }

func (*refusedForm) Error() string { return "form refused" }

// apply patches the document with a form. Faults are those that the form found
// in what was typed; the document's own are added, except beside an input that
// has one already.
func (v view) apply(d quote.Document, patch map[string]any, faults []fault) (quote.Document, error) {
	b, err := json.Marshal(patch)
	if err != nil {
		return quote.Document{}, err
	}
	document, reasons := d.Patch(b)
	return document, v.refused(faults, reasons)
}

// refused is nil when nothing is wrong.
func (v view) refused(faults []fault, reasons []quote.Reason) error {
	for _, f := range v.faults(reasons) {
		if !slices.ContainsFunc(faults, func(other fault) bool { return other.Input == f.Input }) {
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return &refusedForm{faults}
}
