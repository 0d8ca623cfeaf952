package ingress

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quittance.internal/libs/platform/natsstream"
)

// refused is the outcome under which a request counts that got no 2xx.
const refused Outcome = "refused"

// Metrics counts what arrives. Alert on received_total{outcome="conflict"} and {outcome="unreadable"} (an event that nobody
// can use), on refused_total{reason="stale"} and {reason="future"} (genuine signatures, bad time: look at the clocks) and on
// secrets_reloads_total{result="refused"}.
type Metrics struct {
	received *prometheus.CounterVec
	refused  *prometheus.CounterVec
	// When something was refused last, by reason, and when a webhook's signature was right last.
	refusedAt  *prometheus.GaugeVec
	verifiedAt prometheus.Gauge
	reloads    *prometheus.CounterVec
	publish    prometheus.Histogram
	inFlight   prometheus.Gauge
	// Of the NATS server's store; not a number while its monitoring port does not answer.
	storedBytes, maxBytes, syncAlways prometheus.Gauge
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
		refusedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_webhooks_refused_last_timestamp_seconds",
			Help: "When a request was refused last by reason, Unix time; 0 for never since the start.",
		}, []string{"reason"}),
		verifiedAt: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_webhooks_verified_last_timestamp_seconds",
			Help: "When the signature of a webhook of Stripe's was right last, stored or not, Unix time; 0 for never since the start. Requests of our own senders do not count.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_webhooks_secrets_reloads_total",
			Help: "Changes seen in the file of signing secrets: taken or refused.",
		}, []string{"result"}),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "quittance_webhooks_publish_seconds",
			Help:    "From the good signature until the event is stored durably, in seconds; failures included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_webhooks_in_flight",
			Help: "Events being stored at this moment.",
		}),
	}
	m.storedBytes = prometheus.NewGauge(prometheus.GaugeOpts{Name: "quittance_log_stored_bytes", Help: "Bytes in the NATS server's store."})
	m.maxBytes = prometheus.NewGauge(prometheus.GaugeOpts{Name: "quittance_log_max_bytes", Help: "Bytes above which the NATS server refuses new messages (max_file_store)."})
	m.syncAlways = prometheus.NewGauge(prometheus.GaugeOpts{Name: "quittance_log_sync_always", Help: "1 where the NATS server syncs each message before it acknowledges, else 0."})
	m.storage(natsstream.Storage{}, errUnread)
	reg.MustRegister(m.received, m.refused, m.refusedAt, m.verifiedAt, m.reloads, m.publish, m.inFlight, m.storedBytes, m.maxBytes, m.syncAlways)
	for _, o := range append([]Outcome{refused}, Outcomes...) {
		m.received.WithLabelValues(string(o))
	}
	for _, r := range Reasons() {
		m.refused.WithLabelValues(string(r))
		m.refusedAt.WithLabelValues(string(r))
	}
	m.reloads.WithLabelValues("taken")
	m.reloads.WithLabelValues("refused")
	return m
}

func (m *Metrics) count(outcome Outcome, reason Reason, at time.Time) {
	m.received.WithLabelValues(string(outcome)).Inc()
	if reason != "" {
		m.refused.WithLabelValues(string(reason)).Inc()
		m.refusedAt.WithLabelValues(string(reason)).Set(seconds(at))
	}
}

// verified notes that Stripe signed something with a secret of ours, in time.
func (m *Metrics) verified(at time.Time) { m.verifiedAt.Set(seconds(at)) }

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// errUnread stands for a store that was not looked at yet.
var errUnread = errors.New("not read")

// storage shows what the NATS server tells of its store.
func (m *Metrics) storage(s natsstream.Storage, err error) {
	stored, limit, sync := float64(s.Used), float64(s.Max), 0.0
	switch {
	case err != nil:
		stored, limit, sync = math.NaN(), math.NaN(), math.NaN()
	case s.SyncAlways:
		sync = 1
	}
	m.storedBytes.Set(stored)
	m.maxBytes.Set(limit)
	m.syncAlways.Set(sync)
}

func (m *Metrics) published(took time.Duration) { m.publish.Observe(took.Seconds()) }

func (m *Metrics) reloaded(err error) {
	result := "taken"
	if err != nil {
		result = "refused"
	}
	m.reloads.WithLabelValues(result).Inc()
}
