package quotes

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the service's own figures.
type metrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	commands *prometheus.CounterVec
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
	}
	reg.MustRegister(m.requests, m.took, m.commands, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "quittance_pages_followed", Help: "Quote pages that are open and told of changes.",
	}, func() float64 { return float64(pages()) }))
	return m
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
