package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// pipelined is how many keys are read in one round trip.
const pipelined = 500

// live is what Redis holds of the quotes that a selection bears on.
type live struct {
	redis redis.UniversalClient
	keys  redisquote.Keys
	log   *natsstream.Log
	rules projection.Rules
	// base is the partial projection that is seeded; before is what is shown of each quote, and digest the true digest of its
	// facts, "" where there are none.
	base   *projection.Projection
	before map[projection.Key]Side
	digest map[projection.Key]string
	// waits are the changes that were seeded, to be seeded once.
	waits map[uint64]bool
}

func newLive(client redis.UniversalClient, keys redisquote.Keys, log *natsstream.Log, rules projection.Rules) *live {
	return &live{
		redis: client, keys: keys, log: log, rules: rules, base: projection.NewPartial(projection.Config{Rules: rules}),
		before: map[projection.Key]Side{}, digest: map[projection.Key]string{}, waits: map[uint64]bool{},
	}
}

// load seeds what is missing.
func (l *live) load(ctx context.Context, m projection.Missing) error {
	pays := make([]string, len(m.Keys))
	for i, k := range m.Keys {
		pays[i] = l.keys.Pay(k.Account, k.Quote)
	}
	err := l.each(ctx, pays, func(i int, fields map[string]string) error { return l.seedFacts(m.Keys[i], fields) })
	if err != nil {
		return fmt.Errorf("read payments: %w", err)
	}
	quotes := make([]string, len(m.Quotes))
	for i, id := range m.Quotes {
		quotes[i] = l.keys.Quote(id)
	}
	err = l.each(ctx, quotes, func(i int, fields map[string]string) error { return l.seedQuote(m.Quotes[i], fields) })
	if err != nil {
		return fmt.Errorf("read quotes: %w", err)
	}
	links := make([]string, len(m.Objects))
	for i, o := range m.Objects {
		links[i] = l.keys.Link(o.Account, o.ID)
	}
	var found []projection.Waiting
	err = l.each(ctx, links, func(i int, fields map[string]string) error {
		waiting, err := l.seedLink(ctx, m.Objects[i], fields)
		found = append(found, waiting...)
		return err
	})
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	return l.seedWaiting(ctx, found)
}

