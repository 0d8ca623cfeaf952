//go:build chaos

package chaos_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

// full lets webhooks come to a log that takes no more: each that is not stored is answered 503, and delivered again until fill is
// taken back by relieve; then all are there, and nothing else has changed.
func full(t *testing.T, w *world, fill, relieve func()) {
	t.Helper()
	c := newCampaign(w, seedOf(t), 1, 1, 1)
	run := func(items []func()) {
		done := make(chan struct{}, senders)
		work := make(chan func())
		for range senders {
			go func() {
				for f := range work {
					f()
				}
				done <- struct{}{}
			}()
		}
		for _, f := range items {
			work <- f
		}
		close(work)
		for range senders {
			<-done
		}
	}
	run(c.items(200))
	if broken := c.calm(); len(broken) > 0 {
		c.tell(broken)
	}
	fill()
	ended := make(chan struct{})
	go func() { defer close(ended); run(c.big(400)) }()
	processtest.Until(t, patience, "webhooks are refused with 503", func() bool {
		w.tester.mu.Lock()
		defer w.tester.mu.Unlock()
		return w.tester.refused[503] >= senders
	})
	before := len(w.tester.snapshot())
	relieve()
	<-ended
	if broken := c.calm(); len(broken) > 0 {
		c.tell(broken)
	}
	for status := range w.tester.refused {
		if status != 503 {
			t.Errorf("answers %v, want none but 2xx and 503", w.tester.refused)
		}
	}
	t.Logf("%d acknowledged before there was room again, %d after it; %s", before, len(w.tester.snapshot()), c.summary())
}

// big are webhooks of 16 KB that are not ours.
func (c *campaign) big(count int) (items []func()) {
	for range count {
		c.foreigners++
		e := foreign(c.foreigners, time.Now())
		e = scenario.Event{ID: e.ID, Type: e.Type, Created: e.Created, Body: append(e.Body[:len(e.Body)-1], `,"padding":"`+string(make16K())+`"}`...)}
		items = append(items, func() { c.w.tester.deliver(c.w.tb.Context(), e); c.sent.Add(1) })
	}
	return items
}

func make16K() []byte {
	b := make([]byte, 16<<10)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// A stream at its limit refuses what is new and keeps what it has.
func TestAFullStreamRefusesWithoutLosing(t *testing.T) {
	w := newWorld(t, nil)
	limit := func(bytes int64) {
		t.Helper()
		s, err := w.log.JetStream().Stream(t.Context(), event.StreamStripe)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		if cfg.MaxBytes = bytes; bytes > 0 {
			cfg.MaxBytes += int64(s.CachedInfo().State.Bytes)
		}
		if _, err := w.log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	full(t, w, func() { limit(1 << 20) }, func() { limit(-1) })
}

// A disk that is full refuses what is new and keeps what it has. nats-server writes again only after a restart (measured,
// 2.15.2), which is what the runbook says. It needs root, for a small disk of its own.
func TestAFullDiskRefusesWithoutLosing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it mounts a small disk: run it as root")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=48m"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { // when the server is gone
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", disk, err)
		}
	})
	w := newWorldIn(t, filepath.Join(disk, "store"), nil)
	filler := filepath.Join(disk, "filler")
	full(t, w, func() {
		var space syscall.Statfs_t
		if err := syscall.Statfs(disk, &space); err != nil {
			t.Fatal(err)
		}
		free := int(space.Bavail) * int(space.Bsize)
		if err := os.WriteFile(filler, make([]byte, free-1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}, func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		done := make(chan bool, 1)
		w.nats.commands <- command{signal: syscall.SIGKILL, length: 100 * time.Millisecond, done: done}
		<-done
	})
}
