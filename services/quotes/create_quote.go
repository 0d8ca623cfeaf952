package quotes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

const mediaJSON = "application/json"

// createQuote stores version 1 of a new quote. With an Idempotency-Key the
// quote's id comes from the key, so that a retry finds the first one's quote.
func (s *Service) createQuote(w http.ResponseWriter, c *call) error {
	key, err := c.idempotencyKey()
	if err != nil {
		return err
	}
	b, err := c.body(mediaJSON)
	if err != nil {
		return err
	}
	document, reasons := quote.Decode(b)
	if reasons != nil {
		return invalid(reasons)
	}
	a, err := s.create(c, document, key)
	if err != nil {
		return err
	}
	if c.result == "unchanged" {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", "/v1/quotes/"+c.quoteID)
	return s.answerQuote(w, c, http.StatusCreated, a, s.written(a))
}

// create decides on a new quote, for API and pages; its id is c.quoteID then.
func (s *Service) create(c *call, document quote.Document, key string) (*quote.Aggregate, error) {
	hash, err := documentHash(document)
	if err != nil {
		return nil, err
	}
	id, err := s.quoteID(c.token.Seller, key)
	if err != nil {
		return nil, err
	}
	c.quoteID = id
	now := s.cfg.Now().UTC()
	return s.command(c, "created", id, func(a *quote.Aggregate) (*entry, error) {
		if !a.Exists() {
			return &entry{event.NameDrafted, "1", event.Drafted{
				Seller: c.token.Seller, QuoteID: id, Version: 1, Document: document, DraftedAt: now,
				RequestKey: requestKey("create", key), RequestHash: hash,
			}, now}, nil
		}
		if a.RequestHash != hash {
			return nil, refuse(http.StatusUnprocessableEntity, "idempotency-key-reused",
				"This Idempotency-Key created quote "+id+" from another document. Use a new key for a new quote.")
		}
		return nil, nil
	})
}

// documentHash is of the meaning and not of the bytes: a retry may write the
// same document in another order.
func documentHash(d quote.Document) (string, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode document: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
