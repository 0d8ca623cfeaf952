package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

const (
	scanCount = 1000
	readBatch = 500
	// runLength is how many names of keys are sorted in memory at a time.
	runLength = 1 << 15
)

// shown is what a side shows of a quote.
type shown struct {
	projection.Live
	there bool
	// damaged: the digest that Redis keeps beside the facts is not theirs. The Live has the digest of the facts.
	damaged bool
}

func (s shown) side() *Side {
	if !s.there {
		return nil
	}
	return &Side{Hash: s.Hash(), Digest: s.Digest, Status: s.Status, Flags: s.Flags}
}

// comparePart compares the quotes of a part with what Redis shows of them.
func (c *comparison) comparePart(ctx context.Context, part *projection.Projection) error {
	keys := part.Keys()
	run := make([]row, 0, len(keys))
	found, err := c.read(ctx, keys)
	if err != nil {
		return err
	}
	for i, k := range keys {
		s := suspectOf(part, k)
		s.redis = found[i]
		one := row{key: k, known: true}
		if s.equal() {
			one.log, one.redis = s.log.Hash(), s.redis.Hash()
			c.unsent += s.unsent
		} else {
			c.open[k] = s
		}
		run = append(run, one)
	}
	return c.rows.add(run)
}

// findExtra reads the names of all payment hashes of the generation, on all masters, and takes up those of which no part knew.
func (c *comparison) findExtra(ctx context.Context) error {
	var run []row
	note := func(atLeast int) error {
		if len(run) < atLeast {
			return nil
		}
		noted := run
		run = run[:0]
		return c.rows.add(noted)
	}
	err := c.scan(ctx, func(keys []projection.Key) error {
		for _, k := range keys {
			run = append(run, row{key: k})
		}
		return note(runLength)
	})
	if err != nil {
		return err
	}
	if err := note(0); err != nil {
		return err
	}
	var extra []projection.Key
	take := func(atLeast int) error {
		if len(extra) < atLeast {
			return nil
		}
		found, err := c.read(ctx, extra)
		for i, s := range found {
			if s.there {
				c.open[extra[i]] = &suspect{redis: s}
			}
		}
		extra = extra[:0]
		return err
	}
	err = c.rows.each(func(same []row) error {
		if !slices.ContainsFunc(same, func(r row) bool { return r.known }) {
			extra = append(extra, same[0].key)
		}
		return take(readBatch)
	})
	if err != nil {
		return err
	}
	return take(0)
}

// scan tells f of the payment hashes of every master, a thousand at a time.
func (c *comparison) scan(ctx context.Context, f func([]projection.Key) error) error {
	var mu sync.Mutex
	one := func(ctx context.Context, client *redis.Client) error {
		var cursor uint64
		for {
			names, next, err := client.Scan(ctx, cursor, c.keys.PayPattern(), scanCount).Result()
			if err != nil {
				return fmt.Errorf("scan redis: %w", err)
			}
			keys := make([]projection.Key, 0, len(names))
			for _, name := range names {
				if account, quoteID, ok := c.keys.ParsePay(name); ok {
					keys = append(keys, projection.Key{Account: account, Quote: quoteID})
				}
			}
			mu.Lock()
			err = f(keys)
			mu.Unlock()
			if err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	return redisquote.EachMaster(ctx, c.v.Redis, one)
}

// read reads payment hashes, so many in a pipeline.
func (c *comparison) read(ctx context.Context, keys []projection.Key) ([]shown, error) {
	began := c.now()
	all := make([]shown, 0, len(keys))
	for part := range slices.Chunk(keys, readBatch) {
		found, err := c.readBatch(ctx, part)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	c.reading += c.now().Sub(began)
	return all, nil
}

func (c *comparison) readBatch(ctx context.Context, keys []projection.Key) ([]shown, error) {
	pipe := c.v.Redis.Pipeline()
	reads := make([]*redis.MapStringStringCmd, len(keys))
	for i, k := range keys {
		reads[i] = pipe.HGetAll(ctx, c.keys.Pay(k.Account, k.Quote))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read payments: %w", err)
	}
	all := make([]shown, len(keys))
	for i, r := range reads {
		fields := r.Val()
		facts, ok := fields[redisquote.FieldFacts]
		if !ok {
			continue // marks alone: nothing was folded
		}
		s := shown{there: true}
		s.Digest, s.Status, s.Flags = quote.DigestOf([]byte(facts)), fields[redisquote.FieldStatus], fields[redisquote.FieldFlags]
		s.damaged = fields[redisquote.FieldDigest] != s.Digest
		all[i] = s
	}
	return all, nil
}
