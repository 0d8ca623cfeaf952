package quotes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// timerWorkers is how many timers are in hand: expiries that are dates fall due
	// all at once, at the end of a day, and each may wait for Stripe.
	timerWorkers = 8
	// sessionsEnd is how long after its own end a session is surely over at Stripe,
	// whatever the clocks say.
	sessionsEnd = time.Hour
)

// timerTrouble is the wait after a failure, and between two looks at a payment in
// flight: a bank debit takes days.
var timerTrouble = delivery.Curve{First: 500 * time.Millisecond, Cap: 15 * time.Minute}

// planning plans the timers of every published revision. A crash between the
// publication and its timers loses nothing: the message comes again, and a timer
// is planned once however often it is asked for.
func (s *Service) planning() chore {
	return chore{
		name: "plan", stream: event.StreamQuotes, durable: natsstream.DurablePlanner, workers: 1, trouble: customerTrouble,
		do: func(ctx context.Context, msg stored) (string, error) { return s.plan(ctx, msg.Data()) },
	}
}

// timers does what the timers that are due ask for.
func (s *Service) timers() chore {
	return chore{
		name: "timer", stream: event.StreamTimers, durable: natsstream.DurableTimers, workers: timerWorkers, trouble: timerTrouble,
		do: func(ctx context.Context, msg stored) (string, error) { return s.fire(ctx, msg.Subject()) },
	}
}

// plan plans the timers of a publication. One whose time has passed fires at
// once, so that also revisions which ran out before there were timers are told as
// expired.
func (s *Service) plan(ctx context.Context, body []byte) (string, error) {
	env, err := event.Decode(body)
	if err != nil {
		return "", delivery.Permanent(err)
	}
	p, err := event.Data[event.Published](env)
	if err != nil {
		return "", delivery.Permanent(err)
	}
	timer := event.Timer{Kind: event.TimerExpiry, Seller: p.Seller, Quote: p.QuoteID, Revision: p.Revision}
	at, ends := p.ExpiredFrom()
	if !ends {
		return "unlimited", nil
	}
	if err := s.schedule(ctx, timer, at); err != nil {
		return "", err
	}
	if at, wanted := p.RemindFrom(s.cfg.RemindBefore); wanted {
		timer.Kind = event.TimerReminder
		if err := s.schedule(ctx, timer, at); err != nil {
			return "", err
		}
	}
	return "planned", nil
}

func (s *Service) schedule(ctx context.Context, t event.Timer, at time.Time) error {
	if t.At() == "" {
		return delivery.Permanent(fmt.Errorf("plan %s of quote %q, revision %d: not a valid subject", t.Kind, t.Quote, t.Revision))
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	return s.stream.Schedule(ctx, t, at)
}

// fire does what one timer asks for, if that is still to be done.
func (s *Service) fire(ctx context.Context, subject string) (string, error) {
	t, ok := event.ParseTimerDue(subject)
	if !ok {
		return "", delivery.Permanent(fmt.Errorf("%s is not the subject of a timer", subject))
	}
	switch t.Kind {
	case event.TimerExpiry:
		return s.expire(ctx, t)
	case event.TimerReminder:
		return s.remind(ctx, t)
	default:
		return "", fmt.Errorf("timer of kind %s: only a newer version of quotes knows what to do", t.Kind)
	}
}

// expire records that a revision ran out, and ends its sessions at Stripe (R44).
// It is recorded first: from then on no further session is opened, and lists are
// right also while Stripe is away. A payment that is made in between is money
// received, and late.
func (s *Service) expire(ctx context.Context, t event.Timer) (string, error) {
	a, stored, err := s.decide(ctx, scribe{seller: t.Seller}, event.NameExpired, t.Quote, func(a *quote.Aggregate) (*entry, error) {
		e, due, err := a.Expire(t.Revision, s.cfg.Now())
		if err != nil || !due {
			return nil, err
		}
		return &entry{event.NameExpired, strconv.Itoa(t.Revision), e, e.ExpiredAt}, nil
	})
	if err != nil {
		return "", err
	}
	if a.Revision() != t.Revision || a.Lifecycle != quote.LifecycleExpired {
		return "overtaken", nil
	}
	if err := s.endSessions(ctx, a); err != nil {
		return "", err
	}
	if !stored {
		return "ended", nil
	}
	return "expired", nil
}

// endSessions ends the open sessions of an expired revision. One that was
// completed stays: its payment was begun in time, or is flagged as late.
func (s *Service) endSessions(ctx context.Context, a *quote.Aggregate) error {
	r := a.Revisions[len(a.Revisions)-1]
	for _, checkout := range slices.Backward(a.Checkouts(r.Revision)) {
		if s.cfg.Now().Sub(checkout.Request.ExpiresAt) > sessionsEnd {
			continue // Stripe has ended it by itself
		}
		if s.stripe == nil || r.Mode != s.cfg.Mode {
			s.log.Warn("session left to its own end: no key for it", zap.String("quote_id", a.ID), zap.Time("expires_at", checkout.Request.ExpiresAt))
			continue
		}
		session, known, err := s.closeCheckout(ctx, r, checkout)
		if err != nil {
			return fmt.Errorf("end the sessions of quote %s: %w", a.ID, permanentWhenRefused(err))
		}
		if known {
			s.log.Info("session of an expired quote", zap.String("quote_id", a.ID), zap.String("session", session.ID), zap.String("status", session.Status))
		}
	}
	return nil
}

// remind says that a revision is about to expire and not paid.
func (s *Service) remind(ctx context.Context, t event.Timer) (string, error) {
	_, stored, err := s.decide(ctx, scribe{seller: t.Seller}, event.NameExpiring, t.Quote, func(a *quote.Aggregate) (*entry, error) {
		e, due, err := a.Remind(t.Revision, s.cfg.RemindBefore, s.cfg.Now())
		if err != nil || !due {
			return nil, err
		}
		// Redis may know of money that the log has no fact of: a payment that needs
		// a person to look at it.
		if err := s.mayReplace(ctx, a); err != nil {
			if _, paid := errors.AsType[*quote.Refusal](err); paid {
				return nil, nil //nolint:nilnil // there is nothing to remind of
			}
			return nil, err
		}
		return &entry{event.NameExpiring, strconv.Itoa(t.Revision), e, e.RemindedAt}, nil
	})
	switch {
	case err != nil:
		return "", err
	case !stored:
		return "overtaken", nil
	}
	return "reminded", nil
}
