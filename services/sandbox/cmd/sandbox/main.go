// Command sandbox stands in for Stripe in development and tests; see package sandbox.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := sandbox.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "sandbox")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := sandbox.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
