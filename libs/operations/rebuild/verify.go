package rebuild

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// settleFor is how long Verify waits for what is in flight, by default.
const settleFor = 30 * time.Second

// lookEvery is how often it looks meanwhile.
const lookEvery = 200 * time.Millisecond

// Verifier compares Redis with the log.
type Verifier struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	// Now is the clock; Progress is told how far it is, and may be nil.
	Now      func() time.Time
	Progress func(Progress)
	// SettleFor is how long to wait for messages in flight; 0 means 30 s.
	SettleFor time.Duration
}

// Kinds of Difference.
const (
	Missing = "missing" // the log has facts of the quote, Redis has not
	Extra   = "extra"   // Redis has facts of a quote of which the log knows nothing
	Differs = "differs" // both have, and not the same
	Damaged = "damaged" // Redis's own digest is not that of its facts
)

// Side is what one side shows of a quote.
type Side struct {
	Hash   string `json:"hash"`
	Digest string `json:"digest"`
	Status string `json:"status"`
	Flags  string `json:"flags,omitempty"`
}

// Difference is one quote that is not what the log says.
type Difference struct {
	Account string `json:"account"`
	Quote   string `json:"quote"`
	Kind    string `json:"kind"`
	// Log and Redis are what each side shows; null where it has nothing.
	Log   *Side `json:"log"`
	Redis *Side `json:"redis"`
	// Next is the command to type.
	Next string `json:"next"`
}

// Report is what Verify found.
type Report struct {
	Generation string `json:"generation"`
	// Messages that were folded, and how long that took.
	Messages   uint64  `json:"messages"`
	FoldedInMS int64   `json:"folded_in_ms"`
	PerSecond  float64 `json:"messages_per_second"`
	// Quotes are the pairs of account and quote that were compared.
	Quotes   int `json:"quotes"`
	InFlight int `json:"in_flight"` // of these, not comparable because the worker has not come to their messages
	// LogRoot and RedisRoot sum up the quotes that were compared, by account and id; they are equal if and only if all are.
	LogRoot     string       `json:"log_root"`
	RedisRoot   string       `json:"redis_root"`
	Differences []Difference `json:"differences"`
	// Unsent are facts that are due by the log and not in it: quote.paid above all.
	Unsent int   `json:"unsent"`
	TookMS int64 `json:"took_ms"`
}

// Equal reports whether everything was compared and is the same.
func (r *Report) Equal() bool { return len(r.Differences) == 0 && r.InFlight == 0 }

// pair is what both sides show of a quote.
type pair struct{ log, redis shown }

// Verify folds the whole log and compares every quote. What is in flight it settles: a quote that differs is read again
// after the log's newest messages were folded too, and only counts as different when every message about it was
// acknowledged before it was read.
func (v *Verifier) Verify(ctx context.Context) (*Report, error) {
	began := v.Now()
	if v.Progress == nil {
		v.Progress = func(Progress) {}
	}
	c, err := v.newComparison(ctx)
	if err != nil {
		return nil, err
	}
	until, err := end(ctx, v.Log)
	if err != nil {
		return nil, err
	}
	if err := c.foldTo(ctx, until); err != nil {
		return nil, err
	}
	report := &Report{Generation: c.keys.Generation(), Messages: until.Quotes + until.Stripe, FoldedInMS: v.Now().Sub(began).Milliseconds()}
	report.PerSecond = float64(report.Messages) / max(v.Now().Sub(began).Seconds(), 1e-3)
	if err := c.readAll(ctx); err != nil {
		return nil, err
	}
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	generation, err := v.Log.Generation(ctx)
	if err != nil {
		return nil, err
	}
	if generation.Read != report.Generation {
		return nil, advice.New("quotectl rebuild --verify", "a rebuild went over from %s to %s meanwhile", report.Generation, generation.Read)
	}
	c.fill(report)
	report.TookMS = v.Now().Sub(began).Milliseconds()
	return report, nil
}

