package quotes

import (
	"net/http"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
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
	// Warnings say what the flags mean and what there is to do. Never null.
	Warnings []quote.Reason `json:"warnings"`
}

// warnings are the flags in words. A changed coupon is R25's; the others are of no
// single rule.
func warnings(flags []string) []quote.Reason {
	list := []quote.Reason{}
	for _, name := range flags {
		flag := quote.Flag(name)
		detail, ok := flagTexts[flag]
		if !ok {
			continue
		}
		reason := quote.Reason{Code: name, Detail: string(detail)}
		if flag == quote.FlagCouponChanged {
			reason.Rule = "R25"
		}
		list = append(list, reason)
	}
	return list
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
		Amount: st.Amount.Amount, Currency: st.Amount.Currency, Flags: st.Flags, Warnings: warnings(st.Flags),
	})
	return nil
}
