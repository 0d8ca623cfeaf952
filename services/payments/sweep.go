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
// unlinked` from then on, and Redis keeps of them where the log has them. It also measures what still waits, and the dead letters.
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
	pipe := w.redis.Pipeline()
	switch {
	case !ok:
	case sequence == 0:
		pipe.HDel(ctx, keys.Link(account, object), redisquote.LinkRenewal)
	default:
		open, err := w.forgetOutcome(ctx, keys, account, object, sequence)
		if err != nil {
			return err
		}
		if open {
			giveUp(ctx, pipe, keys.Link(account, object), sequence)
		} else {
			pipe.HDel(ctx, keys.Link(account, object), parkedField(sequence))
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("drop parked change: %w", err)
		}
	}
	if err := w.redis.ZRem(ctx, keys.IndexParked(), member).Err(); err != nil {
		return fmt.Errorf("drop parked change: %w", err)
	}
	return nil
}

// giveUp puts a change's place in the log where its facts stood. Who links the object sees one of the two, or both, which
// is harmless: the place is written first.
func giveUp(ctx context.Context, pipe redis.Pipeliner, link string, sequence uint64) {
	pipe.HSet(ctx, link, redisquote.LinkGivenUp+strconv.FormatUint(sequence, 10), "")
	pipe.HDel(ctx, link, parkedField(sequence))
}

func parkedField(sequence uint64) string {
	return redisquote.LinkParked + strconv.FormatUint(sequence, 10)
}

// forgetOutcome turns the outcome parked into ignored, or into corroborated where its object was linked and only the record
// of that was lost in a crash; one that has been decided since stays. It reports whether the change's facts may be in no
// quote: it has waited in vain, or the crash came before the commit and the message that made the link is still to come again.
//
// Who links the object writes the link and then the outcome; here the outcome is written and then the link read. So the one
// who comes second knows of the other, and a change that is counted does not stay ignored.
func (w *worker) forgetOutcome(ctx context.Context, keys redisquote.Keys, account, object string, sequence uint64) (bool, error) {
	reader := redisquote.NewReader(w.redis, keys)
	o, err := reader.Outcome(ctx, event.StreamStripe, sequence)
	waited := o.Outcome == projection.Parked
	switch {
	case errors.Is(err, redisquote.ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	case waited:
		o.Outcome, o.Reason = projection.Ignored, reasonUnlinked
		if err := w.decideLate(ctx, keys, sequence, o); err != nil {
			return false, err
		}
	case o.Outcome != projection.Ignored || o.Reason == projection.ReasonRenewal:
		return o.Outcome == projection.Corroborated && o.Reason == projection.ReasonHadWaited, nil
	}
	quotes, err := reader.LinkedQuotes(ctx, account, object)
	if err != nil {
		return false, err
	}
	if len(quotes) > 0 {
		o.Outcome, o.Reason, o.Account, o.Quote = projection.Corroborated, projection.ReasonHadWaited, account, quotes[0]
		return true, w.decideLate(ctx, keys, sequence, o)
	}
	if waited { // told once, and not for each object that it names
		w.log.Warn("parked change given up", zap.Uint64("seq", sequence), zap.String("event_id", o.EventID), zap.String("type", o.Type))
	}
	return true, nil
}

// reasonUnlinked is why a change is ignored that has waited for Config.ParkedFor.
const reasonUnlinked = "unlinked: nothing tied it to a quote"

// decideLate replaces the outcome of a message of STRIPE.
func (w *worker) decideLate(ctx context.Context, keys redisquote.Keys, sequence uint64, o redisquote.Outcome) error {
	o.At, o.Handler = w.cfg.Now().UTC(), w.cfg.Version
	field := strconv.FormatUint(sequence, 10)
	if err := w.redis.HSet(ctx, keys.Outcomes(event.StreamStripe, sequence), field, encodeOutcome(o)).Err(); err != nil {
		return fmt.Errorf("record outcome: %w", err)
	}
	return nil
}
