package allinone

import (
	"context"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/console"
	"quittance.internal/services/ingress"
	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
)

// runner is what every service's New returns.
type runner interface {
	Run(ctx context.Context) error
}

// part is a service that was made.
type part struct {
	name   string
	runner runner
}

// parts are the services in the order in which they are made: what accepts events from outside comes last.
var parts = []struct {
	name  string
	start func(ctx context.Context, lookup env.Lookup, log *zap.Logger) (runner, error)
}{
	{"quotes", made(quotes.ConfigFromEnv, quotes.New)},
	{"payments", made(payments.ConfigFromEnv, payments.New)},
	{"notifier", made(notifier.ConfigFromEnv, notifier.New)},
	{"console", made(console.ConfigFromEnv, console.New)},
	{"ingress", made(ingress.ConfigFromEnv, ingress.New)},
}

// made joins a service's two steps, reading its settings and making it.
func made[C any, S runner](
	read func(env.Lookup) (C, error), build func(context.Context, C, *zap.Logger) (S, error),
) func(context.Context, env.Lookup, *zap.Logger) (runner, error) {
	return func(ctx context.Context, lookup env.Lookup, log *zap.Logger) (runner, error) {
		cfg, err := read(lookup)
		if err != nil {
			return nil, err
		}
		service, err := build(ctx, cfg, log)
		if err != nil {
			return nil, err
		}
		return service, nil
	}
}
