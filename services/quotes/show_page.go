package quotes

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// pagePolicy lets the page show text in its own style and nothing else: no
// script, no frame around it, no form, nothing from elsewhere.
var pagePolicy = "default-src 'none'; style-src 'sha256-" + styleHash(pageStyle) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func styleHash(style string) string {
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// page is what the page shows. The API and its texts are English.
type page struct {
	Style         template.CSS
	Title, Status string
	Total         string // empty where nothing is offered any more
	Expires       string
}

// showPage shows a revision to whoever has its address: the title, the total and
// where it stands.
func (s *Service) showPage(w http.ResponseWriter, c *call) error {
	p, status, err := s.page(c)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A failed write means that the reader has gone; there is nobody left to tell.
	_, _ = w.Write(b.Bytes())
	return nil
}

// page finds what to show. An address that leads nowhere, or to a revision that
// was taken back, says so and no more: it may be in the wrong hands.
func (s *Service) page(c *call) (page, int, error) {
	gone := page{Style: template.CSS(pageStyle), Title: "This quote is not available", Status: "Ask the sender for a new link."} //nolint:gosec // G203: our own file
	token := c.PathValue("token")
	id, revision, seller, err := s.resolve(c.Context(), token)
	if errors.Is(err, errNoPage) {
		return gone, http.StatusNotFound, nil
	}
	if err != nil {
		return page{}, 0, err
	}
	c.quoteID = id
	a, err := s.load(c.Context(), seller, id)
	if err != nil {
		return page{}, 0, err
	}
	last, ok := offered(a)
	if !ok || last.Revision != revision || last.URLToken != token {
		return gone, http.StatusGone, nil
	}
	s.comeBack(c, a, last)
	return s.offer(c, a, last)
}

// resolve finds which revision of which quote a page's token belongs to. It
// returns errNoPage when there is none. Redis knows whose quote it is; what it
// says now, the log knows.
func (s *Service) resolve(ctx context.Context, token string) (id string, revision int, seller string, err error) {
	if len(token) != idLength || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", 0, "", errNoPage
	}
	id, revision, err = s.reader.Token(ctx, token)
	if errors.Is(err, redisquote.ErrNotFound) {
		return "", 0, "", errNoPage
	}
	if err != nil {
		return "", 0, "", unavailable(err)
	}
	q, err := s.reader.Quote(ctx, id)
	if err != nil {
		return "", 0, "", unavailable(err)
	}
	return id, revision, q.Revisions[revision].Seller, nil
}

// offer is the page of the revision that the customer is to see.
func (s *Service) offer(c *call, a *quote.Aggregate, r event.Published) (page, int, error) {
	st, err := s.standing(c.Context(), a)
	if err != nil {
		return page{}, 0, err
	}
	zone, err := r.Document.Zone()
	if err != nil {
		return page{}, 0, err
	}
	p := page{
		Style: template.CSS(pageStyle), //nolint:gosec // G203: our own file
		Title: r.Document.Title, Total: quote.Money{Amount: r.Amount, Currency: r.Currency}.String(),
		Status: event.CardText(st.Status, st.At, zone),
	}
	if !r.ExpiresAt.IsZero() && st.Status == string(quote.LifecyclePublished) {
		p.Expires = r.ExpiresAt.In(zone).Format("Jan 2, 2006, 15:04 MST")
	}
	return p, http.StatusOK, nil
}
