package quotes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// customerTrouble is the wait after failures of NATS or Stripe.
var customerTrouble = delivery.Curve{First: 500 * time.Millisecond, Cap: time.Minute}

// customers makes sure that the contact of each paid quote is a customer at Stripe
// (R28-R32). Nothing of it touches the payment: what fails is tried again, and
// set aside where Stripe refuses.
func (s *Service) customers() chore {
	return chore{
		name: "customer", stream: event.StreamQuotes, durable: natsstream.DurableCustomers, workers: 1, trouble: customerTrouble,
		do: func(ctx context.Context, msg stored) (string, error) { return s.ensureCustomer(ctx, msg.Data()) },
	}
}

// ensureCustomer creates the contact of a paid revision as a customer of the
// account that was paid, if it has none with that e-mail address. One that is
// there is left as it is. The answer is created, named, found or skipped.
func (s *Service) ensureCustomer(ctx context.Context, body []byte) (string, error) {
	env, err := event.Decode(body)
	if err != nil {
		return "", delivery.Permanent(err)
	}
	paid, err := event.Data[event.Paid](env)
	if err != nil {
		return "", delivery.Permanent(err)
	}
	if paid.Mode != s.cfg.Mode {
		return "skipped", nil
	}
	a, err := s.load(ctx, paid.Seller, paid.QuoteID)
	if err != nil {
		return "", err
	}
	contact, ok := contactOf(a, paid.Revision)
	if !ok {
		return "", delivery.Permanent(fmt.Errorf("quote %s has no revision %d", paid.QuoteID, paid.Revision))
	}
	found, err := s.stripe.FindCustomer(ctx, paid.Account, contact.Email)
	if err != nil {
		return "", permanentWhenRefused(err)
	}
	if found != "" {
		return s.nameOwn(ctx, a, paid, found, customerName(contact))
	}
	_, err = s.stripe.CreateCustomer(ctx, stripegate.Customer{
		Account: paid.Account, Email: contact.Email, Name: customerName(contact), Metadata: map[string]string{"managed_by": "quittance"},
	})
	if stripegate.Refused(err, "idempotency_error") {
		return "", err // another quote of the same contact is just creating it; the next look finds it
	}
	return "created", permanentWhenRefused(err)
}

// nameOwn gives a customer the name that he was to be created with, if he is one
// that our Checkout Session has made: in subscription mode Stripe makes him, of
// the e-mail address alone. Any other one, and one with a name, stays as he is.
func (s *Service) nameOwn(ctx context.Context, a *quote.Aggregate, paid event.Paid, id, name string) (string, error) {
	for _, checkout := range a.Checkouts(paid.Revision) {
		if checkout.Session == "" || checkout.Request.Customer != "" || name == "" {
			continue
		}
		session, err := s.stripe.Session(ctx, paid.Account, checkout.Session)
		if stripegate.Missing(err) {
			continue // it made no customer of this account
		}
		if err != nil {
			return "", permanentWhenRefused(err)
		}
		if session.Customer != id {
			continue
		}
		if named, err := s.stripe.NameCustomer(ctx, paid.Account, id, name); err != nil || named {
			return "named", permanentWhenRefused(err)
		}
	}
	return "found", nil
}

func contactOf(a *quote.Aggregate, revision int) (quote.Contact, bool) {
	for _, r := range a.Revisions {
		if r.Revision == revision {
			return r.Document.Contact, true
		}
	}
	return quote.Contact{}, false
}

// customerName is the company's, else the person's.
func customerName(c quote.Contact) string {
	if c.Company != "" {
		return c.Company
	}
	return strings.TrimSpace(c.FirstName + " " + c.LastName)
}

func permanentWhenRefused(err error) error {
	if _, ok := errors.AsType[*stripegate.RefusedError](err); ok {
		return delivery.Permanent(err)
	}
	return err
}
