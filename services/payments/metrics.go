package payments

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	messages  *prometheus.CounterVec
	emissions *prometheus.CounterVec
	lag       *prometheus.GaugeVec
	batch     prometheus.Histogram
	settled   prometheus.Histogram
	conflicts prometheus.Counter
	stalls    prometheus.Counter
	repairs   *prometheus.CounterVec
	waiting   *prometheus.GaugeVec

	parkedOldest, dead, deadOldest *prometheus.GaugeVec
	unaccounted                    *prometheus.GaugeVec
	missing                        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_messages_total", Help: "Messages settled, by stream and outcome; delayed ones come again.",
		}, []string{"stream", "outcome"}),
		emissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_emissions_total", Help: "Facts offered to the log: stored, taken (it held them already), superseded (a newer revision came first).",
		}, []string{"event", "answer"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_consumer_lag_messages", Help: "Messages of the stream that are not acknowledged yet.",
		}, []string{"stream"}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "quittance_batch_messages", Help: "Messages settled together.", Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		settled: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "quittance_settled_seconds", Help: "From Stripe's created time (whole seconds) to the commit, of applied events.",
			Buckets: []float64{.1, .25, .5, 1, 2, 5, 10, 30, 60, 300, 3600, 86400, 259200},
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quittance_commit_conflicts_total", Help: "Commits that met another worker's facts and were folded again.",
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quittance_batch_stalls_total", Help: "Tries of a batch that failed because NATS or Redis was away.",
		}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_repairs_total", Help: "Times the projection was folded again, by reason: empty, changed.",
		}, []string{"reason"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_waiting", Help: "Changes that wait for a link (parked) and facts without a published revision (unknown_quote).",
		}, []string{"kind"}),
		parkedOldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_parked_oldest_seconds", Help: "Age of the oldest of what quittance_waiting counts, 0 where nothing waits.",
		}, []string{"kind"}),
		dead: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_dead_letters", Help: "Open dead letters, by the consumer that set them aside; every payments instance counts all.",
		}, []string{"consumer"}),
		deadOldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_dead_letters_oldest_seconds", Help: "Age of the oldest open dead letter of a consumer, 0 where there is none.",
		}, []string{"consumer"}),
		unaccounted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quittance_unaccounted_messages", Help: "Acknowledged messages without an outcome: none, or something is lost (quotectl check conservation).",
		}, []string{"stream"}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "quittance_missing_emissions", Help: "Facts such as quote.paid that are due and not in the log, at the last look at every quote: none, or something is wrong (quotectl check gap).",
		}),
	}
	reg.MustRegister(m.messages, m.emissions, m.lag, m.batch, m.settled, m.conflicts, m.stalls, m.repairs, m.waiting, m.parkedOldest, m.dead, m.deadOldest, m.unaccounted, m.missing)
	return m
}
