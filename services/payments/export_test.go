package payments

import (
	"context"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
)

// MostHeld is how many bytes of a stream a worker with batches of usual size holds, and NATS on its way to it, at the most.
const MostHeld = inHand + pulledBytes

// SweepOnce runs one sweep of a worker with this configuration.
func SweepOnce(ctx context.Context, cfg Config) error {
	s, err := New(ctx, cfg, zap.NewNop())
	if err != nil {
		return err
	}
	if err := s.worker.sweep(ctx); err != nil {
		return err
	}
	return s.close()
}

// Unaccounted counts the acknowledged messages without an outcome twice, as a worker with this configuration does minute by
// minute: the second time it relies on what it has seen before. between is called in the middle.
func Unaccounted(ctx context.Context, cfg Config, stream string, between func()) (first, second uint64, err error) {
	s, err := New(ctx, cfg, zap.NewNop())
	if err != nil {
		return 0, 0, err
	}
	a := accounting{from: map[string]uint64{}}
	if first, err = s.worker.accountStream(ctx, &a, s.worker.active.Keys(), stream); err != nil {
		return 0, 0, err
	}
	between()
	if second, err = s.worker.accountStream(ctx, &a, s.worker.active.Keys(), stream); err != nil {
		return 0, 0, err
	}
	return first, second, s.close()
}

// MissingEmissions is what a worker with this configuration tells about the projection after one walk over every quote.
func MissingEmissions(ctx context.Context, cfg Config) (float64, error) {
	s, err := New(ctx, cfg, zap.NewNop())
	if err != nil {
		return 0, err
	}
	s.worker.health.set(nil)
	if err := s.worker.countMissing(ctx, rest); err != nil {
		return 0, err
	}
	var m dto.Metric
	if err := s.worker.metrics.missing.Write(&m); err != nil {
		return 0, err
	}
	return m.GetGauge().GetValue(), s.close()
}
