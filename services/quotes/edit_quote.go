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
	a, err := s.edit(c, func(version int) error { return c.precondition(version, needed) }, func(d quote.Document) (quote.Document, error) {
		document, reasons := d.Patch(b)
		if reasons != nil {
			return quote.Document{}, invalid(reasons)
		}
		return document, nil
	})
	if err != nil {
		return err
	}
	return s.answerQuote(w, c, http.StatusOK, a, s.written(a))
}

// edit decides on a new version of c.quoteID's document, for API and pages.
// Seen says whether the caller has seen a version; change is given the newest document.
func (s *Service) edit(c *call, seen func(version int) error, change func(quote.Document) (quote.Document, error)) (*quote.Aggregate, error) {
	return s.command(c, "edited", c.quoteID, func(a *quote.Aggregate) (*entry, error) {
		if !a.Exists() {
			return nil, quote.ErrNotFound
		}
		if err := seen(a.Version); err != nil {
			return nil, err
		}
		document, err := change(a.Document)
		if err != nil {
			return nil, err
		}
		drafted, fresh, err := a.Edit(document, s.cfg.Now())
		if err != nil || !fresh {
			return nil, err
		}
		return &entry{event.NameDrafted, strconv.Itoa(drafted.Version), drafted, drafted.DraftedAt}, nil
	})
}
