package sandbox_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/services/sandbox"
)

// What stripe-mock lets pass and Stripe does not (R17 R18 R24 R37 R44 R53).
func TestSessionsAreRefusedAsStripeRefusesThem(t *testing.T) {
	w := start(t, sandbox.Config{})
	cus, err := w.Customers.New(&stripe.CustomerParams{Email: stripe.String("a@b.example")})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 201)
	type params = stripe.CheckoutSessionParams
	lines := func(l ...*stripe.CheckoutSessionLineItemParams) []*stripe.CheckoutSessionLineItemParams { return l }
	foreign := line("x", 100000, 1)
	foreign.PriceData.Currency = stripe.String("eur")
	unknown := line("x", 100000, 1)
	unknown.PriceData.Currency = stripe.String("zzz")
	yearly := monthly("y", 10000, 1)
	yearly.PriceData.Recurring.Interval = stripe.String("year")
	for name, tt := range map[string]struct {
		change      func(p *params)
		base        func() *params
		code, param string
		says        string
	}{
		"mixed intervals":                        {func(p *params) { p.LineItems = append(p.LineItems, yearly) }, recurring, "", "line_items", "different billing intervals"},
		"recurring in payment mode":              {func(p *params) { p.LineItems = lines(monthly("x", 10000, 1)) }, oneTime, "", "line_items", "recurring price"},
		"nothing recurring in subscription mode": {func(p *params) { p.LineItems = lines(line("x", 10000, 1)) }, recurring, "", "line_items", "at least one recurring"},
		"two currencies":                         {func(p *params) { p.LineItems = append(p.LineItems, foreign) }, oneTime, "", "line_items", "same currency"},
		"one cent":                               {func(p *params) { p.LineItems = lines(line("x", 1, 1)) }, oneTime, "amount_too_small", "", "at least 2.00"},
		"below the minimum by a cent":            {func(p *params) { p.LineItems = lines(line("x", 199, 1)) }, oneTime, "amount_too_small", "", ""},
		"nine digits":                            {func(p *params) { p.LineItems = lines(line("x", 100000000, 1)) }, oneTime, "amount_too_large", "line_items[0][price_data][unit_amount]", ""},
		"nine digits together":                   {func(p *params) { p.LineItems = lines(line("x", 99999999, 1), line("y", 1, 1)) }, oneTime, "amount_too_large", "", ""},
		"negative":                               {func(p *params) { p.LineItems = lines(line("x", -1, 1)) }, oneTime, "parameter_invalid_integer", "line_items[0][price_data][unit_amount]", ""},
		"no quantity":                            {func(p *params) { p.LineItems[0].Quantity = nil }, oneTime, "parameter_missing", "line_items[0][quantity]", ""},
		"unknown currency":                       {func(p *params) { p.LineItems = lines(unknown) }, oneTime, "", "line_items[0][price_data][currency]", "Invalid currency: zzz"},
		"expires too soon":                       {func(p *params) { p.ExpiresAt = in(29 * time.Minute) }, oneTime, "", "expires_at", "at least 30 minutes"},
		"expires too late":                       {func(p *params) { p.ExpiresAt = in(24*time.Hour + time.Minute) }, oneTime, "", "expires_at", "less than 24 hours"},
		"customer and customer_email":            {func(p *params) { p.Customer = &cus.ID }, oneTime, "", "customer", "only specify one"},
		"unknown customer":                       {func(p *params) { p.CustomerEmail, p.Customer = nil, stripe.String("cus_none") }, oneTime, "resource_missing", "customer", "No such customer"},
		"bad e-mail":                             {func(p *params) { p.CustomerEmail = stripe.String("anna") }, oneTime, "email_invalid", "customer_email", ""},
		"customer_creation in subscription mode": {func(p *params) { p.CustomerCreation = stripe.String("always") }, recurring, "", "customer_creation", "payment"},
		"intent data in subscription mode": {func(p *params) {
			p.PaymentIntentData = &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: metadata}
		}, recurring, "", "payment_intent_data", ""},
		"subscription data in payment mode": {func(p *params) {
			p.SubscriptionData = &stripe.CheckoutSessionSubscriptionDataParams{Metadata: metadata}
		}, oneTime, "", "subscription_data", ""},
		"discount and promotion codes": {func(p *params) {
			p.AllowPromotionCodes = stripe.Bool(true)
			p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: stripe.String("C")}}
		}, oneTime, "", "", "allow_promotion_codes, discounts"},
		"unknown coupon": {func(p *params) {
			p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: stripe.String("NONE")}}
		}, oneTime, "resource_missing", "discounts[0][coupon]", "No such coupon: 'NONE'"},
		"long client reference":    {func(p *params) { p.ClientReferenceID = &long }, oneTime, "parameter_invalid_string_too_long", "client_reference_id", "200"},
		"51 metadata keys":         {func(p *params) { p.Metadata = many(51) }, oneTime, "", "metadata", "50 keys"},
		"long metadata key":        {func(p *params) { p.Metadata = map[string]string{long[:41]: "x"} }, oneTime, "", "metadata", "40 characters"},
		"long metadata value":      {func(p *params) { p.Metadata = map[string]string{"x": strings.Repeat("x", 501)} }, oneTime, "", "metadata[x]", "500 characters"},
		"101 lines":                {func(p *params) { p.LineItems = repeat(101, line("x", 100, 1)) }, oneTime, "", "line_items", "100 line items"},
		"21 recurring lines":       {func(p *params) { p.LineItems = repeat(21, monthly("x", 100, 1)) }, recurring, "", "line_items", "20 line items"},
		"21 one-time lines beside": {func(p *params) { p.LineItems = append(repeat(21, line("x", 100, 1)), monthly("m", 1000, 1)) }, recurring, "", "line_items", "20 line items"},
		"no lines":                 {func(p *params) { p.LineItems = nil }, oneTime, "parameter_missing", "line_items", ""},
		"no mode":                  {func(p *params) { p.Mode = nil }, oneTime, "parameter_missing", "mode", ""},
		"bad mode":                 {func(p *params) { p.Mode = stripe.String("rent") }, oneTime, "", "mode", "must be one of"},
		"no success_url":           {func(p *params) { p.SuccessURL = nil }, oneTime, "parameter_missing", "success_url", ""},
		"bad success_url":          {func(p *params) { p.SuccessURL = stripe.String("quotes") }, oneTime, "url_invalid", "success_url", ""},
		"unknown parameter":        {func(p *params) { p.AddExtra("line_items[0][colour]", "red") }, oneTime, "parameter_unknown", "line_items[0][colour]", ""},
		"interval of four years":   {func(p *params) { p.LineItems[0].PriceData.Recurring.IntervalCount = stripe.Int64(37) }, recurring, "", "line_items[0][price_data][recurring][interval_count]", "three years"},
	} {
		p := tt.base()
		tt.change(p)
		_, err := w.CheckoutSessions.New(p)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		e := refusal(t, err)
		if e.HTTPStatusCode != http.StatusBadRequest || e.Type != stripe.ErrorTypeInvalidRequest || string(e.Code) != tt.code || e.Param != tt.param || !strings.Contains(strings.ReplaceAll(e.Msg, "\u00a0", " "), tt.says) || !strings.HasPrefix(e.RequestID, "req_") {
			t.Errorf("%s: %d %s code %q param %q %q %s, want code %q param %q and %q", name, e.HTTPStatusCode, e.Type, e.Code, e.Param, e.Msg, e.RequestID, tt.code, tt.param, tt.says)
		}
	}
}

