package pipelinetest

import (
	"context"
	"testing"

	"go.uber.org/zap"
)

// Runner is what every service's New returns.
type Runner interface {
	Run(ctx context.Context) error
}

// Run builds a service and runs it until the test ends, which fails if it ends with an error. It logs nothing.
func Run[C any, S Runner](tb testing.TB, build func(context.Context, C, *zap.Logger) (S, error), cfg C) S {
	tb.Helper()
	s, err := build(tb.Context(), cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	// It outlives the test's own context by its drain.
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("%T.Run = %v", s, err)
		}
	})
	return s
}
