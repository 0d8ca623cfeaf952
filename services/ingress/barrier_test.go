package ingress_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/ingress"
)

// disk is a sync that may be held up, and may fail.
type disk struct {
	broken atomic.Bool
	syncs  atomic.Int64
	// hold is taken for each sync.
	hold sync.Mutex
}

func (d *disk) sync() error {
	d.syncs.Add(1)
	d.hold.Lock()
	defer d.hold.Unlock()
	if d.broken.Load() {
		return errors.New("input/output error")
	}
	return nil
}

func startBarrier(t *testing.T, d *disk) *rig {
	t.Helper()
	srv := natstest.Start(t)
	return startOn(t, srv, func(c *ingress.Config) {
		c.Durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: srv.StoreDir(), Sync: d.sync}
	})
}

// R55
func TestWithABarrierTheAnswerWaitsForTheSync(t *testing.T) {
	d := &disk{}
	r := startBarrier(t, d)
	body := eventBody("evt_1", "charge.succeeded")
	d.hold.Lock()
	answers := make(chan answered, 1)
	go func() { answers <- r.post(body) }()
	r.eventually("the sync is under way", func() bool { return d.syncs.Load() == 1 })
	r.wantStored(chargeSubject, body) // the server has acknowledged it
	select {
	case got := <-answers:
		t.Errorf("answered %d %s before the sync was over", got.status, got.code)
	default:
	}
	d.hold.Unlock()
	if got := <-answers; got.status != http.StatusOK || got.code != string(ingress.Stored) {
		t.Errorf("after the sync: %d %s, want 200 stored", got.status, got.code)
	}
	r.wantPost(body, ingress.Duplicate)
	r.wantPost([]byte("{}"), ingress.Unreadable)
	r.wantPost(eventBody("evt_1", "charge.failed"), ingress.Conflict) // told by one answer, stored aside by another
	if got := d.syncs.Load(); got != 5 {
		t.Errorf("%d syncs, want one for each answer of the log: 5", got)
	}
	r.wantMetric("quittance_barrier_syncs_total", "5")
	r.wantMetric("quittance_barrier_group_size_sum", "5")
	r.wantMetric("quittance_barrier_failed", "0")
}

// A sync that fails is not made good by another one: see barrier.ErrFailed.
func TestAFailedSyncStopsTheIntakeUntilARestart(t *testing.T) {
	d := &disk{}
	r := startBarrier(t, d)
	known := eventBody("evt_1", "charge.succeeded")
	r.wantPost(known, ingress.Stored)
	d.broken.Store(true)
	refuse := func(what string, body []byte) {
		t.Helper()
		if got := r.post(body); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s, want 503 with Retry-After", what, got.status, got.code)
		}
	}
	refuse("the event whose sync fails", eventBody("evt_2", "charge.succeeded"))
	d.broken.Store(false)
	refuse("the same event again", eventBody("evt_2", "charge.succeeded"))
	refuse("another one", eventBody("evt_3", "charge.succeeded"))
	refuse("one that was stored and synced before", known)
	if got := d.syncs.Load(); got != 2 {
		t.Errorf("%d syncs, want 2: none after the one that failed", got)
	}
	for _, url := range []string{r.url, r.admin} {
		if got := r.status(url + "/readyz"); got != http.StatusServiceUnavailable {
			t.Errorf("%s/readyz = %d, want 503", url, got)
		}
		if got := r.status(url + "/livez"); got != http.StatusOK {
			t.Errorf("%s/livez = %d, want 200: what restarts a process by itself would hide the disk's failure", url, got)
		}
	}
	r.wantMetric("quittance_barrier_failed", "1")
	found := 0
	for line := range strings.Lines(r.logs.String()) {
		if strings.Contains(line, "log-sync-failed") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d log lines name the runbook, want 1", found)
	}
	again := startOn(t, r.nats, func(c *ingress.Config) {
		c.Durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: r.nats.StoreDir(), Sync: d.sync}
	})
	again.wantPost(eventBody("evt_3", "charge.succeeded"), ingress.Duplicate)
}

func TestAnIngressWithoutTheServersStoreRefusesToStart(t *testing.T) {
	srv := natstest.Start(t)
	for name, dir := range map[string]string{"another server's": natstest.Start(t).StoreDir(), "none": t.TempDir()} {
		_, err := ingress.New(t.Context(), ingress.Config{
			Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: srv.Config("ingress"), Secrets: secrets,
			Durability: natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: dir},
		}, zap.NewNop())
		if err == nil || !strings.Contains(err.Error(), "NATS_STORE_DIR") {
			t.Errorf("New with %s store = %v, want an error that names NATS_STORE_DIR", name, err)
		}
	}
}
