// Command quotectl is the operators' command line; package operator has all of it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"quittance.internal/services/operator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := operator.Run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
