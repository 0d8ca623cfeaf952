package quote

import "strings"

// Reason is one thing that is wrong with what was asked, in the shape of the
// API's reasons[]. Code is stable and for programs; Detail is English, for
// people.
type Reason struct {
	Code string `json:"code"`
	// Rule is the requirement that refuses, such as R26; empty for plain shape.
	Rule   string `json:"rule,omitempty"`
	Detail string `json:"detail"`
	// Field is the place in the document, such as line_items[0].quantity.
	Field string `json:"field,omitempty"`
}

// Codes of the structural checks.
const (
	CodeInvalidJSON  = "invalid_json"
	CodeMissing      = "missing_field"
	CodeUnknown      = "unknown_field"
	CodeType         = "wrong_type"
	CodeRange        = "out_of_range"
	CodeText         = "invalid_text"
	CodeChoice       = "invalid_choice"
	CodeCurrency     = "invalid_currency"
	CodeEmail        = "invalid_email"
	CodeTimeZone     = "invalid_time_zone"
	CodeExpiry       = "invalid_expires_at"
	CodeDiscount     = "invalid_discount"
	CodeLineDiscount = "discount_exceeds_line"
	CodeOverflow     = "amount_overflow"
)

// Codes of refused commands.
const (
	CodePublished     = "published"       // R26: recall first
	CodeNotPublished  = "not_published"   // nothing to recall
	CodePaid          = "paid"            // a payment is settled
	CodeInFlight      = "payment_open"    // a payment is in flight
	CodeExpiryPassed  = "expires_at_past" // R44
	CodeNoLines       = "no_line_items"   // nothing is offered yet
	CodeVersionsSpent = "version_limit"   // MaxVersions
)

// Kind is what sort of refusal it is.
type Kind int

// The kinds of refusal.
const (
	KindInvalid  Kind = iota + 1 // the document is not fit for it
	KindConflict                 // the quote is not in the state for it
)

// Refusal is the error of a decide function: the command is understood and not
// allowed, for all of the reasons.
type Refusal struct {
	Kind    Kind
	Reasons []Reason
}

// Error lists the reasons' codes; the details are for the caller to show.
func (r *Refusal) Error() string {
	codes := make([]string, 0, len(r.Reasons))
	for _, reason := range r.Reasons {
		codes = append(codes, reason.Code)
	}
	return "refused: " + strings.Join(codes, ", ")
}
