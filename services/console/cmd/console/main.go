// Command console serves the operators' pages; see package console.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the zones of TZ and of quotes' owners, whatever the image holds

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/console"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := console.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "console")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := console.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
