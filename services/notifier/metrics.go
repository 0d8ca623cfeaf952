package notifier

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the notifier's own figures. mail_ambiguous_total is part of the promise: every mail that may have gone out
// twice is counted there.
type metrics struct {
	mails      *prometheus.CounterVec
	ambiguous  prometheus.Counter
	messages   *prometheus.CounterVec
	dials      *prometheus.CounterVec
	paidToSent prometheus.Histogram
	// paid and reminders are the backlogs of the two consumers.
	paid, reminders backlog
}

// backlog is how far a consumer is behind.
type backlog struct{ pending, unacked prometheus.Gauge }

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_mails_total", Help: "Mails that reached a state of the ledger, by state.",
		}, []string{"state"}),
		ambiguous: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quittance_mail_ambiguous_total", Help: "Attempts that ended without an answer after the data: the mail may have been accepted.",
		}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_messages_total", Help: "Deliveries of quote.paid and quote.expiring, by disposition.",
		}, []string{"disposition"}),
		dials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_smtp_dials_total", Help: "New connections to the SMTP relay, by result (ok, failed).",
		}, []string{"result"}),
		paidToSent: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "quittance_mail_paid_to_accepted_seconds",
			Help:    "From the payment, by Stripe's clock, to the mail being accepted by the SMTP server.",
			Buckets: []float64{0.5, 1, 2, 3, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600},
		}),
		paid: backlog{
			pending: prometheus.NewGauge(prometheus.GaugeOpts{
				Name: "quittance_consumer_pending", Help: "Messages of quote.paid that were never delivered yet: the lag.",
			}),
			unacked: prometheus.NewGauge(prometheus.GaugeOpts{
				Name: "quittance_consumer_unacked", Help: "Messages that were delivered and wait for an ack, delayed ones included.",
			}),
		},
		reminders: backlog{
			pending: prometheus.NewGauge(prometheus.GaugeOpts{
				Name: "quittance_reminders_pending", Help: "Messages of quote.expiring that were never delivered yet.",
			}),
			unacked: prometheus.NewGauge(prometheus.GaugeOpts{
				Name: "quittance_reminders_unacked", Help: "Messages of quote.expiring that were delivered and wait for an ack.",
			}),
		},
	}
	for _, s := range []State{StateClaimed, StateSending, StateSent, StateRejected, StateAmbiguous, StateParked, StateDropped} {
		m.mails.WithLabelValues(string(s))
	}
	for _, d := range []string{"ack", "retry", "dead"} {
		m.messages.WithLabelValues(d)
	}
	reg.MustRegister(m.mails, m.ambiguous, m.messages, m.dials, m.paidToSent,
		m.paid.pending, m.paid.unacked, m.reminders.pending, m.reminders.unacked)
	return m
}

// accepted observes a mail's way from the payment to the server's 250. Stripe counts in whole seconds, and clocks
// differ: what comes out negative counts as zero.
func (m *metrics) accepted(n news, now time.Time) {
	if n.kind == kindPaid {
		m.paidToSent.Observe(max(now.Sub(n.at), 0).Seconds())
	}
}
