package sandbox

import (
	"fmt"
	"math/big"
	"time"
)

// cart is what a session sells.
type cart struct {
	currency        string
	lines           []*line
	subtotal, total int64 // minor units, without and with the coupon
	coupon          object
}

// line is a line item. Recurring ones have an interval.
type line struct {
	name, description string
	quantity          int64
	unit              *big.Rat
	subtotal, off     int64
	interval          string
	count             int64
	data              object // price_data
	item, price       object
}

// Limits of a session's lines.
const (
	paymentLines      = 100
	subscriptionLines = 20 // recurring, and as many one-time ones
	maxQuantity       = 999_999
)

// AmountTotal is the amount_total with which the API would answer: session is the body of POST /v1/checkout/sessions, coupon
// that of the POST /v1/coupons before it, empty for none. It is the API's own code on a world of its own, and keeps nothing;
// for tests of more carts than anybody wants to send.
func AmountTotal(session, coupon string) (int64, error) {
	s := &sim{cfg: Config{Now: func() time.Time { return time.Time{} }}}
	c := &call{world: &world{sim: s, account: &account{}, objects: map[string]object{}, order: map[string][]string{}}}
	read := func(body string, params *spec) error {
		form, err := parseForm(body)
		if err == nil {
			c.p, err = params.read(form, "")
		}
		return err
	}
	if coupon != "" {
		if err := read(coupon, couponParams); err != nil {
			return 0, err
		}
		if _, err := createCoupon(c); err != nil {
			return 0, err
		}
	}
	if err := read(session, sessionParams); err != nil {
		return 0, err
	}
	k, err := c.checkSession()
	if err != nil {
		return 0, err
	}
	return k.total, nil
}

// sumLines reads line_items.
func (c *call) sumLines() (*cart, error) {
	k := &cart{}
	subscription := c.p.str("mode") == "subscription"
	recurring := 0
	for i, p := range c.p.objs("line_items") {
		l, err := c.readLine(p, fmt.Sprintf("line_items[%d]", i), k)
		if err != nil {
			return nil, err
		}
		if l.interval != "" {
			recurring++
			if !subscription {
				return nil, refuse("", "line_items", "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.")
			}
		}
		k.lines = append(k.lines, l)
		k.subtotal += l.subtotal
	}
	oneTime := len(k.lines) - recurring
	switch {
	case subscription && recurring == 0:
		return nil, refuse("", "line_items", "You must provide at least one recurring price in `subscription` mode when using prices.")
	case !subscription && len(k.lines) > paymentLines:
		return nil, refuse("", "line_items", "You can only pass up to %d line items in `payment` mode.", paymentLines)
	case recurring > subscriptionLines || subscription && oneTime > subscriptionLines:
		return nil, refuse("", "line_items", "You can only pass up to %d line items with recurring prices and %d line items with one-time prices in `subscription` mode.", subscriptionLines, subscriptionLines)
	}
	return k, k.oneInterval()
}

// oneInterval refuses a mix of billing intervals.
func (k *cart) oneInterval() error {
	var first *line
	for _, l := range k.lines {
		if l.interval == "" {
			continue
		}
		if first == nil {
			first = l
		}
		if l.interval != first.interval || l.count != first.count {
			return refuse("", "line_items", "Checkout does not support multiple prices with different billing intervals.")
		}
	}
	return nil
}

func (c *call) readLine(p object, at string, k *cart) (*line, error) {
	data := p.obj("price_data")
	if data == nil {
		return nil, refuse("parameter_missing", at+"[price_data]", "Missing required param: %s[price_data].", at)
	}
	for _, name := range []string{"currency", "product_data"} {
		if !data.has(name) {
			return nil, refuse("parameter_missing", at+"[price_data]["+name+"]", "Missing required param: %s[price_data][%s].", at, name)
		}
	}
	if !data.obj("product_data").has("name") {
		return nil, refuse("parameter_missing", at+"[price_data][product_data][name]", "Missing required param: %s[price_data][product_data][name].", at)
	}
	if !p.has("quantity") {
		return nil, refuse("parameter_missing", at+"[quantity]", "Quantity is required. Add `quantity` to `%s`", at)
	}
	currency := data.str("currency")
	if err := checkCurrency(currency, at+"[price_data][currency]"); err != nil {
		return nil, err
	}
	if k.currency == "" {
		k.currency = currency
	}
	if currency != k.currency {
		return nil, refuse("", "line_items", "All line items must have the same currency; you passed `%s` and `%s`.", k.currency, currency)
	}
	l := &line{name: data.obj("product_data").str("name"), description: data.obj("product_data").str("description"), quantity: p.int("quantity")}
	if err := l.amounts(data, at, currency); err != nil {
		return nil, err
	}
	if r := data.obj("recurring"); r != nil {
		if err := l.recur(r, at+"[price_data][recurring]"); err != nil {
			return nil, err
		}
	}
	l.data = data
	return l, nil
}

