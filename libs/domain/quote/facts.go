package quote

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Modes of Stripe, as Revision.Mode has them.
const (
	ModeTest = "test"
	ModeLive = "live"
)

// PlatformAccount is the account of events that carry none: the deployment's
// own.
const PlatformAccount = "platform"

// Facts is what is known of the payment of one quote on one Stripe account. It
// only grows: every event adds a fragment (package stripeevent decodes one from
// its body, RevisionFacts makes one of a publication), and Merge joins them.
//
// Each list is sorted by ID with no ID twice, each Set is sorted, and each
// field has its own join, told at the field. The joins are commutative,
// associative and idempotent, so neither order nor repetition can matter.
//
// Lists and sets are never written to once they stand in a Facts: Merge puts
// new ones in their place. So copies of a Facts share memory safely, and any
// number of readers may use one at once; Merge itself needs its receiver alone.
//
// The zero value knows nothing. There is no personal data in facts.
type Facts struct {
	Revisions     []Revision         `json:"revisions,omitempty"`
	Sessions      []SessionFact      `json:"sessions,omitempty"`
	Intents       []IntentFact       `json:"intents,omitempty"`
	Charges       []ChargeFact       `json:"charges,omitempty"`
	Invoices      []InvoiceFact      `json:"invoices,omitempty"`
	Subscriptions []SubscriptionFact `json:"subscriptions,omitempty"`
	Refunds       []RefundFact       `json:"refunds,omitempty"`
	Disputes      []DisputeFact      `json:"disputes,omitempty"`
	Coupons       []CouponFact       `json:"coupons,omitempty"`
	Warnings      []WarningFact      `json:"warnings,omitempty"`
	// Renewals holds the latest renewal invoice alone, the one with the
	// greatest (PeriodEnd, ID), so that a subscription of many years takes no
	// more memory than one of a month.
	Renewals []RenewalFact `json:"renewals,omitempty"`
}

// Clone returns a copy that can be merged into without touching f.
func (f Facts) Clone() Facts { return f }

// Set is a sorted list of distinct strings; it joins by union.
type Set []string

// Has reports whether s holds v.
func (s Set) Has(v string) bool {
	_, found := slices.BinarySearch(s, v)
	return found
}

// Moment is the earliest time at which something was seen, in Unix seconds;
// 0 is never. It joins by minimum, 0 giving way to any other.
type Moment int64

// Time is m in UTC, the zero time for never.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(int64(m), 0).UTC()
}

// Origin is whose object it is.
type Origin struct {
	// Claims are the revisions that the object's own metadata named, each
	// "<seller>/<revision>" (see ClaimOf). An object whose metadata was edited
	// in Stripe has several. Objects that carry no metadata (refunds, disputes,
	// most charges of subscriptions) have none and belong where the objects
	// they name belong.
	Claims Set `json:"claims,omitempty"`
	// Live and Test tell in events of which mode the object was seen.
	Live bool `json:"live,omitempty"`
	Test bool `json:"test,omitempty"`
}

// in reports whether the object was seen in the mode.
func (o *Origin) in(mode string) bool {
	return (mode == ModeLive && o.Live) || (mode == ModeTest && o.Test)
}

// ClaimOf writes a claim as Origin.Claims holds it.
func ClaimOf(seller string, revision int) string {
	return seller + "/" + strconv.Itoa(revision)
}

// Settlement is the evidence that money arrived: one for each amount that was
// seen, since two amounts of one object are themselves a finding.
type Settlement struct {
	// Amount is in minor units. An empty Currency means that the object said
	// it was settled but its amount or currency could not be read.
	Amount   int64  `json:"amount"`
	Currency string `json:"currency,omitempty"`
	// Rank, At and Event join by the minimum of the three together, so that the
	// paid time and the event that settled it converge. See the Rank constants;
	// At is in Unix seconds, 0 only at RankUnknown.
	Rank  int    `json:"rank"`
	At    int64  `json:"at,omitempty"`
	Event string `json:"event,omitempty"`
}

