package bench_test

import (
	"context"
	"fmt"
	"os"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/ingress"
	"quittance.internal/services/payments"
)

// runIngress is the service as a role, for a profile.
func runIngress(ctx context.Context) error {
	cfg, err := ingress.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "ingress")
	if err != nil {
		return err
	}
	defer log.Sync()
	service, err := ingress.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}

// runPayments is the service as a role, for a profile.
func runPayments(ctx context.Context) error {
	cfg, err := payments.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, "payments")
	if err != nil {
		return err
	}
	defer log.Sync()
	service, err := payments.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
