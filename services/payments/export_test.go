package payments

import (
	"context"

	"go.uber.org/zap"
)

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
