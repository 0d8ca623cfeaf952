package sandbox

import (
	"math/big"
	"net/url"
	"strings"
	"time"
)

const sessionSpec = `
*mode enum payment|subscription|setup
line_items[].quantity int
line_items[].price no
line_items[].adjustable_quantity no
line_items[].dynamic_tax_rates no
line_items[].tax_rates no
line_items[].price_data.currency str
line_items[].price_data.unit_amount int
line_items[].price_data.unit_amount_decimal str
line_items[].price_data.product no
line_items[].price_data.tax_behavior enum exclusive|inclusive|unspecified
line_items[].price_data.product_data.name str 5000
line_items[].price_data.product_data.description str 5000
line_items[].price_data.product_data.metadata meta
line_items[].price_data.product_data.images strs
line_items[].price_data.product_data.tax_code str
line_items[].price_data.recurring.interval enum day|week|month|year
line_items[].price_data.recurring.interval_count int
discounts[].coupon str
discounts[].promotion_code no
allow_promotion_codes bool
success_url str 5000
cancel_url str 5000
return_url no
ui_mode enum hosted|embedded
customer str 5000
customer_email str 800
customer_creation enum always|if_required
customer_update map
client_reference_id str 200
metadata meta
expires_at int
locale str
submit_type enum auto|book|donate|pay
billing_address_collection enum auto|required
payment_method_types strs
payment_method_collection enum always|if_required
payment_method_options.card.request_three_d_secure enum any|automatic|challenge
payment_method_options.card.setup_future_usage no
payment_intent_data.metadata meta
payment_intent_data.description str 1000
payment_intent_data.receipt_email str
payment_intent_data.statement_descriptor str 22
payment_intent_data.statement_descriptor_suffix str 22
payment_intent_data.capture_method enum automatic|automatic_async|manual
payment_intent_data.setup_future_usage enum on_session|off_session
payment_intent_data.application_fee_amount no
payment_intent_data.transfer_data no
payment_intent_data.on_behalf_of no
subscription_data.metadata meta
subscription_data.description str 500
subscription_data.trial_end no
subscription_data.trial_period_days no
subscription_data.billing_cycle_anchor no
subscription_data.proration_behavior no
subscription_data.application_fee_percent no
invoice_creation.enabled bool
invoice_creation.invoice_data.metadata meta
invoice_creation.invoice_data.description str 1500
invoice_creation.invoice_data.footer str 5000
automatic_tax.enabled bool
phone_number_collection.enabled bool
tax_id_collection.enabled bool
custom_text no
custom_fields no
consent_collection no
after_expiration no
shipping_options no
shipping_address_collection no
setup_intent_data no
payment_method_configuration no
currency str
redirect_on_completion no
`

var sessionParams = parseSpec(sessionSpec)

