package check

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

const (
	// emissionGrace is how long payments may take from the commit to the emission before it is looked at again: both happen in
	// one step, milliseconds apart.
	emissionGrace = 3 * time.Second
	scanCount     = 1000
)

// Emissions looks for facts that are due by what Redis holds and that the log lacks: a payment that is settled and of which
// nobody was told. quotectl and the worker payments, for its metric, call it.
type Emissions struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	Keys  redisquote.Keys
	// Grace is how long a fact that was found missing has, before the log is asked. Default 3 s.
	Grace time.Duration
	// Pause, if there is one, is called after each page of keys with the time that it took; its error ends the walk. Several
	// masters are walked at once.
	Pause func(ctx context.Context, took time.Duration) error
}

// MissingEmission is a fact that is due and not in the log.
type MissingEmission struct {
	Subject event.QuoteSubject
	Since   time.Time // when it came due, by Stripe's clock
}

// owner is whose payments a hash holds.
type owner struct{ account, quote string }

// Missing looks at the facts of every quote, and returns what is missing and how many quotes there are.
func (e Emissions) Missing(ctx context.Context) (all []MissingEmission, quotes int, err error) {
	candidates, quotes, err := e.due(ctx)
	if err != nil || len(candidates) == 0 {
		return nil, quotes, err
	}
	all, err = e.still(ctx, candidates) // what is just being emitted has its time
	return all, quotes, err
}

// due reads every quote's facts and returns what is due and has no mark.
func (e Emissions) due(ctx context.Context) (all []MissingEmission, quotes int, err error) {
	stream, err := e.Log.JetStream().Stream(ctx, event.StreamQuotes)
	if err != nil {
		return nil, 0, fmt.Errorf("look up %s: %w", event.StreamQuotes, err)
	}
	last := stream.CachedInfo().State.LastSeq
	var mu sync.Mutex
	seen := map[event.QuoteSubject]bool{} // SCAN may name a key twice
	err = redisquote.EachMaster(ctx, e.Redis, func(ctx context.Context, master *redis.Client) error {
		for cursor := uint64(0); ; {
			begun := time.Now() //nolint:forbidigo // a monotonic clock for how long a page takes
			names, next, err := master.Scan(ctx, cursor, e.Keys.PayPattern(), scanCount).Result()
			if err != nil {
				return fmt.Errorf("scan redis: %w", err)
			}
			found, n, err := e.page(ctx, names, last)
			if err != nil {
				return err
			}
			mu.Lock()
			quotes += n
			for _, m := range found {
				if !seen[m.Subject] {
					seen[m.Subject] = true
					all = append(all, m)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
			if e.Pause != nil {
				if err := e.Pause(ctx, time.Since(begun)); err != nil {
					return err
				}
			}
		}
	})
	return all, quotes, err
}

// page reads the payments among some keys.
func (e Emissions) page(ctx context.Context, names []string, last uint64) (all []MissingEmission, quotes int, err error) {
	pipe := e.Redis.Pipeline()
	var owners []owner
	var reads []*redis.MapStringStringCmd
	for _, name := range names {
		if account, id, ok := e.Keys.ParsePay(name); ok {
			owners, reads = append(owners, owner{account, id}), append(reads, pipe.HGetAll(ctx, name))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, 0, fmt.Errorf("read payments: %w", err)
	}
	for i, r := range reads {
		found, err := unmarked(owners[i], r.Val(), last)
		if err != nil {
			return nil, 0, fmt.Errorf("read payments of %s on %s: %w", owners[i].quote, owners[i].account, err)
		}
		all = append(all, found...)
	}
	return all, len(owners), nil
}

// unmarked lists what the facts of one quote say is due and what Redis does not remember as stored, or remembers beyond the
// last sequence of the log: that log was restored from an older copy.
func unmarked(o owner, fields map[string]string, last uint64) ([]MissingEmission, error) {
	p, err := redisquote.DecodePayment(fields)
	if err != nil || len(p.Facts) == 0 {
		return nil, err
	}
	facts, err := quote.DecodeFacts(p.Facts)
	if err != nil {
		return nil, err
	}
	var all []MissingEmission
	for _, d := range quote.Derive(o.account, facts).Due {
		if mark, stored := p.Marks[d.Event+"."+d.N]; !stored || mark.Sequence > last {
			all = append(all, MissingEmission{event.QuoteSubject{Event: d.Event, Seller: d.Seller, Quote: o.quote, N: d.N}, d.At})
		}
	}
	return all, nil
}

// still waits for the grace and returns those that the log lacks then.
func (e Emissions) still(ctx context.Context, candidates []MissingEmission) ([]MissingEmission, error) {
	grace := e.Grace
	if grace == 0 {
		grace = emissionGrace
	}
	select {
	case <-time.After(grace):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var all []MissingEmission
	for _, m := range candidates {
		lacking, err := e.Lacks(ctx, m.Subject)
		if err != nil {
			return nil, err
		}
		if lacking {
			all = append(all, m)
		}
	}
	return all, nil
}

// Lacks reports whether the log lacks an emission. quote.paid of a revision after which another was published is no longer
// due, though payments may not have folded that yet.
func (e Emissions) Lacks(ctx context.Context, s event.QuoteSubject) (bool, error) {
	switch _, err := e.Log.Read(ctx, event.StreamQuotes, s.String()); {
	case err == nil:
		return false, nil
	case !errors.Is(err, natsstream.ErrNotFound):
		return false, err
	}
	n, numbered := s.Number()
	if s.Event != event.NamePaid || !numbered {
		return true, nil
	}
	newest, err := e.Log.Read(ctx, event.StreamQuotes, fmt.Sprintf("quote.%s.%s.%s.*", event.NamePublished, s.Seller, s.Quote))
	if errors.Is(err, natsstream.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	published, _ := event.ParseQuoteSubject(newest.Subject)
	number, _ := published.Number()
	return number <= n, nil
}
