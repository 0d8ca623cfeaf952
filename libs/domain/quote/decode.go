package quote

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// Decode reads a document strictly and checks its structure: every unknown,
// missing, mistyped or impossible field is named, all at once. It returns the
// document only when there are no reasons.
//
// Amounts and quantities are whole numbers: 1.0 and 1e2 are refused. A recurring
// line without interval_count means every one interval. A draft may have no lines
// yet; it cannot be published then.
func Decode(b []byte) (Document, []Reason) {
	v, err := decodeValue(b)
	if err != nil {
		return Document{}, []Reason{{Code: CodeInvalidJSON, Detail: "The body is not valid JSON: " + err.Error() + "."}}
	}
	return decodeDocument(v)
}

// Patch applies a JSON Merge Patch (RFC 7396) to the document and decodes the
// outcome as Decode does: null removes a field, an object is merged, anything
// else (also a list) replaces.
func (d Document) Patch(patch []byte) (Document, []Reason) {
	change, err := decodeValue(patch)
	if err != nil {
		return Document{}, []Reason{{Code: CodeInvalidJSON, Detail: "The body is not valid JSON: " + err.Error() + "."}}
	}
	if _, ok := change.(map[string]any); !ok {
		return Document{}, []Reason{{Code: CodeType, Detail: "The body must be a JSON object."}}
	}
	now, err := json.Marshal(d)
	if err != nil {
		return Document{}, []Reason{{Code: CodeInvalidJSON, Detail: "The stored document cannot be changed: " + err.Error() + "."}}
	}
	whole, err := decodeValue(now)
	if err != nil {
		return Document{}, []Reason{{Code: CodeInvalidJSON, Detail: "The stored document cannot be changed: " + err.Error() + "."}}
	}
	return decodeDocument(merge(whole, change))
}

// merge is RFC 7396's algorithm. Its depth is bounded by encoding/json's own
// limit on nesting.
func merge(target, patch any) any {
	change, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	whole, ok := target.(map[string]any)
	if !ok {
		whole = map[string]any{}
	}
	for name, value := range change {
		if value == nil {
			delete(whole, name)
			continue
		}
		whole[name] = merge(whole[name], value)
	}
	return whole
}

func decodeValue(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("empty")
		}
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

// decodeDocument walks the whole document, also past its faults. The checks
// that need sound parts (the sums) run only when there are none.
func decodeDocument(v any) (Document, []Reason) {
	c := &checker{}
	o := c.object("", v)
	d := Document{
		Title:     o.text("title", needed, 200),
		Deal:      deal(o.member("deal", needed)),
		Currency:  o.currency("currency"),
		LineItems: lineItems(o.list("line_items", 0, 100)),
		Discount:  discount(o.member("discount", optional)),
		Tax:       tax(o.member("tax", optional)),
		Owner:     owner(o.member("owner", needed)),
		Contact:   contact(o.member("contact", needed)),
		Payment:   paymentOptions(o.member("payment", optional)),
	}
	d.ExpiresAt = o.expiry("expires_at", d.Owner.TimeZone)
	o.end()
	if len(c.reasons) == 0 {
		c.sums(d)
	}
	if len(c.reasons) > 0 {
		return Document{}, c.reasons
	}
	return d, nil
}

func deal(o *object) Deal {
	defer o.end()
	return Deal{ID: o.text("id", needed, 128), Name: o.text("name", optional, 200)}
}

func lineItems(items []*object) []LineItem {
	lines := make([]LineItem, 0, len(items))
	for _, o := range items {
		lines = append(lines, LineItem{
			Name: o.text("name", needed, 250), Quantity: o.integer("quantity", needed, 1, math.MaxInt64),
			UnitAmount:     o.integer("unit_amount", needed, 0, math.MaxInt64),
			DiscountAmount: o.integer("discount_amount", optional, 0, math.MaxInt64),
			Recurring:      recurring(o.member("recurring", optional)),
		})
		o.end()
	}
	return lines
}

func recurring(o *object) *Recurring {
	if !o.there() {
		return nil
	}
	defer o.end()
	r := &Recurring{
		Interval:      o.choice("interval", needed, "day", "week", "month", "year"),
		IntervalCount: o.integer("interval_count", optional, 1, maxIntervalCount),
		Term:          o.text("term", optional, 100),
	}
	if !o.has("interval_count") {
		r.IntervalCount = 1
	}
	return r
}

// maxIntervalCount is three years of days, the longest that Stripe bills at.
const maxIntervalCount = 1096

func discount(o *object) *Discount {
	if !o.there() {
		return nil
	}
	defer o.end()
	d := &Discount{
		Amount: o.integer("amount", optional, 1, math.MaxInt64), Percent: o.percent("percent"),
		Duration: o.choice("duration", optional, DurationOnce, DurationForever),
	}
	if o.has("amount") == o.has("percent") {
		o.refuse("", CodeDiscount, "A discount has either an amount or a percent; set the other one to null.")
	}
	return d
}

func tax(o *object) *Tax {
	if !o.there() {
		return nil
	}
	defer o.end()
	return &Tax{Name: o.text("name", needed, 200), Amount: o.integer("amount", needed, 0, math.MaxInt64)}
}

func owner(o *object) Owner {
	defer o.end()
	return Owner{Name: o.text("name", optional, 200), Email: o.email("email"), TimeZone: o.zone("time_zone")}
}

func contact(o *object) Contact {
	defer o.end()
	return Contact{
		Email: o.email("email"), FirstName: o.text("first_name", optional, 100),
		LastName: o.text("last_name", optional, 100), Company: o.text("company", optional, 200),
	}
}

func paymentOptions(o *object) PaymentOptions {
	if !o.there() {
		return PaymentOptions{}
	}
	defer o.end()
	return PaymentOptions{Stripe: o.flag("stripe"), ThreeDSecure: o.maybe("three_d_secure")}
}

// sums refuses what only the arithmetic shows.
func (c *checker) sums(d Document) {
	for i, line := range d.LineItems {
		at := "line_items[" + strconv.Itoa(i) + "]"
		gross := line
		gross.DiscountAmount = 0
		whole, err := gross.net()
		if err != nil {
			c.refuse(at, CodeOverflow, "Quantity times unit amount of line %d (%s) is too large.", i+1, line.Name)
			continue
		}
		if line.DiscountAmount > whole {
			c.refuse(at+".discount_amount", CodeLineDiscount, "The discount of line %d (%s), %s, is above the line's %s.",
				i+1, line.Name, Money{line.DiscountAmount, d.Currency}, Money{whole, d.Currency})
		}
	}
	if len(c.reasons) > 0 {
		return
	}
	plain := d
	plain.Discount, plain.Tax = nil, nil
	t, err := plain.Total()
	if err != nil {
		c.refuse("line_items", CodeOverflow, "The sum of the lines is too large.")
		return
	}
	if d.Discount != nil && d.Discount.Amount > t.Subtotal {
		c.refuse("discount.amount", CodeDiscount, "The discount, %s, is above the sum of the lines, %s.",
			Money{d.Discount.Amount, d.Currency}, Money{t.Subtotal, d.Currency})
		return
	}
	if _, err := d.Total(); err != nil {
		c.refuse("tax.amount", CodeOverflow, "The total is too large.")
	}
}
