package payments

import (
	"context"
	"time"

	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/redisquote"
)

// measure brings the figures of what waits for somebody up to date: parked messages, payments of unknown quotes, and the
// dead letters of every consumer. Alerts stand on them.
func (w *worker) measure(ctx context.Context, dead *deadletter.Book) error {
	reader := redisquote.NewReader(w.redis, &w.active)
	parked, err := reader.ParkedMessages(ctx)
	if err != nil {
		return err
	}
	unknown, err := reader.UnknownQuotes(ctx)
	if err != nil {
		return err
	}
	var oldestParked, oldestUnknown time.Time
	if len(parked) > 0 {
		oldestParked = parked[0].Since
	}
	if len(unknown) > 0 {
		oldestUnknown = unknown[0].Since
	}
	w.waits("parked", len(parked), oldestParked)
	w.waits("unknown_quote", len(unknown), oldestUnknown)
	if err := dead.Advance(ctx); err != nil {
		return err
	}
	open, oldest := map[string]int{}, map[string]time.Time{}
	for l := range dead.Letters() {
		open[l.Consumer] += 0 // a consumer whose letters are all dealt with shows 0
		if l.State != deadletter.Open {
			continue
		}
		open[l.Consumer]++
		if at := oldest[l.Consumer]; at.IsZero() || l.First.Before(at) {
			oldest[l.Consumer] = l.First
		}
	}
	for consumer, n := range open {
		w.metrics.dead.WithLabelValues(consumer).Set(float64(n))
		w.metrics.deadOldest.WithLabelValues(consumer).Set(w.age(oldest[consumer]))
	}
	return nil
}

func (w *worker) waits(kind string, n int, oldest time.Time) {
	w.metrics.waiting.WithLabelValues(kind).Set(float64(n))
	w.metrics.parkedOldest.WithLabelValues(kind).Set(w.age(oldest))
}

// age is in seconds, 0 for nothing.
func (w *worker) age(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return max(w.cfg.Now().Sub(at).Seconds(), 0)
}
