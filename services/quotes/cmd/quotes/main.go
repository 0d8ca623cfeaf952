// Command quotes serves the API and the pages of quotes; see package quotes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // owners' time zones, whatever the image holds

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/quotes"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quotes:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := quotes.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "quotes")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := quotes.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