func (v *Verifier) newComparison(ctx context.Context) (*comparison, error) {
	rules, err := Rules(ctx, v.Log)
	if err != nil {
		return nil, err
	}
	generation, err := v.Log.Generation(ctx)
	if err != nil {
		return nil, err
	}
	c := &comparison{v: v, keys: redisquote.NewKeys(generation.Read), equal: map[projection.Key]pair{}, open: map[projection.Key]pair{}}
	c.folder = folder{log: v.Log, projection: projection.New(projection.Config{Rules: rules}), now: v.Now, progress: v.Progress}
	return c, nil
}

// comparison is one run of Verify.
type comparison struct {
	folder
	v    *Verifier
	keys redisquote.Keys
	// equal and open are the quotes by how they compared when they were read last.
	equal, open map[projection.Key]pair
	// different are the open ones of which every message had been acknowledged.
	different map[projection.Key]bool
}

// compare takes a reading of Redis.
func (c *comparison) compare(k projection.Key, have shown) {
	p := pair{redis: have}
	if c.projection.Known(k) {
		p.log = shown{Live: c.projection.Live(k), there: true}
	}
	if p.log == p.redis {
		delete(c.open, k)
		c.equal[k] = p
		return
	}
	delete(c.equal, k)
	c.open[k] = p
}

// settle compares the open quotes again until each is equal, or different for certain. What readAll found different is only
// suspected: Redis may have shown what was not folded yet.
func (c *comparison) settle(ctx context.Context) error {
	patience := c.v.SettleFor
	if patience == 0 {
		patience = settleFor
	}
	for deadline := c.v.Now().Add(patience); len(c.open) > 0; {
		floor, err := c.again(ctx)
		if err != nil {
			return err
		}
		for k := range c.open {
			if c.projection.Reach(k).Within(floor) {
				c.different[k] = true
			}
		}
		if len(c.open) == len(c.different) || c.v.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// again reads the open quotes once more and folds on to what the log holds after that, so that nothing Redis shows can be
// unknown to the fold. It returns what had been acknowledged before the reading.
func (c *comparison) again(ctx context.Context) (projection.Reach, error) {
	floor, err := settled(ctx, c.v.Log)
	if err != nil {
		return floor, err
	}
	keys := make([]projection.Key, 0, len(c.open))
	for k := range c.open {
		keys = append(keys, k)
	}
	found, err := c.read(ctx, keys)
	if err != nil {
		return floor, err
	}
	until, err := end(ctx, c.v.Log)
	if err != nil {
		return floor, err
	}
	if err := c.foldTo(ctx, until); err != nil {
		return floor, err
	}
	c.different = map[projection.Key]bool{}
	for i, k := range keys {
		c.compare(k, found[i])
	}
	return floor, nil
}

// fill completes the report.
func (c *comparison) fill(r *Report) {
	r.InFlight = len(c.open) - len(c.different)
	r.Differences = []Difference{}
	all := make([]projection.Key, 0, len(c.equal)+len(c.different))
	for k := range c.equal {
		all = append(all, k)
	}
	for k := range c.different {
		all = append(all, k)
	}
	slices.SortFunc(all, projection.Key.Compare)
	logRoot, redisRoot := projection.NewRoot(), projection.NewRoot()
	for _, k := range all {
		p, equal := c.equal[k]
		if !equal {
			p = c.open[k]
			r.Differences = append(r.Differences, differenceOf(k, p))
		}
		if p.log.there {
			logRoot.Add(k, p.log.Live)
			r.Unsent += len(c.projection.Unsent(k))
		}
		if p.redis.there {
			redisRoot.Add(k, p.redis.Live)
		}
	}
	r.Quotes, r.LogRoot, r.RedisRoot = len(all), logRoot.String(), redisRoot.String()
}

func differenceOf(k projection.Key, p pair) Difference {
	d := Difference{Account: k.Account, Quote: k.Quote, Kind: Differs, Log: p.log.side(), Redis: p.redis.side()}
	d.Next = `quotectl rebuild --switch --reason "differs from the log"`
	switch {
	case !p.redis.there:
		d.Kind = Missing
	case !p.log.there:
		d.Kind = Extra
	case p.redis.damaged:
		d.Kind = Damaged
	default:
		d.Next = "quotectl explain " + k.Quote
	}
	return d
}
