// Command notifier mails the owners of paid quotes; see package notifier.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // dates in the owner's zone, also in an image without zone files

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/notifier"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "notifier:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := notifier.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "notifier")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := notifier.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
