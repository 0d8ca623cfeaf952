package quote

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// DefaultPolicyDate is the date of the policy that is built in.
const DefaultPolicyDate = "2023-08-31"

//go:embed policies/2023-08-31.json
var defaultPolicy []byte

// Policy is the dated rule set of what may be paid by Stripe. It is data: the
// same code judges by another file. Use DecodePolicy or DefaultPolicy; a Policy
// is not changed after that and is safe for concurrent use.
type Policy struct {
	Date      string            `json:"date"` // 2006-01-02
	Plans     PolicyPlans       `json:"plans"`
	Excluded  []PolicyExclusion `json:"excluded_currencies"`
	Minimum   PolicyLimits      `json:"minimum"`
	Maximum   PolicyLimits      `json:"maximum"`
	Decimals  PolicyDecimals    `json:"decimals"`
	LineItems PolicyLineItems   `json:"line_items"`
}

// PolicyPlans names the plans that Stripe payment belongs to.
type PolicyPlans struct {
	Rule     string   `json:"rule"`
	Entitled []string `json:"entitled"`
}

// PolicyExclusion is one reason why currencies cannot be paid by Stripe, and
// those currencies.
type PolicyExclusion struct {
	Code       string   `json:"code"` // of the Reason
	Rule       string   `json:"rule"`
	Text       string   `json:"text"`
	Currencies []string `json:"currencies"` // lower case
}

// PolicyLimits are bounds of the first charge, in minor units by currency.
type PolicyLimits struct {
	Rule string `json:"rule"`
	// Source says where the figures come from, Read on which day they were read.
	Source string `json:"source"`
	Read   string `json:"read"`
	// Default holds for currencies without an entry; 0 means that none is known.
	Default int64            `json:"default,omitempty"`
	Amounts map[string]int64 `json:"amounts"`
}

// PolicyDecimals repeats how amounts are counted (Exponent, Step), so that a
// policy can be read by itself. DecodePolicy refuses one that disagrees.
type PolicyDecimals struct {
	Rule       string   `json:"rule"`
	Zero       []string `json:"zero"`
	Three      []string `json:"three"`
	WholeUnits []string `json:"whole_units_sent_times_100"`
}

// PolicyLineItems are the most lines that one Checkout Session takes.
type PolicyLineItems struct {
	Payment               int64 `json:"payment"`
	SubscriptionRecurring int64 `json:"subscription_recurring"`
	SubscriptionOneTime   int64 `json:"subscription_one_time"`
}

// DefaultPolicy is the built-in policy of DefaultPolicyDate.
func DefaultPolicy() *Policy {
	p, err := DecodePolicy(defaultPolicy)
	if err != nil {
		panic(err) // a constant of the program; a test decodes it
	}
	return p
}

// DecodePolicy reads a policy file strictly and returns everything that is
// wrong with it, joined.
func DecodePolicy(b []byte) (*Policy, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	p := &Policy{}
	if err := dec.Decode(p); err != nil {
		return nil, fmt.Errorf("decode policy: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode policy: more than one value")
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("policy %s: %w", p.Date, err)
	}
	return p, nil
}

// check finds what would make the policy judge wrongly.
func (p *Policy) check() error {
	var faults []error
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	_, err := time.Parse(time.DateOnly, p.Date)
	expect(err == nil, "date %q is not one such as 2023-08-31", p.Date)
	expect(len(p.Plans.Entitled) > 0, "plans: none is entitled")
	seen := map[string]bool{}
	for _, e := range p.Excluded {
		expect(e.Code != "" && e.Text != "" && e.Rule != "", "excluded_currencies: a list lacks its code, rule or text")
		for _, c := range e.Currencies {
			expect(CurrencyCode(c), "excluded_currencies: %q is not a code in lower case", c)
			expect(!seen[c], "excluded_currencies: %s is listed twice", c)
			seen[c] = true
		}
	}
	for name, limits := range map[string]PolicyLimits{"minimum": p.Minimum, "maximum": p.Maximum} {
		expect(limits.Source != "" && limits.Read != "", "%s: source and read are required", name)
		for c, amount := range limits.Amounts {
			expect(CurrencyCode(c) && amount > 0, "%s: %q %d is not an amount of a currency", name, c, amount)
		}
	}
	expect(p.Maximum.Default > 0, "maximum: default is required")
	for c := range p.Minimum.Amounts {
		expect(p.Minimum.of(c) <= p.Maximum.of(c), "the minimum of %s is above its maximum", c)
	}
	expect(same(p.Decimals.Zero, zeroDecimal) && same(p.Decimals.Three, threeDecimal) && same(p.Decimals.WholeUnits, wholeUnits),
		"decimals: they differ from what this version counts amounts by")
	l := p.LineItems
	expect(l.Payment > 0 && l.SubscriptionRecurring > 0 && l.SubscriptionOneTime > 0, "line_items: every limit is above zero")
	return errors.Join(faults...)
}

func same(list []string, set map[string]bool) bool {
	return slices.Equal(slices.Sorted(slices.Values(list)), slices.Sorted(maps.Keys(set)))
}

// of is the limit of a currency in lower case; 0 when none is known.
func (l PolicyLimits) of(currency string) int64 {
	if amount, ok := l.Amounts[currency]; ok {
		return amount
	}
	return l.Default
}

// ExcludedCurrency is why a currency cannot be paid by Stripe; false when it
// can. The code may be in either case.
func (p *Policy) ExcludedCurrency(currency string) (Reason, bool) {
	c := strings.ToLower(currency)
	for _, e := range p.Excluded {
		if slices.Contains(e.Currencies, c) {
			return Reason{
				Code: e.Code, Rule: e.Rule, Field: "currency",
				Detail: "A quote in " + strings.ToUpper(c) + " cannot be paid by Stripe: " + e.Text + ".",
			}, true
		}
	}
	return Reason{}, false
}

// PolicyDifference is one figure or entry in which two policies differ; From or
// To is empty where one of them does not have it.
type PolicyDifference struct {
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Diff lists what changes from p to q, by name.
func (p *Policy) Diff(q *Policy) []PolicyDifference {
	from, to := p.flat(), q.flat()
	names := slices.Collect(maps.Keys(from))
	for name := range to {
		if _, ok := from[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	differences := []PolicyDifference{}
	for _, name := range names {
		if from[name] != to[name] {
			differences = append(differences, PolicyDifference{What: name, From: from[name], To: to[name]})
		}
	}
	return differences
}

// flat is every entry of the policy under a name of its own.
func (p *Policy) flat() map[string]string {
	m := map[string]string{"date": p.Date}
	for _, plan := range p.Plans.Entitled {
		m["plan "+plan] = "entitled"
	}
	for _, e := range p.Excluded {
		m["reason "+e.Code] = e.Text + " (" + e.Rule + ")"
		for _, c := range e.Currencies {
			m["currency "+c] = e.Code
		}
	}
	for name, limits := range map[string]PolicyLimits{"minimum": p.Minimum, "maximum": p.Maximum} {
		m[name+" source"] = limits.Source + ", read " + limits.Read
		if limits.Default > 0 {
			m[name+" default"] = fmt.Sprint(limits.Default)
		}
		for c, amount := range limits.Amounts {
			m[name+" "+c] = Money{Amount: amount, Currency: c}.String()
		}
	}
	m["line items payment"] = fmt.Sprint(p.LineItems.Payment)
	m["line items subscription, recurring"] = fmt.Sprint(p.LineItems.SubscriptionRecurring)
	m["line items subscription, one-time"] = fmt.Sprint(p.LineItems.SubscriptionOneTime)
	return m
}
