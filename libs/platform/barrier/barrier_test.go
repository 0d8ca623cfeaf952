package barrier_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/platform/barrier"
	"quittance.internal/libs/platform/barrier/barriertest"
)

// disk is a sync that is under way until it is told how it went.
type disk struct{ began, result chan error }

func newDisk() disk { return disk{make(chan error), make(chan error)} }

func (d disk) sync() error {
	d.began <- nil
	return <-d.result
}

func open(t *testing.T, sync func() error) (*barrier.Barrier, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	b, err := barrier.Open(barrier.Config{Dir: t.TempDir(), Log: zap.New(core), Sync: sync})
	if err != nil {
		t.Fatal(err)
	}
	return b, logs
}

// one starts to wait; his answer comes over the channel.
func one(t *testing.T, b *barrier.Barrier) <-chan error {
	t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- b.Wait(t.Context()) }()
	return answer
}

// more starts n who wait while a sync is under way, and returns when all of them do.
func more(t *testing.T, b *barrier.Barrier, n int) <-chan error {
	t.Helper()
	answers := make(chan error, n)
	for range n {
		go func() { answers <- b.Wait(t.Context()) }()
	}
	for deadline := time.Now().Add(time.Minute); b.Waiting() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d wait after a minute", b.Waiting(), n)
		}
	}
	return answers
}

func TestASyncServesThoseWhoCameBeforeItBeganAndNoOther(t *testing.T) {
	d := newDisk()
	b, _ := open(t, d.sync)
	seen := &seen{}
	b.Observe(seen)
	first := one(t, b)
	<-d.began
	late := more(t, b, 20) // while the first sync is under way: it may have passed their bytes already
	d.result <- nil
	if err := <-first; err != nil {
		t.Errorf("the first waits = %v, want nil", err)
	}
	<-d.began
	select {
	case err := <-late:
		t.Fatalf("one who came after the sync began was served by it: %v", err)
	default:
	}
	d.result <- nil
	for range 20 {
		if err := <-late; err != nil {
			t.Errorf("a late one waits = %v, want nil", err)
		}
	}
	if syncs, served := seen.syncs.Load(), seen.served.Load(); syncs != 2 || served != 21 {
		t.Errorf("%d syncs served %d, want 2 and 21", syncs, served)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// seen is an Observer.
type seen struct{ syncs, served, waited, failed atomic.Int64 }

func (s *seen) Synced(group int)     { s.syncs.Add(1); s.served.Add(int64(group)) }
func (s *seen) Waited(time.Duration) { s.waited.Add(1) }
func (s *seen) Failed()              { s.failed.Add(1) }

func TestAFailedSyncIsNeverMadeGood(t *testing.T) {
	d := newDisk()
	b, logs := open(t, d.sync)
	seen := &seen{}
	b.Observe(seen)
	first := one(t, b)
	<-d.began
	late := more(t, b, 3)
	d.result <- os.ErrDeadlineExceeded // any error
	if err := <-first; !errors.Is(err, barrier.ErrFailed) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("served by the failed sync: %v, want ErrFailed with the cause", err)
	}
	for range 3 {
		if err := <-late; !errors.Is(err, barrier.ErrFailed) {
			t.Errorf("waits for the next sync: %v, want ErrFailed: there is none", err)
		}
	}
	if err := b.Wait(t.Context()); !errors.Is(err, barrier.ErrFailed) {
		t.Errorf("comes later: %v, want ErrFailed", err)
	}
	if err := b.Err(); !errors.Is(err, barrier.ErrFailed) {
		t.Errorf("Err = %v, want ErrFailed", err)
	}
	if failed, waited := seen.failed.Load(), seen.waited.Load(); failed != 1 || waited != 5 {
		t.Errorf("observed %d failures and %d waits, want 1 and 5", failed, waited)
	}
	if got := logs.FilterMessageSnippet("log-sync-failed").Len(); got != 1 {
		t.Errorf("%d lines tell of it and name the runbook, want 1", got)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhoHasNoMoreTimeIsToldSo(t *testing.T) {
	d := newDisk()
	b, _ := open(t, d.sync)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() { answer <- b.Wait(ctx) }()
	<-d.began
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, barrier.ErrFailed) {
		t.Errorf("Wait = %v, want the context's error alone", err)
	}
	d.result <- nil
	if err := b.Err(); err != nil {
		t.Errorf("Err = %v, want nil: the disk is only slow", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Wait(t.Context()); !errors.Is(err, barrier.ErrClosed) {
		t.Errorf("Wait of a closed barrier = %v, want ErrClosed", err)
	}
}

func TestTheRealSyncServesManyAtOneTime(t *testing.T) {
	b, err := barrier.Open(barrier.Config{Dir: barriertest.Dir(t), Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 3 {
				if err := b.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestAKernelThatHidesErrorsIsRefused(t *testing.T) {
	for release, old := range map[string]bool{
		"5.7.19": true, "4.19.0-27-amd64": true, "5.8.0": false, "5.15.0-91-generic": false, "6.18.44": false, "unknown": true,
	} {
		if got := barrier.OldKernel(release); got != old {
			t.Errorf("oldKernel(%q) = %t, want %t", release, got, old)
		}
	}
}
