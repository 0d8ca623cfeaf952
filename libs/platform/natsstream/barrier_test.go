package natsstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// inABlock says whether a stream's block files hold the bytes, read anew through descriptors of our own.
func inABlock(t *testing.T, storeDir, stream string, what []byte) bool {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(storeDir, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range blocks {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if bytes.Contains(b, what) {
			return true
		}
	}
	return false
}

// body is an event of some size whose bytes occur nowhere else.
func body(n int) []byte {
	size := 100 + rand.IntN(6000)
	b := fmt.Appendf(nil, `{"id":"evt_%d","of":"`, n)
	for len(b) < size {
		b = fmt.Appendf(b, "%016x", rand.Uint64())
	}
	return append(b, `"}`...)
}

// What the barrier rests on, and no document promises: nats-server writes a message to its block file before it acknowledges.
// A newer server must hold this test before it may be used with DURABILITY=barrier.
func TestAnAcknowledgedMessageIsInItsBlockFile(t *testing.T) {
	for _, c := range []struct {
		compression jetstream.StoreCompression
		persist     jetstream.PersistModeType
		always      bool
	}{
		{jetstream.NoCompression, jetstream.DefaultPersistMode, true},
		{jetstream.S2Compression, jetstream.DefaultPersistMode, true},
		// A stream that acknowledges first: this test can fail.
		{jetstream.NoCompression, jetstream.AsyncPersistMode, false},
	} {
		t.Run(fmt.Sprintf("%s, persist mode %s", c.compression, c.persist), func(t *testing.T) {
			srv := natstest.Start(t)
			log := srv.Log("a")
			stream := recreate(t, log, "STRIPE", func(cfg *jetstream.StreamConfig) { cfg.Compression, cfg.PersistMode = c.compression, c.persist })
			if got := stream.CachedInfo().Config; got.Compression != c.compression || got.PersistMode != c.persist {
				t.Fatalf("stream has %s, %s", got.Compression, got.PersistMode)
			}
			const writers, each = 4, 100
			var found atomic.Int64
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						data := body(w*each + i)
						stored, err := log.Fact(t.Context(), natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_%d_%d.x", w, i), Data: data})
						if err != nil || stored.Taken {
							t.Errorf("Fact = %+v, %v", stored, err)
						}
						if inABlock(t, srv.StoreDir(), "STRIPE", data) {
							found.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if all := found.Load() == writers*each; all != c.always {
				t.Errorf("%d of %d messages were in a block file at their PubAck; want all = %t", found.Load(), writers*each, c.always)
			}
		})
	}
}

// recreate makes a stream anew with another configuration.
func recreate(t *testing.T, log *natsstream.Log, name string, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	stream, err := log.JetStream().Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	change(&cfg)
	if err := log.JetStream().DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if stream, err = log.JetStream().CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return stream
}

func openBarrier(t *testing.T, srv *natstest.Server, d natsstream.Durability, streams ...string) (*natsstream.Log, error) {
	t.Helper()
	d.Mode = natsstream.DurabilityBarrier
	if d.Sync == nil {
		d.Sync = func() error { return nil }
	}
	log, err := natsstream.OpenLog(t.Context(), srv.Conn("a"), d, zap.NewNop(), streams...)
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log, err
}

func fact(n int) natsstream.Message {
	return natsstream.Message{Subject: fmt.Sprintf("stripe.test.platform.evt_%d.x", n), ID: fmt.Sprintf("evt_%d", n), Data: body(n)}
}

func mustStore(t *testing.T, log *natsstream.Log, m natsstream.Message) {
	t.Helper()
	if stored, err := log.Fact(t.Context(), m); err != nil || stored.Taken {
		t.Fatalf("Fact(%s) = %+v, %v, want it stored", m.Subject, stored, err)
	}
}

// copied is a copy of a running server's store.
func copied(t *testing.T, srv *natstest.Server) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(srv.StoreDir())); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestABarrierIsRefusedWhereItWouldNotHold(t *testing.T) {
	srv := natstest.Start(t)
	mustStore(t, srv.Log("b"), fact(1))
	backup := copied(t, srv)
	mustStore(t, srv.Log("b"), fact(2))
	for name, c := range map[string]struct{ dir, want string }{
		"no such folder":         {filepath.Join(t.TempDir(), "none"), "on this host"},
		"an empty folder":        {t.TempDir(), "is not the store of the NATS server at NATS_URL"},
		"another server's store": {natstest.Start(t).StoreDir(), "is not the store of the NATS server at NATS_URL"},
		"a backup of the store":  {backup, "copy of the store"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openBarrier(t, srv, natsstream.Durability{StoreDir: c.dir}, "STRIPE", "QUOTES"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("OpenLog = %v, want an error that says %q", err, c.want)
			}
		})
	}
	for _, dir := range []string{srv.StoreDir(), filepath.Join(srv.StoreDir(), "jetstream")} {
		if _, err := openBarrier(t, srv, natsstream.Durability{StoreDir: dir}, "STRIPE", "QUOTES", "KV_MAIL"); err != nil {
			t.Errorf("OpenLog on the server's own store %s = %v, want nil", dir, err)
		}
	}
}

func TestABarrierIsRefusedForAStreamThatIsNotWrittenBeforeItsPubAck(t *testing.T) {
	srv := natstest.Start(t)
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"memory": {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "kept in memory"},
		"async":  {func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "before it writes"},
		"no ack": {func(c *jetstream.StreamConfig) { c.NoAck = true }, "acknowledges nothing"},
		"source": {func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "QUOTES"}} }, "another stream"},
	} {
		t.Run(name, func(t *testing.T) {
			recreate(t, srv.Log("b"), "DEAD", c.change)
			_, err := openBarrier(t, srv, natsstream.Durability{StoreDir: srv.StoreDir()}, "STRIPE", "DEAD")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "DURABILITY=server") {
				t.Errorf("OpenLog = %v, want an error that says %q and what to do", err, c.want)
			}
		})
		recreate(t, srv.Log("b"), "DEAD", func(c *jetstream.StreamConfig) {
			c.Storage, c.PersistMode, c.NoAck, c.Sources = jetstream.FileStorage, jetstream.DefaultPersistMode, false, nil
		})
	}
	for _, c := range []jetstream.StreamConfig{{Replicas: 3}, {Replicas: 1, Mirror: &jetstream.StreamSource{Name: "S"}}} {
		if natsstream.Unfit(c) == "" { // a cluster for one line would take its time
			t.Errorf("a stream of %d replicas, mirror %v is taken for one that a barrier can make durable", c.Replicas, c.Mirror)
		}
	}
}

