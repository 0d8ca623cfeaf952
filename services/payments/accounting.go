package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

const (
	accountEvery = time.Minute
	// accountBlocks is how many outcome hashes are counted in one pipeline.
	accountBlocks = 1000
)

// accountForever counts the acknowledged messages that have no outcome, for an alert: there are to be none. Blocks that
// were complete once are not counted again until another generation is in use; `quotectl check conservation` looks at all.
func (w *worker) accountForever(ctx context.Context) error {
	ticker := time.NewTicker(accountEvery)
	defer ticker.Stop()
	var books accounting
	for {
		if err := w.account(ctx, &books); err != nil && ctx.Err() == nil {
			w.log.Warn("messages not counted", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// accounting remembers, by stream, from which block on is to be counted.
type accounting struct {
	generation string
	from       map[string]uint64
}

func (w *worker) account(ctx context.Context, a *accounting) error {
	keys, ok, err := w.settledKeys(ctx)
	if err != nil || !ok {
		return err
	}
	if a.generation != keys.Generation() {
		*a = accounting{keys.Generation(), map[string]uint64{}}
	}
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		missing, err := w.accountStream(ctx, a, keys, stream)
		if err != nil {
			return err
		}
		w.metrics.unaccounted.WithLabelValues(stream).Set(float64(missing))
	}
	return nil
}

// settledKeys are the names of what is in use; false while the projection is being folded again (what it lacks is known) or
// a rebuild is handing over.
func (w *worker) settledKeys(ctx context.Context) (redisquote.Keys, bool, error) {
	keys := w.active.Keys()
	if !w.health.good() {
		return keys, false, nil
	}
	g, err := w.logs.LatestGeneration(ctx)
	return keys, err == nil && g.Read == g.Write && g.Write == keys.Generation(), err
}

// accountStream counts what a stream's acknowledged blocks lack: outcomes are recorded before the acknowledgement, so a
// block below the ack floor holds as many as there are messages. What was deleted from the stream cannot be told from what
// is missing here, so such a stream is left to the exact check.
func (w *worker) accountStream(ctx context.Context, a *accounting, keys redisquote.Keys, stream string) (missing uint64, err error) {
	floor, err := w.logs.AckFloor(ctx, stream, natsstream.DurablePayments)
	if err != nil {
		return 0, err
	}
	s, err := w.logs.JetStream().Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", stream, err)
	}
	state := s.CachedInfo().State
	if state.NumDeleted > 0 {
		return 0, nil
	}
	whole := true
	for block := a.from[stream]; block*redisquote.OutcomeBlock <= floor; {
		first := block
		pipe := w.redis.Pipeline()
		var counts []*redis.IntCmd
		for ; len(counts) < accountBlocks && block*redisquote.OutcomeBlock <= floor; block++ {
			counts = append(counts, pipe.HLen(ctx, keys.Outcomes(stream, block*redisquote.OutcomeBlock)))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return 0, fmt.Errorf("count outcomes of %s: %w", stream, err)
		}
		for i, c := range counts {
			begin := (first + uint64(i)) * redisquote.OutcomeBlock
			end := min(begin+redisquote.OutcomeBlock, floor+1)
			want := end - min(end, max(begin, state.FirstSeq, 1))
			have := uint64(max(c.Val(), 0))
			missing += want - min(want, have)
			if whole = whole && have >= want && end == begin+redisquote.OutcomeBlock; whole {
				a.from[stream] = first + uint64(i) + 1
			}
		}
	}
	return missing, nil
}
