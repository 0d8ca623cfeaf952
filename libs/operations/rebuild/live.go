package rebuild

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

const (
	scanCount = 1000
	readBatch = 500
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

// readAll reads every payment hash of the generation, on all masters, and then those that the log knows of and no master
// named.
func (c *comparison) readAll(ctx context.Context) error {
	known := c.projection.Keys()
	meter := newMeter("compare", uint64(len(known)), &c.folder)
	seen := map[projection.Key]bool{}
	err := c.scan(ctx, func(keys []projection.Key) error {
		var fresh []projection.Key
		for _, k := range keys {
			if !seen[k] { // SCAN may name a key twice
				seen[k] = true
				fresh = append(fresh, k)
			}
		}
		if err := c.compareAll(ctx, fresh); err != nil {
			return err
		}
		meter.at(min(uint64(len(seen)), meter.of))
		return nil
	})
	if err != nil {
		return err
	}
	var rest []projection.Key
	for _, k := range known {
		if !seen[k] {
			rest = append(rest, k)
		}
	}
	if err := c.compareAll(ctx, rest); err != nil {
		return err
	}
	meter.done = meter.of
	meter.end()
	return nil
}

func (c *comparison) compareAll(ctx context.Context, keys []projection.Key) error {
	for len(keys) > 0 {
		n := min(len(keys), readBatch)
		found, err := c.read(ctx, keys[:n])
		if err != nil {
			return err
		}
		for i, k := range keys[:n] {
			if found[i].there || c.projection.Known(k) {
				c.compare(k, found[i])
			}
		}
		keys = keys[n:]
	}
	return nil
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

// read reads payment hashes in one pipeline.
func (c *comparison) read(ctx context.Context, keys []projection.Key) ([]shown, error) {
	if len(keys) == 0 {
		return nil, nil
	}
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
