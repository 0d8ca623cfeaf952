package quote

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Codes of the policy's refusals, beside those of the excluded currencies, which
// stand in the policy file.
const (
	CodePlan              = "plan_not_entitled"       // R3
	CodeNotConnected      = "stripe_not_connected"    // R14
	CodeNotActivated      = "stripe_not_activated"    // R6, R14
	CodeDeauthorized      = "stripe_deauthorized"     // R11
	CodeZeroLine          = "zero_line"               // R17
	CodeBelowMinimum      = "amount_below_minimum"    // R18
	CodeAboveMaximum      = "amount_above_maximum"    // R18
	CodeZeroTotal         = "zero_total"              // R18
	CodeMixedFrequencies  = "mixed_frequencies"       // R37
	CodeContractTerm      = "contract_term"           // R38
	CodeTooManyLines      = "too_many_line_items"     // Stripe's limits
	CodeAmountStep        = "amount_not_whole"        // R53
	CodeThreeDSecure      = "three_d_secure_missing"  // R15, a warning
	CodeTaxOnRecurring    = "tax_on_first_charge"     // R41, a warning
	CodeDiscountRecurring = "discount_every_period"   // a warning
	CodeDiscountOnce      = "discount_once_recurring" // a warning
)

// Payee is what the policy has to know of the seller who is to be paid.
type Payee struct {
	Plan string `json:"plan"`
	// Account is the connected Stripe account, "platform" for the deployment's
	// own; empty when there is none.
	Account      string `json:"account"`
	Activated    bool   `json:"activated"` // Stripe's charges_enabled
	Deauthorized bool   `json:"deauthorized"`
}

// Verdict is what the policy says of a quote. Refusals block, warnings never do.
type Verdict struct {
	Refusals []Reason `json:"refusals"`
	Warnings []Reason `json:"warnings"`
}

// Lint judges a document that is to be published, and at checkout again: every
// reason at once, in the order of the rules. A quote whose switch "use connected
// Stripe account" is off (R13) is not judged. The document must be one that
// Decode let through. Neither list is ever nil.
func (p *Policy) Lint(d Document, payee Payee) Verdict {
	l := &linter{policy: p, document: d, verdict: Verdict{Refusals: []Reason{}, Warnings: []Reason{}}}
	if !d.Payment.Stripe {
		return l.verdict
	}
	total, err := d.Total()
	if err != nil {
		l.refuse(CodeOverflow, "", "", "The quote's total cannot be worked out: %s.", err)
		return l.verdict
	}
	l.total = total
	l.payee(payee)
	l.threeDSecure()
	l.zeroLines()
	excluded := l.excluded()
	if !excluded {
		l.limits()
		l.steps()
	}
	l.frequencies()
	l.terms()
	l.count()
	l.advise()
	return l.verdict
}

// SwitchOn is everything that keeps the switch "use connected Stripe account"
// from being turned on for a document: the seller's plan and account (R14), and
// the currency (R51). The rest is for Lint to say when the document is published.
// The answer is never nil.
func (p *Policy) SwitchOn(d Document, payee Payee) []Reason {
	l := &linter{policy: p, document: d, verdict: Verdict{Refusals: []Reason{}}}
	l.payee(payee)
	l.excluded()
	return l.verdict.Refusals
}

type linter struct {
	policy   *Policy
	document Document
	total    Total
	verdict  Verdict
}

