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
	NamePlanSet       = "plan_set"
	NameSeatSet       = "seat_set"
	NameConnected     = "connected"
	NameActivationSet = "activation_set"
	NameDeauthorized  = "deauthorized"
)

// SellerFilter matches every event of one seller: the aggregate over which
// commands expect the last sequence. Empty when the id is not a valid token.
func SellerFilter(id string) string {
	if !ValidToken(id) {
		return ""
	}
	return "seller.*." + id + ".*"
}

// NewSeller puts data into an envelope for an event of a seller. It returns an
// error when a token is not valid or data is no JSON object.
func NewSeller(name, id string, n int, at time.Time, data any) (Envelope, error) {
	if SellerSubject(name, id, strconv.Itoa(n)) == "" {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: seller %q is not a valid token", name, id)
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Envelope{}, fmt.Errorf("encode data of seller.%s: %w", name, err)
	}
	e := Envelope{
		SpecVersion: "1.0", ID: ID("seller."+name, id, "", strconv.Itoa(n)), Source: SourceQuotes, Type: "seller." + name,
		Subject: "seller/" + id, Time: at.UTC(), DataContentType: "application/json", DataSchema: "urn:quittance:seller." + name + ":1", Data: raw,
	}
	if err := e.check("seller."); err != nil {
		return Envelope{}, fmt.Errorf("envelope of seller.%s: %w", name, err)
	}
	return e, nil
}

// FoldSeller folds one message of the SELLERS stream into the seller's
// aggregate, as Fold does for quotes.
func FoldSeller(a *seller.Aggregate, sequence uint64, subject string, body []byte) error {
	parts := strings.Split(subject, ".")
	if len(parts) != 4 || SellerFilter(parts[2]) == "" {
		return fmt.Errorf("fold %q: not the subject of a seller event", subject)
	}
	n, err := strconv.Atoi(parts[3])
	if err != nil {
		return fmt.Errorf("fold %q: not the subject of a seller event", subject)
	}
	var env Envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	if err := env.check("seller."); err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	if err := foldSellerData(a, parts[1], env); err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	a.Sequence, a.Version = max(a.Sequence, sequence), max(a.Version, n)
	return nil
}

func foldSellerData(a *seller.Aggregate, name string, env Envelope) error {
	switch name {
	case NamePlanSet:
		return fold(env, a.PlanSet)
	case NameSeatSet:
		return fold(env, a.SeatSet)
	case NameConnected:
		return fold(env, a.Connected)
	case NameActivationSet:
		return fold(env, a.ActivationSet)
	case NameDeauthorized:
		return fold(env, a.Deauthorized)
	default:
		return nil
	}
}
