package stripegate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// Endpoint is a webhook endpoint as Stripe has it.
type Endpoint struct {
	ID, URL, Status string
	// APIVersion is the one in which its events are rendered, empty for the account's.
	APIVersion string
	// Events are the types that it is sent, or "*".
	Events []string
	// Application is the Connect application of an endpoint for the events of connected accounts, else empty.
	Application string
}

// Endpoints lists the webhook endpoints of the deployment's own account, and Stripe's time as the answer has it, zero where
// it has none. It returns ErrUnavailable or a *RefusedError; see Forbidden.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, time.Time, error) {
	p := &stripe.WebhookEndpointListParams{}
	p.Context, p.Limit = ctx, stripe.Int64(eventPage)
	list := c.api.WebhookEndpoints.List(p)
	var all []Endpoint
	for list.Next() {
		e := list.WebhookEndpoint()
		all = append(all, Endpoint{e.ID, e.URL, e.Status, e.APIVersion, e.EnabledEvents, e.Application})
	}
	if err := list.Err(); err != nil {
		return nil, time.Time{}, classify("list webhook endpoints", err)
	}
	var date time.Time
	if answer := list.WebhookEndpointList(); answer != nil && answer.LastResponse != nil {
		date, _ = http.ParseTime(answer.LastResponse.Header.Get("Date"))
	}
	return all, date, nil
}

// Forbidden reports whether the key is known and may not do this.
func Forbidden(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Status == http.StatusForbidden
}