func in(d time.Duration) *int64 { return stripe.Int64(time.Now().Add(d).Unix()) }

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m["k"+strconv.Itoa(i)] = "v"
	}
	return m
}

func repeat(n int, l *stripe.CheckoutSessionLineItemParams) []*stripe.CheckoutSessionLineItemParams {
	all := make([]*stripe.CheckoutSessionLineItemParams, n)
	for i := range all {
		all[i] = l
	}
	return all
}

func TestOtherRequestsAreRefused(t *testing.T) {
	w := start(t, sandbox.Config{})
	auth := func(key string) http.Header {
		return http.Header{"Authorization": {"Bearer " + key}, "Content-Type": {"application/x-www-form-urlencoded"}}
	}
	good := auth(sandbox.DefaultTestKey)
	on := good.Clone()
	on.Set("Stripe-Account", "acct_nobody")
	unconnected := good.Clone()
	unconnected.Set("Stripe-Account", seller)
	version := good.Clone()
	version.Set("Stripe-Version", "2011-01-01")
	for name, tt := range map[string]struct {
		method, path, body string
		header             http.Header
		status             int
		says               string
	}{
		"no key":                    {"GET", "/v1/account", "", nil, 401, "did not provide an API key"},
		"bad key":                   {"GET", "/v1/account", "", auth("sk_test_12345678901234"), 401, "Invalid API Key provided: sk_test_**********1234"},
		"unknown account":           {"GET", "/v1/account", "", on, 403, "account_invalid"},
		"account not connected":     {"GET", "/v1/account", "", unconnected, 403, "account_invalid"},
		"account by id":             {"GET", "/v1/accounts/" + seller, "", good, 403, "account_invalid"},
		"unknown version":           {"GET", "/v1/account", "", version, 400, "Invalid Stripe API version"},
		"no parameters":             {"POST", "/v1/checkout/sessions", "", good, 400, "parameter_missing"},
		"coupon with both":          {"POST", "/v1/coupons", form("amount_off", "100", "currency", "pln", "percent_off", "10"), good, 400, "not both"},
		"coupon with neither":       {"POST", "/v1/coupons", "duration=once", good, 400, "either percent_off or amount_off"},
		"coupon of 150 percent":     {"POST", "/v1/coupons", "percent_off=150", good, 400, "at most 100"},
		"coupon without currency":   {"POST", "/v1/coupons", "amount_off=100", good, 400, "currency"},
		"coupon with bad duration":  {"POST", "/v1/coupons", "percent_off=5&duration=twice", good, 400, "must be one of"},
		"unknown coupon":            {"GET", "/v1/coupons/none", "", good, 404, "resource_missing"},
		"unknown session":           {"GET", "/v1/checkout/sessions/cs_none", "", good, 404, "resource_missing"},
		"unknown intent":            {"GET", "/v1/payment_intents/pi_none", "", good, 404, "resource_missing"},
		"refund of nothing":         {"POST", "/v1/refunds", "", good, 400, "payment_intent or charge"},
		"refund of unknown charge":  {"POST", "/v1/refunds", "charge=ch_none", good, 400, "resource_missing"},
		"bad customer e-mail":       {"POST", "/v1/customers", "email=anna", good, 400, "email_invalid"},
		"broken search":             {"GET", "/v1/customers/search?query=email%3Aanna", "", good, 400, "unable to parse"},
		"limit of 101":              {"GET", "/v1/events?limit=101", "", good, 400, "between 1 and 100"},
		"unknown cursor":            {"GET", "/v1/events?starting_after=evt_none", "", good, 400, "resource_missing"},
		"empty string":              {"POST", "/v1/checkout/sessions", "mode=", good, 400, "parameter_invalid_empty"},
		"no such endpoint here":     {"POST", "/v1/payment_links", "", good, 501, "sandbox_unsupported"},
		"setup mode":                {"POST", "/v1/checkout/sessions", form("mode", "setup", "success_url", "https://a.example"), good, 501, "sandbox_unsupported"},
		"automatic tax":             {"POST", "/v1/checkout/sessions", form("mode", "payment", "automatic_tax[enabled]", "true"), good, 501, "sandbox_unsupported"},
		"price of the catalogue":    {"POST", "/v1/checkout/sessions", form("mode", "payment", "line_items[0][price]", "price_1"), good, 501, "sandbox_unsupported"},
		"unknown admin endpoint":    {"POST", "/sandbox/nothing", "{}", nil, 404, "package comment"},
		"unknown knob":              {"POST", "/sandbox/knobs", `{"shuffle":true}`, nil, 400, "Invalid JSON"},
		"unknown fault":             {"POST", "/sandbox/faults", `{"kind":"flood"}`, nil, 400, "not one of"},
		"clock backwards":           {"POST", "/sandbox/clock", `{"set":"2001-01-01T00:00:00Z"}`, nil, 400, "forward only"},
		"webhook endpoint no url":   {"POST", "/v1/webhook_endpoints", form("url", "x", "enabled_events[]", "*"), good, 400, "url_invalid"},
		"webhook endpoint, version": {"POST", "/v1/webhook_endpoints", form("url", "http://a.example", "enabled_events[]", "*", "api_version", "2019-01-01"), good, 501, "sandbox_unsupported"},
	} {
		status, body := call(t, tt.method, w.url+tt.path, tt.body, tt.header)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s, want %d and %q", name, status, body, tt.status, tt.says)
		}
	}
}

