package bench_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quittance.internal/services/operator/scenario"
)

// hook is one event on its way in. Its latencies count from due: who is late because another one was slow is late all the same.
type hook struct{ due, sent, answered time.Time }

// openLoop sends the events of as many quotes at a fixed rate, each at its time whether or not the ones before were answered, and
// returns when all are. Any answer but 200 fails the benchmark.
func openLoop(tb testing.TB, addr string, paid template, quotes, perSecond int) []hook {
	tb.Helper()
	const connections = 32 // enough for none to wait for a free one, unless answers take a sixth of a second
	hooks := make([]hook, quotes)
	idle := make(chan *client, connections)
	for range connections {
		c := newClient(tb, addr, scenario.Event{ID: paid.id, Body: paid.body})
		defer c.conn.Close()
		idle <- c
	}
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	fail := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	runtime.LockOSThread() // for sleepUntil
	defer runtime.UnlockOSThread()
	began := time.Now().Add(50 * time.Millisecond)
	for i := range hooks {
		h := &hooks[i]
		h.due = began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		c := <-idle
		_, body := paid.stamped(stampOf(i))
		copy(c.body, body)
		c.sign()
		if err := sleepUntil(h.due); err != nil {
			tb.Fatal(err)
		}
		h.sent = time.Now()
		wg.Go(func() {
			// The answer's own goroutine: the next event is due whatever becomes of this one.
			if err := c.answer(); err != nil {
				fail(err)
			}
			h.answered = time.Now()
			idle <- c
		})
		if _, err := c.conn.Write(c.request); err != nil {
			fail(err)
		}
	}
	wg.Wait()
	select {
	case err := <-failed:
		tb.Fatalf("send webhook: %v", err)
	default:
	}
	return hooks
}

// sleepUntil sleeps in the kernel. The timers of Go's scheduler come up to a millisecond late when all are idle, as much as
// what is to be measured.
func sleepUntil(at time.Time) error {
	for {
		left := time.Until(at)
		if left <= 0 {
			return nil
		}
		span := unix.NsecToTimespec(int64(left))
		if err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &span, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
