package payments

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/redisquote"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 500
)

// sweepForever ends the wait of parked changes that nothing has linked for Config.ParkedFor: they are `ignored:
// unlinked` from then on and leave Redis; the log keeps them. It also measures what still waits, and the dead letters.
func (w *worker) sweepForever(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	dead := deadletter.NewBook(w.logs)
	for {
		if err := w.measure(ctx, dead); err != nil && ctx.Err() == nil {
			w.log.Warn("what waits was not counted", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := w.sweep(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("sweep of parked changes put off", zap.Error(err))
		}
	}
}

func (w *worker) sweep(ctx context.Context) error {
	w.gate.RLock()
	defer w.gate.RUnlock()
	keys := w.active.Keys()
	limit := strconv.FormatInt(w.cfg.Now().Add(-w.cfg.ParkedFor).UnixMilli(), 10)
	for {
		old, err := w.redis.ZRangeByScore(ctx, keys.IndexParked(), &redis.ZRangeBy{Min: "-inf", Max: limit, Count: sweepBatch}).Result()
		if err != nil {
			return fmt.Errorf("list parked changes: %w", err)
		}
		for _, member := range old {
			if err := w.unpark(ctx, keys, member); err != nil {
				return err
			}
		}
		if len(old) < sweepBatch {
			return nil
		}
	}
}

// unpark drops one parked change, or a renewal's mark. Each write is harmless to repeat; the index entry goes last.
func (w *worker) unpark(ctx context.Context, keys redisquote.Keys, member string) error {
	account, object, sequence, ok := redisquote.ParseParkedMember(member)
	if ok {
		key := keys.Link(account, object)
		name := redisquote.LinkParked + strconv.FormatUint(sequence, 10)
		if sequence == 0 {
			name = redisquote.LinkRenewal
		} else if err := w.forgetOutcome(ctx, keys, account, object, sequence); err != nil {
			return err
		}
		if err := w.redis.HDel(ctx, key, name).Err(); err != nil {
			return fmt.Errorf("drop parked change: %w", err)
		}
	}
	if err := w.redis.ZRem(ctx, keys.IndexParked(), member).Err(); err != nil {
		return fmt.Errorf("drop parked change: %w", err)
	}
	return nil
}

// forgetOutcome turns the outcome parked into ignored, or into corroborated where its object was linked and only the record
// of that was lost in a crash; one that has been decided since stays.
func (w *worker) forgetOutcome(ctx context.Context, keys redisquote.Keys, account, object string, sequence uint64) error {
	reader := redisquote.NewReader(w.redis, keys)
	o, err := reader.Outcome(ctx, event.StreamStripe, sequence)
	if errors.Is(err, redisquote.ErrNotFound) || err == nil && o.Outcome != projection.Parked {
		return nil
	}
	if err != nil {
		return err
	}
	quotes, err := reader.LinkedQuotes(ctx, account, object)
	if err != nil {
		return err
	}
	o.At, o.Handler = w.cfg.Now().UTC(), w.cfg.Version
	if len(quotes) > 0 {
		o.Outcome, o.Reason, o.Account, o.Quote = projection.Corroborated, projection.ReasonHadWaited, account, quotes[0]
	} else {
		o.Outcome, o.Reason = projection.Ignored, "unlinked: nothing tied it to a quote"
	}
	field := strconv.FormatUint(sequence, 10)
	if err := w.redis.HSet(ctx, keys.Outcomes(event.StreamStripe, sequence), field, encodeOutcome(o)).Err(); err != nil {
		return fmt.Errorf("record outcome: %w", err)
	}
	if len(quotes) > 0 {
		return nil
	}
	w.log.Warn("parked change given up", zap.Uint64("seq", sequence), zap.String("event_id", o.EventID), zap.String("type", o.Type))
	return nil
}
