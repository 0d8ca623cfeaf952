package payments

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/redisquote"
)

const (
	// watchEvery is how often the worker looks whether Redis is still the one it knows.
	watchEvery = time.Second
	// repairBatch is how many messages a repair folds together.
	repairBatch = 1000
	identityKey = "redis.identity"
)

// keyValue is the part of a bucket that the worker uses.
type keyValue interface {
	Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error)
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// guard keeps the projection whole: it checks Redis at once and then every second, and folds the log again where keys
// were lost (no marker: from the beginning) or may have been (another server or replica answers: from what was acknowledged
// 15 minutes ago; see floor.go). No batch is worked on meanwhile, and the worker is not ready. It returns an error only
// when Redis is set up so that it would lose keys again.
func (w *worker) guard(ctx context.Context) error {
	w.gate.Lock()
	locked := true
	defer func() {
		if locked {
			w.gate.Unlock()
		}
	}()
	policy := time.NewTicker(time.Minute)
	defer policy.Stop()
	for {
		done, err := w.inspect(ctx, &locked)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.health.set(err)
			w.log.Warn("projection not confirmed", zap.Error(err))
		case done && locked:
			w.gate.Unlock()
			locked = false
			w.health.set(nil)
		default:
			w.health.set(nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		case <-policy.C:
			if err := w.checkPolicy(ctx); err != nil {
				return err
			}
		}
	}
}

// inspect compares Redis with what was last known of it and repairs if need be. It takes the gate before it repairs.
func (w *worker) inspect(ctx context.Context, locked *bool) (bool, error) {
	next, err := w.nextFloors(ctx)
	if err != nil {
		return false, err
	}
	now, whole, err := w.survey(ctx)
	if err == nil && !whole {
		now, whole, err = w.surveyWritten(ctx)
	}
	if err != nil {
		return false, err
	}
	known, err := w.knownIdentity(ctx)
	if err != nil {
		return false, err
	}
	if whole && maps.Equal(now, known) {
		return true, w.noteFloors(ctx, next)
	}
	if !*locked {
		w.gate.Lock()
		*locked = true
	}
	reason := "changed"
	if !whole {
		reason = "empty"
	}
	w.health.set(fmt.Errorf("the projection is being folded again from the log (redis %s)", reason))
	w.metrics.repairs.WithLabelValues(reason).Inc()
	w.log.Warn("redis differs from what was known, folding again", zap.String("reason", reason))
	if err := w.repair(ctx, !whole); err != nil {
		return false, err
	}
	encoded, err := json.Marshal(now)
	if err != nil {
		return false, fmt.Errorf("encode identity of redis: %w", err)
	}
	if _, err := w.system.Put(ctx, identityKey, encoded); err != nil {
		return false, fmt.Errorf("store identity of redis: %w", err)
	}
	return true, nil
}

func (w *worker) knownIdentity(ctx context.Context) (map[string]string, error) {
	entry, err := w.system.Get(ctx, identityKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity of redis: %w", err)
	}
	var known map[string]string
	if err := json.Unmarshal(entry.Value(), &known); err != nil {
		return nil, fmt.Errorf("decode identity of redis: %w", err)
	}
	return known, nil
}

// survey asks every master who it is, and whether all markers are there.
func (w *worker) survey(ctx context.Context) (identity map[string]string, whole bool, err error) {
	identity = map[string]string{}
	var mu sync.Mutex
	ask := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			return fmt.Errorf("ask redis who it is: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		identity[c.Options().Addr] = field(info, "run_id") + " " + field(info, "master_replid")
		return nil
	}
	err = redisquote.EachMaster(ctx, w.redis, ask)
	if err != nil {
		return nil, false, err
	}
	pipe, keys := w.redis.Pipeline(), w.active.Keys()
	var found []*redis.IntCmd
	for _, shard := range redisquote.Shards(w.redis) {
		found = append(found, pipe.Exists(ctx, keys.Marker(shard)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, false, fmt.Errorf("look for markers: %w", err)
	}
	for _, f := range found {
		if f.Val() == 0 {
			return identity, false, nil
		}
	}
	return identity, true, nil
}

// surveyWritten is survey of the generation that the bucket's leader says is written: a rebuild may have gone over to another
// one and removed the markers that were looked for. To fold the log into a generation that is gone would leave keys that
// nobody removes.
func (w *worker) surveyWritten(ctx context.Context) (identity map[string]string, whole bool, err error) {
	g, err := w.events.LatestGeneration(ctx)
	if err != nil {
		return nil, false, err
	}
	w.adopt(g)
	return w.survey(ctx)
}

// field reads one line of INFO; servers that do not tell (miniredis) yield an empty value.
func field(info, name string) string {
	for line := range strings.SplitSeq(info, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v
		}
	}
	return ""
}

// repair folds the log into Redis again: QUOTES first, so that the marks of what was published stand before payments
// are folded. Facts are merged onto whatever is there, so repairing too much, twice, or by two workers at one time does
// no harm. The markers are set only if no key was lost while it ran.
func (w *worker) repair(ctx context.Context, fromStart bool) error {
	keys, nonce := w.active.Keys(), rand.Text()
	if err := w.beginRepair(ctx, keys, nonce); err != nil {
		return err
	}
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		from := uint64(1)
		if !fromStart {
			var err error
			if from, err = w.beforeLoss(ctx, stream); err != nil {
				return err
			}
		}
		if err := w.foldAgain(ctx, keys, stream, from); err != nil {
			return err
		}
	}
	fault.Hit("payments.before-marker")
	return w.endRepair(ctx, keys, nonce)
}

