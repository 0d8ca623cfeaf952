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
	// gapGrace is how long payments may take from the commit to the emission before it is looked at again: both happen in
	// one step, milliseconds apart.
	gapGrace = 3 * time.Second
	// gapsNamed bounds the findings of one kind; the last one says how many more there are.
	gapsNamed = 50
	scanCount = 1000
)

// Gap is what Run looks for: what is due and is not there. Settled payments without their emission, quote.paid without its
// mail, mails that do not go out.
type Gap struct {
	Log *natsstream.Log
	// Redis may be nil: then emissions are not checked, which the verdict says.
	Redis redis.UniversalClient
	Now   time.Time
	// Mail judges how long after the fact a mail may be on its way.
	Mail Limits
	// Grace is gapGrace unless a test says otherwise.
	Grace time.Duration
}

// Run looks at every quote.
func (g Gap) Run(ctx context.Context) (*Verdict, error) {
	v := newVerdict("gap")
	quotes, err := g.emissions(ctx, v)
	if err != nil {
		return nil, err
	}
	mails, err := g.mails(ctx, v)
	if err != nil {
		return nil, err
	}
	return v.close(fmt.Sprintf("nothing is missing (%d quotes with payments, %d of quote.paid)", quotes, mails)), nil
}

// missing is an emission that is due and not in the log.
type missing struct {
	subject event.QuoteSubject
	since   time.Time // when it came due, by Stripe's clock
}

// owner is whose payments a hash holds.
type owner struct{ account, quote string }

// emissions compares what the facts in Redis say is due with the log.
func (g Gap) emissions(ctx context.Context, v *Verdict) (int, error) {
	if g.Redis == nil {
		v.skip("settled and not emitted: REDIS_URL is not set")
		return 0, nil
	}
	generation, err := g.Log.LatestGeneration(ctx)
	if err != nil {
		return 0, err
	}
	keys := redisquote.NewKeys(generation.Read)
	switch whole, err := redisquote.NewReader(g.Redis, keys).Complete(ctx); {
	case err != nil:
		return 0, err
	case !whole:
		v.skip("settled and not emitted: the projection is being folded again")
		return 0, nil
	}
	candidates, looked, err := g.due(ctx, keys)
	if err != nil {
		return 0, err
	}
	if len(candidates) > 0 { // what is just being emitted has its time
		if candidates, err = g.still(ctx, candidates); err != nil {
			return 0, err
		}
	}
	v.Measures = append(v.Measures, Measure{Name: "missing_emissions", Value: float64(len(candidates)), Warn: 1, Critical: 1})
	for i, m := range candidates {
		if i == gapsNamed {
			v.find(Critical, "quotectl rebuild --verify", "%d more emissions are missing", len(candidates)-i)
			break
		}
		v.find(Critical, fmt.Sprintf("quotectl explain %s --why-not-paid", m.subject.Quote), "quote.%s of %s (%s) is due since %s and not in the log",
			m.subject.Event, m.subject.Quote, m.subject.N, m.since.UTC().Format(time.RFC3339))
	}
	return looked, nil
}

// due reads every quote's facts and returns what is due and has no mark.
func (g Gap) due(ctx context.Context, keys redisquote.Keys) (all []missing, looked int, err error) {
	var mu sync.Mutex
	seen := map[string]bool{} // SCAN may name a key twice
	err = redisquote.EachMaster(ctx, g.Redis, func(ctx context.Context, master *redis.Client) error {
		for cursor := uint64(0); ; {
			names, next, err := master.Scan(ctx, cursor, keys.PayPattern(), scanCount).Result()
			if err != nil {
				return fmt.Errorf("scan redis: %w", err)
			}
			pipe := g.Redis.Pipeline()
			var owners []owner
			var reads []*redis.MapStringStringCmd
			mu.Lock()
			for _, name := range names {
				if account, id, ok := keys.ParsePay(name); ok && !seen[name] {
					seen[name] = true
					owners, reads = append(owners, owner{account, id}), append(reads, pipe.HGetAll(ctx, name))
				}
			}
			mu.Unlock()
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("read payments: %w", err)
			}
			for i, r := range reads {
				found, err := unmarked(owners[i], r.Val())
				if err != nil {
					return fmt.Errorf("read payments of %s on %s: %w", owners[i].quote, owners[i].account, err)
				}
				mu.Lock()
				all = append(all, found...)
				mu.Unlock()
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	return all, len(seen), err
}

// unmarked lists what the facts of one quote say is due and what Redis does not remember as stored.
func unmarked(o owner, fields map[string]string) ([]missing, error) {
	p, err := redisquote.DecodePayment(fields)
	if err != nil || len(p.Facts) == 0 {
		return nil, err
	}
	facts, err := quote.DecodeFacts(p.Facts)
	if err != nil {
		return nil, err
	}
	var all []missing
	for _, e := range quote.Derive(o.account, facts).Due {
		if _, stored := p.Marks[e.Event+"."+e.N]; !stored {
			all = append(all, missing{event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: o.quote, N: e.N}, e.At})
		}
	}
	return all, nil
}

// still waits for the grace and returns those that the log lacks then.
func (g Gap) still(ctx context.Context, candidates []missing) ([]missing, error) {
	grace := g.Grace
	if grace == 0 {
		grace = gapGrace
	}
	select {
	case <-time.After(grace):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var all []missing
	for _, m := range candidates {
		lacking, err := g.lacks(ctx, m)
		if err != nil {
			return nil, err
		}
		if lacking {
			all = append(all, m)
		}
	}
	return all, nil
}

// lacks reports whether the log lacks an emission. quote.paid of a revision after which another was published is no longer
// due, though payments may not have folded that yet.
func (g Gap) lacks(ctx context.Context, m missing) (bool, error) {
	switch _, err := g.Log.Read(ctx, event.StreamQuotes, m.subject.String()); {
	case err == nil:
		return false, nil
	case !errors.Is(err, natsstream.ErrNotFound):
		return false, err
	}
	n, numbered := m.subject.Number()
	if m.subject.Event != event.NamePaid || !numbered {
		return true, nil
	}
	newest, err := g.Log.Read(ctx, event.StreamQuotes, fmt.Sprintf("quote.%s.%s.%s.*", event.NamePublished, m.subject.Seller, m.subject.Quote))
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
