package operator_test

import (
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/operations/doctor"
)

// examined is what a patient's examination comes to, by check.
func examined(t *testing.T, p doctor.Patient) map[string][]doctor.Result {
	t.Helper()
	by := map[string][]doctor.Result{}
	for _, r := range p.Examine(t.Context()) {
		by[r.Check] = append(by[r.Check], r)
	}
	return by
}

// No server tells what is free on its disk; where it tells its folder and that is one of this machine, doctor looks itself.
func TestTheDisksUnderNATSAndRedisAreLookedAt(t *testing.T) {
	const gib = 1 << 30
	w := newWorld(t)
	monitor := w.serve(func(rw http.ResponseWriter, _ *http.Request) {
		w.answer(rw, http.StatusOK, map[string]any{"jetstream": map[string]any{
			"config": map[string]any{"sync_always": true, "max_storage": 10 * gib, "store_dir": "/srv/nats"}, "stats": map[string]any{"storage": gib},
		}})
	})
	free, size := uint64(50*gib), uint64(100*gib)
	var err error
	asked := map[string]bool{}
	p := doctor.Patient{Now: time.Now, Log: w.log, Redis: w.redis, MonitorURL: monitor, Free: func(dir string) (uint64, uint64, error) {
		asked[dir] = true
		return free, size, err
	}}
	by := examined(t, p)
	want(t, by, "nats disk", doctor.OK, "50.0 GiB of 100.0 GiB free (50 %) at /srv/nats")
	want(t, by, "redis disk", doctor.OK, "50.0 GiB of 100.0 GiB free (50 %) at /")
	free, size = 8*gib, 40*gib
	by = examined(t, p)
	want(t, by, "nats disk", doctor.Warn, "its limit (max_file_store) allows it to write 9.0 GiB")
	want(t, by, "redis disk", doctor.OK, "(20 %)")
	free, size = 10*gib, 100*gib
	want(t, examined(t, p), "redis disk", doctor.Warn, "(10 %)")
	free, size = 4*gib, 100*gib
	by = examined(t, p)
	want(t, by, "nats disk", doctor.Fail, "log-store-filling.md")
	want(t, by, "redis disk", doctor.Fail, "grow the disk")
	err = fs.ErrNotExist // a container's folder
	want(t, examined(t, p), "nats disk", doctor.NotChecked, "df -h /srv/nats where 127.0.0.1 runs")

	// What is not known to be this machine is not looked for on it.
	asked, err = map[string]bool{}, nil
	p.MonitorURL = strings.Replace(monitor, "127.0.0.1", "0.0.0.0", 1)
	by = examined(t, p)
	want(t, by, "nats disk", doctor.NotChecked, "/srv/nats is not a folder that can be looked at from here df -h /srv/nats where 0.0.0.0 runs")
	if asked["/srv/nats"] {
		t.Error("a folder of another machine was looked for on this one")
	}
}

func TestTheDiskOfThisMachineIsMeasured(t *testing.T) {
	free, size, err := doctor.Free(t.TempDir())
	if err != nil || size == 0 || free > size {
		t.Errorf("Free = %d of %d, %v", free, size, err)
	}
}
