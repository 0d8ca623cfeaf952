package quotes

import (
	"net/http"
	"strconv"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// recallAnswer is the answer to a recall.
type recallAnswer struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"`
	Revision   int       `json:"revision"`
	RecalledAt time.Time `json:"recalled_at"`
}

// recallQuote takes the published revision back, unless a payment of it is
// settled or in flight. Its open Checkout Sessions are expired first: one that is
// opened meanwhile changes the quote, and then all is decided again. It may be repeated, as publishQuote may.
func (s *Service) recallQuote(w http.ResponseWriter, c *call) error {
	key, err := c.idempotencyKey()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	recalled, err := s.recall(c, key)
	if err != nil {
		return err
	}
	if c.result == "unchanged" {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeJSON(w, http.StatusOK, mediaJSON, recallAnswer{
		ID: c.quoteID, Status: string(quote.LifecycleRecalled), Revision: recalled.Revision, RecalledAt: recalled.RecalledAt,
	})
	return nil
}

// recall decides on a recall of c.quoteID, for API and pages.
func (s *Service) recall(c *call, key string) (event.Recalled, error) {
	var recalled event.Recalled
	_, err := s.command(c, "recalled", c.quoteID, func(a *quote.Aggregate) (*entry, error) {
		var fresh bool
		var err error
		recalled, fresh, err = a.Recall(requestKey("recall", key), s.cfg.Now())
		if err != nil || !fresh {
			return nil, err
		}
		if err := s.mayReplace(c.Context(), a); err != nil {
			return nil, err
		}
		if err := s.closeCheckouts(c.Context(), a); err != nil {
			return nil, err
		}
		return &entry{event.NameRecalled, strconv.Itoa(recalled.Revision), recalled, recalled.RecalledAt}, nil
	})
	return recalled, err
}
