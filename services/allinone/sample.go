package allinone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// sampleQuote is a quote as a seller's system would send it: a one-time line, an owner, a contact.
const sampleQuote = `{
  "title": "Website redesign", "deal": {"id": "deal_42", "name": "Acme website"}, "currency": "eur",
  "line_items": [{"name": "Design", "quantity": 1, "unit_amount": 120000}, {"name": "Hosting, one year", "quantity": 12, "unit_amount": 2500}],
  "owner": {"name": "Ada Owner", "email": "ada@seller.example", "time_zone": "Europe/Warsaw"},
  "contact": {"email": "pat@acme.example", "first_name": "Pat", "last_name": "Customer", "company": "Acme"},
  "payment": {"stripe": true, "three_d_secure": true}
}`

// openingQuote is the sample that is there from the start, with everything that a page shows: a discount on a line, one on the
// quote, a tax.
const openingQuote = `{
  "title": "Solar roof for a family house", "deal": {"id": "deal_41", "name": "Nowak, Gdynia"}, "currency": "eur",
  "line_items": [{"name": "Solar panel 450 W", "quantity": 12, "unit_amount": 18900}, {"name": "Inverter", "quantity": 1, "unit_amount": 114000, "discount_amount": 9000},
    {"name": "Installation", "quantity": 1, "unit_amount": 160000}],
  "discount": {"percent": "5"}, "tax": {"name": "VAT 8%", "amount": 37300},
  "owner": {"name": "Ada Owner", "email": "ada@seller.example", "time_zone": "Europe/Warsaw"},
  "contact": {"email": "jan@nowak.example", "first_name": "Jan", "last_name": "Nowak"},
  "payment": {"stripe": true, "three_d_secure": true}
}`

// sample is the quote with which the tour opens.
type sample struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Page   string `json:"url"`
	// Revision is 0 for one that was never published.
	Revision int `json:"revision"`
}

// payable reports whether a customer can still pay it.
func (q sample) payable() bool { return q.Status == "published" && q.Page != "" }

// openSample returns the sample quote, after making and publishing it where this DATA_DIR has none: its Idempotency-Key finds it again.
// What became of it meanwhile stays. With fresh, one that can no longer be paid is followed by another.
func (s *Service) openSample(ctx context.Context, fresh bool) (sample, error) {
	sum := sha256.Sum256([]byte(openingQuote))
	key := "sample-" + hex.EncodeToString(sum[:8])
	q, err := s.publishSample(ctx, key)
	if err == nil && fresh && !q.payable() {
		q, err = s.publishSample(ctx, key+"-"+s.cfg.Random())
	}
	if err != nil || !q.payable() {
		return q, err
	}
	// Its page is there as soon as payments has read of it.
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return q, pollReady(ctx, s.cfg.url(addrQuotes)+strings.TrimPrefix(q.Page, s.cfg.publicURL()))
}

func (s *Service) publishSample(ctx context.Context, key string) (sample, error) {
	var q sample
	if err := s.askQuotes(ctx, http.MethodPost, "/v1/quotes", key, openingQuote, &q); err != nil {
		return sample{}, err
	}
	if q.Revision == 0 {
		if err := s.askQuotes(ctx, http.MethodPost, "/v1/quotes/"+q.ID+"/publish", key, "", &q); err != nil {
			return sample{}, err
		}
	}
	return q, s.askQuotes(ctx, http.MethodGet, "/v1/quotes/"+q.ID, "", "", &q)
}

// askQuotes calls the quote API as the seller's system of the tour does.
func (s *Service) askQuotes(ctx context.Context, method, path, key, document string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.cfg.url(addrQuotes)+path, strings.NewReader(document))
	if err != nil {
		return fmt.Errorf("ask quotes: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.apiToken(s.kept))
	if document != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask quotes: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask quotes: %w", err)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// hasSample reports whether the tour opens with a sample quote: never on servers that others use too, and not without a token that may
// write.
func (s *Service) hasSample() bool {
	return s.nats != nil && s.cfg.Mode == "test" && s.cfg.apiToken(s.kept) != ""
}