func (l *linter) refuse(code, rule, field, format string, args ...any) {
	l.verdict.Refusals = append(l.verdict.Refusals, Reason{Code: code, Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (l *linter) warn(code, rule, field, format string, args ...any) {
	l.verdict.Warnings = append(l.verdict.Warnings, Reason{Code: code, Rule: rule, Field: field, Detail: fmt.Sprintf(format, args...)})
}

func (l *linter) money(amount int64) Money {
	return Money{Amount: amount, Currency: l.document.Currency}
}

func lineField(i int) string { return "line_items[" + strconv.Itoa(i) + "]" }

// payee checks R3, R6, R11 and R14.
func (l *linter) payee(p Payee) {
	const field = "payment.stripe"
	plans := l.policy.Plans
	if !slices.Contains(plans.Entitled, p.Plan) {
		l.refuse(CodePlan, plans.Rule, field, "Stripe on quotes belongs to the plans %s; this seller's plan is %q.", strings.Join(plans.Entitled, ", "), p.Plan)
	}
	switch {
	case p.Account == "":
		l.refuse(CodeNotConnected, "R14", field, "No Stripe account is connected. Connect one, then turn the switch on.")
	case p.Deauthorized:
		l.refuse(CodeDeauthorized, "R11", field, "The Stripe account %s has withdrawn its authorization. Connect it again.", p.Account)
	case !p.Activated:
		l.refuse(CodeNotActivated, "R14", field, "The Stripe account %s is not activated: it cannot take payments yet. Finish its activation at Stripe.", p.Account)
	}
}

// excluded checks R48 to R51.
func (l *linter) excluded() bool {
	reason, excluded := l.policy.ExcludedCurrency(l.document.Currency)
	if excluded {
		l.verdict.Refusals = append(l.verdict.Refusals, reason)
	}
	return excluded
}

// threeDSecure checks R15. A seller who did not say gets what Stripe does by
// itself: Checkout asks for 3-D Secure where the bank wants it.
func (l *linter) threeDSecure() {
	if secure := l.document.Payment.ThreeDSecure; secure != nil && !*secure {
		l.warn(CodeThreeDSecure, "R15", "payment.three_d_secure",
			"The quote is not 3-D Secure compatible; some payments may fail under PSD2.")
	}
}

// zeroLines checks R17.
func (l *linter) zeroLines() {
	for i, net := range l.total.Lines {
		if net == 0 {
			l.refuse(CodeZeroLine, "R17", lineField(i), "Line %d (%s) has a net price of zero. Give it a price or remove it.",
				i+1, l.document.LineItems[i].Name)
		}
	}
}

// limits checks R18.
func (l *linter) limits() {
	due, c := l.total.Due, l.document.Currency
	least, most := l.policy.Minimum.of(c), l.policy.Maximum.of(c)
	switch {
	case len(l.document.LineItems) == 0: // nothing to charge yet; Publish refuses that by itself
	case due == 0 && l.total.Discount == 0:
		l.refuse(CodeZeroTotal, "R18", "line_items", "The total is zero, which only a quote discount may make it.")
	case due > 0 && due < least:
		l.refuse(CodeBelowMinimum, l.policy.Minimum.Rule, "", "The total, %s, is below the least that Stripe charges in this currency, %s.", l.money(due), l.money(least))
	case due > most:
		l.refuse(CodeAboveMaximum, l.policy.Maximum.Rule, "", "The total, %s, is above the most that Stripe charges in this currency, %s.", l.money(due), l.money(most))
	}
}

// steps checks that every part can be sent to Stripe in this currency (R53).
func (l *linter) steps() {
	step := Step(l.document.Currency)
	part := func(amount int64, field, what string) {
		if amount%step != 0 {
			l.refuse(CodeAmountStep, l.policy.Decimals.Rule, field, "%s, %s, must be a multiple of %s: the currency knows nothing smaller.",
				what, l.money(amount), l.money(step))
		}
	}
	for i, net := range l.total.Lines {
		part(net, lineField(i), "Line "+strconv.Itoa(i+1)+" ("+l.document.LineItems[i].Name+")")
	}
	part(l.total.Discount, "discount", "The discount")
	part(l.total.Tax, "tax.amount", "The tax")
}

// frequencies checks R37; that one-time lines stand beside recurring ones is
// fine (R36).
func (l *linter) frequencies() {
	var first *Recurring
	at := 0
	for i, line := range l.document.LineItems {
		switch r := line.Recurring; {
		case r == nil:
		case first == nil:
			first, at = r, i
		case r.Interval != first.Interval || r.IntervalCount != first.IntervalCount:
			l.refuse(CodeMixedFrequencies, "R37", lineField(i)+".recurring", "Line %d (%s) is billed %s and line %d (%s) %s; all recurring lines must have one frequency.",
				i+1, line.Name, r, at+1, l.document.LineItems[at].Name, first)
		}
	}
}

// String is the frequency for people, such as "every 3 months".
func (r Recurring) String() string {
	if r.IntervalCount == 1 {
		return "every " + r.Interval
	}
	return "every " + strconv.FormatInt(r.IntervalCount, 10) + " " + r.Interval + "s"
}

// terms checks R38.
func (l *linter) terms() {
	for i, line := range l.document.LineItems {
		if line.Recurring != nil && line.Recurring.Term != "" {
			l.refuse(CodeContractTerm, "R38", lineField(i)+".recurring.term",
				"Line %d (%s) states a contract term (%s). A subscription at Stripe runs until it is cancelled; remove the term.", i+1, line.Name, line.Recurring.Term)
		}
	}
}

// count checks how many lines one Checkout Session takes. The tax is sent as a
// line of its own (R40).
func (l *linter) count() {
	var recurring, once int64
	for _, line := range l.document.LineItems {
		if line.Recurring != nil {
			recurring++
			continue
		}
		once++
	}
	if l.total.Tax > 0 {
		once++
	}
	limits := l.policy.LineItems
	tooMany := func(have, most int64, kind string) {
		if have > most {
			l.refuse(CodeTooManyLines, "", "line_items", "The quote comes to %d %s lines at Stripe (a tax is one of them), which takes at most %d.", have, kind, most)
		}
	}
	if recurring == 0 {
		tooMany(once, limits.Payment, "one-time")
		return
	}
	tooMany(recurring, limits.SubscriptionRecurring, "recurring")
	tooMany(once, limits.SubscriptionOneTime, "one-time")
}

// advise gives the advice of R41 and its like for discounts.
func (l *linter) advise() {
	if !l.document.Recurs() {
		return
	}
	if l.total.Tax > 0 {
		l.warn(CodeTaxOnRecurring, "R41", "tax",
			"The tax applies to the first charge only. To tax every period, put the tax into the prices of the recurring lines.")
	}
	if l.document.Discount == nil {
		return
	}
	if l.document.Discount.Duration == DurationForever {
		l.warn(CodeDiscountRecurring, "R41", "discount", "%s comes off every charge, also off those of later periods.", l.money(l.total.Discount))
		return
	}
	l.warn(CodeDiscountOnce, "R41", "discount",
		"The discount applies to the first charge only. To discount every period, lower the prices of the recurring lines.")
}
