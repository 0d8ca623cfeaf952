// Package scenario knows what Stripe sends when a customer pays a quote, and what must come of it.
//
// Its one job: for a published quote and a seed, make the events of one course of a payment (a card payment, a bank debit
// that fails, a subscription's first charge, a refund, a lost dispute, …) with the objects, identifiers and metadata that
// Stripe itself would send, and state the end that the requirements demand. The expected ends are written down from the
// rules (stripe.md §2.5); the package does not import the code that derives a status, so that it can judge that code.
//
// It does not sign, send or wait: quotectl simulate does. It reads no clock and draws no random numbers: the same quote,
// seed, time and API version give the same bytes.
package scenario

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Target is the published revision of a quote that the made-up customer pays.
type Target struct {
	// Quote, Seller and Revision are what our checkout writes into Stripe's metadata.
	Quote    string
	Seller   string
	Revision int
	// Title becomes the description of the line on Stripe's side.
	Title string
	// Amount is what is due at checkout, in minor units; zero when a discount covers all of it.
	Amount int64
	// Currency is the ISO 4217 code in lower case.
	Currency string
	// Account is the connected Stripe account (acct_…), or "" for the deployment's own, whose events carry none.
	Account string
	// Live is the mode of the events.
	Live bool
	// Interval is day, week, month or year for a quote with recurring lines, which is paid by subscription; else "".
	Interval string
	// IntervalCount is the number of intervals between two charges, from 1.
	IntervalCount int
	// CustomerName and CustomerEmail are who pays.
	CustomerName  string
	CustomerEmail string
}

// recurring reports whether the quote is paid by subscription.
func (t Target) recurring() bool { return t.Interval != "" }

// Version is the API version in which the events are rendered.
type Version string

// The two shapes that differ for us: up to Acacia an invoice names its subscription, intent and charge; from Basil on it
// does not, and invoice_payment objects link them.
const (
	V20231016 Version = "2023-10-16"
	Basil     Version = "2025-03-31.basil"
)

// ParseVersion reads "2023-10-16", "basil" or "2025-03-31.basil".
func ParseVersion(s string) (Version, error) {
	switch s {
	case string(V20231016):
		return V20231016, nil
	case "basil", string(Basil):
		return Basil, nil
	}
	return "", fmt.Errorf("API version %q is neither 2023-10-16 nor basil", s)
}

// Event is one webhook event as Stripe renders it.
type Event struct {
	ID   string
	Type string
	// Created is the event's own time, in whole seconds as Stripe counts.
	Created time.Time
	Body    []byte
}

// Expectation is the end that the rules demand of a quote on which nothing had happened before.
type Expectation struct {
	// Status and Flags (sorted) are those of the quote card.
	Status string   `json:"status"`
	Flags  []string `json:"flags"`
	// CardText is how the card's text begins; "" demands nothing of it.
	CardText string `json:"card_text,omitempty"`
	// Mails is the number of e-mails to the quote's owner.
	Mails int `json:"mails"`
	// PaidFacts is the number of quote.paid events of the revision in the log.
	PaidFacts int `json:"paid_facts"`
}

// Burst is one run of a scenario: the events in the order in which they came about, and their end.
type Burst struct {
	Events []Event
	Expect Expectation
	// PaidFrom is when it was paid by the best evidence, the paid time once everything is known; zero when it was not paid.
	// PaidTo is the latest time that any evidence gives: quote.paid is published as soon as one piece of evidence is there,
	// and its time then stands, so a card may show any time between the two.
	PaidFrom, PaidTo time.Time
	// Session is the first Checkout Session, for people to look up.
	Session string
}

// Scenario is one course of a payment.
type Scenario struct {
	// Name is what the operator types.
	Name string
	// Summary is one line for lists.
	Summary string
	// Rules names the rows of the requirements and of the table of tricky sequences that the end is read from.
	Rules string
	// Expect is the demanded end.
	Expect Expectation

	fits func(Target) error
	play func(*script)
}

