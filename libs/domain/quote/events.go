package quote

import "time"

// The data of the quote's own events, as they are stored in the log. They are
// wire formats: fields may be added, never changed or removed. Package event
// puts them into envelopes and names their subjects.
//
// Owner and contact live in Drafted and Published only; no other event carries
// personal data.

// Drafted says that a version of the document was written. Its n is Version.
type Drafted struct {
	Seller   string   `json:"seller"`
	QuoteID  string   `json:"quote_id"`
	Version  int      `json:"version"` // from 1; the ETag
	Document Document `json:"document"`
	// RequestKey is the SHA-256 (hex) of the Idempotency-Key the command came
	// with, and RequestHash that of its body; empty when it had none.
	RequestKey  string    `json:"request_key,omitempty"`
	RequestHash string    `json:"request_hash,omitempty"`
	DraftedAt   time.Time `json:"drafted_at"`
}

// Published says that a revision is offered to the customer: the whole document
// as it stood and what must be paid for it. Its n is Revision.
type Published struct {
	Seller   string   `json:"seller"`
	QuoteID  string   `json:"quote_id"`
	Revision int      `json:"revision"` // from 1
	Version  int      `json:"version"`  // of the document
	Document Document `json:"document"`
	Amount   int64    `json:"amount"` // due at checkout, minor units
	Currency string   `json:"currency"`
	// Account is the Stripe account the money goes to: "platform" for the
	// deployment's own, else acct_….
	Account string `json:"account"`
	Mode    string `json:"mode"` // test or live
	// PublishedAt is in UTC.
	PublishedAt time.Time `json:"published_at"`
	// ExpiresAt is the last second at which it can be paid; zero for never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// URLToken is the unguessable part of the page's address.
	URLToken string `json:"url_token"`
	// RequestKey is as in Drafted.
	RequestKey string `json:"request_key,omitempty"`
}

// Recalled says that a published revision was taken back. Its n is Revision.
type Recalled struct {
	Seller     string    `json:"seller"`
	QuoteID    string    `json:"quote_id"`
	Revision   int       `json:"revision"`
	RecalledAt time.Time `json:"recalled_at"`
	// RequestKey is as in Drafted.
	RequestKey string `json:"request_key,omitempty"`
}

// Expired says that a published revision ran out. Its n is Revision.
type Expired struct {
	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"`
	// ExpiredAt is the last second at which it could be paid, not when that was
	// noticed; UTC.
	ExpiredAt time.Time `json:"expired_at"`
}

// Paid says that a payment with exactly the revision's amount and currency was
// settled, whatever is refunded or disputed later. There is one per revision;
// its n is Revision. No personal data: who needs the owner or the contact reads
// the revision's quote.published.
type Paid struct {
	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"`
	DealID   string `json:"deal_id"`
	Amount   int64  `json:"amount"` // minor units; 0 when nothing was due
	Currency string `json:"currency"`
	// PaidAt is when it was paid, not when it was processed; UTC.
	PaidAt  time.Time `json:"paid_at"`
	Mode    string    `json:"mode"`
	Account string    `json:"account"`
	// The Stripe objects of the payment, as far as they were known.
	CheckoutSession string `json:"checkout_session,omitempty"`
	PaymentIntent   string `json:"payment_intent,omitempty"`
	Invoice         string `json:"invoice,omitempty"`
	// StripeEvent is the event that settled it.
	StripeEvent string `json:"stripe_event,omitempty"`
}

// PaymentFact is the data of the sibling facts of Paid: payment_processing,
// payment_failed, refunded, disputed and duplicate_payment. Its n is Object, or
// the revision for duplicate_payment.
type PaymentFact struct {
	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"`
	DealID   string `json:"deal_id,omitempty"`
	Amount   int64  `json:"amount"` // minor units
	Currency string `json:"currency"`
	// OccurredAt is when it happened according to Stripe; UTC.
	OccurredAt time.Time `json:"occurred_at"`
	Mode       string    `json:"mode"`
	Account    string    `json:"account"`
	// Object is the Stripe object that the fact is about: the attempt, the
	// payment, the dispute.
	Object string `json:"object,omitempty"`
	// Full says of a refund that nothing is left.
	Full            bool   `json:"full,omitempty"`
	CheckoutSession string `json:"checkout_session,omitempty"`
	PaymentIntent   string `json:"payment_intent,omitempty"`
	Invoice         string `json:"invoice,omitempty"`
	StripeEvent     string `json:"stripe_event,omitempty"`
}