// What R18 R53 rests on: amounts that a currency cannot have, and the limits of each.
func TestAmountsFollowTheCurrency(t *testing.T) {
	w := start(t, sandbox.Config{})
	for name, tt := range map[string]struct {
		currency string
		amount   int64
		code     string
	}{
		"jpy has no decimals":          {"jpy", 50, ""},
		"jpy below":                    {"jpy", 49, "amount_too_small"},
		"isk in hundreds":              {"isk", 12300, ""},
		"isk not in hundreds":          {"isk", 12345, "parameter_invalid_integer"},
		"ugx not in hundreds":          {"ugx", 500050, "parameter_invalid_integer"},
		"kwd last digit":               {"kwd", 12345, "parameter_invalid_integer"},
		"kwd":                          {"kwd", 12340, ""},
		"huf below":                    {"huf", 17499, "amount_too_small"},
		"huf":                          {"huf", 17500, ""},
		"gbp":                          {"gbp", 30, ""},
		"usd most":                     {"usd", 99999999, ""},
		"idr far above":                {"idr", 999999999999, ""},
		"mga without a known minimum":  {"mga", 1, ""},
		"eur below":                    {"eur", 49, "amount_too_small"},
		"pln least":                    {"pln", 200, ""},
		"usd too large":                {"usd", 100000000, "amount_too_large"},
		"zero is free of charge there": {"usd", 0, ""},
	} {
		p := oneTime()
		p.LineItems[0].PriceData.Currency, p.LineItems[0].PriceData.UnitAmount = &tt.currency, &tt.amount
		s, err := w.CheckoutSessions.New(p)
		switch {
		case tt.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.code == "" && s.AmountTotal != tt.amount:
			t.Errorf("%s: amount_total = %d", name, s.AmountTotal)
		case tt.code != "" && (err == nil || string(refusal(t, err).Code) != tt.code):
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}