// failing is a sync that works until it is told not to.
type failing struct {
	broken atomic.Bool
	syncs  atomic.Int64
}

var errDisk = errors.New("input/output error")

func (f *failing) sync() error {
	f.syncs.Add(1)
	if f.broken.Load() {
		return errDisk
	}
	return nil
}

// An answer that says "it is there already" is as good as a first one, and its own writer may not have waited to the end.
func TestEveryAnswerThatTellsOfTheLogIsMadeDurableFirst(t *testing.T) {
	for name, try := range map[string]func(context.Context, *natsstream.Log) error{
		"stored": func(ctx context.Context, l *natsstream.Log) error { _, err := l.Fact(ctx, fact(9)); return err },
		"taken by its message id": func(ctx context.Context, l *natsstream.Log) error {
			stored, err := l.Fact(ctx, fact(1))
			return unless(stored.Taken, err)
		},
		"taken by its subject": func(ctx context.Context, l *natsstream.Log) error {
			m := fact(1)
			m.ID = "another"
			stored, err := l.Fact(ctx, m)
			return unless(stored.Taken, err)
		},
		"guarded": func(ctx context.Context, l *natsstream.Log) error {
			m := fact(2)
			m.Absent = "stripe.test.platform.evt_1.*"
			_, err := l.Fact(ctx, m)
			if errors.Is(err, natsstream.ErrGuard) {
				return nil
			}
			return err
		},
		"command": func(ctx context.Context, l *natsstream.Log) error {
			_, err := l.Command(ctx, natsstream.Message{Subject: "quote.drafted.main.q_1.1"}, "quote.*.main.q_1.*", 0)
			return err
		},
		"append": func(ctx context.Context, l *natsstream.Log) error {
			_, err := l.Append(ctx, natsstream.Message{Subject: "journal.replay"}, 0)
			return err
		},
		"written to a bucket": func(ctx context.Context, l *natsstream.Log) error {
			bucket, err := l.JetStream().KeyValue(ctx, "MAIL")
			if err != nil {
				return err
			}
			if _, err := bucket.Create(ctx, "a.b.1.paid", []byte("claimed")); err != nil {
				return err
			}
			return l.Durable(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, broken := range []bool{false, true} {
				srv, disk := natstest.Start(t), &failing{}
				mustStore(t, srv.Log("b"), fact(1))
				log, err := openBarrier(t, srv, natsstream.Durability{StoreDir: srv.StoreDir(), Sync: disk.sync}, "STRIPE", "QUOTES", "JOURNAL", "KV_MAIL")
				if err != nil {
					t.Fatal(err)
				}
				disk.broken.Store(broken)
				err = try(t.Context(), log)
				if got := disk.syncs.Load(); got != 1 {
					t.Errorf("%d syncs before the answer, want 1", got)
				}
				if !broken && err != nil {
					t.Errorf("on a sound disk: %v", err)
				}
				if broken && (!errors.Is(err, natsstream.ErrNotDurable) && !errors.Is(err, errDisk)) {
					t.Errorf("on a broken disk: %v, want that it is not durable", err)
				}
			}
		})
	}
}

