package quote_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"quittance.internal/libs/domain/quote"
)

// entitled is a seller who may be paid.
var entitled = quote.Payee{Plan: "starter", Account: "acct_1", Activated: true}

// payable is a quote that the policy has nothing against.
func payable(change ...func(*quote.Document)) quote.Document {
	d := quote.Document{
		Currency: "pln", LineItems: []quote.LineItem{{Name: "Design", Quantity: 2, UnitAmount: 5000}}, Payment: quote.PaymentOptions{Stripe: true},
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

func lines(items ...quote.LineItem) func(*quote.Document) {
	return func(d *quote.Document) { d.LineItems = items }
}

func priced(name string, amount int64, recurring *quote.Recurring) quote.LineItem {
	return quote.LineItem{Name: name, Quantity: 1, UnitAmount: amount, Recurring: recurring}
}

func every(interval string, count int64) *quote.Recurring {
	return &quote.Recurring{Interval: interval, IntervalCount: count}
}

// said lists "code rule field" of every reason.
func said(reasons []quote.Reason) string {
	texts := make([]string, 0, len(reasons))
	for _, r := range reasons {
		texts = append(texts, strings.TrimSpace(r.Code+" "+r.Rule+" "+r.Field))
	}
	return strings.Join(texts, ", ")
}

func TestThePolicyIsDatedData(t *testing.T) { // R2
	p := quote.DefaultPolicy()
	if p.Date != "2023-08-31" || p.Minimum.Source == "" || p.Maximum.Read == "" {
		t.Errorf("policy = %+v", p)
	}
	other := *p
	other.Date = "2025-01-01"
	other.Excluded = []quote.PolicyExclusion{p.Excluded[0]}
	if got := p.Diff(p); len(got) != 0 {
		t.Errorf("Diff with itself = %v", got)
	}
	got := p.Diff(&other)
	if len(got) != 21 || got[0] != (quote.PolicyDifference{What: "currency bhd", From: "currency_not_supported"}) { // 19 currencies, their reason, the date
		t.Errorf("Diff = %d: %v", len(got), got)
	}
}

func TestAPolicyThatWouldJudgeWronglyIsRefused(t *testing.T) {
	good, err := os.ReadFile("policies/2023-08-31.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, changed, want string }{
		{`"2023-08-31"`, `"soon"`, "date"},
		{`"afn"`, `"AFN"`, `"AFN" is not a code`},
		{`"afn"`, `"bhd"`, "bhd is listed twice"},
		{`"default": 99999999`, `"default": 0`, "maximum: default is required"},
		{`"usd": 50`, `"usd": 999999999`, "minimum of usd is above its maximum"},
		{`"jpy", "kmf"`, `"kmf"`, "differ from what this version counts"},
		{`"payment": 100`, `"payment": 0`, "every limit"},
		{`"date"`, `"day"`, "unknown field"},
	} {
		if _, err := quote.DecodePolicy([]byte(strings.Replace(string(good), tt.old, tt.changed, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("with %s for %s: %v, want %q", tt.changed, tt.old, err, tt.want)
		}
	}
}

// R48, R49, R50, R51
func TestExcludedCurrenciesAreRefusedWithTheirReason(t *testing.T) {
	lists := map[string][]string{
		"currency_defined_differently R49 currency": strings.Fields("AFN ALL AMD COP CRC HUF IDR ISK LBP MMK MRO MUR PKR RSD SOS TZS UZS YER"),
		"currency_not_supported R50 currency":       strings.Fields("BHD BYR CLF EEK ERN GHS IQD IRR JOD KWD LTL LVL LYD OMR SDG SYP TND VEF ZMK"),
	}
	seen := 0
	for want, currencies := range lists {
		for _, c := range currencies {
			seen++
			d := payable(func(d *quote.Document) { d.Currency = strings.ToLower(c) })
			v := quote.DefaultPolicy().Lint(d, entitled)
			if got := said(v.Refusals); got != want || !strings.Contains(v.Refusals[0].Detail, c) {
				t.Errorf("%s: %v, want %s", c, v.Refusals, want)
			}
			d.Payment.Stripe = false // it may exist, not paid by Stripe
			if v := quote.DefaultPolicy().Lint(d, entitled); len(v.Refusals) != 0 {
				t.Errorf("%s with the switch off: %v", c, v.Refusals)
			}
		}
	}
	if seen != 37 {
		t.Errorf("%d currencies, want 37", seen)
	}
}

// R53
func TestAllowedCurrenciesCountTheirOwnDecimals(t *testing.T) {
	for _, tt := range []struct {
		currency, refusal, shown string
		amount                   int64
	}{
		{"pln", "", "1 234.56 PLN", 123456},
		{"usd", "", "1 234.56 USD", 123456},
		{"eur", "", "1 234.56 EUR", 123456},
		{"jpy", "", "123 456 JPY", 123456},
		{"krw", "", "123 456 KRW", 123456},
		{"mga", "", "123 456 MGA", 123456},
		{"vnd", "", "123 456 VND", 123456},
		{"ugx", "", "1 234.00 UGX", 123400},
		{"ugx", "amount_not_whole R53 line_items[0]", "1 234.56 UGX", 123456},
		{"twd", "", "1 234.56 TWD", 123456},
		{"xof", "", "123 456 XOF", 123456},
	} {
		d := payable(func(d *quote.Document) { d.Currency = tt.currency }, lines(priced("a", tt.amount, nil)))
		if got := said(quote.DefaultPolicy().Lint(d, entitled).Refusals); got != tt.refusal {
			t.Errorf("%d %s: %q, want %q", tt.amount, tt.currency, got, tt.refusal)
		}
		if due, err := d.DueAtCheckout(); err != nil || due.String() != tt.shown {
			t.Errorf("%d %s is shown as %s (%v), want %s", tt.amount, tt.currency, due, err, tt.shown)
		}
	}
	half := payable(func(d *quote.Document) { d.Currency = "ugx"; d.Discount = &quote.Discount{Percent: "50"} }, lines(priced("a", 123500, nil)))
	if got := said(quote.DefaultPolicy().Lint(half, entitled).Refusals); got != "amount_not_whole R53 discount" {
		t.Errorf("half a shilling = %q", got)
	}
}

func TestTheSwitchNeedsAnEntitledSellerWithAnActivatedAccount(t *testing.T) { // R3, R6, R11, R14
	for _, tt := range []struct {
		payee quote.Payee
		want  string
	}{
		{entitled, ""},
		{quote.Payee{Plan: "professional", Account: "platform", Activated: true}, ""},
		{quote.Payee{Plan: "enterprise", Account: "platform", Activated: true}, ""},
		{quote.Payee{Plan: "free", Account: "acct_1", Activated: true}, "plan_not_entitled R3 payment.stripe"},
		{quote.Payee{Plan: "starter"}, "stripe_not_connected R14 payment.stripe"},
		{quote.Payee{Plan: "starter", Account: "acct_1"}, "stripe_not_activated R14 payment.stripe"},
		{quote.Payee{Plan: "starter", Account: "acct_1", Activated: true, Deauthorized: true}, "stripe_deauthorized R11 payment.stripe"},
		{quote.Payee{}, "plan_not_entitled R3 payment.stripe, stripe_not_connected R14 payment.stripe"},
	} {
		if got := said(quote.DefaultPolicy().Lint(payable(), tt.payee).Refusals); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.payee, got, tt.want)
		}
	}
}

func TestTheSwitchOffIsNotJudged(t *testing.T) { // R13
	d := payable(lines(priced("nothing", 0, nil)))
	d.Payment.Stripe = false
	if v := quote.DefaultPolicy().Lint(d, quote.Payee{}); len(v.Refusals)+len(v.Warnings) != 0 || v.Refusals == nil || v.Warnings == nil {
		t.Errorf("verdict = %+v", v)
	}
}

func TestThreeDSecureWarnsAndNeverBlocks(t *testing.T) { // R15
	yes, no := true, false
	for _, tt := range []struct {
		says *bool
		want string
	}{{nil, ""}, {&yes, ""}, {&no, "three_d_secure_missing R15 payment.three_d_secure"}} {
		v := quote.DefaultPolicy().Lint(payable(func(d *quote.Document) { d.Payment.ThreeDSecure = tt.says }), entitled)
		if got := said(v.Warnings); got != tt.want || len(v.Refusals) != 0 {
			t.Errorf("3-D Secure %v: warnings %q, want %q; refusals %v", tt.says, got, tt.want, v.Refusals)
		}
	}
}

func TestEveryLineWithoutAPriceIsNamed(t *testing.T) { // R17
	d := payable(lines(priced("Free gift", 0, nil), priced("Work", 5000, nil),
		quote.LineItem{Name: "Discounted away", Quantity: 3, UnitAmount: 100, DiscountAmount: 300}))
	v := quote.DefaultPolicy().Lint(d, entitled)
	if got := said(v.Refusals); got != "zero_line R17 line_items[0], zero_line R17 line_items[2]" ||
		!strings.Contains(v.Refusals[0].Detail, "Free gift") || !strings.Contains(v.Refusals[1].Detail, "Discounted away") {
		t.Errorf("refusals = %v", v.Refusals)
	}
	// A quote discount is not the line's: the line has its price still.
	whole := payable(func(d *quote.Document) { d.Discount = &quote.Discount{Percent: "100"} })
	if got := said(quote.DefaultPolicy().Lint(whole, entitled).Refusals); got != "" {
		t.Errorf("100 %% discount: %q", got)
	}
}

func TestTheFirstChargeIsWithinStripesLimits(t *testing.T) { // R18
	for _, tt := range []struct {
		currency string
		amount   int64
		discount string
		want     string
		text     string
	}{
		{"pln", 200, "", "", ""},
		{"pln", 199, "", "amount_below_minimum R18", "2.00 PLN"},
		{"gbp", 29, "", "amount_below_minimum R18", "0.30 GBP"},
		{"jpy", 49, "", "amount_below_minimum R18", "50 JPY"},
		{"usd", 99999999, "", "", ""},
		{"usd", 100000000, "", "amount_above_maximum R18", "999 999.99 USD"},
		{"pln", 1000, "90", "amount_below_minimum R18", "1.00 PLN"},
		{"pln", 1000, "80", "", ""},
		{"pln", 1000, "100", "", ""}, // zero, by the discount
		{"mga", 1, "", "", ""},       // no minimum is known: Stripe itself decides
	} {
		d := payable(func(d *quote.Document) { d.Currency = tt.currency }, lines(priced("a", tt.amount, nil)))
		if tt.discount != "" {
			d.Discount = &quote.Discount{Percent: tt.discount}
		}
		v := quote.DefaultPolicy().Lint(d, entitled)
		if got := said(v.Refusals); got != tt.want || tt.want != "" && !strings.Contains(v.Refusals[0].Detail, tt.text) {
			t.Errorf("%d %s less %s %%: %v, want %q with %q", tt.amount, tt.currency, tt.discount, v.Refusals, tt.want, tt.text)
		}
	}
	if got := said(quote.DefaultPolicy().Lint(payable(lines(priced("a", 0, nil))), entitled).Refusals); got != "zero_line R17 line_items[0], zero_total R18 line_items" {
		t.Errorf("zero without a discount = %q", got)
	}
}

func TestRecurringLinesShareOneFrequencyAndHaveNoTerm(t *testing.T) { // R36, R37, R38
	once, monthly, quarterly := priced("Setup", 5000, nil), priced("Hosting", 900, every("month", 1)), priced("Audit", 900, every("month", 3))
	for _, tt := range []struct {
		name string
		d    quote.Document
		want string
	}{
		{"a mix of one-time and recurring", payable(lines(once, monthly, priced("Backup", 300, every("month", 1)))), ""}, // R36
		{"two counts", payable(lines(monthly, once, quarterly)), "mixed_frequencies R37 line_items[2].recurring"},
		{"two intervals", payable(lines(monthly, priced("Domain", 900, every("year", 1)))), "mixed_frequencies R37 line_items[1].recurring"},
		{
			"a term",
			payable(lines(priced("Hosting", 900, &quote.Recurring{Interval: "month", IntervalCount: 1, Term: "12 months"}))),
			"contract_term R38 line_items[0].recurring.term",
		},
	} {
		if got := said(quote.DefaultPolicy().Lint(tt.d, entitled).Refusals); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAdviceOnTaxAndDiscountOfRecurringLines(t *testing.T) { // R41
	tax := func(d *quote.Document) { d.Tax = &quote.Tax{Name: "VAT", Amount: 100} }
	discount := func(duration string) func(*quote.Document) {
		return func(d *quote.Document) { d.Discount = &quote.Discount{Amount: 100, Duration: duration} }
	}
	recurring := lines(priced("Hosting", 900, every("month", 1)))
	for i, tt := range []struct {
		d    quote.Document
		want string
	}{
		{payable(tax, discount("forever")), ""},
		{payable(recurring), ""},
		{payable(recurring, tax), "tax_on_first_charge R41 tax"},
		{payable(recurring, discount("")), "discount_once_recurring R41 discount"},
		{payable(recurring, tax, discount("forever")), "tax_on_first_charge R41 tax, discount_every_period R41 discount"},
	} {
		if v := quote.DefaultPolicy().Lint(tt.d, entitled); said(v.Warnings) != tt.want || len(v.Refusals) != 0 {
			t.Errorf("%d: warnings %q, want %q; refusals %v", i, said(v.Warnings), tt.want, v.Refusals)
		}
	}
}

func TestACheckoutSessionTakesSoManyLines(t *testing.T) {
	many := func(n int, r *quote.Recurring) []quote.LineItem {
		items := make([]quote.LineItem, n)
		for i := range items {
			items[i] = priced(fmt.Sprint("line ", i), 500, r)
		}
		return items
	}
	tax := func(d *quote.Document) { d.Tax = &quote.Tax{Name: "VAT", Amount: 100} }
	const refused = "too_many_line_items  line_items"
	for _, tt := range []struct {
		name string
		d    quote.Document
		want string
	}{
		{"100 one-time", payable(lines(many(100, nil)...)), ""},
		{"100 one-time and a tax", payable(lines(many(100, nil)...), tax), refused}, // R40: the tax is a line
		{"20 recurring, 20 one-time", payable(lines(append(many(20, every("month", 1)), many(20, nil)...)...)), ""},
		{"21 recurring", payable(lines(many(21, every("month", 1))...)), refused},
		{"one recurring, 20 one-time, a tax", payable(lines(append(many(1, every("month", 1)), many(20, nil)...)...), tax), refused},
	} {
		if got := said(quote.DefaultPolicy().Lint(tt.d, entitled).Refusals); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestEveryReasonIsGivenAtOnce(t *testing.T) { // R19
	d := payable(func(d *quote.Document) { d.Currency = "huf" }, lines(priced("Gift", 0, nil), priced("A", 900, every("month", 1)),
		priced("B", 900, &quote.Recurring{Interval: "year", IntervalCount: 1, Term: "P2Y"})))
	want := "plan_not_entitled R3 payment.stripe, stripe_not_connected R14 payment.stripe, zero_line R17 line_items[0], " +
		"currency_defined_differently R49 currency, mixed_frequencies R37 line_items[2].recurring, contract_term R38 line_items[2].recurring.term"
	if got := said(quote.DefaultPolicy().Lint(d, quote.Payee{Plan: "free"}).Refusals); got != want {
		t.Errorf("refusals =\n%s\nwant\n%s", got, want)
	}
}

// R14, R51
func TestTheSwitchIsTurnedOnForAPayeeAndACurrencyOnly(t *testing.T) {
	p := quote.DefaultPolicy()
	gift := lines(priced("Gift", 0, nil)) // a fault of the lines does not keep the switch off
	for want, reasons := range map[string][]quote.Reason{
		"": p.SwitchOn(payable(gift), entitled),
		"stripe_not_connected R14 payment.stripe": p.SwitchOn(payable(), quote.Payee{Plan: "starter"}),
		"stripe_not_activated R14 payment.stripe": p.SwitchOn(payable(), quote.Payee{Plan: "starter", Account: "acct_1"}),
		"plan_not_entitled R3 payment.stripe, currency_defined_differently R49 currency": p.SwitchOn(payable(func(d *quote.Document) {
			d.Currency, d.Payment.Stripe = "huf", false
		}), quote.Payee{Plan: "free", Account: "acct_1", Activated: true}),
		"currency_not_supported R50 currency": p.SwitchOn(payable(func(d *quote.Document) { d.Currency = "kwd" }), entitled),
	} {
		if got := said(reasons); got != want || reasons == nil {
			t.Errorf("SwitchOn = %q, want %q", got, want)
		}
	}
}