// Run makes the events of the scenario for t. The events are dated from at on, span less than a minute, and depend on
// nothing but the arguments. It returns an error when the scenario cannot happen to such a quote.
func (s Scenario) Run(t Target, seed int64, at time.Time, v Version) (Burst, error) {
	if err := s.fits(t); err != nil {
		return Burst{}, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	sc := &script{target: t, seed: seed, start: at.UTC().Truncate(time.Second), version: v}
	s.play(sc)
	if sc.err != nil {
		return Burst{}, fmt.Errorf("scenario %s: %w", s.Name, sc.err)
	}
	expect := s.Expect
	expect.Flags = slices.Clone(expect.Flags)
	return Burst{Events: sc.events, Expect: expect, PaidFrom: sc.paidFrom, PaidTo: sc.paidTo, Session: sc.session}, nil
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, bool) {
	i := slices.IndexFunc(All(), func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return All()[i], true
}

// All returns every scenario, in the order in which people should read them.
func All() []Scenario {
	return []Scenario{
		{
			Name: "paid", Summary: "a card payment of a quote without recurring lines", Rules: "R22 R33 R34, row 1 (row 23 when nothing is due)",
			Expect: Expectation{Status: "paid", Flags: []string{}, CardText: "Paid: ", Mails: 1, PaidFacts: 1},
			fits:   oneTime, play: func(s *script) { s.card() },
		},
		{
			Name: "bank-debit", Summary: "a bank debit: processing first, then it succeeds", Rules: "row 2",
			Expect: Expectation{Status: "paid", Flags: []string{}, CardText: "Paid: ", Mails: 1, PaidFacts: 1},
			fits:   somethingDue, play: func(s *script) { s.debit(true) },
		},
		{
			Name: "bank-debit-failed", Summary: "a bank debit that fails after the checkout: payable again", Rules: "R29, row 4",
			Expect: Expectation{Status: "pending", Flags: []string{"attempt_failed"}},
			fits:   somethingDue, play: func(s *script) { s.debit(false) },
		},
		{
			Name: "subscription", Summary: "the first charge of a quote with recurring lines", Rules: "R23 R46 R47, rows 25 and 32",
			Expect: Expectation{Status: "paid", Flags: []string{}, CardText: "Paid: ", Mails: 1, PaidFacts: 1},
			fits:   recurring, play: func(s *script) { s.card() },
		},
		{
			Name: "refund", Summary: "a card payment that is refunded in full", Rules: "row 6",
			Expect: Expectation{Status: "refunded", Flags: []string{}, CardText: "Refunded: ", Mails: 1, PaidFacts: 1},
			fits:   somethingDue, play: func(s *script) { s.refund(s.card(), s.target.Amount) },
		},
		{
			Name: "partial-refund", Summary: "a card payment of which two fifths are refunded", Rules: "row 8",
			Expect: Expectation{Status: "paid", Flags: []string{"partially_refunded"}, CardText: "Paid: ", Mails: 1, PaidFacts: 1},
			fits:   divisible, play: func(s *script) { s.refund(s.card(), twoFifths(s.target.Amount)) },
		},
		{
			Name: "dispute-lost", Summary: "a card payment whose dispute is lost", Rules: "row 13",
			Expect: Expectation{Status: "charged_back", Flags: []string{}, CardText: "Charged back: ", Mails: 1, PaidFacts: 1},
			fits:   somethingDue, play: func(s *script) { s.loseDispute(s.card()) },
		},
		{
			Name: "duplicate-payment", Summary: "two sessions of the quote, both paid by card", Rules: "row 19",
			Expect: Expectation{Status: "paid", Flags: []string{"duplicate_payment"}, CardText: "Paid: ", Mails: 1, PaidFacts: 1},
			fits:   somethingDue, play: func(s *script) { s.card(); s.card() },
		},
	}
}

func oneTime(t Target) error {
	if t.recurring() {
		return errors.New("the quote has recurring lines, which Stripe charges by subscription; the scenario for it is subscription")
	}
	return nil
}

func recurring(t Target) error {
	if !t.recurring() {
		return errors.New("the quote has no recurring line, so there is no subscription; the scenario for it is paid")
	}
	return nil
}

func somethingDue(t Target) error {
	if t.Amount > 0 {
		return nil
	}
	if t.recurring() {
		return errors.New("nothing is due at checkout; the scenario for it is subscription")
	}
	return errors.New("nothing is due at checkout; the scenario for it is paid")
}

func divisible(t Target) error {
	if err := somethingDue(t); err != nil {
		return err
	}
	if t.Amount < 2 {
		return errors.New("one minor unit cannot be refunded in part")
	}
	return nil
}

// twoFifths is a part of the amount, at least one minor unit, and a round one where the amount is round: Stripe charges
// some currencies only in hundreds of minor units.
func twoFifths(amount int64) int64 {
	part := amount/5*2 + amount%5*2/5
	if amount%100 == 0 && part >= 100 {
		part -= part % 100
	}
	return max(part, 1)
}