// amounts reads the price of one and multiplies.
func (l *line) amounts(data object, at, currency string) error {
	param := at + "[price_data][unit_amount]"
	switch {
	case data.has("unit_amount") == data.has("unit_amount_decimal"):
		return refuse("parameter_missing", param, "You must pass exactly one of unit_amount and unit_amount_decimal.")
	case data.has("unit_amount"):
		l.unit = big.NewRat(data.int("unit_amount"), 1)
	default:
		var ok bool
		if l.unit, ok = decimalAmount(data.str("unit_amount_decimal")); !ok {
			return refuse("parameter_invalid_integer", at+"[price_data][unit_amount_decimal]", "Invalid decimal: %s", data.str("unit_amount_decimal"))
		}
	}
	if l.unit.Sign() < 0 {
		return refuse("parameter_invalid_integer", param, "Invalid integer: %s. This value must be greater than or equal to 0.", l.unit.RatString())
	}
	if l.quantity < 1 || l.quantity > maxQuantity {
		return refuse("parameter_invalid_integer", at+"[quantity]", "Invalid quantity: %d; must be between 1 and %d", l.quantity, maxQuantity)
	}
	most := largest(currency)
	if l.unit.Cmp(big.NewRat(most, 1)) > 0 {
		return refuse("amount_too_large", param, "Invalid integer: amount must be no more than %s", money(most, currency))
	}
	l.subtotal = rounded(new(big.Rat).Mul(l.unit, big.NewRat(l.quantity, 1)))
	return checkDecimals(l.subtotal, currency, param)
}

// longestInterval is how many of each fit the three years that Stripe allows.
var longestInterval = map[string]int64{"day": 1095, "week": 156, "month": 36, "year": 3}

func (l *line) recur(r object, at string) error {
	l.interval, l.count = r.str("interval"), 1
	if l.interval == "" {
		return refuse("parameter_missing", at+"[interval]", "Missing required param: %s[interval].", at)
	}
	if r.has("interval_count") {
		l.count = r.int("interval_count")
	}
	if l.count < 1 || l.count > longestInterval[l.interval] {
		return refuse("", at+"[interval_count]", "Invalid interval_count: maximum of three years interval allowed (3 years, 36 months, 156 weeks or 1095 days).")
	}
	return nil
}

// makePrice gives the line the inline price and product that Stripe makes of price_data.
func (c *call) makePrice(l *line) {
	recurring := any(nil)
	kind := "one_time"
	if l.interval != "" {
		kind = "recurring"
		recurring = object{"aggregate_usage": nil, "interval": l.interval, "interval_count": l.count, "trial_period_days": nil, "usage_type": "licensed"}
	}
	unit := any(nil)
	if l.unit.IsInt() {
		unit = l.unit.Num().Int64()
	}
	l.price = c.add(object{
		"id": c.sim.id("price_1", 23), "object": "price", "active": false, "billing_scheme": "per_unit", "currency": l.data["currency"],
		"custom_unit_amount": nil, "lookup_key": nil, "metadata": object{}, "nickname": nil, "product": c.sim.id("prod_", 14),
		"recurring": recurring, "tax_behavior": l.data.or("tax_behavior", "unspecified"), "tiers_mode": nil, "transform_quantity": nil,
		"type": kind, "unit_amount": unit, "unit_amount_decimal": decimal(l.unit),
	})
	l.item = object{"id": c.sim.id("li_1", 23)}
}

func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}

// spread sets the total, and gives each line its part of the discount so that the parts add up exactly.
func (k *cart) spread() {
	off := discountOf(k.coupon, k.subtotal)
	k.total = k.subtotal - off
	seen, given := int64(0), int64(0)
	for _, l := range k.lines {
		if k.subtotal == 0 {
			break
		}
		seen += l.subtotal
		upTo := new(big.Int).Mul(big.NewInt(off), big.NewInt(seen))
		part := upTo.Quo(upTo, big.NewInt(k.subtotal)).Int64()
		l.off, given = part-given, part
	}
}

// renewal is the cart of a later period: recurring lines only, and the coupon only if it lasts.
func (k *cart) renewal(coupon bool) *cart {
	next := &cart{currency: k.currency}
	if coupon {
		next.coupon = k.coupon
	}
	for _, l := range k.lines {
		if l.interval != "" {
			again := *l
			again.off = 0
			next.lines = append(next.lines, &again)
			next.subtotal += l.subtotal
		}
	}
	next.spread()
	return next
}

// lineItems is the list of a session's line items.
func lineItems(session object) object {
	k, _ := session["_cart"].(*cart)
	if k == nil {
		return list("", nil)
	}
	var all []object
	for _, l := range k.lines {
		all = append(all, object{
			"id": l.item["id"], "object": "item", "amount_discount": l.off, "amount_subtotal": l.subtotal, "amount_tax": int64(0),
			"amount_total": l.subtotal - l.off, "currency": k.currency, "description": l.name, "price": l.price, "quantity": l.quantity,
		})
	}
	return list("/v1/checkout/sessions/"+session.str("id")+"/line_items", all)
}
