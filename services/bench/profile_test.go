package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/services/ingress"
	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
)

// profile begins a profile of processor time; finish ends it and writes one of everything allocated beside it. Meanwhile one is
// kept of what the process held when it held most.
func profile(path string) (finish func(), err error) {
	f, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	go keepLargestHeap(path+".heap", stop)
	return func() {
		close(stop)
		pprof.StopCPUProfile()
		_ = f.Close()
		allocs, err := os.Create(path + ".allocs")
		if err == nil {
			err = errors.Join(pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}, nil
}

// keepLargestHeap writes a profile of what is in use whenever that has grown by a tenth beyond what is written.
func keepLargestHeap(path string, stop <-chan struct{}) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var written uint64
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapInuse < written/10*11 {
			continue
		}
		written = m.HeapInuse
		f, err := os.Create(path)
		if err == nil {
			err = errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

// The services as roles, for a profile.
var (
	runIngress  = role("ingress", ingress.ConfigFromEnv, func(c ingress.Config) string { return c.LogLevel }, ingress.New)
	runPayments = role("payments", payments.ConfigFromEnv, func(c payments.Config) string { return c.LogLevel }, payments.New)
	runNotifier = role("notifier", notifier.ConfigFromEnv, func(c notifier.Config) string { return c.LogLevel }, notifier.New)
)

// role does what the main function of a service does.
func role[C any, S interface {
	Run(ctx context.Context) error
}](
	name string, read func(env.Lookup) (C, error), level func(C) string, create func(context.Context, C, *zap.Logger) (S, error),
) func(context.Context) error {
	return func(ctx context.Context) error {
		cfg, err := read(os.LookupEnv)
		if err != nil {
			return fmt.Errorf("read settings:\n%w", err)
		}
		log, err := logging.New(os.Stderr, level(cfg), name)
		if err != nil {
			return err
		}
		defer log.Sync()
		service, err := create(ctx, cfg, log)
		if err != nil {
			return err
		}
		return service.Run(ctx)
	}
}