func (w *worker) beginRepair(ctx context.Context, keys redisquote.Keys, nonce string) error {
	pipe := w.redis.Pipeline()
	for _, shard := range redisquote.Shards(w.redis) {
		pipe.Set(ctx, keys.Marker(shard)+":repair", nonce, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("begin repair: %w", err)
	}
	return nil
}

func (w *worker) endRepair(ctx context.Context, keys redisquote.Keys, nonce string) error {
	for _, shard := range redisquote.Shards(w.redis) {
		have, err := w.redis.Get(ctx, keys.Marker(shard)+":repair").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("end repair: %w", err)
		}
		if have != nonce {
			return errors.New("redis lost keys while it was being repaired; beginning again")
		}
	}
	pipe := w.redis.Pipeline()
	for _, shard := range redisquote.Shards(w.redis) {
		pipe.Rename(ctx, keys.Marker(shard)+":repair", keys.Marker(shard))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("end repair: %w", err)
	}
	return nil
}

// foldAgain leads a stream's messages from a sequence to its end through the same steps as new ones. Messages that NATS
// cannot read any more are left out: to wait for them would be to stand still for ever.
func (w *worker) foldAgain(ctx context.Context, keys redisquote.Keys, stream string, from uint64) error {
	began, count, told := w.cfg.Now(), 0, w.cfg.Now()
	for last := false; !last; {
		page, err := w.events.ScanWhole(ctx, stream, from, repairBatch)
		if err != nil {
			return err
		}
		if len(page.Damaged) > 0 {
			w.log.Error("messages that nats cannot read are not folded; restore them from a replica or a backup (runbook messages-unaccounted)",
				zap.String("stream", stream), zap.Int("messages", len(page.Damaged)), zap.Uint64("first_seq", page.Damaged[0]),
				zap.Uint64("last_seq", page.Damaged[len(page.Damaged)-1]))
		}
		items := make([]*item, len(page.Records))
		for i, r := range page.Records {
			items[i] = &item{record: r, attempt: 1}
		}
		b := w.newBatch(items)
		b.keys, b.relink = keys, true
		if err := b.settle(ctx); err != nil {
			return fmt.Errorf("fold %s again: %w", stream, err)
		}
		for _, it := range items {
			if it.err != nil {
				return fmt.Errorf("fold %s %d again: %w", stream, it.record.Sequence, it.err)
			}
		}
		count += len(items)
		from, last = page.Next, page.Last
		if now := w.cfg.Now(); now.Sub(told) > 5*time.Second || last {
			told = now
			w.log.Info("folding again", zap.String("stream", stream), zap.Int("messages", count),
				zap.Float64("per_second", float64(count)/max(now.Sub(began).Seconds(), 1e-3)))
		}
	}
	return nil
}

// checkPolicy refuses a Redis that may evict keys: facts would vanish one by one, without any sign.
func (w *worker) checkPolicy(ctx context.Context) error {
	info, err := w.redis.Info(ctx, "memory").Result()
	if err != nil {
		info, err = w.redis.Info(ctx).Result() // miniredis knows no sections
	}
	if err != nil {
		w.log.Warn("maxmemory-policy not checked", zap.Error(err))
		return nil
	}
	if policy := field(info, "maxmemory_policy"); policy != "" && policy != "noeviction" {
		return fmt.Errorf("redis maxmemory-policy is %s: it would evict payment facts; set it to noeviction", policy)
	}
	return nil
}
