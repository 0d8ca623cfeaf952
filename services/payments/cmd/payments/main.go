// Command payments runs the payments worker; see package payments.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/payments"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "payments:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := payments.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read the environment:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "payments")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	log.Info("starting", zap.String("addr", cfg.Addr), zap.String("mode", cfg.Mode), zap.Int("batch", cfg.Batch), zap.String("version", cfg.Version))
	service, err := payments.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
