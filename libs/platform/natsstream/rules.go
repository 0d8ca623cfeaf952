package natsstream

import (
	"context"
	"encoding/json"
	"fmt"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
)

// storedRules are a projection.Rules in bucket SYSTEM.
type storedRules struct {
	Mode   string        `json:"mode"`
	Policy *quote.Policy `json:"policy"`
}

// EncodeRules makes what payments stores under RulesKey.
func EncodeRules(r projection.Rules) ([]byte, error) {
	b, err := json.Marshal(storedRules(r))
	if err != nil {
		return nil, fmt.Errorf("encode rules: %w", err)
	}
	return b, nil
}

// RulesKey is the key in SYSTEM under which payments says by which rules it decides, so that whoever folds the log beside it
// does so by the same ones.
const RulesKey = "payments.rules"

// Rules returns the rules that payments decides by; ErrNotFound before a payments of this version has run.
func (l *Log) Rules(ctx context.Context) (projection.Rules, error) {
	ctx, cancel := context.WithTimeout(ctx, generationTimeout)
	defer cancel()
	r, err := l.Read(ctx, systemStream, "$KV."+event.BucketSystem+"."+RulesKey)
	if err != nil {
		return projection.Rules{}, err
	}
	var s storedRules
	if err := json.Unmarshal(r.Data, &s); err != nil {
		return projection.Rules{}, fmt.Errorf("decode rules of payments: %w", err)
	}
	return projection.Rules(s), nil
}
