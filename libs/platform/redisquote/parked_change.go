package redisquote

import (
	"encoding/json"
	"fmt"
	"time"

	"quittance.internal/libs/domain/projection"
)

// ParkedChange is a change that is kept under the Stripe objects that it names, in the fields LinkParked of Link: it may wait for
// one of them to be tied to a quote.
type ParkedChange struct {
	Sequence uint64          `json:"seq"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Object   string          `json:"object"`
	Facts    json.RawMessage `json:"facts"` // as quote.Facts encodes them
	Names    []string        `json:"names"`
	At       time.Time       `json:"at"` // when the log stored it
}

// NewParkedChange is a Stripe event, stored at a place in the log, as a change that waits.
func NewParkedChange(e projection.StripeEvent, sequence uint64, at time.Time) ParkedChange {
	return ParkedChange{
		Sequence: sequence, EventID: e.Change.EventID, Type: e.Change.Type, Object: e.Change.Object, Facts: e.Change.Facts.Encode(),
		Names: e.Change.Names, At: at,
	}
}

// DecodeParkedChange reads the value of a field LinkParked.
func DecodeParkedChange(value string) (ParkedChange, error) {
	var p ParkedChange
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return ParkedChange{}, fmt.Errorf("decode parked change: %w", err)
	}
	return p, nil
}
