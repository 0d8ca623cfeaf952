package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// defaultGrace is how long a generation's keys stay after nobody is meant to read them any more: readers look every half
// second, and a request in hand may have read its name before that.
const defaultGrace = 30 * time.Second

// goOver makes the new generation the one in use.
//
// First it becomes the written one. From then on no batch is acknowledged that was not written there (batch.confirm), and
// whatever was acknowledged before lies in the log before the end that is looked up next. When that much is folded the new
// generation lacks nothing, and becomes the one that is read. Readers of the old one meanwhile see it stand still for that
// moment; nothing goes backwards.
func (r *rebuild) goOver(ctx context.Context) error {
	g, err := r.w.logs.LatestGeneration(ctx)
	if err != nil {
		return err
	}
	if g.Write != r.state.Generation {
		if err := r.mustBeUnharmed(ctx); err != nil {
			if errors.Is(err, errHarmed) {
				r.state.Phase = natsstream.RebuildFolding
			}
			return err
		}
		if err := r.mark(ctx); err != nil {
			return err
		}
		g.Write = r.state.Generation
		if err := r.put(ctx, &g); err != nil {
			return err
		}
	}
	fault.Hit("payments.rebuild-written")
	if _, err := r.foldToEnd(ctx); err != nil {
		return err
	}
	if g.Read == r.state.Generation {
		return nil
	}
	g.Read, g.Previous = r.state.Generation, r.state.From
	if err := r.put(ctx, &g); err != nil {
		return err
	}
	fault.Hit("payments.rebuild-read")
	return nil
}

// mark sets the markers by which the guard of every instance knows that nothing was lost. They hold the nonce.
func (r *rebuild) mark(ctx context.Context) error {
	pipe := r.w.redis.Pipeline()
	for _, shard := range redisquote.Shards(r.w.redis) {
		pipe.Set(ctx, r.build.keys.Marker(shard), r.state.Nonce, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("set markers: %w", err)
	}
	return nil
}

// put stores which generation is in use, if that has not changed since it was read.
func (r *rebuild) put(ctx context.Context, g *natsstream.Generation) error {
	g.At = r.w.cfg.Now().UTC()
	encoded, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode generation: %w", err)
	}
	if g.Revision == 0 {
		g.Revision, err = r.w.system.Create(ctx, natsstream.GenerationKey, encoded)
	} else {
		g.Revision, err = r.w.system.Update(ctx, natsstream.GenerationKey, encoded, g.Revision)
	}
	if err != nil {
		return fmt.Errorf("store generation: %w", err)
	}
	r.w.adopt(*g)
	return nil
}

const (
	removeBatch = 500
	// removePause lets others at Redis between two steps of removal.
	removePause = 5 * time.Millisecond
)

// clean removes the keys of every generation but those in use, in small steps, until a pass finds none.
func (r *rebuild) clean(ctx context.Context) error {
	grace := r.grace()
	for until := r.w.cfg.Now().Add(grace); r.w.cfg.Now().Before(until); {
		if err := r.pause(ctx, min(grace, beatEvery)); err != nil {
			return err
		}
		if err := r.beat(ctx); err != nil {
			return err
		}
	}
	for {
		before := r.state.Removed
		if err := redisquote.EachMaster(ctx, r.w.redis, r.sweepMaster); err != nil {
			return err
		}
		if r.state.Removed == before {
			return nil
		}
	}
}

func (r *rebuild) grace() time.Duration {
	if g := r.w.cfg.RebuildGrace; g > 0 {
		return g
	}
	return defaultGrace
}

func (r *rebuild) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// sweepMaster removes what one master holds of generations that are not in use.
func (r *rebuild) sweepMaster(ctx context.Context, master *redis.Client) error {
	g, err := r.w.logs.LatestGeneration(ctx)
	if err != nil {
		return err
	}
	for cursor := uint64(0); ; {
		names, next, err := master.Scan(ctx, cursor, "g*:*", removeBatch).Result()
		if err != nil {
			return fmt.Errorf("look for old keys: %w", err)
		}
		pipe := master.Pipeline()
		for _, name := range names {
			generation, _, _ := strings.Cut(name, ":")
			if _, ours := natsstream.GenerationNumber(generation); ours && generation != g.Read && generation != g.Write {
				pipe.Unlink(ctx, name)
			}
		}
		if n := pipe.Len(); n > 0 {
			if _, err := pipe.Exec(ctx); err != nil {
				return fmt.Errorf("remove old keys: %w", err)
			}
			r.removed.Lock()
			r.state.Removed += n
			r.removed.Unlock()
			fault.Hit("payments.rebuild-removed")
		}
		if err := r.pause(ctx, removePause); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
