package rebuild

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/parts"
	"quittance.internal/libs/operations/scratch"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// SettleFor is how long Verify waits for what is in flight, by default.
const SettleFor = 30 * time.Second

const rowsBuffer = 64 << 10

// lookEvery is how often it looks meanwhile.
const lookEvery = 200 * time.Millisecond

// Verifier compares Redis with the log.
type Verifier struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	// Now is the clock; Progress is told how far it is, and may be nil.
	Now      func() time.Time
	Progress func(Progress)
	// TempDir is where temporary files are made, about half a kilobyte for each event of the log; empty means the system's directory,
	// which TMPDIR sets. They are the owner's alone, hold no personal data, and are gone when Verify returns or the process ends.
	TempDir string
	// SettleFor is how long to wait for messages in flight; 0 means the constant SettleFor.
	SettleFor time.Duration
	// Read and Part, if they are set, are shown each message that is read and, once, each part that is folded, so that others
	// who judge the whole log need not read it again. They must not keep a part.
	Read func(natsstream.Record)
	Part func(*projection.Projection)
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

// Verify folds the whole log and compares every quote. What is in flight it settles: a quote that differs is read again
// after the log's newest messages were folded too, and only counts as different when every message about it was
// acknowledged before it was read.
//
// Its memory does not grow with the log. It grows by what is told of each difference.
func (v *Verifier) Verify(ctx context.Context) (*Report, error) {
	began := v.Now()
	if v.Progress == nil {
		v.Progress = func(Progress) {}
	}
	c, err := v.newComparison(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	until, err := end(ctx, v.Log)
	if err != nil {
		return nil, err
	}
	if err := c.readTo(ctx, until); err != nil {
		return nil, err
	}
	err = c.parts.Fold(ctx, nil, func(part *projection.Projection) error {
		if v.Part != nil {
			v.Part(part)
		}
		return c.comparePart(ctx, part)
	})
	if err != nil {
		return nil, err
	}
	c.quiet = true
	report := &Report{Generation: c.keys.Generation(), Messages: until.Quotes + until.Stripe}
	folded := v.Now().Sub(began) - c.reading
	report.FoldedInMS, report.PerSecond = folded.Milliseconds(), float64(report.Messages)/max(folded.Seconds(), 1e-3)
	if err := c.findExtra(ctx); err != nil {
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
	if err := c.fill(report); err != nil {
		return nil, err
	}
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
	c := &comparison{v: v, keys: redisquote.NewKeys(generation.Read), open: map[projection.Key]*suspect{}}
	c.reader = reader{log: v.Log, now: v.Now, progress: v.Progress, seen: v.Read}
	dir := scratch.Dir{Path: v.TempDir, Next: "quotectl rebuild --verify --temp-dir DIRECTORY, one with room for half a kilobyte for each event"}
	if c.parts, err = parts.New(parts.Config{Rules: rules, Dir: dir, Progress: c.step()}); err != nil {
		return nil, err
	}
	if c.rows.file, err = dir.Create(rowsBuffer); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// comparison is one run of Verify.
type comparison struct {
	reader
	v    *Verifier
	keys redisquote.Keys
	// rows note the quotes that compared equal and which are known.
	rows rows
	// open are the quotes that did not; different are those of them of which every message had been acknowledged.
	open      map[projection.Key]*suspect
	different map[projection.Key]bool
	// unsent are those of the equal ones.
	unsent int
	// reading is how long Redis was read.
	reading time.Duration
	quiet   bool // tell no more of the steps of parts
}

func (c *comparison) close() {
	c.parts.Close()
	c.rows.file.Close()
}

// step tells the progress of the steps of parts.
func (c *comparison) step() func(string, uint64, uint64) {
	var m *meter
	return func(step string, done, of uint64) {
		if c.quiet {
			return
		}
		if m == nil || m.step != step {
			m = newMeter(step, of, c.now, c.progress)
		}
		if m.at(done); done == of {
			m.end()
		}
	}
}

// suspect is a quote that differed when it was last looked at.
type suspect struct {
	log, redis shown
	reach      projection.Reach
	unsent     int
}

func suspectOf(part *projection.Projection, k projection.Key) *suspect {
	s := &suspect{reach: part.Reach(k)}
	if part.Known(k) {
		s.log, s.unsent = shown{Live: part.Live(k), there: true}, len(part.Unsent(k))
	}
	return s
}

func (s *suspect) equal() bool { return s.log == s.redis }

// settle compares the open quotes again until each is equal, or different for certain. What the parts found different is only
// suspected: Redis may have shown what was not folded yet.
func (c *comparison) settle(ctx context.Context) error {
	var settled []row
	for deadline := c.v.Now().Add(cmp.Or(c.v.SettleFor, SettleFor)); len(c.open) > 0; {
		floor, err := c.again(ctx)
		if err != nil {
			return err
		}
		for k, s := range c.open {
			switch {
			case s.equal():
				settled = append(settled, rowOf(k, s))
				c.unsent += s.unsent
				delete(c.open, k)
			case s.reach.Within(floor):
				c.different[k] = true
			}
		}
		if len(c.open) == len(c.different) || c.v.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	for k := range c.different {
		settled = append(settled, rowOf(k, c.open[k]))
		c.unsent += c.open[k].unsent
	}
	return c.rows.add(settled)
}

func rowOf(k projection.Key, s *suspect) row {
	r := row{key: k, known: s.log.there}
	if s.log.there {
		r.log = s.log.Hash()
	}
	if s.redis.there {
		r.redis = s.redis.Hash()
	}
	return r
}

// again reads the open quotes once more and folds on to what the log holds after that, so that nothing Redis shows can be
// unknown to the fold. It returns what had been acknowledged before the reading.
func (c *comparison) again(ctx context.Context) (projection.Reach, error) {
	floor, err := settled(ctx, c.v.Log)
	if err != nil {
		return floor, err
	}
	keys := slices.Collect(maps.Keys(c.open))
	found, err := c.read(ctx, keys)
	if err != nil {
		return floor, err
	}
	for i, k := range keys {
		c.open[k].redis = found[i]
	}
	c.different = map[projection.Key]bool{}
	until, err := end(ctx, c.v.Log)
	if err != nil || until == c.reach {
		return floor, err
	}
	if err := c.readTo(ctx, until); err != nil {
		return floor, err
	}
	quotes := make([]string, 0, len(keys))
	for _, k := range keys {
		c.open[k] = &suspect{redis: c.open[k].redis}
		quotes = append(quotes, k.Quote)
	}
	return floor, c.parts.Fold(ctx, quotes, func(part *projection.Projection) error {
		for k, s := range c.open {
			if now := suspectOf(part, k); now.log.there || now.reach != (projection.Reach{}) {
				now.redis = s.redis
				c.open[k] = now
			}
		}
		return nil
	})
}

// fill completes the report.
func (c *comparison) fill(r *Report) error {
	r.InFlight, r.Unsent = len(c.open)-len(c.different), c.unsent
	r.Differences = []Difference{}
	for _, k := range slices.SortedFunc(maps.Keys(c.different), projection.Key.Compare) {
		r.Differences = append(r.Differences, differenceOf(k, c.open[k]))
	}
	logRoot, redisRoot := projection.NewRoot(), projection.NewRoot()
	err := c.rows.each(func(same []row) error {
		var one row
		for _, noted := range same {
			one.log, one.redis = cmp.Or(one.log, noted.log), cmp.Or(one.redis, noted.redis)
		}
		if one.log != "" {
			logRoot.AddHash(same[0].key, one.log)
		}
		if one.redis != "" {
			redisRoot.AddHash(same[0].key, one.redis)
		}
		if one.log+one.redis != "" {
			r.Quotes++
		}
		return nil
	})
	r.LogRoot, r.RedisRoot = logRoot.String(), redisRoot.String()
	return err
}

func differenceOf(k projection.Key, p *suspect) Difference {
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
