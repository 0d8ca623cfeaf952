package quotes

import (
	"net/http"
	"strconv"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// publication is the answer to a publish.
type publication struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Revision int    `json:"revision"`
	// URL is the customer's page.
	URL         string    `json:"url"`
	Amount      int64     `json:"amount"` // due at checkout, minor units
	Currency    string    `json:"currency"`
	PublishedAt time.Time `json:"published_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	// Warnings advise; they never block. Never null.
	Warnings []quote.Reason `json:"warnings"`
}

// publishQuote offers the quote to the customer as a new revision. It may be
// repeated: a quote that is published stays as it is, and a key that published
// once gets the same answer for ever.
func (s *Service) publishQuote(w http.ResponseWriter, c *call) error {
	key, err := c.idempotencyKey()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	token, err := s.randomText()
	if err != nil {
		return err
	}
	owner, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	payee := owner.Payee(s.cfg.Account)
	var published event.Published
	_, err = s.command(c, "published", c.quoteID, func(a *quote.Aggregate) (*entry, error) {
		if !a.Exists() {
			return nil, quote.ErrNotFound
		}
		if err := c.precondition(a.Version, optional); err != nil {
			return nil, err
		}
		var fresh bool
		var err error
		published, fresh, err = a.Publish(quote.Publication{
			Account: payee.Account, Mode: s.cfg.Mode, URLToken: token, RequestKey: requestKey("publish", key), Now: s.cfg.Now(),
			Policy: s.cfg.Policy, Payee: payee,
		})
		if err != nil || !fresh {
			return nil, err
		}
		if err := s.mayReplace(c.Context(), a); err != nil {
			return nil, err
		}
		return &entry{event.NamePublished, strconv.Itoa(published.Revision), published, published.PublishedAt}, nil
	})
	if err != nil {
		return err
	}
	if c.result == "unchanged" {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeJSON(w, http.StatusOK, mediaJSON, publication{
		ID: c.quoteID, Status: string(quote.LifecyclePublished), Revision: published.Revision, URL: s.pageURL(published.URLToken),
		Amount: published.Amount, Currency: published.Currency, PublishedAt: published.PublishedAt, ExpiresAt: published.ExpiresAt,
		Warnings: s.cfg.Policy.Lint(published.Document, payee).Warnings,
	})
	return nil
}

// pageURL is the address of a revision's page.
func (s *Service) pageURL(token string) string { return s.cfg.PublicURL + "/q/" + token }
