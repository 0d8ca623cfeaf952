package event

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/seller"
)

// The names of a seller's events; n counts the seller's events from 1.
const (
	NamePlanSet      = "plan_set"
	NameSeatSet      = "seat_set"
	NameAuthorized   = "authorized"
	NameConnected    = "connected"
	NameDeauthorized = "deauthorized"
)

// The names of the facts of Stripe accounts: the account stands where a seller's
// events have the seller, and n is the id of Stripe's event.
const (
	NameAccountUpdated      = "account_updated"
	NameAccountDeauthorized = "account_deauthorized"
)

// ValidSeller reports whether a seller may have the id: a token that no Stripe
// account can be taken for, since their facts stand beside the sellers' events.
func ValidSeller(id string) bool {
	return ValidToken(id) && id != Platform && !strings.HasPrefix(id, "acct_")
}

// SellerFilter matches every event of one seller: the aggregate over which
// commands expect the last sequence. Empty when the id is none of a seller.
func SellerFilter(id string) string {
	if !ValidSeller(id) {
		return ""
	}
	return "seller.*." + id + ".*"
}

// AccountFilter matches every fact of one Stripe account, which may be Platform.
// Empty when the id is none of an account.
func AccountFilter(account string) string {
	if !ValidToken(account) || ValidSeller(account) {
		return ""
	}
	return "seller.*." + account + ".*"
}

// NewSeller puts data into an envelope for an event of a seller. It returns an
// error when a token is not valid or data is no JSON object.
func NewSeller(name, id string, n int, at time.Time, data any) (Envelope, error) {
	if !ValidSeller(id) {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: %q is not the id of a seller", name, id)
	}
	return newSeller(SourceQuotes, "seller/"+id, name, id, strconv.Itoa(n), at, data)
}

// NewAccountFact puts data into an envelope for a fact of a Stripe account. It
// returns an error when a token is not valid or data is no JSON object.
func NewAccountFact(name, account, eventID string, at time.Time, data any) (Envelope, error) {
	if AccountFilter(account) == "" {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: %q is not the id of an account", name, account)
	}
	return newSeller(SourcePayments, "account/"+account, name, account, eventID, at, data)
}

func newSeller(source, about, name, id, n string, at time.Time, data any) (Envelope, error) {
	if SellerSubject(name, id, n) == "" {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: a part of the subject is not a valid token", name)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Envelope{}, fmt.Errorf("encode data of seller.%s: %w", name, err)
	}
	e := Envelope{
		SpecVersion: "1.0", ID: ID("seller."+name, id, "", n), Source: source, Type: "seller." + name,
		Subject: about, Time: at.UTC(), DataContentType: "application/json", DataSchema: "urn:quittance:seller." + name + ":1", Data: raw,
	}
	if err := e.check("seller."); err != nil {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: %w", name, err)
	}
	return e, nil
}

// DecodeSeller reads the envelope of a message of the SELLERS stream.
func DecodeSeller(body []byte) (Envelope, error) {
	var env Envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return Envelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	return env, env.check("seller.")
}

// FoldSeller folds one message of the SELLERS stream into the seller's
// aggregate, as Fold does for quotes. A fact of an account moves neither Sequence
// nor Version: commands expect the seller's own events.
func FoldSeller(a *seller.Aggregate, sequence uint64, subject string, body []byte) error {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || parts[0] != "seller" || !ValidToken(parts[2]) {
		return fmt.Errorf("fold %q: not the subject of a seller event", subject)
	}
	own := ValidSeller(parts[2])
	n, err := strconv.Atoi(parts[3])
	if own && err != nil {
		return fmt.Errorf("fold %q: not the subject of a seller event", subject)
	}
	env, err := DecodeSeller(body)
	if err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	if !own {
		err = foldAccountFact(a, parts[1], env)
	} else {
		err = foldSellerData(a, parts[1], env)
	}
	if err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	if own {
		a.Sequence, a.Version = max(a.Sequence, sequence), max(a.Version, n)
	}
	return nil
}

func foldSellerData(a *seller.Aggregate, name string, env Envelope) error {
	switch name {
	case NamePlanSet:
		return fold(env, a.PlanSet)
	case NameSeatSet:
		return fold(env, a.SeatSet)
	case NameAuthorized:
		return fold(env, a.Authorized)
	case NameConnected:
		return fold(env, a.Connected)
	case NameDeauthorized:
		return fold(env, a.Deauthorized)
	default:
		return nil
	}
}

func foldAccountFact(a *seller.Aggregate, name string, env Envelope) error {
	switch name {
	case NameAccountUpdated:
		return fold(env, a.AccountUpdated)
	case NameAccountDeauthorized:
		return fold(env, a.AccountDeauthorized)
	default:
		return nil
	}
}
