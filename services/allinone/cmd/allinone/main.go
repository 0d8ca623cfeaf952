// Command allinone runs the whole product in one process on embedded servers; see package allinone.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/allinone"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "allinone:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context) error {
	cfg, err := allinone.ConfigFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("read settings:\n%w", err)
	}
	cfg.Out, cfg.Quotectl = os.Stdout, quotectl()
	log, err := logging.New(os.Stderr, cfg.LogLevel, "allinone")
	if err != nil {
		return err
	}
	defer log.Sync() // lines that are gathered go out with the process
	service, err := allinone.New(ctx, cfg, log)
	if err != nil {
		return err
	}
	return service.Run(ctx)
}

// quotectl returns how the operators' command line is called from here: the binary beside this one, which make run builds,
// else by way of go run.
func quotectl() string {
	const source = "go run ./services/operator/cmd/quotectl"
	exe, err := os.Executable()
	if err != nil {
		return source
	}
	path := filepath.Join(filepath.Dir(exe), "quotectl")
	if _, err := os.Stat(path); err != nil {
		return source
	}
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
