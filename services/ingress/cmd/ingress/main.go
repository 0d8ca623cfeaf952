// Command ingress receives Stripe's webhooks and stores them; see package ingress.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/ingress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "ingress:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := ingress.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "ingress")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := ingress.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
