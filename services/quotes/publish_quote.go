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
	published, payee, err := s.publish(c, func(version int) error { return c.precondition(version, optional) }, key)
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

// publish decides on a publication of c.quoteID, for API and pages, and says who
// is paid. Seen says whether the caller has seen a version of the document.
func (s *Service) publish(c *call, seen func(version int) error, key string) (event.Published, quote.Payee, error) {
	var published event.Published
	token, err := s.randomText()
	if err != nil {
		return published, quote.Payee{}, err
	}
	owner, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return published, quote.Payee{}, err
	}
	payee := owner.Payee(s.cfg.Account)
	_, err = s.command(c, "published", c.quoteID, func(a *quote.Aggregate) (*entry, error) {
		if !a.Exists() {
			return nil, quote.ErrNotFound
		}
		if err := seen(a.Version); err != nil {
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
	return published, payee, err
}

// pageURL is the address of a revision's page.
func (s *Service) pageURL(token string) string { return s.cfg.PublicURL + "/q/" + token }
