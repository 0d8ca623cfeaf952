package stripeevent

import (
	"time"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// Types of the events that say something about a Stripe account (R11).
const (
	typeAccountUpdated      = "account.updated"
	typeAccountDeauthorized = "account.application.deauthorized"
)

// AccountChange is what one event says of a Stripe account.
type AccountChange struct {
	EventID string
	Account string    // acct_…, or quote.PlatformAccount for the deployment's own
	Created time.Time // of the event; whole seconds, UTC
	// Deauthorized says that the account withdrew its authorization; then Activated
	// means nothing.
	Deauthorized bool
	Activated    bool // Stripe's charges_enabled
	// Ignored is why there is nothing to note; empty if there is.
	Ignored string
}

// AboutAccount reports whether events of a type are for DecodeAccount.
func AboutAccount(typ string) bool {
	return typ == typeAccountUpdated || typ == typeAccountDeauthorized
}

// DecodeAccount reads an event about a Stripe account. The account is the one of
// the event, never one that the object names: an update of another account than
// the event's is refused. The error is a *MalformedError when the body is not a
// readable event, or a *RefusedError when its content must not be noted.
func DecodeAccount(body []byte) (AccountChange, error) {
	var d decoder
	if err := d.scan(body); err != nil {
		return AccountChange{}, err
	}
	head, err := d.head()
	if err != nil {
		return AccountChange{}, err
	}
	c := AccountChange{EventID: head.EventID, Account: head.Account, Created: head.Created}
	if c.Created.IsZero() {
		return c, &RefusedError{"an account's event without a time"}
	}
	switch head.Type {
	case typeAccountDeauthorized:
		if c.Deauthorized = c.Account != quote.PlatformAccount; !c.Deauthorized {
			c.Ignored = IgnoredNotOurs // our own account is an application's of somebody else
		}
	case typeAccountUpdated:
		var known bool
		c.Activated, known = jsonscan.Bool(d.object[fieldChargesEnabled])
		switch object := d.id(fieldID); {
		case c.Account != quote.PlatformAccount && object != c.Account:
			return c, &RefusedError{"an update of another account than the event's"}
		case !known:
			c.Ignored = IgnoredNothing
		}
	default:
		c.Ignored = IgnoredNothing
	}
	if d.refused != "" {
		return c, &RefusedError{d.refused}
	}
	return c, nil
}
