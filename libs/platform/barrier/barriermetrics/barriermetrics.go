// Package barriermetrics shows what a barrier does on /metrics. It is apart from the barrier for the sake of quotectl, which
// has a barrier and no metrics. Services call it.
package barriermetrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quittance.internal/libs/platform/barrier"
)

type metrics struct {
	syncs       prometheus.Counter
	group, wait prometheus.Histogram
	failed      prometheus.Gauge
}

// Register shows b: its syncs, how many shared one, how long they waited, and whether one has failed. There is nothing to show
// of a nil b; the alert LogNotSynced takes the metrics' absence for the absence of a barrier. Call it before the first Wait.
func Register(reg prometheus.Registerer, b *barrier.Barrier) {
	if b == nil {
		return
	}
	m := metrics{
		syncs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quittance_barrier_syncs_total",
			Help: "Times that the file system of the log was synced.",
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "quittance_barrier_group_size",
			Help:    "How many waited for one sync.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
		}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "quittance_barrier_wait_seconds",
			Help:    "From the PubAck to the end of the sync, in seconds; failures included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3},
		}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_barrier_failed",
			Help: "1 after a sync has failed: nothing is acknowledged until the process is started again, else 0.",
		}),
	}
	reg.MustRegister(m.syncs, m.group, m.wait, m.failed)
	b.Observe(m)
}

// Synced makes metrics a barrier.Observer.
func (m metrics) Synced(group int) {
	m.syncs.Inc()
	m.group.Observe(float64(group))
}

// Waited is described at Synced.
func (m metrics) Waited(d time.Duration) { m.wait.Observe(d.Seconds()) }

// Failed is described at Synced.
func (m metrics) Failed() { m.failed.Set(1) }
