package quotepaid

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Type and SchemaID are what type and dataschema of the envelope say.
const (
	Type     = "quote.paid"
	SchemaID = "urn:quittance:quote.paid:1"
)

//go:embed quote.paid.v1.schema.json
var schema []byte

// Schema returns the JSON Schema (2020-12) of the whole event, envelope and data.
func Schema() []byte { return slices.Clone(schema) }

// Paid says that a payment with exactly the amount and currency of a quote's
// published revision was settled.
type Paid struct {
	// ID is the same for the same fact, whatever else happens: hang your effect
	// on it.
	ID string `json:"-"`
	// TraceParent is the W3C trace context of the payment; may be empty.
	TraceParent string `json:"-"`

	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"` // from 1
	DealID   string `json:"deal_id"`
	// Amount is in minor units as Stripe counts them: 1234 of usd is 12.34, of
	// jpy it is 1,234. 0 means that nothing was due.
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"` // ISO 4217 in lower case
	// PaidAt is when it was paid, in UTC, not when it was processed.
	PaidAt  time.Time `json:"paid_at"`
	Mode    string    `json:"mode"`    // test or live: check it before you act
	Account string    `json:"account"` // the Stripe account that was paid: platform, or acct_…

	// The Stripe objects of the payment; each may be empty.
	CheckoutSession string `json:"checkout_session,omitempty"`
	PaymentIntent   string `json:"payment_intent,omitempty"`
	Invoice         string `json:"invoice,omitempty"`
	StripeEvent     string `json:"stripe_event,omitempty"` // the event that settled it
}

// envelope is the part of the CloudEvent that a reader needs.
type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	DataSchema  string          `json:"dataschema"`
	TraceParent string          `json:"traceparent"`
	Data        json.RawMessage `json:"data"`
}

// Decode reads one event, a CloudEvents 1.0 envelope in structured JSON. Fields
// it does not know are passed over. It returns an error for another type or
// schema, and when id, seller, quote, revision, currency or time are missing.
func Decode(b []byte) (Paid, error) {
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Paid{}, fmt.Errorf("decode quote.paid: %w", err)
	}
	if e.Type != Type || e.DataSchema != SchemaID {
		return Paid{}, fmt.Errorf("decode quote.paid: type %q with schema %q is not %s with %s", e.Type, e.DataSchema, Type, SchemaID)
	}
	var p Paid
	if len(e.Data) > 0 {
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return Paid{}, fmt.Errorf("decode quote.paid %s: %w", e.ID, err)
		}
	}
	p.ID, p.TraceParent = e.ID, e.TraceParent
	if p.ID == "" || p.Seller == "" || p.QuoteID == "" || p.Revision < 1 || p.Currency == "" || p.PaidAt.IsZero() || p.Amount < 0 {
		return Paid{}, fmt.Errorf("decode quote.paid %s: id, seller, quote_id, revision, amount, currency or paid_at is missing", e.ID)
	}
	p.PaidAt = p.PaidAt.UTC()
	return p, nil
}

// permanent marks an error that no further delivery can cure.
type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent wraps the error of a handler that no further delivery can cure: the
// event is set aside. Do not wrap trouble of a server in it.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err: err}
}

func isPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}