// Ranks of a settlement's time, best first.
const (
	RankExact = 1 // invoice.status_transitions.paid_at; charge.created, or of a delayed method the created of charge.succeeded
	RankEvent = 2 // created of another event that told it
	// RankBegun is charge.created of a delayed method: when the customer paid, days before the money came.
	RankBegun   = 3
	RankUnknown = 4 // the body held no usable time
)

// SessionFact is a Checkout Session.
type SessionFact struct {
	ID string `json:"id"`
	Origin
	// The objects it named. More than one of a kind contradicts itself.
	Intents       Set `json:"intents,omitempty"`
	Invoices      Set `json:"invoices,omitempty"`
	Subscriptions Set `json:"subscriptions,omitempty"`
	// Complete: the customer finished. Unpaid: complete, the money still on its
	// way (delayed method). Failed: the delayed method failed, which is final
	// for the session. Expired: closed without being finished.
	Complete Moment       `json:"complete,omitempty"`
	Unpaid   Moment       `json:"unpaid,omitempty"`
	Failed   Moment       `json:"failed,omitempty"`
	Expired  Moment       `json:"expired,omitempty"`
	Settled  []Settlement `json:"settled,omitempty"`
}

// IntentFact is a PaymentIntent.
type IntentFact struct {
	ID string `json:"id"`
	Origin
	Charges  Set `json:"charges,omitempty"`
	Invoices Set `json:"invoices,omitempty"`
	// Processing is set only when the intent did not say which charge is in
	// flight; else that charge's Pending is, since the intent alone cannot tell
	// fail-then-retry from retry-then-fail.
	Processing Moment       `json:"processing,omitempty"`
	Failed     Moment       `json:"failed,omitempty"`
	Canceled   Moment       `json:"canceled,omitempty"`
	Settled    []Settlement `json:"settled,omitempty"`
}

// ChargeFact is one attempt to take the money.
type ChargeFact struct {
	ID string `json:"id"`
	Origin
	Intents  Set `json:"intents,omitempty"`
	Invoices Set `json:"invoices,omitempty"`
	// Pending: in flight or authorized without being captured. Failed: refused,
	// or released without being captured. Neither undoes Settled.
	Pending  Moment       `json:"pending,omitempty"`
	Failed   Moment       `json:"failed,omitempty"`
	Settled  []Settlement `json:"settled,omitempty"`
	Refunded []Returned   `json:"refunded,omitempty"`
}

// Returned is the greatest amount_refunded that a charge showed.
type Returned struct {
	// Payment is what the charge called its payment: its intent, else itself.
	Payment string `json:"payment"`
	// Amount is in minor units, of the charge's currency; the greatest wins,
	// and with equal ones the earliest At.
	Amount int64  `json:"amount"`
	At     Moment `json:"at,omitempty"`
}

// InvoiceFact is the first invoice of a subscription, or the invoice of a
// one-time payment. Renewals are RenewalFacts.
type InvoiceFact struct {
	ID string `json:"id"`
	Origin
	Subscriptions Set `json:"subscriptions,omitempty"`
	Intents       Set `json:"intents,omitempty"`
	Charges       Set `json:"charges,omitempty"`
	// Status joins by rank: paid > void > uncollectible > open > draft.
	Status string `json:"status,omitempty"`
	// Attempts is the greatest attempt_count seen.
	Attempts int          `json:"attempts,omitempty"`
	Failed   Moment       `json:"failed,omitempty"`
	Settled  []Settlement `json:"settled,omitempty"`
}

