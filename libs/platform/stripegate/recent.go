package stripegate

import (
	"context"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// recentTypes is how many types one call of the list of events may name.
const recentTypes = 20

// RecentEvent is the head of an event that Stripe lists.
type RecentEvent struct {
	ID, Type string
	Created  time.Time
}

// RecentEvents returns the heads of an account's events of some types since a time, the newest 100 of each 20 types: enough
// to tell whether there are any. It returns ErrUnavailable or a *RefusedError.
func (c *Client) RecentEvents(ctx context.Context, account string, types []string, since time.Time) ([]RecentEvent, error) {
	var all []RecentEvent
	for part := range slices.Chunk(types, recentTypes) {
		found, err := c.recent(ctx, account, part, since)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b RecentEvent) int { return b.Created.Compare(a.Created) })
	return all, nil
}

func (c *Client) recent(ctx context.Context, account string, types []string, since time.Time) ([]RecentEvent, error) {
	p := &stripe.EventListParams{Types: stripe.StringSlice(types), CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix()}}
	p.Context, p.Limit, p.Single, p.StripeAccount = ctx, stripe.Int64(eventPage), true, params(ctx, account, "").StripeAccount
	var all []RecentEvent
	list := c.api.Events.List(p)
	for list.Next() {
		e := list.Event()
		all = append(all, RecentEvent{e.ID, string(e.Type), time.Unix(e.Created, 0).UTC()})
	}
	return all, classify("list recent events of "+account, list.Err())
}
