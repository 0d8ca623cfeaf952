package stripegate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/stripe/stripe-go/v76"

	"quittance.internal/libs/domain/quote"
)

// Checkout is a Checkout Session to be asked for.
type Checkout struct {
	// Key makes it one session however often it is asked for.
	Key      string
	Account  string // acct_… or event.Platform
	Currency string
	Lines    []quote.CheckoutLine
	// Coupon is the id of the discount's coupon; empty for none.
	Coupon string
	// Customer is a customer of the account; where it is empty, Email is offered.
	Customer, Email string
	// Metadata goes to the session and to the payment or subscription it makes.
	Metadata  map[string]string
	Reference string // client_reference_id
	// ExpiresAt is between 30 minutes and 24 hours from now. RequestedAt is when it
	// was asked for first.
	ExpiresAt, RequestedAt time.Time
	SuccessURL, CancelURL  string
}

// States of a session.
const (
	SessionOpen     = string(stripe.CheckoutSessionStatusOpen)
	SessionComplete = string(stripe.CheckoutSessionStatusComplete)
	SessionExpired  = string(stripe.CheckoutSessionStatusExpired)
)

// Session is a Checkout Session as far as we need it.
type Session struct {
	ID     string
	Status string // one of the Session states
	URL    string // where the customer pays; while it is open
	// Amount is what the session charges at first, minor units.
	Amount    int64
	Currency  string
	ExpiresAt time.Time
	// Customer is the one that the session was given, or made in subscription
	// mode; empty while there is none.
	Customer string
}

func session(s *stripe.CheckoutSession) Session {
	made := Session{
		ID: s.ID, Status: string(s.Status), URL: s.URL, Amount: s.AmountTotal, Currency: string(s.Currency), ExpiresAt: time.Unix(s.ExpiresAt, 0).UTC(),
	}
	if s.Customer != nil {
		made.Customer = s.Customer.ID
	}
	return made
}

// OpenCheckout asks for a session: in subscription mode where a line recurs,
// else for one payment. There is no trial and no other billing anchor (R42-R43).
// It returns ErrUnavailable, ErrKept when Stripe has no such session and will not
// make it under this key, or a *RefusedError.
func (c *Client) OpenCheckout(ctx context.Context, o Checkout) (Session, error) {
	p := &stripe.CheckoutSessionParams{
		Params: params(ctx, o.Account, o.Key), Mode: stripe.String(string(stripe.CheckoutSessionModePayment)), LineItems: lineItems(o),
		Metadata: maps.Clone(o.Metadata), ClientReferenceID: stripe.String(o.Reference), ExpiresAt: stripe.Int64(o.ExpiresAt.Unix()),
		SuccessURL: stripe.String(o.SuccessURL), CancelURL: stripe.String(o.CancelURL),
	}
	if o.Coupon != "" {
		p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: stripe.String(o.Coupon)}}
	}
	if o.Customer != "" {
		p.Customer = stripe.String(o.Customer)
	} else {
		p.CustomerEmail = stripe.String(o.Email)
	}
	recurring := false
	for _, line := range o.Lines {
		recurring = recurring || line.Recurring != nil
	}
	if recurring {
		p.Mode = stripe.String(string(stripe.CheckoutSessionModeSubscription))
		p.SubscriptionData = &stripe.CheckoutSessionSubscriptionDataParams{Metadata: maps.Clone(o.Metadata)}
	} else {
		p.PaymentIntentData = &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: maps.Clone(o.Metadata)}
	}
	s, err := c.api.CheckoutSessions.New(p)
	if err = classifyKeyed("open checkout session", err); errors.Is(err, ErrKept) {
		return c.findOpened(ctx, o, err)
	}
	if err != nil {
		return Session{}, err
	}
	return session(s), nil
}