func sessionRoutes() []route {
	const p = "/v1/checkout/sessions"
	return []route{
		{"POST " + p, sessionParams, createSession},
		{"GET " + p, parseSpec(pageSpec + "payment_intent str\nsubscription str\ncustomer str\nstatus enum open|complete|expired\ncreated range\n"), func(c *call) (any, error) {
			return c.page(c.all("checkout.session", func(o object) bool {
				for _, name := range []string{"payment_intent", "subscription", "customer", "status"} {
					if c.p.has(name) && o[name] != c.p[name] {
						return false
					}
				}
				return within(c.p.obj("created"), o.int("created"))
			}), p)
		}},
		{"GET " + p + "/{id}", parseSpec(""), func(c *call) (any, error) { return c.find("checkout.session", c.id, "id") }},
		{"GET " + p + "/{id}/line_items", parseSpec(pageSpec), func(c *call) (any, error) {
			o, err := c.find("checkout.session", c.id, "id")
			if err != nil {
				return nil, err
			}
			return c.page(lineItems(o).objs("data"), p+"/"+c.id+"/line_items")
		}},
		{"POST " + p + "/{id}/expire", parseSpec(""), func(c *call) (any, error) {
			o, err := c.find("checkout.session", c.id, "id")
			if err != nil {
				return nil, err
			}
			if o.str("status") != "open" {
				return nil, refuse("", "", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of `%s`.", o.str("status"))
			}
			c.expire(o)
			return o, nil
		}},
	}
}

// Bounds of a session's life, counted from its creation.
const (
	shortestLife = 30 * time.Minute
	longestLife  = 24 * time.Hour
)

func createSession(c *call) (any, error) {
	cart, err := c.checkSession()
	if err != nil {
		return nil, err
	}
	p := c.p
	expires, err := c.expiry()
	if err != nil {
		return nil, err
	}
	for _, l := range cart.lines {
		c.makePrice(l)
	}
	id := c.modeID("cs_", 58)
	subscription := p.str("mode") == "subscription"
	o := c.add(nulls(`after_expiration allow_promotion_codes billing_address_collection cancel_url client_reference_id client_secret consent
		consent_collection currency_conversion customer customer_creation customer_details customer_email invoice invoice_creation locale
		payment_intent payment_link payment_method_configuration_details recovered_from return_url setup_intent
		shipping_address_collection shipping_cost shipping_details submit_type subscription success_url`).with(object{
		"id": id, "object": "checkout.session", "amount_subtotal": cart.subtotal, "amount_total": cart.total, "currency": cart.currency,
		"automatic_tax": object{"enabled": false, "liability": nil, "status": nil}, "custom_fields": []any{},
		"custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"), "expires_at": expires,
		"metadata": object{}, "mode": p["mode"], "payment_method_collection": "if_required", "payment_method_options": object{},
		"payment_method_types": []any{"card"}, "payment_status": "unpaid", "phone_number_collection": object{"enabled": false},
		"shipping_options": []any{}, "status": "open", "ui_mode": "hosted",
		"total_details": object{"amount_discount": cart.subtotal - cart.total, "amount_shipping": int64(0), "amount_tax": int64(0)},
		"url":           c.sim.cfg.PublicURL + "/pay/" + id,
		"_cart":         cart, "_intent_data": p.obj("payment_intent_data"), "_subscription_data": p.obj("subscription_data"), "_debit": true,
	}))
	for _, name := range strings.Fields(`allow_promotion_codes billing_address_collection cancel_url client_reference_id customer customer_creation
		customer_email locale metadata payment_method_collection payment_method_options payment_method_types submit_type success_url phone_number_collection`) {
		if p.has(name) {
			o[name] = p[name]
		}
	}
	if p.has("payment_method_types") {
		o["_debit"] = len(strsOf(p["payment_method_types"])) > 1 || strsOf(p["payment_method_types"])[0] != "card"
	}
	if !subscription {
		o["customer_creation"] = p.or("customer_creation", "if_required")
		o["invoice_creation"] = invoiceCreation(p.obj("invoice_creation"))
	} else {
		o["payment_method_collection"] = p.or("payment_method_collection", "always")
	}
	if cart.total == 0 {
		o["payment_status"] = "no_payment_required"
	}
	if cart.coupon != nil {
		o["discounts"] = []any{object{"coupon": cart.coupon["id"], "promotion_code": nil}}
	}
	c.sim.at(time.Unix(expires, 0).UTC(), func() {
		if o.str("status") == "open" {
			c.expire(o)
		}
	})
	return o, nil
}

// expiry is when the session will end.
func (c *call) expiry() (int64, error) {
	now := c.now()
	last := now + int64(longestLife/time.Second)
	if !c.p.has("expires_at") {
		return last, nil
	}
	at := c.p.int("expires_at")
	if at < now+int64(shortestLife/time.Second) {
		return 0, refuse("", "expires_at", "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.")
	}
	if at > last {
		return 0, refuse("", "expires_at", "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.")
	}
	return at, nil
}

func invoiceCreation(p object) object {
	data := nulls("account_tax_ids custom_fields description footer issuer rendering_options").with(object{"metadata": object{}})
	return object{"enabled": p.bool("enabled"), "invoice_data": data.with(p.obj("invoice_data"))}
}

func (w *world) expire(o object) {
	o["status"], o["url"] = "expired", nil
	w.emit("checkout.session.expired", o)
	w.abandon(o)
}

// checkSession refuses what Stripe refuses and adds the lines up.
func (c *call) checkSession() (*cart, error) {
	p := c.p
	if p.str("mode") == "setup" {
		return nil, unsupported("mode", "Checkout Sessions in setup mode")
	}
	if p.str("ui_mode") == "embedded" {
		return nil, unsupported("ui_mode", "embedded Checkout; it has the hosted page only")
	}
	for _, name := range []string{"automatic_tax", "tax_id_collection"} {
		if p.obj(name).bool("enabled") {
			return nil, unsupported(name+"[enabled]", "%s", name)
		}
	}
	if m := p.obj("payment_intent_data").str("capture_method"); m == "manual" {
		return nil, unsupported("payment_intent_data[capture_method]", "manual capture")
	}
	if err := c.checkURLs(); err != nil {
		return nil, err
	}
	if err := c.checkCustomer(); err != nil {
		return nil, err
	}
	if err := c.checkMode(); err != nil {
		return nil, err
	}
	cart, err := c.sumLines()
	if err != nil {
		return nil, err
	}
	return cart, c.discount(cart)
}

