package payments

import (
	"context"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/operations/check"
)

const (
	missingEvery = time.Minute
	// missingRest is how many times as long the walk rests after a page as the page took: it takes a twentieth of a core and of
	// Redis at most, however many quotes there are.
	missingRest = 20
)

// missingForever counts the facts that are due and that the log lacks, for an alert: there are to be none. It looks at every
// quote, since what is missing is what no message leads to any more: the payment's own was acknowledged.
func (w *worker) missingForever(ctx context.Context) error {
	ticker := time.NewTicker(missingEvery)
	defer ticker.Stop()
	for {
		if err := w.countMissing(ctx, rest); err != nil && ctx.Err() == nil {
			w.log.Warn("missing emissions not counted", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// rest pauses the walk.
func rest(ctx context.Context, took time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(missingRest * took):
		return nil
	}
}

// countMissing walks once. What was walked while the projection was lost or handed over says nothing.
func (w *worker) countMissing(ctx context.Context, pause func(context.Context, time.Duration) error) error {
	keys, ok, err := w.settledKeys(ctx)
	if err != nil || !ok {
		return err
	}
	missing, _, err := check.Emissions{Log: w.logs, Redis: w.redis, Keys: keys, Pause: pause}.Missing(ctx)
	if err != nil {
		return err
	}
	if after, ok, err := w.settledKeys(ctx); err != nil || !ok || after != keys {
		return err
	}
	w.metrics.missing.Set(float64(len(missing)))
	if len(missing) > 0 {
		m := missing[0]
		w.log.Error("facts are due and not in the log", zap.Int("missing", len(missing)), zap.String("subject", m.Subject.String()),
			zap.String("quote_id", m.Subject.Quote), zap.Time("since", m.Since), zap.String("next", "quotectl check gap"))
	}
	return nil
}
