package quotes

import (
	"github.com/prometheus/client_golang/prometheus"

	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/httpserve"
)

// metrics are the service's own figures.
type metrics struct {
	requests *httpserve.Requests
	commands *prometheus.CounterVec
	// Of the comparison with Stripe.
	recovered                      prometheus.Counter
	reconcileSuccess, reconcileGap prometheus.Gauge
}

// newMetrics registers them; pages tells how many pages are followed.
func newMetrics(reg prometheus.Registerer, pages func() int) *metrics {
	m := &metrics{
		requests: httpserve.NewRequests(reg),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_quote_commands_total", Help: "Commands on quotes by what became of each attempt to store it.",
		}, []string{"command", "result"}),
		recovered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quittance_reconcile_recovered_total", Help: "Events that never came as a webhook and were fetched from Stripe.",
		}),
		reconcileSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_reconcile_last_success_timestamp_seconds", Help: "When the last complete comparison with Stripe began, by any instance; 0 for never.",
		}),
		reconcileGap: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_reconcile_gap", Help: "Differences to Stripe that the last comparison could not make good.",
		}),
	}
	reg.MustRegister(m.commands, m.recovered, m.reconcileSuccess, m.reconcileGap, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "quittance_pages_followed", Help: "Quote pages that are open and told of changes.",
	}, func() float64 { return float64(pages()) }))
	return m
}

// reconciled shows how the comparison with Stripe stands.
func (m *metrics) reconciled(s reconcile.State) {
	m.reconcileGap.Set(float64(s.Gap))
	if !s.Ran.IsZero() {
		m.reconcileSuccess.Set(float64(s.Ran.Unix()))
	}
}

// command counts one attempt: stored, unchanged, refused, conflict, failed.
func (m *metrics) command(name, result string) { m.commands.WithLabelValues(name, result).Inc() }