func unless(ok bool, err error) error {
	if err == nil && !ok {
		return errors.New("stored, want taken")
	}
	return err
}

// A batch waits for one sync.
func TestFactsOfABatchShareASync(t *testing.T) {
	srv, disk := natstest.Start(t), &failing{}
	log, err := openBarrier(t, srv, natsstream.Durability{StoreDir: srv.StoreDir(), Sync: disk.sync}, "STRIPE")
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]natsstream.Message, 100)
	for i := range batch {
		batch[i] = fact(i)
	}
	for i, r := range log.Facts(t.Context(), batch) {
		if r.Err != nil {
			t.Errorf("fact %d: %v", i, r.Err)
		}
	}
	if got := disk.syncs.Load(); got != 1 {
		t.Errorf("%d syncs for a batch, want 1", got)
	}
	disk.broken.Store(true)
	for i, r := range log.Facts(t.Context(), batch) {
		if !errors.Is(r.Err, natsstream.ErrNotDurable) || !errors.Is(r.Err, natsstream.ErrUnavailable) {
			t.Errorf("fact %d on a broken disk: %v, want ErrNotDurable and ErrUnavailable", i, r.Err)
		}
	}
	if err := log.Ready(); err == nil {
		t.Error("Ready on a broken disk = nil")
	}
}

// The server that a connection comes back to is looked at anew: it may be another one.
func TestAServerThatCameBackIsLookedAtAgain(t *testing.T) {
	srv := natstest.Start(t)
	backup := copied(t, srv)
	link := filepath.Join(t.TempDir(), "store")
	point := func(to string) {
		t.Helper()
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	point(srv.StoreDir())
	log, err := openBarrier(t, srv, natsstream.Durability{StoreDir: link}, "STRIPE")
	if err != nil {
		t.Fatal(err)
	}
	mustStore(t, log, fact(1))
	srv.Stop()
	point(backup)
	srv.Restart()
	again := func(n int, ok func(error) bool) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if _, err = log.Fact(t.Context(), fact(n)); ok(err) {
				return
			}
		}
		t.Fatalf("a minute after the server came back Fact(%d) = %v", n, err)
	}
	// Message 1 is not in the backup, so that even the answer "taken" is refused.
	again(1, func(err error) bool { return err != nil && strings.Contains(err.Error(), "copy of the store") })
	point(srv.StoreDir())
	again(2, func(err error) bool { return err == nil })
}
