package stripegate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/domain/event"
)

// MaxEventTypes is how many types one call of Events may name.
const MaxEventTypes = 20

// EventsKept is how far back Stripe lists events.
const EventsKept = 30 * 24 * time.Hour

// EventQuery is which events of an account to list.
type EventQuery struct {
	Account string
	// Types are at most MaxEventTypes.
	Types []string
	// Since is included; it is counted in whole seconds.
	Since time.Time
	// After is EventPage.Last of the page before; empty for the first.
	After string
}

// EventPage is one answer, the newest first.
type EventPage struct {
	// Events are JSON in Stripe's own rendering. One of a connected account names it, as it does when Stripe delivers it.
	Events [][]byte
	// Last is where the next page begins; More says that there is one.
	Last string
	More bool
}

// Events reads one page of an account's events, up to 100. Stripe-go does not repeat a call that the rate limit refused:
// see RetryAfter. It returns ErrUnavailable or a *RefusedError.
func (c *Client) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	p := &stripe.EventListParams{Types: stripe.StringSlice(q.Types), CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: q.Since.Unix()}}
	p.Context, p.Limit, p.Single, p.StripeAccount = ctx, stripe.Int64(eventPage), true, params(ctx, q.Account, "").StripeAccount
	if q.After != "" {
		p.StartingAfter = stripe.String(q.After)
	}
	list := c.api.Events.List(p)
	if err := list.Err(); err != nil {
		return EventPage{}, classify("list events of "+q.Account, err)
	}
	raw, more, err := elements(list.EventList().LastResponse.RawJSON)
	if err != nil {
		return EventPage{}, fmt.Errorf("read events of %s: %w", q.Account, err)
	}
	page := EventPage{More: more && len(raw) > 0}
	for _, body := range raw {
		var head struct{ ID, Account string }
		if err := json.Unmarshal(body, &head); err != nil {
			return EventPage{}, fmt.Errorf("read events of %s: %w", q.Account, err)
		}
		page.Last = head.ID
		if head.Account == "" && q.Account != event.Platform {
			if body, err = withAccount(body, q.Account); err != nil {
				return EventPage{}, fmt.Errorf("read event %s of %s: %w", head.ID, q.Account, err)
			}
		}
		page.Events = append(page.Events, body)
	}
	return page, nil
}

// elements are those of a list's answer.
func elements(answer []byte) (data []json.RawMessage, more bool, err error) {
	var list struct {
		Data    []json.RawMessage `json:"data"`
		HasMore bool              `json:"has_more"`
	}
	err = json.Unmarshal(answer, &list)
	return list.Data, list.HasMore, err
}

// paths are where objects lie, by the beginning of their ids.
var paths = map[string]string{
	"cs_": "checkout/sessions", "pi_": "payment_intents", "ch_": "charges", "py_": "charges", "in_": "invoices",
	"sub_": "subscriptions", "txn_": "balance_transactions",
}

// Readable reports whether Object can read an object of that id.
func Readable(id string) bool { return pathOf(id) != "" }

func pathOf(id string) string {
	prefix, rest, _ := strings.Cut(id, "_")
	if path := paths[prefix+"_"]; path != "" && rest != "" && event.ValidToken(id) {
		return "/v1/" + path + "/" + id
	}
	return ""
}

// APIVersion is the version in which Object and SessionsOf answer.
const APIVersion = stripe.APIVersion

// Object reads a session, intent, charge, invoice, subscription or balance transaction by its id, as JSON in Stripe's own
// rendering of APIVersion. It returns ErrUnavailable or a *RefusedError, for which see Missing.
func (c *Client) Object(ctx context.Context, account, id string) ([]byte, error) {
	path := pathOf(id)
	if path == "" {
		return nil, fmt.Errorf("read object: %q is the id of nothing that can be read", id)
	}
	var v struct{ stripe.APIResource }
	p := params(ctx, account, "")
	if err := c.backend.Call(http.MethodGet, path, c.key, &p, &v); err != nil {
		return nil, classify("read "+id, err)
	}
	return v.LastResponse.RawJSON, nil
}

// SessionsOf reads the sessions that an intent (pi_…) or a subscription (sub_…) came out of; for other ids none.
func (c *Client) SessionsOf(ctx context.Context, account, id string) ([]json.RawMessage, error) {
	p := &stripe.CheckoutSessionListParams{}
	p.Context, p.Single, p.StripeAccount = ctx, true, params(ctx, account, "").StripeAccount
	switch {
	case strings.HasPrefix(id, "pi_"):
		p.PaymentIntent = stripe.String(id)
	case strings.HasPrefix(id, "sub_"):
		p.Subscription = stripe.String(id)
	default:
		return nil, nil
	}
	list := c.api.CheckoutSessions.List(p)
	if err := list.Err(); err != nil {
		return nil, classify("list checkout sessions of "+id, err)
	}
	all, _, err := elements(list.CheckoutSessionList().LastResponse.RawJSON)
	if err != nil {
		return nil, fmt.Errorf("read checkout sessions of %s: %w", id, err)
	}
	return all, nil
}

// RetryAfter is how long Stripe asks to wait before a call is made again; 0 where it says nothing.
func RetryAfter(err error) time.Duration {
	e, ok := errors.AsType[*stripe.Error](err)
	if !ok || e.LastResponse == nil {
		return 0
	}
	seconds, err := strconv.Atoi(e.LastResponse.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}

// Unauthorized reports whether Stripe does not know the key.
func Unauthorized(err error) bool {
	e, ok := errors.AsType[*stripe.Error](err)
	return ok && e.HTTPStatusCode == http.StatusUnauthorized
}
