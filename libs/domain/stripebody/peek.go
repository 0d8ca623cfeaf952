// Package stripebody tells of the body of an event of Stripe what can be told without knowing what it is about: where it
// is addressed to on the log, and whether two bodies are the same event.
//
// What an event says about a payment is package stripeevent's. Ingress asks it of every delivery, reconcile of what Stripe
// lists.
package stripebody

import (
	"bytes"
	"errors"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/jsonscan"
)

// Peeked is what names an event's subject on the log. Amounts, metadata and the object itself are the payments worker's.
type Peeked struct {
	// Mode is event.ModeTest or event.ModeLive.
	Mode string
	// Account is the connected account, acct_…, or event.Platform when the event carries none.
	Account string
	// ID and Type are the event's own.
	ID, Type string
	// APIVersion is the shape of the object; empty when the event states none, or nothing that could be a version.
	APIVersion string
}

// Reasons why a signed body cannot be put on a subject of its own; constant texts, safe for logs.
var (
	errNotJSON = errors.New("the body is not one JSON object")
	errID      = errors.New("id is missing or not of A-Z a-z 0-9 _")
	errType    = errors.New("type is missing or not of A-Z a-z 0-9 _ and dots")
	errAccount = errors.New("account is not of A-Z a-z 0-9 _")
	errNoMode  = errors.New("livemode is neither true nor false")
)

// maxVersion bounds an API version, in bytes.
const maxVersion = 64

// Peek reads the members of the event's top level. Keys are compared with their case; of a key that occurs twice the last
// counts, as in every decoder after us. Different events never share a subject: see event.StripeSubject.
//
// An error means that the event is not addressable: its JSON is broken, or id, type, account or livemode is missing or odd.
// Its text holds nothing of the body.
func Peek(body []byte) (Peeked, error) {
	var id, typ, account, livemode, version []byte
	cursor := jsonscan.NewCursor(body)
	err := cursor.Object(func(key []byte) error {
		var field *[]byte
		switch string(key) {
		case "id":
			field = &id
		case "type":
			field = &typ
		case "account":
			field = &account
		case "livemode":
			field = &livemode
		case "api_version":
			field = &version
		default:
			return nil
		}
		var err error
		*field, err = cursor.Raw()
		return err
	})
	// Cursor.Peek answers 0 at the end and before a zero byte, which no JSON text holds.
	if err != nil || cursor.Peek() != 0 || bytes.IndexByte(body, 0) >= 0 {
		return Peeked{}, errNotJSON
	}
	return address(id, typ, account, livemode, version)
}

func address(id, typ, account, livemode, version []byte) (Peeked, error) {
	p := Peeked{Account: event.Platform}
	var ok bool
	if p.ID, ok = jsonscan.String(id); !ok || !event.ValidToken(p.ID) {
		return Peeked{}, errID
	}
	if p.Type, ok = jsonscan.String(typ); !ok || !event.ValidType(p.Type) {
		return Peeked{}, errType
	}
	if account != nil && !jsonscan.IsNull(account) {
		// An account that calls itself by the name of the missing one would share its subjects.
		if p.Account, ok = jsonscan.String(account); !ok || !event.ValidToken(p.Account) || p.Account == event.Platform {
			return Peeked{}, errAccount
		}
	}
	live, ok := jsonscan.Bool(livemode)
	if !ok {
		return Peeked{}, errNoMode
	}
	p.Mode = event.Mode(live)
	if v, ok := jsonscan.String(version); ok && validVersion(v) {
		p.APIVersion = v
	}
	return p, nil
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// validVersion keeps what goes into a header of the stored message to what versions look like: 2023-10-16,
// 2025-03-31.basil.
func validVersion(v string) bool {
	return len(v) <= maxVersion && strings.Trim(v, alphanumeric+"_-.") == ""
}

// Subject is where the event lies on the log.
func (p Peeked) Subject() string {
	return event.StripeSubject{Mode: p.Mode, Account: p.Account, EventID: p.ID, Type: p.Type}.String()
}

// Family matches every subject that this event id could have under its account, whatever the type.
func (p Peeked) Family() string {
	return "stripe." + p.Mode + "." + p.Account + "." + p.ID + ".>"
}
