// Package stripeevent reads one event of Stripe as it came over the wire and
// says what it adds to the facts of a quote's payment.
//
// Its one job is the translation: from whatever shape of the API the event was
// rendered in (2023-10-16, 2025-03-31 "basil" and later, versions not known
// yet) to a fragment of quote.Facts. The facts come from the snapshot in
// data.object, not from the event's name, except where the name is the fact:
// async_payment_failed and async_payment_succeeded, expired, deleted,
// refund.failed, invoice.payment_failed, and a few more where a snapshot lacks
// its status. What the facts mean is package quote's; which quote an event
// without our metadata belongs to is the caller's to find out, by Change.Names.
//
// It trusts nothing: a field of the wrong type counts as absent, hostile values
// are refused as a whole, and no body makes it panic. It takes no personal data
// over. The payments worker calls it, and the operator's tools do.
//
// Events of accounts (account.updated, account.application.deauthorized) say
// something about a seller's connection, nothing about a quote: DecodeAccount
// reads them. Payment events that still arrive afterwards are decoded as ever.
package stripeevent

import (
	"time"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// Change is what one event adds.
type Change struct {
	EventID    string
	Type       string
	Account    string // acct_…, or quote.PlatformAccount when the event carries none
	APIVersion string // as the event states it; empty if it does not
	Livemode   bool   // false where the body does not say: a test event never marks a live quote
	Created    time.Time
	Object     string // id of data.object
	Currency   string // of data.object, in lower case; empty where it has none
	// Claim is whose the object says it is; zero when it carries no metadata
	// of ours.
	Claim Claim
	// Facts is the fragment to merge; zero if and only if Ignored says why.
	Facts quote.Facts
	// Names are the objects through which a change without Claim may find its
	// quote, the object's own id first; empty when there is a Claim.
	Names []string
	// Ignored is why there is nothing to do: IgnoredNotOurs or IgnoredNothing.
	Ignored string
}

// Reasons of Change.Ignored.
const (
	IgnoredNotOurs = "not ours"        // no metadata of our checkout, and no way to link it
	IgnoredNothing = "nothing to fold" // a type, or a body, that says nothing about a payment
)

// Claim is the quote that an object's metadata names: the keys quote_id,
// quote_revision and seller, as our checkout writes them. All three or none: an
// object with only some of them belongs to another integration that happens to
// use the same word (R5).
type Claim struct {
	Seller, Quote string
	Revision      int
}

// RefusedError says that an event must not be applied although it can be read:
// its content is hostile or damaged. Merchants control the metadata of their own
// objects, so this is to be shown and counted.
type RefusedError struct{ Reason string }

// Error implements error. The text is safe for logs: it holds nothing of the
// body.
func (e *RefusedError) Error() string { return "refuse event: " + e.Reason }

// MalformedError says that a body is no event that could be read at all.
type MalformedError struct{ Reason string }

// Error implements error. The text is safe for logs.
func (e *MalformedError) Error() string { return "malformed event: " + e.Reason }

// Limits of what is believed. Stripe's own are far below: 12 digits for an
// amount, 66 characters for the longest known id.
const (
	MaxAmount = 1_000_000_000_000_000 // in minor units; so that no sum can overflow
	maxToken  = 128                   // bytes of an id
	maxTime   = 253402300799          // the year 9999, beyond which RFC 3339 ends
	maxItems  = 100                   // of an embedded list; Stripe embeds ten
)

// Wanted reports whether events of a type can add facts. The others need not be
// decoded: they are of no interest whatever they hold.
func Wanted(typ string) bool {
	_, ok := wanted[typ]
	return ok
}

// Decode reads an event. The error is a *MalformedError when the body is not a
// readable event, or a *RefusedError when its content must not be applied; with
// a RefusedError the Change tells which event and object it was, without facts.
//
// An api_version that nobody knows is no error: what is known of the shape is
// read, the rest is absent.
func Decode(body []byte) (Change, error) {
	var d decoder
	if err := d.scan(body); err != nil {
		return Change{}, err
	}
	c, err := d.head()
	if err != nil {
		return Change{}, err
	}
	w, ok := wanted[c.Type]
	if !ok {
		c.Ignored = IgnoredNothing
		return c, nil
	}
	if d.object[fieldID] == nil {
		return Change{}, &MalformedError{"data.object is missing or has no id"}
	}
	d.fold(w, &c)
	if d.refused != "" {
		return Change{EventID: c.EventID, Type: c.Type, Account: c.Account, APIVersion: c.APIVersion, Livemode: c.Livemode, Created: c.Created, Object: c.Object},
			&RefusedError{d.refused}
	}
	return c, nil
}

// fold reads the object as the kind its type says.
func (d *decoder) fold(w want, c *Change) {
	d.change = c
	if object, ok := jsonscan.Text(d.object[fieldObject]); ok && string(object) != w.kind.object() {
		d.refuse("data.object is not a " + w.kind.object())
		return
	}
	switch {
	case w.kind == kindCoupon:
		c.Claim = d.claimBefore()
	case w.kind.mayClaim():
		c.Claim = d.claim()
	}
	switch {
	case c.Claim != Claim{}:
		d.origin.Claims = quote.Set{quote.ClaimOf(c.Claim.Seller, c.Claim.Revision)}
	case w.kind.needsClaim():
		c.Ignored = IgnoredNotOurs
		return
	}
	if c.Object = d.id(fieldID); c.Object == "" {
		d.refuse("data.object has no usable id")
		return
	}
	c.Currency = currency(d.object[fieldCurrency])
	switch w.kind {
	case kindSession:
		d.session()
	case kindIntent:
		d.intent()
	case kindCharge:
		d.charge()
	case kindRefund:
		d.refund()
	case kindDispute:
		d.dispute()
	case kindInvoice:
		d.invoice()
	case kindInvoicePayment:
		d.invoicePayment()
	case kindSubscription:
		d.subscription()
	case kindCoupon:
		d.coupon()
	case kindWarning, kindReview:
		d.warning()
	}
	if c.Ignored != "" {
		c.Facts = quote.Facts{}
	}
	if c.Ignored != "" || c.Claim != (Claim{}) {
		c.Names = nil
	}
}
