package quotes

import (
	"context"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/platform/env"
)

// comeBackTimeout bounds what a customer waits for before he sees the page.
const comeBackTimeout = 3 * time.Second

// comeBack fetches what Stripe says of the session that a customer comes back
// from, and enters it through ingress as a webhook would be: a webhook that was
// lost is made good, and one that comes too is the same event again. Only a
// session of this revision is asked for, and only while the quote is not known to
// be paid. Trouble is logged: the page is shown all the same.
func (s *Service) comeBack(c *call, a *quote.Aggregate, r event.Published) {
	id := c.URL.Query().Get("session_id")
	if id == "" || s.stripe == nil || s.cfg.IngressURL == "" || len(a.Payments) > 0 {
		return
	}
	for _, checkout := range a.Checkouts(r.Revision) {
		if checkout.Session != id {
			continue
		}
		ctx, cancel := context.WithTimeout(c.Context(), comeBackTimeout)
		defer cancel()
		if err := s.enterEvents(ctx, r.Account, id, checkout.Request.RequestedAt); err != nil {
			s.log.Warn("return from checkout not entered", zap.String("quote_id", a.ID), zap.String("session", id), zap.Error(err))
		}
		return
	}
}

// enterEvents posts the session's events to ingress. The minute before the
// request is included, as Stripe's clock need not be ours.
func (s *Service) enterEvents(ctx context.Context, account, id string, requested time.Time) error {
	events, err := s.stripe.SessionEvents(ctx, account, id, requested.Add(-time.Minute))
	if err != nil {
		return err
	}
	in := s.entrance(event.SourceReturn, s.cfg.WebhookSecret)
	for _, body := range events {
		if _, err := in.Enter(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// entrance is ingress, for events from a source.
func (s *Service) entrance(source string, secret env.Secret) door.Door {
	return door.Door{URL: s.cfg.IngressURL, Secret: secret, Source: source, Now: s.cfg.Now, HTTP: s.http}
}
