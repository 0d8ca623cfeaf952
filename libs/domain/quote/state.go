package quote

import "time"

// Status is where the payment of a quote stands.
type Status string

// The statuses. What people see for each is event.CardText's business.
const (
	StatusPending     Status = "pending"      // nothing settled, nothing in flight
	StatusProcessing  Status = "processing"   // a delayed method is on its way
	StatusPaid        Status = "paid"         // some payment with exactly the amount due is settled and still there
	StatusRefunded    Status = "refunded"     // such payments existed, all are fully refunded
	StatusChargedBack Status = "charged_back" // such payments existed, none is left, one was lost to a dispute
	StatusReview      Status = "review"       // money is there that does not fit: a person must look
)

// Flag is a finding beside the status.
type Flag string

// The flags.
const (
	FlagAttemptFailed     Flag = "attempt_failed"     // pending, and an attempt failed: payable again
	FlagCouponChanged     Flag = "coupon_changed"     // our coupon was edited or deleted in Stripe (R25)
	FlagDisputed          Flag = "disputed"           // a dispute is open
	FlagDuplicatePayment  Flag = "duplicate_payment"  // more than one payment is settled and still there
	FlagFraudWarning      Flag = "fraud_warning"      // Stripe warns of fraud, or reviews the payment
	FlagInquiry           Flag = "inquiry"            // an inquiry is open that may become a dispute
	FlagLate              Flag = "late"               // paid after the revision's expiry, or after its recall
	FlagMismatch          Flag = "mismatch"           // settled with another amount or currency
	FlagPartiallyRefunded Flag = "partially_refunded" // part of a payment went back
	FlagRefetch           Flag = "refetch"            // the facts contradict themselves: ask the API
	FlagRenewalPastDue    Flag = "renewal_past_due"   // the latest renewal is not paid
	FlagSubscriptionEnded Flag = "subscription_ended" // the subscription has ended
	FlagSuperseded        Flag = "superseded_payment" // paid for a revision that a newer one replaced
	FlagUnknownQuote      Flag = "unknown_quote"      // metadata names a revision of which no publication is known
)

// State is what a set of facts means.
type State struct {
	Status Status
	Flags  []Flag // sorted, each once
	// Revision is the one that was paid, else the newest published on the
	// account; 0 when there is none. Seller, Deal and Amount are that
	// revision's.
	Revision int
	Seller   string
	Deal     string
	Amount   Money
	// Refunded is what went back of the payments that the status speaks of, in
	// minor units.
	Refunded int64
	// The times are in UTC, zero while they do not apply. PaidAt is the first
	// payment's; RefundedAt is that of the last refund of a refunded quote.
	PaidAt        time.Time
	RefundedAt    time.Time
	ChargedBackAt time.Time
	// Payment is the payment the status speaks of.
	Payment PaymentIDs
	// Due is everything that must have been emitted, given these facts; callers
	// leave out what the log already holds. Once due, an emission stays due
	// whatever else becomes known, with one exception: see EventPaid.
	Due []Emission
}

// PaymentIDs are the Stripe objects of a payment, as far as they are known.
type PaymentIDs struct {
	Session string
	Intent  string
	Invoice string
	Event   string // the event that settled it
}

// Names of emissions: the second token of their subject.
const (
	// EventPaid is due when a payment with exactly the revision's amount and
	// currency was ever settled, unless a newer revision is published. The log
	// refuses either the publication or the emission, so that an emission that
	// this exception withdraws was never stored.
	EventPaid              = "paid"
	EventPaymentProcessing = "payment_processing"
	EventPaymentFailed     = "payment_failed"
	EventRefunded          = "refunded"
	EventDisputed          = "disputed"
	EventDuplicatePayment  = "duplicate_payment"
)

// Emission is a fact to be emitted under the subject quote.<Event>.<Seller>.<quote>.<N>.
// Which emissions come due does not depend on the order in which facts arrive.
// Their other fields say what was known when they came due; the stored one has
// the word.
type Emission struct {
	Event    string // EventPaid or one of its siblings
	N        string // the revision, or the id of the Stripe object
	Seller   string
	Revision int
	Amount   Money
	// At is when it happened according to Stripe, in UTC; the revision's
	// publication where Stripe gave no time.
	At      time.Time
	Payment PaymentIDs
	Object  string // the Stripe object it is about; empty for EventPaid and EventDuplicatePayment
	Full    bool   // of EventRefunded: nothing is left of the payment
}
