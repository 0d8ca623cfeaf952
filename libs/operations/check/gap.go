package check

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// gapsNamed bounds the findings of one kind; the last one says how many more there are.
const gapsNamed = 50

// Gap is what Run looks for: what is due and is not there. Settled payments without their emission, quote.paid without its
// mail, mails that do not go out.
type Gap struct {
	Log *natsstream.Log
	// Redis may be nil: then emissions cannot be checked, which the verdict says, and NoRedis is why.
	Redis   redis.UniversalClient
	NoRedis error
	Now     time.Time
	// Mail judges how long after the fact a mail may be on its way.
	Mail Limits
	// Grace is that of Emissions.
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

// emissions compares what the facts in Redis say is due with the log.
func (g Gap) emissions(ctx context.Context, v *Verdict) (int, error) {
	if g.Redis == nil {
		v.find(Unknown, advice.Next(g.NoRedis), "whether settled payments lack their facts cannot be seen: %v", g.NoRedis)
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
		v.find(Unknown, "quotectl doctor", "whether settled payments lack their facts cannot be seen: Redis has lost what it held, or payments is folding the log again")
		return 0, nil
	}
	candidates, looked, err := Emissions{Log: g.Log, Redis: g.Redis, Keys: keys, Grace: g.Grace}.Missing(ctx)
	if err != nil {
		return 0, err
	}
	v.Measures = append(v.Measures, Measure{Name: "missing_emissions", Value: float64(len(candidates)), Warn: 1, Critical: 1})
	for i, m := range candidates {
		if i == gapsNamed {
			v.find(Critical, "quotectl rebuild --verify", "%d more emissions are missing", len(candidates)-i)
			break
		}
		v.find(Critical, fmt.Sprintf("quotectl explain %s --why-not-paid", m.Subject.Quote), "quote.%s of %s (%s) is due since %s and not in the log",
			m.Subject.Event, m.Subject.Quote, m.Subject.N, m.Since.UTC().Format(time.RFC3339))
	}
	return looked, nil
}
