package stripegate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/domain/event"
)

// returnTypes are the events by which a session settles.
var returnTypes = []string{
	"checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
}

// eventPage is how many events one answer of the list holds.
const eventPage = 100

// SessionEvents returns what Stripe has said of a session since a time, as JSON
// in Stripe's own rendering, the oldest first. Stripe keeps events for 30 days.
// An event of a connected account names it, as it does when Stripe delivers it.
func (c *Client) SessionEvents(ctx context.Context, account, id string, since time.Time) ([][]byte, error) {
	p := &stripe.EventListParams{Types: stripe.StringSlice(returnTypes), CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix()}}
	p.Context, p.Limit, p.StripeAccount = ctx, stripe.Int64(eventPage), params(ctx, account, "").StripeAccount
	list := c.api.Events.List(p)
	var found [][]byte
	var seen *stripe.EventList
	for list.Next() {
		if list.EventList() == seen {
			continue
		}
		seen = list.EventList()
		page, err := eventsOf(seen.LastResponse.RawJSON, account, id)
		if err != nil {
			return nil, fmt.Errorf("read events of session %s: %w", id, err)
		}
		found = append(page, found...) // Stripe lists the newest first
	}
	return found, classify("list events of session "+id, list.Err())
}

// eventsOf picks the events of a session out of one answer, oldest first.
func eventsOf(answer []byte, account, id string) ([][]byte, error) {
	var page struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return nil, err
	}
	var found [][]byte
	for _, raw := range page.Data {
		var e struct {
			Account string `json:"account"`
			Data    struct {
				Object struct {
					ID string `json:"id"`
				} `json:"object"`
			} `json:"data"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		if e.Data.Object.ID != id {
			continue
		}
		if e.Account == "" && account != event.Platform {
			named, err := withAccount(raw, account)
			if err != nil {
				return nil, err
			}
			raw = named
		}
		found = append([][]byte{raw}, found...)
	}
	return found, nil
}

// withAccount adds the account's name, which the API leaves out where the asker
// has given it.
func withAccount(raw json.RawMessage, account string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	members["account"] = json.RawMessage(`"` + account + `"`)
	return json.Marshal(members)
}
