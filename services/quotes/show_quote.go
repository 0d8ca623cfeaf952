package quotes

import (
	"net/http"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// resource is a quote as the API shows it: the document and what became of it.
type resource struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Version is the document's; the ETag says the same.
	Version  int      `json:"version"`
	Revision int      `json:"revision,omitempty"` // of the last publication
	URL      string   `json:"url,omitempty"`      // its page, while it is offered
	Flags    []string `json:"flags"`
	quote.Document
	Total     quote.Total `json:"total"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"` // of the document
	PaidAt    *time.Time  `json:"paid_at,omitempty"`
}

// showQuote answers with the newest version, also when it was written a moment
// ago.
func (s *Service) showQuote(w http.ResponseWriter, c *call) error {
	a, err := s.find(c)
	if err != nil {
		return err
	}
	st, err := s.standing(c.Context(), a)
	if err != nil {
		return err
	}
	return s.answerQuote(w, c, http.StatusOK, a, st)
}

// find loads the quote that the path names, of the caller's own seller.
func (s *Service) find(c *call) (*quote.Aggregate, error) {
	a, err := s.load(c.Context(), c.token.Seller, c.quoteID)
	if err != nil {
		return nil, err
	}
	if !a.Exists() {
		return nil, errNotFound
	}
	return a, nil
}

// answerQuote writes the quote with its ETag.
func (s *Service) answerQuote(w http.ResponseWriter, c *call, status int, a *quote.Aggregate, st standing) error {
	total, err := a.Document.Total()
	if err != nil {
		return err
	}
	r := resource{
		ID: c.quoteID, Status: st.Status, Version: a.Version, Revision: a.Revision(), Flags: st.Flags, Document: a.Document,
		Total: total, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, PaidAt: optionalTime(st.PaidAt),
	}
	if last, ok := offered(a); ok {
		r.URL = s.pageURL(last.URLToken)
	}
	w.Header().Set("ETag", etag(a.Version))
	writeJSON(w, status, mediaJSON, r)
	return nil
}

// offered is the revision whose page is the customer's, if there is one.
func offered(a *quote.Aggregate) (event.Published, bool) {
	if a.Lifecycle != quote.LifecyclePublished && a.Lifecycle != quote.LifecycleExpired {
		return event.Published{}, false
	}
	return a.Revisions[len(a.Revisions)-1], true
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