// each reads hashes.
func (l *live) each(ctx context.Context, keys []string, f func(i int, fields map[string]string) error) error {
	for from := 0; from < len(keys); from += pipelined {
		part := keys[from:min(from+pipelined, len(keys))]
		pipe := l.redis.Pipeline()
		reads := make([]*redis.MapStringStringCmd, len(part))
		for i, key := range part {
			reads[i] = pipe.HGetAll(ctx, key)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for i, r := range reads {
			if err := f(from+i, r.Val()); err != nil {
				return fmt.Errorf("%s: %w", part[i], err)
			}
		}
	}
	return nil
}

func (l *live) seedFacts(k projection.Key, fields map[string]string) error {
	stored, err := redisquote.DecodePayment(fields)
	if err != nil {
		return err
	}
	var facts quote.Facts
	if len(stored.Facts) > 0 {
		if facts, err = quote.DecodeFacts(stored.Facts); err != nil {
			return err
		}
		l.digest[k] = facts.Digest()
	}
	l.before[k] = Side{Status: stored.Status, Flags: strings.Join(stored.Flags, ","), Digest: stored.Digest}
	marks := map[string]projection.Mark{}
	for name, m := range stored.Marks {
		marks[name] = projection.Mark{Name: name, Account: k.Account, ID: m.ID, At: m.At}
	}
	l.base.SeedFacts(k, facts, marks)
	return nil
}

func (l *live) seedQuote(id string, fields map[string]string) error {
	q, err := redisquote.DecodeQuote(fields)
	if err != nil {
		return err
	}
	var published []quote.Revision
	for _, p := range q.Revisions {
		published = append(published, projection.RevisionOf(p, false, false))
	}
	// DecodeQuote tells of the ends of published revisions only; here the others count too, since a publication may be among
	// what is folded.
	var recalled, expired []int
	for name := range fields {
		for prefix, list := range map[string]*[]int{redisquote.FieldRecalled: &recalled, redisquote.FieldExpired: &expired} {
			if digits, ok := strings.CutPrefix(name, prefix); ok {
				n, err := strconv.Atoi(digits)
				if err != nil {
					return fmt.Errorf("field %s: %w", name, err)
				}
				*list = append(*list, n)
			}
		}
	}
	l.base.SeedQuote(id, published, recalled, expired)
	return nil
}

// seedLink returns the changes that are kept there and were not seeded yet.
func (l *live) seedLink(ctx context.Context, o projection.Object, fields map[string]string) ([]projection.Waiting, error) {
	var quotes []string
	var waiting []uint64
	var fresh []projection.Waiting
	renewal := false
	for name, value := range fields {
		if name == redisquote.LinkRenewal {
			renewal = true
			continue
		}
		if id, ok := strings.CutPrefix(name, redisquote.LinkQuote); ok && id != "" {
			quotes = append(quotes, id)
			continue
		}
		p, kept, err := l.keptChange(ctx, name, value)
		if err != nil {
			return nil, err
		}
		if !kept || slices.Contains(waiting, p.Sequence) {
			continue
		}
		waiting = append(waiting, p.Sequence)
		if l.waits[p.Sequence] {
			continue
		}
		facts, err := quote.DecodeFacts(p.Facts)
		if err != nil {
			return nil, err
		}
		l.waits[p.Sequence] = true
		fresh = append(fresh, projection.Waiting{
			Sequence: p.Sequence, At: p.At, Account: o.Account, EventID: p.EventID, Type: p.Type, Names: p.Names, Facts: facts,
		})
	}
	slices.Sort(quotes)
	l.base.SeedLink(o, quotes, renewal, waiting)
	return fresh, nil
}

// keptChange reads a field of a link that keeps a change: the change itself, or where the log has it after it was given up.
func (l *live) keptChange(ctx context.Context, name, value string) (p redisquote.ParkedChange, kept bool, err error) {
	if strings.HasPrefix(name, redisquote.LinkParked) {
		p, err = redisquote.DecodeParkedChange(value)
		return p, err == nil, err
	}
	digits, ok := strings.CutPrefix(name, redisquote.LinkGivenUp)
	if !ok {
		return p, false, nil
	}
	sequence, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return p, false, fmt.Errorf("field %s: %w", name, err)
	}
	r, err := l.log.ReadSequence(ctx, event.StreamStripe, sequence)
	if errors.Is(err, natsstream.ErrNotFound) { // erased
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	e := l.rules.ReadStripe(r.Subject, r.Data)
	return redisquote.NewParkedChange(e, r.Sequence, r.Time), e.Outcome.Kind == "", nil
}

func (l *live) seedWaiting(ctx context.Context, found []projection.Waiting) error {
	slices.SortFunc(found, func(a, b projection.Waiting) int { return int(a.Sequence) - int(b.Sequence) }) //nolint:gosec // far below 2^63
	sequences := make([]uint64, len(found))
	for i, w := range found {
		sequences[i] = w.Sequence
	}
	recorded, err := l.recorded(ctx, event.StreamStripe, sequences)
	if err != nil {
		return err
	}
	for _, w := range found {
		o := projection.Outcome{Kind: projection.Parked, Reason: projection.ReasonWaits, EventID: w.EventID, Type: w.Type}
		if r, ok := recorded[w.Sequence]; ok {
			o.Kind, o.Reason, o.Account, o.Quote = r.Outcome, r.Reason, r.Account, r.Quote
		}
		l.base.SeedWaiting(w, o)
	}
	return nil
}

// recorded reads the outcomes that stand.
func (l *live) recorded(ctx context.Context, stream string, sequences []uint64) (map[uint64]redisquote.Outcome, error) {
	all := make(map[uint64]redisquote.Outcome, len(sequences))
	reader := redisquote.NewReader(l.redis, l.keys)
	for part := range slices.Chunk(sequences, 20*pipelined) {
		found, err := reader.Outcomes(ctx, stream, part)
		if err != nil {
			return nil, err
		}
		for sequence, o := range found {
			all[sequence] = o
		}
	}
	return all, nil
}
