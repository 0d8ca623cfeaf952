package quotes

import (
	"context"
	"fmt"
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
)

// loadSeller folds a seller from the log; one without events is paid on the
// deployment's own account.
func (s *Service) loadSeller(ctx context.Context, id string) (*seller.Aggregate, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := s.stream.ReadAll(ctx, event.StreamSellers, event.SellerFilter(id))
	if err != nil {
		return nil, fmt.Errorf("load seller %s: %w", id, err)
	}
	a := &seller.Aggregate{}
	for _, r := range records {
		if err := event.FoldSeller(a, r.Sequence, r.Subject, r.Data); err != nil {
			return nil, fmt.Errorf("load seller %s: %w", id, err)
		}
	}
	return a, nil
}

// sellerView is the seller as the API shows him.
type sellerView struct {
	ID string `json:"id"`
	// Payee is what the policy judges: the plan, and the account that is paid.
	quote.Payee
	Mode string `json:"mode"` // of this deployment
	// Connection is the account that he connected; null while he is paid on the
	// deployment's own.
	Connection *seller.Connection `json:"connection"`
}

// showSeller answers with the caller's own seller.
func (s *Service) showSeller(w http.ResponseWriter, c *call) error {
	a, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, mediaJSON, sellerView{
		ID: c.token.Seller, Payee: a.Payee(s.cfg.Account), Mode: s.cfg.Mode, Connection: a.Connection,
	})
	return nil
}
