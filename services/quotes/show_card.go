package quotes

import (
	"net/http"
	"time"

	"quittance.internal/libs/domain/event"
)

// card is the quote as the deal record shows it.
type card struct {
	// Text is for people, with the date in the owner's time zone.
	Text     string     `json:"text"`
	Status   string     `json:"status"`
	PaidAt   *time.Time `json:"paid_at"` // UTC; null while it was not paid
	Amount   int64      `json:"amount"`
	Currency string     `json:"currency"`
	Flags    []string   `json:"flags"`
}

// showCard answers with the card of the deal record.
func (s *Service) showCard(w http.ResponseWriter, c *call) error {
	a, err := s.find(c)
	if err != nil {
		return err
	}
	st, err := s.standing(c.Context(), a)
	if err != nil {
		return err
	}
	zone, err := a.Document.Zone()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, mediaJSON, card{
		Text: event.CardText(st.Status, st.At, zone), Status: st.Status, PaidAt: optionalTime(st.PaidAt),
		Amount: st.Amount.Amount, Currency: st.Amount.Currency, Flags: st.Flags,
	})
	return nil
}
