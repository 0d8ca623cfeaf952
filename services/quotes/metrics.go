package quotes

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quittance.internal/libs/operations/reconcile"
)

// metrics are the service's own figures.
type metrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	commands *prometheus.CounterVec
	// Of the comparison with Stripe.
	recovered                      prometheus.Counter
	reconcileSuccess, reconcileGap prometheus.Gauge
}

// newMetrics registers them; pages tells how many pages are followed.
func newMetrics(reg prometheus.Registerer, pages func() int) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_http_requests_total", Help: "Requests by method, route and status.",
		}, []string{"method", "route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quittance_http_request_seconds", Help: "Time from a request to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
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
	reg.MustRegister(m.requests, m.took, m.commands, m.recovered, m.reconcileSuccess, m.reconcileGap, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
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

// methods bounds the label: a caller may send any word as a method.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

func (m *metrics) request(method, route string, status int, took time.Duration) {
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(method, route).Observe(took.Seconds())
}

// command counts one attempt: stored, unchanged, refused, conflict, failed.
func (m *metrics) command(name, result string) { m.commands.WithLabelValues(name, result).Inc() }