// RenewalFact is the latest later invoice of a subscription. It changes no
// status and emits nothing (R46); it is kept for the flag renewal_past_due.
type RenewalFact struct {
	ID string `json:"id"`
	// PeriodEnd is in Unix seconds.
	PeriodEnd int64 `json:"period_end,omitempty"`
	Origin
	Status   string `json:"status,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	Failed   Moment `json:"failed,omitempty"`
}

// SubscriptionFact is a subscription. Only its end is a fact: active and
// past_due flip both ways.
type SubscriptionFact struct {
	ID string `json:"id"`
	Origin
	Ended Moment `json:"ended,omitempty"`
}

// RefundFact is a refund.
type RefundFact struct {
	ID string `json:"id"`
	Origin
	Charges Set `json:"charges,omitempty"`
	Intents Set `json:"intents,omitempty"`
	// Payments is what the refund called its payment: its intent, else its
	// charge.
	Payments Set `json:"payments,omitempty"`
	// Money is what was refunded; the greater wins.
	Money Money  `json:"money"`
	At    Moment `json:"at,omitempty"`
	// Dead wins over Done: a refund that succeeded can still fail.
	Done Moment `json:"done,omitempty"`
	Dead Moment `json:"dead,omitempty"`
}

// DisputeFact is a dispute, or an inquiry (its statuses begin with "warning_").
type DisputeFact struct {
	ID string `json:"id"`
	Origin
	Charges Set `json:"charges,omitempty"`
	Intents Set `json:"intents,omitempty"`
	// Money is what is disputed; the greater wins.
	Money        Money         `json:"money"`
	Statuses     []Seen        `json:"statuses,omitempty"`
	Transactions []Transaction `json:"transactions,omitempty"`
}

// Seen is a status and since when it is known, sorted by Name.
type Seen struct {
	Name  string `json:"name"`
	Since Moment `json:"since,omitempty"`
}

// Transaction is a balance transaction of a dispute: negative when the money
// was withdrawn, positive when it came back. Of two amounts the greater wins.
type Transaction struct {
	ID     string `json:"id"`
	Amount int64  `json:"amount"` // minor units, fees left out
}

// CouponFact is a coupon of ours that somebody edited or deleted (R25).
type CouponFact struct {
	ID string `json:"id"`
	Origin
	Changed Moment `json:"changed,omitempty"`
	Deleted Moment `json:"deleted,omitempty"`
}

// WarningFact is an early fraud warning or a review of a payment by Stripe. A
// review can close; a fraud warning stays.
type WarningFact struct {
	ID string `json:"id"`
	Origin
	Charges Set    `json:"charges,omitempty"`
	Intents Set    `json:"intents,omitempty"`
	Opened  Moment `json:"opened,omitempty"`
	Closed  Moment `json:"closed,omitempty"`
}

// Revision is what a published revision asks for, as far as payments are
// concerned. Facts keeps times to the second.
type Revision struct {
	Number int    `json:"number"` // from 1
	Seller string `json:"seller,omitempty"`
	// Amount is what is due at checkout.
	Amount  Money  `json:"amount"`
	Account string `json:"account,omitempty"` // PlatformAccount or acct_…
	Mode    string `json:"mode,omitempty"`    // ModeTest or ModeLive
	Deal    string `json:"deal,omitempty"`
	// PublishedAt and ExpiresAt are in UTC; ExpiresAt is the last second at
	// which it can be paid, zero for never.
	PublishedAt time.Time `json:"published_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Recalled    bool      `json:"recalled,omitempty"`
	Expired     bool      `json:"expired,omitempty"`
}

// published reports whether more than its recall or expiry is known.
func (r *Revision) published() bool { return r.Seller != "" }

// RevisionFacts is the fragment of a published revision. Every revision of a
// quote is to be merged into the facts of each of the quote's accounts, so that
// each of them knows of newer ones.
func RevisionFacts(r Revision) Facts {
	r.Seller = strings.ToValidUTF8(r.Seller, "\ufffd")
	r.Deal = strings.ToValidUTF8(r.Deal, "\ufffd")
	r.PublishedAt = wholeSeconds(r.PublishedAt)
	r.ExpiresAt = wholeSeconds(r.ExpiresAt)
	return Facts{Revisions: []Revision{r}}
}

// RecalledFacts is the fragment of the recall of revision n.
func RecalledFacts(n int) Facts {
	return Facts{Revisions: []Revision{{Number: n, Recalled: true}}}
}

// ExpiredFacts is the fragment of the expiry of revision n.
func ExpiredFacts(n int) Facts {
	return Facts{Revisions: []Revision{{Number: n, Expired: true}}}
}

// wholeSeconds is t in UTC to the second.
func wholeSeconds(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.Unix(t.Unix(), 0).UTC()
}