func (c *call) checkURLs() error {
	if !c.p.has("success_url") {
		return refuse("parameter_missing", "success_url", "Missing required param: success_url.")
	}
	for _, name := range []string{"success_url", "cancel_url"} {
		if !c.p.has(name) {
			continue
		}
		u, err := url.Parse(strings.ReplaceAll(c.p.str(name), "{CHECKOUT_SESSION_ID}", "cs"))
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return refuse("url_invalid", name, "Not a valid URL")
		}
		if c.live && u.Scheme != "https" {
			return refuse("url_invalid", name, "Not a valid URL: live mode needs https")
		}
	}
	return nil
}

func (c *call) checkCustomer() error {
	p := c.p
	if p.has("customer") && p.has("customer_email") {
		return refuse("", "customer", "You may only specify one of these parameters: customer, customer_email.")
	}
	if p.has("customer") && p.has("customer_creation") {
		return refuse("", "customer_creation", "You may only specify one of these parameters: customer, customer_creation.")
	}
	if p.has("customer") {
		if _, err := c.liveCustomer(p.str("customer"), "customer"); err != nil {
			return err
		}
	}
	return checkEmail(p.str("customer_email"), "customer_email")
}

// checkMode refuses parameters that belong to the other mode.
func (c *call) checkMode() error {
	p, other := c.p, map[string][]string{
		"payment":      {"subscription_data"},
		"subscription": {"payment_intent_data", "invoice_creation", "submit_type"},
	}
	mode := p.str("mode")
	for _, name := range other[mode] {
		if p.has(name) {
			return refuse("", name, "You can not pass `%s` in `%s` mode.", name, mode)
		}
	}
	if mode == "subscription" && p.has("customer_creation") {
		return refuse("", "customer_creation", "`customer_creation` can only be used in `payment` and `setup` mode.")
	}
	if p.has("discounts") && p.has("allow_promotion_codes") {
		return refuse("", "", "You may only specify one of these parameters: allow_promotion_codes, discounts.")
	}
	if p.bool("allow_promotion_codes") {
		return unsupported("allow_promotion_codes", "promotion codes")
	}
	for _, method := range strsOf(p["payment_method_types"]) {
		if method != "card" && !isDebit(method) {
			return unsupported("payment_method_types", "payment method %s; it has card and bank debits", method)
		}
	}
	if len(p.objs("line_items")) == 0 {
		return refuse("parameter_missing", "line_items", "Missing required param: line_items.")
	}
	return nil
}

// discount applies the coupon and checks the total against the limits of a charge.
func (c *call) discount(k *cart) error {
	discounts := c.p.objs("discounts")
	if len(discounts) > 1 {
		return refuse("", "discounts", "You can only apply up to 1 discount.")
	}
	if len(discounts) == 1 {
		if !discounts[0].has("coupon") {
			return refuse("parameter_missing", "discounts[0][coupon]", "Missing required param: discounts[0][coupon].")
		}
		coupon, err := c.usableCoupon(discounts[0].str("coupon"), k.currency)
		if err != nil {
			return err
		}
		k.coupon = coupon.clone()
	}
	k.spread()
	if least := smallest[k.currency]; k.total > 0 && k.total < least {
		return refuse("amount_too_small", "", "The Checkout Session's total amount due must add up to at least %s", money(least, k.currency))
	}
	if most := largest(k.currency); k.total > most {
		return refuse("amount_too_large", "", "The Checkout Session's total amount must be no more than %s", money(most, k.currency))
	}
	return checkDecimals(k.total, k.currency, "discounts[0][coupon]")
}

// decimalAmount reads unit_amount_decimal: up to twelve decimals.
func decimalAmount(v string) (*big.Rat, bool) {
	_, fraction, _ := strings.Cut(v, ".")
	r, ok := new(big.Rat).SetString(v)
	return r, ok && len(fraction) <= 12 && !strings.ContainsAny(v, "eE/")
}
