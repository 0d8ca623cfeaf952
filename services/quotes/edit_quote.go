package quotes

import (
	"net/http"
	"strconv"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// editQuote applies a JSON Merge Patch to the document, if the caller has seen
// its newest version. A patch that changes nothing makes no version.
func (s *Service) editQuote(w http.ResponseWriter, c *call) error {
	b, err := c.body(mediaJSON, "application/merge-patch+json")
	if err != nil {
		return err
	}
	a, err := s.command(c, "edited", c.quoteID, func(a *quote.Aggregate) (*entry, error) {
		if !a.Exists() {
			return nil, quote.ErrNotFound
		}
		if err := c.precondition(a.Version, needed); err != nil {
			return nil, err
		}
		document, reasons := a.Document.Patch(b)
		if reasons != nil {
			return nil, invalid(reasons)
		}
		drafted, fresh, err := a.Edit(document, s.cfg.Now())
		if err != nil || !fresh {
			return nil, err
		}
		return &entry{event.NameDrafted, strconv.Itoa(drafted.Version), drafted, drafted.DraftedAt}, nil
	})
	if err != nil {
		return err
	}
	return s.answerQuote(w, c, http.StatusOK, a, s.written(a))
}
