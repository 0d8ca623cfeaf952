package quotes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

// loadSeller folds a seller from the log, with what Stripe said of the account
// that he is paid on; one without events is paid on the deployment's own.
func (s *Service) loadSeller(ctx context.Context, id string) (*seller.Aggregate, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := s.readEvents(ctx, event.StreamSellers, event.SellerFilter(id))
	if err != nil {
		return nil, fmt.Errorf("load seller %s: %w", id, err)
	}
	a, err := foldSeller(records)
	if err != nil {
		return nil, fmt.Errorf("load seller %s: %w", id, err)
	}
	account := a.Account(s.cfg.Account)
	facts, err := s.readEvents(ctx, event.StreamSellers, event.AccountFilter(account))
	if err != nil {
		return nil, fmt.Errorf("load account %s of seller %s: %w", account, id, err)
	}
	if len(facts) == 0 {
		return a, nil
	}
	// A connection overrules what stood in the log before it.
	records = append(records, facts...)
	slices.SortFunc(records, func(x, y natsstream.Record) int { return cmp.Compare(x.Sequence, y.Sequence) })
	if a, err = foldSeller(records); err != nil {
		return nil, fmt.Errorf("load seller %s: %w", id, err)
	}
	return a, nil
}

func foldSeller(records []natsstream.Record) (*seller.Aggregate, error) {
	a := &seller.Aggregate{}
	for _, r := range records {
		if err := event.FoldSeller(a, r.Sequence, r.Subject, r.Data); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// sellerEntry is what a command about a seller decided to append.
type sellerEntry struct {
	name string // of the event
	data any
	at   time.Time
}

// sellerCommand is command for a seller's own events.
func (s *Service) sellerCommand(c *call, id, name string, decide func(*seller.Aggregate) (*sellerEntry, error)) (*seller.Aggregate, error) {
	for attempt := range attempts {
		if err := pause(c.Context(), attempt); err != nil {
			return nil, err
		}
		a, err := s.loadSeller(c.Context(), id)
		if err != nil {
			s.metrics.command(name, "failed")
			return nil, err
		}
		next, err := decide(a)
		if err != nil {
			s.metrics.command(name, "refused")
			return nil, err
		}
		if next == nil {
			c.result = "unchanged"
			return a, s.unchanged(c.Context(), name)
		}
		err = s.appendSeller(c, a, id, *next)
		if err == nil {
			s.metrics.command(name, "stored")
			c.result = name
			return a, nil
		}
		if !errors.Is(err, natsstream.ErrConflict) {
			s.metrics.command(name, "failed")
			return nil, err
		}
		s.metrics.command(name, "conflict")
	}
	return nil, unavailable(fmt.Errorf("%s seller %s: %d conflicts", name, id, attempts))
}

// appendSeller stores an event of the seller if he is still as a says, and folds
// it into a. It returns natsstream.ErrConflict when he is not.
func (s *Service) appendSeller(c *call, a *seller.Aggregate, id string, e sellerEntry) error {
	n := a.Version + 1
	envelope, err := event.NewSeller(e.name, id, n, e.at, e.data)
	if err != nil {
		return err
	}
	envelope.TraceParent = c.trace
	m := natsstream.Message{
		Subject: event.SellerSubject(e.name, id, strconv.Itoa(n)), ID: envelope.ID, Data: envelope.Encode(),
		Header: nats.Header{event.HeaderContentType: []string{event.ContentType}},
	}
	if c.trace != "" {
		m.Header.Set(event.HeaderTraceParent, c.trace)
	}
	ctx, cancel := context.WithTimeout(c.Context(), logTimeout)
	defer cancel()
	stored, err := s.stream.Command(ctx, m, event.SellerFilter(id), a.Sequence)
	if err != nil {
		return fmt.Errorf("%s seller %s: %w", e.name, id, err)
	}
	return event.FoldSeller(a, stored.Sequence, m.Subject, m.Data)
}