// findOpened looks for the session that o has made although Stripe answered with
// an error; it returns that error when there is none. A minute is for clocks that
// differ.
func (c *Client) findOpened(ctx context.Context, o Checkout, kept error) (Session, error) {
	p := &stripe.CheckoutSessionListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: o.RequestedAt.Add(-time.Minute).Unix()}}
	p.Context, p.Limit, p.StripeAccount = ctx, stripe.Int64(sessionPage), params(ctx, o.Account, "").StripeAccount
	list := c.api.CheckoutSessions.List(p)
	for list.Next() {
		s := list.CheckoutSession()
		if s.ClientReferenceID == o.Reference && s.ExpiresAt == o.ExpiresAt.Unix() && maps.Equal(s.Metadata, o.Metadata) {
			return session(s), nil
		}
	}
	if err := list.Err(); err != nil {
		return Session{}, fmt.Errorf("list checkout sessions: %w: %w", ErrUnavailable, err)
	}
	return Session{}, kept
}

func lineItems(o Checkout) []*stripe.CheckoutSessionLineItemParams {
	items := make([]*stripe.CheckoutSessionLineItemParams, 0, len(o.Lines))
	for _, line := range o.Lines {
		price := &stripe.CheckoutSessionLineItemPriceDataParams{
			Currency: stripe.String(o.Currency), UnitAmount: stripe.Int64(line.UnitAmount),
			ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(line.Name)},
		}
		if r := line.Recurring; r != nil {
			price.Recurring = &stripe.CheckoutSessionLineItemPriceDataRecurringParams{
				Interval: stripe.String(r.Interval), IntervalCount: stripe.Int64(r.IntervalCount),
			}
		}
		items = append(items, &stripe.CheckoutSessionLineItemParams{PriceData: price, Quantity: stripe.Int64(line.Quantity)})
	}
	return items
}

// Session reads a session. It returns ErrUnavailable or a *RefusedError.
func (c *Client) Session(ctx context.Context, account, id string) (Session, error) {
	s, err := c.api.CheckoutSessions.Get(id, &stripe.CheckoutSessionParams{Params: params(ctx, account, "")})
	if err != nil {
		return Session{}, classify("read checkout session "+id, err)
	}
	return session(s), nil
}

// ExpireSession ends a session, so that it cannot be paid, and returns what it
// is then: complete where a payment came first. It may be repeated.
func (c *Client) ExpireSession(ctx context.Context, account, id string) (Session, error) {
	s, err := c.api.CheckoutSessions.Expire(id, &stripe.CheckoutSessionExpireParams{Params: params(ctx, account, "")})
	if err == nil {
		return session(s), nil
	}
	err = classify("expire checkout session "+id, err)
	now, readErr := c.Session(ctx, account, id)
	if readErr != nil || now.Status == SessionOpen {
		return Session{}, err
	}
	return now, nil // Stripe refuses to expire what is not open
}

// Coupon is the discount of a quote's revision: an amount off.
type Coupon struct {
	Account string
	// ID is chosen by us, so that there is one however often it is asked for.
	ID       string
	Name     string
	Amount   int64 // minor units
	Currency string
	Forever  bool // off every charge, not only the first
	Metadata map[string]string
}

// EnsureCoupon creates the coupon, or finds that its id is there; the id is what
// makes it one, without a key of ours. We never change or delete one.
func (c *Client) EnsureCoupon(ctx context.Context, o Coupon) error {
	duration := stripe.CouponDurationOnce
	if o.Forever {
		duration = stripe.CouponDurationForever
	}
	_, err := c.api.Coupons.New(&stripe.CouponParams{
		Params: params(ctx, o.Account, ""), ID: stripe.String(o.ID), Name: stripe.String(o.Name), AmountOff: stripe.Int64(o.Amount),
		Currency: stripe.String(o.Currency), Duration: stripe.String(string(duration)), Metadata: maps.Clone(o.Metadata),
	})
	if err = classify("create coupon "+o.ID, err); Refused(err, stripe.ErrorCodeResourceAlreadyExists) {
		return nil
	}
	return err
}
