// Package barrier makes durable what another process has written to a file system of this host: those who wait at one
// moment share one syncfs(2).
//
// It knows neither who wrote nor what. Whoever waits must know that the bytes are in the kernel's page cache already: for a
// message of JetStream that is its PubAck (natsstream sees to it, and is the one caller). syncfs waits for everything that is
// dirty on the file system, whosever it is: the store wants a volume of its own.
package barrier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ErrFailed means that a sync has failed: nothing that is written from then on is known to be durable, and neither is what
// was waited for. It stays. The kernel reports a failed write-back once and then takes the pages for clean, so that another
// sync that succeeds says nothing (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
var ErrFailed = errors.New("sync failed: nothing is known to be durable any more")

// ErrClosed is the answer of a closed Barrier.
var ErrClosed = errors.New("barrier is closed")

// Config of Open.
type Config struct {
	// Dir is a folder on the file system to sync.
	Dir string
	// Log gets one line if a sync fails.
	Log *zap.Logger
	// Sync stands in for syncfs, on any file system, in tests of what a failing disk leads to; nil is the real one.
	Sync func() error
}

// Barrier is a file system's. It is safe for concurrent use.
type Barrier struct {
	dir     *os.File
	sync    func() error
	log     *zap.Logger
	watcher Observer
	wake    chan struct{} // there is a group
	stop    chan struct{}
	ended   chan struct{}
	close   func()

	mu   sync.Mutex
	next *group // those whom the next sync serves
	err  error  // why there will be no other
}

// group is those who are served by one sync.
type group struct {
	size int
	done chan struct{}
	err  error // once done is closed
}

// Open returns the Barrier of the file system that holds cfg.Dir. It refuses a file system that keeps nothing (tmpfs) or is
// not this host's alone (network, FUSE), and a kernel whose syncfs does not report errors (before Linux 5.8). Failures of the
// disk are seen from now on, not those of before. Close it.
func Open(cfg Config) (*Barrier, error) {
	if cfg.Sync == nil {
		if err := fits(cfg.Dir); err != nil {
			return nil, fmt.Errorf("sync %s: %w", cfg.Dir, err)
		}
	}
	dir, err := os.Open(cfg.Dir) // kept open: errors are reported to those who were there when they happened
	if err != nil {
		return nil, fmt.Errorf("sync %s: %w", cfg.Dir, err)
	}
	b := &Barrier{
		dir: dir, sync: cfg.Sync, log: cfg.Log, watcher: nobody{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if b.sync == nil {
		b.sync = func() error { return syncfs(dir) }
	}
	b.close = sync.OnceFunc(func() { close(b.stop) })
	go b.run()
	return b, nil
}

// Observer is told what a Barrier does. It must be safe for concurrent use.
type Observer interface {
	// Synced says that a sync has served so many.
	Synced(group int)
	// Waited says how long one has waited, whatever came of it.
	Waited(time.Duration)
	// Failed says that a sync has failed; nothing else follows.
	Failed()
}

type nobody struct{}

func (nobody) Synced(int)           {}
func (nobody) Waited(time.Duration) {}
func (nobody) Failed()              {}

// Observe tells o from now on. Call it before the first Wait.
func (b *Barrier) Observe(o Observer) { b.watcher = o }

// Dir is the open folder.
func (b *Barrier) Dir() *os.File { return b.dir }

// Wait returns nil when everything that was in the page cache at its call is on disk: the sync that serves it begins after
// the call. It returns ErrFailed when that sync or an earlier one has failed, and ctx's error when it took too long, which
// says nothing.
func (b *Barrier) Wait(ctx context.Context) error {
	began := time.Now() //nolint:forbidigo // an interval, not a moment
	defer func() { b.watcher.Waited(time.Since(began)) }()
	g, err := b.join()
	if err != nil {
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the sync: %w", ctx.Err())
	}
}

func (b *Barrier) join() (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	if b.next == nil {
		b.next = &group{done: make(chan struct{})}
		b.wake <- struct{}{} // never blocks: run took the last one when it took its group
	}
	b.next.size++
	return b.next, nil
}

// run serves one group after the other; while one is served the next one gathers.
func (b *Barrier) run() {
	defer close(b.ended)
	for {
		select {
		case <-b.stop:
			b.end(ErrClosed)
			return
		case <-b.wake:
		}
		b.mu.Lock()
		g := b.next
		b.next = nil
		b.mu.Unlock()
		if err := b.sync(); err != nil {
			g.err = fmt.Errorf("%w (%w)", ErrFailed, err)
			b.watcher.Failed()
			b.log.Error("sync failed: no message is acknowledged any more; stop the NATS server, look at its disk, and see the runbook log-sync-failed",
				zap.String("dir", b.dir.Name()), zap.Error(err))
			b.end(g.err)
			close(g.done)
			return
		}
		b.watcher.Synced(g.size)
		close(g.done)
	}
}

// end answers those who wait and will ever wait with err.
func (b *Barrier) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	if b.next != nil {
		b.next.err = err
		close(b.next.done)
		b.next = nil
	}
}

// Err is ErrFailed after a sync has failed, else nil.
func (b *Barrier) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close ends the sync under way; who still waits gets its answer, or ErrClosed.
func (b *Barrier) Close() error {
	b.close()
	<-b.ended
	return b.dir.Close()
}

// minKernel is the first Linux whose syncfs reports failed write-back.
var minKernel = [2]int{5, 8}

// oldKernel says of a release such as "6.1.0-13-amd64" that it is older than minKernel.
func oldKernel(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major < minKernel[0] || major == minKernel[0] && minor < minKernel[1]
}
