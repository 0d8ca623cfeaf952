package notifier_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/notifier"
)

// From the moment at which quote.paid is handed to the log until the server has accepted the mail, at 200 a second; and
// the rate at which a backlog is worked off. The NATS server syncs lazily, the SMTP server is the scripted one, all on
// this machine.
//
//	go test -run xxx -bench . -benchtime 1000x .
func BenchmarkPaidToAccepted(b *testing.B) {
	srv, f := natstest.Start(b), newSMTPFake(b, script{})
	log := srv.Log("bench")
	begun, done := make([]time.Time, b.N), make([]time.Time, b.N)
	messages := make([]natsstream.Message, b.N)
	for n := range b.N {
		r := paidQuote(n)
		store(b, log, publishedMessage(b, r))
		messages[n] = paidMessage(b, r)
	}
	startNotifier(b, srv, f)
	b.ResetTimer()
	var wg sync.WaitGroup
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := range b.N {
		<-tick.C
		wg.Go(func() {
			begun[n] = time.Now()
			if _, err := log.Fact(b.Context(), messages[n]); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	eventually(b, func() bool { return len(f.mails()) == b.N }, "all mails are accepted")
	b.StopTimer()
	index := map[string]int{}
	for n := range b.N {
		c, err := notifier.Compose(testFrom, paidQuote(n))
		if err != nil {
			b.Fatal(err)
		}
		index[c.MessageID] = n
	}
	took := make([]time.Duration, 0, b.N)
	for _, m := range f.mails() {
		n := index[messageIDOf(b, m.data)]
		done[n] = m.at
		took = append(took, done[n].Sub(begun[n]))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

func BenchmarkBacklog(b *testing.B) {
	srv, f := natstest.Start(b), newSMTPFake(b, script{})
	log := srv.Log("bench")
	for n := range b.N {
		r := paidQuote(n)
		store(b, log, publishedMessage(b, r), paidMessage(b, r))
	}
	b.ResetTimer()
	startNotifier(b, srv, f)
	eventually(b, func() bool { return len(f.mails()) == b.N }, "all mails are accepted")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}

// startNotifier runs a notifier with the default settings until the benchmark ends.
func startNotifier(b *testing.B, srv *natstest.Server, f *smtpFake) {
	b.Helper()
	relay := f.relay(b)
	service, err := notifier.New(b.Context(), notifier.Config{NATS: srv.Config("notifier"), Addr: "127.0.0.1:0", Relay: relay, From: testFrom}, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := service.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); wg.Wait() })
}
