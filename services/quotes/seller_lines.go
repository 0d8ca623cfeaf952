package quotes

import (
	"net/url"
	"strconv"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// mostRows bounds the rows of a form: those of a quote, and a few that the
// document's own limit is to refuse by name.
const mostRows = 110

// billedOnce is the choice of a line that is charged once.
const billedOnce = "once"

// rowMembers are the inputs of a row.
var rowMembers = []string{".name", ".quantity", ".unit_amount", ".discount_amount", ".interval", ".interval_count", ".term"}

func rowName(i int, member string) string { return "line_items[" + strconv.Itoa(i) + "]" + member }

// lineValues are what the step "lines" shows of a document.
func lineValues(d quote.Document) url.Values {
	money := func(amount int64) string { return quote.Money{Amount: amount, Currency: d.Currency}.Decimal() }
	v := url.Values{"discount.kind": {"none"}, "discount.duration": {quote.DurationOnce}}
	for i, line := range d.LineItems {
		v.Set(rowName(i, ".name"), line.Name)
		v.Set(rowName(i, ".quantity"), strconv.FormatInt(line.Quantity, 10))
		v.Set(rowName(i, ".unit_amount"), money(line.UnitAmount))
		v.Set(rowName(i, ".interval"), billedOnce)
		if line.DiscountAmount > 0 {
			v.Set(rowName(i, ".discount_amount"), money(line.DiscountAmount))
		}
		if r := line.Recurring; r != nil {
			v.Set(rowName(i, ".interval"), r.Interval)
			v.Set(rowName(i, ".interval_count"), strconv.FormatInt(r.IntervalCount, 10))
			v.Set(rowName(i, ".term"), r.Term)
		}
	}
	if x := d.Discount; x != nil {
		v.Set("discount.kind", "amount")
		v.Set("discount.value", money(x.Amount))
		if x.Percent != "" {
			v.Set("discount.kind", "percent")
			v.Set("discount.value", x.Percent)
		}
		if x.Duration != "" {
			v.Set("discount.duration", x.Duration)
		}
	}
	if d.Tax != nil {
		v.Set("tax.name", d.Tax.Name)
		v.Set("tax.amount", money(d.Tax.Amount))
	}
	return v
}

// rows counts the rows of a form.
func rows(values url.Values) int {
	n := 0
	for ; n < mostRows; n++ {
		if _, ok := values[rowName(n, ".name")]; !ok {
			break
		}
	}
	return n
}

// emptyRow reports whether nothing was typed in a row: such a one is passed over.
func emptyRow(values url.Values, i int) bool {
	for _, member := range []string{".name", ".unit_amount", ".discount_amount", ".term"} {
		if strings.TrimSpace(values.Get(rowName(i, member))) != "" {
			return false
		}
	}
	return true
}

// addRow adds an empty row at the end.
func addRow(values url.Values) int {
	n := rows(values)
	for _, member := range rowMembers {
		values.Set(rowName(n, member), "")
	}
	values.Set(rowName(n, ".quantity"), "1")
	values.Set(rowName(n, ".interval"), billedOnce)
	return n
}

// removeRow takes a row out; those after it move up.
func removeRow(values url.Values, at int) {
	n := rows(values)
	if at < 0 || at >= n {
		return
	}
	for i := at; i < n; i++ {
		for _, member := range rowMembers {
			if next, ok := values[rowName(i+1, member)]; ok && i+1 < n {
				values[rowName(i, member)] = next
				continue
			}
			values.Del(rowName(i, member))
		}
	}
}

// dropEmptyRows leaves the rows in which something was typed.
func dropEmptyRows(values url.Values) {
	for i := rows(values) - 1; i >= 0; i-- {
		if emptyRow(values, i) {
			removeRow(values, i)
		}
	}
}

// changeLines applies the step to a document.
func (v view) changeLines(d quote.Document, values url.Values) (quote.Document, error) {
	var faults []fault
	money := func(name string) any {
		amount, f := v.typedMoney(values, name, d.Currency)
		if f != nil {
			faults = append(faults, *f)
			return int64(0)
		}
		return amount
	}
	items := make([]any, 0, rows(values))
	for i := range rows(values) {
		line := map[string]any{
			"name": typed(values, rowName(i, ".name")), "quantity": typedNumber(values, rowName(i, ".quantity")),
			"unit_amount": money(rowName(i, ".unit_amount")), "discount_amount": money(rowName(i, ".discount_amount")),
		}
		interval, count, term := typed(values, rowName(i, ".interval")), typedNumber(values, rowName(i, ".interval_count")), typed(values, rowName(i, ".term"))
		switch {
		case interval != nil && interval != billedOnce:
			line["recurring"] = map[string]any{"interval": interval, "interval_count": count, "term": term}
		case term != nil: // a term is of a subscription; it must not get lost in silence
			faults = append(faults, fault{rowName(i, ".term"), label(v, rowName(i, ".term")), told{Text: v.T("Only a recurring line has a contract term. Choose how often it is billed, or remove the term.")}})
		}
		items = append(items, line)
	}
	patch := map[string]any{"line_items": items, "discount": nil, "tax": nil}
	switch kind := values.Get("discount.kind"); kind {
	case "amount", "percent":
		discount := map[string]any{"duration": typed(values, "discount.duration"), "amount": nil, "percent": nil}
		if kind == "amount" {
			discount["amount"] = money("discount.value")
		} else if percent, ok := typed(values, "discount.value").(string); ok {
			discount["percent"] = strings.ReplaceAll(strings.TrimSpace(strings.TrimSuffix(percent, "%")), ",", ".")
		}
		patch["discount"] = discount
	default:
		if typed(values, "discount.value") != nil {
			faults = append(faults, fault{"discount.kind", label(v, "discount.kind"), told{Text: v.T("Choose whether the discount is an amount or a percentage, or remove it.")}})
		}
	}
	if name, amount := typed(values, "tax.name"), typed(values, "tax.amount"); name != nil || amount != nil {
		patch["tax"] = map[string]any{"name": name, "amount": money("tax.amount")}
	}
	return v.apply(d, patch, faults)
}

// row is one line of the quote in the form.
type row struct {
	Index, Number int
	Fields        []field
}

// lineRows are the rows of the form; with an empty one where there is none.
func (f form) lineRows() []row {
	if rows(f.values) == 0 {
		addRow(f.values)
	}
	list := make([]row, 0, rows(f.values))
	for i := range rows(f.values) {
		put := func(member, show string, x field) field {
			x.Name, x.Show = rowName(i, member), show
			return f.put(x)
		}
		list = append(list, row{Index: i, Number: i + 1, Fields: []field{
			put(".name", f.T("Name"), field{Kind: "text", Class: "name", Auto: "off"}),
			put(".quantity", f.T("Quantity"), field{Kind: "text", Mode: "numeric", Class: "quantity number", Auto: "off"}),
			put(".unit_amount", f.T("Unit price"), field{Kind: "text", Mode: "decimal", Class: "price number", Auto: "off"}),
			put(".discount_amount", f.T("Line discount"), field{Kind: "text", Mode: "decimal", Class: "less number", Auto: "off"}),
			put(".interval", f.T("Billed"), field{Kind: "select", Class: "billed", Options: []option{
				{Value: billedOnce, Name: f.T("once")},
				{Value: "day", Name: f.T("recurring, in days")},
				{Value: "week", Name: f.T("recurring, in weeks")},
				{Value: "month", Name: f.T("recurring, in months")},
				{Value: "year", Name: f.T("recurring, in years")},
			}}),
			put(".interval_count", f.T("Every"), field{Kind: "text", Mode: "numeric", Class: "count number recurs", Auto: "off"}),
			put(".term", f.T("Contract term"), field{Kind: "text", Class: "term recurs", Auto: "off"}),
		}})
	}
	return list
}

// sumGroups are the quote's discount and its tax.
func (f form) sumGroups() []group {
	return []group{
		{Legend: f.T("Quote discount"), Hint: f.T("Taken off the sum of the lines. It never touches the tax."), Fields: []field{
			f.put(field{Name: "discount.kind", Kind: "select", Show: f.T("Kind"), Options: []option{
				{Value: "none", Name: f.T("No discount")}, {Value: "amount", Name: f.T("Amount")}, {Value: "percent", Name: f.T("Percentage")},
			}}),
			f.put(field{Name: "discount.value", Kind: "text", Mode: "decimal", Class: "number", Auto: "off"}),
			f.put(field{Name: "discount.duration", Kind: "select", Options: []option{
				{Value: quote.DurationOnce, Name: f.T("The first charge")}, {Value: quote.DurationForever, Name: f.T("Every charge")},
			}}),
		}},
		{Legend: f.T("Tax"), Hint: f.T("Charged once, with the first payment. To tax every period of a recurring line, put the tax into its price."), Fields: []field{
			f.put(field{Name: "tax.name", Kind: "text", Auto: "off", Hint: f.T("Such as VAT 23%.")}),
			f.put(field{Name: "tax.amount", Kind: "text", Mode: "decimal", Class: "number", Auto: "off"}),
		}},
	}
}
