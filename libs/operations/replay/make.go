package replay

import (
	"context"
	"fmt"

	"quittance.internal/libs/operations/selection"
)

// Request is what to plan.
type Request struct {
	Selection   selection.Frozen
	Name        string // may be empty
	By          string
	ResendEmail bool
}

// Make foretells what replaying a frozen selection would do, and keeps the plan. It changes nothing else.
func (s System) Make(ctx context.Context, r Request) (*Plan, error) {
	if err := emptySelection(r.Selection); err != nil {
		return nil, err
	}
	store, err := OpenStore(ctx, s.Log)
	if err != nil {
		return nil, err
	}
	began := s.Now()
	p, err := s.predict(ctx, r.Selection, r.ResendEmail)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	plan := planOf(r.Selection, p)
	plan.ID, plan.Name, plan.By, plan.At, plan.ResendEmail = newID(), r.Name, r.By, began.UTC(), r.ResendEmail
	plan.TookMS = s.Now().Sub(began).Milliseconds()
	return plan, store.save(ctx, plan)
}
