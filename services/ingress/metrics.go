package ingress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// refused is the outcome under which a request counts that got no 2xx.
const refused Outcome = "refused"

// Metrics counts what arrives. Alert on received_total{outcome="conflict"} and {outcome="unreadable"} (an event that nobody
// can use), on refused_total{reason="stale"} and {reason="future"} (genuine signatures, bad time: look at the clocks) and on
// secrets_reloads_total{result="refused"}.
type Metrics struct {
	received *prometheus.CounterVec
	refused  *prometheus.CounterVec
	reloads  *prometheus.CounterVec
	publish  prometheus.Histogram
	inFlight prometheus.Gauge
}

// NewMetrics registers the metrics with reg. Every label value is there from the start, so that a rate is never absent.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_webhooks_received_total",
			Help: "Requests to the webhook address by what became of them; all but refused were answered with 200.",
		}, []string{"outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_webhooks_refused_total",
			Help: "Refused requests by reason.",
		}, []string{"reason"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_webhooks_secrets_reloads_total",
			Help: "Changes seen in the file of signing secrets: taken or refused.",
		}, []string{"result"}),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "quittance_webhooks_publish_seconds",
			Help:    "From the good signature to the durable PubAck, in seconds; failures included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_webhooks_in_flight",
			Help: "Events being stored at this moment.",
		}),
	}
	reg.MustRegister(m.received, m.refused, m.reloads, m.publish, m.inFlight)
	for _, o := range append([]Outcome{refused}, Outcomes...) {
		m.received.WithLabelValues(string(o))
	}
	for _, r := range Reasons() {
		m.refused.WithLabelValues(string(r))
	}
	m.reloads.WithLabelValues("taken")
	m.reloads.WithLabelValues("refused")
	return m
}

func (m *Metrics) count(outcome Outcome, reason Reason) {
	m.received.WithLabelValues(string(outcome)).Inc()
	if reason != "" {
		m.refused.WithLabelValues(string(reason)).Inc()
	}
}

func (m *Metrics) published(took time.Duration) { m.publish.Observe(took.Seconds()) }

func (m *Metrics) reloaded(err error) {
	result := "taken"
	if err != nil {
		result = "refused"
	}
	m.reloads.WithLabelValues(result).Inc()
}
