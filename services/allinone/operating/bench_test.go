package operating_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/rebuild"
	"quittance.internal/libs/platform/natsstream"
)

// BenchmarkVerify measures `rebuild --verify` over VERIFY_QUOTES quotes (default 2,000; each is about ten messages) that
// payments has settled, and what the fold keeps in memory. For a million messages: VERIFY_QUOTES=100000, and -timeout.
func BenchmarkVerify(b *testing.B) {
	quotes := 2000
	if text := os.Getenv("VERIFY_QUOTES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		quotes = n
	}
	r := newRig(b)
	r.patience = 20 * time.Minute
	stop := r.worker()
	defer stop()
	const step = 500
	for n := 0; n < quotes; n += step {
		r.publish(n, n+step)
		var messages []natsstream.Message
		for _, e := range r.events(n, n+step) {
			s := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: e.ID, Type: e.Type}
			messages = append(messages, natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Body})
		}
		for _, result := range r.log.Facts(b.Context(), messages) {
			if result.Err != nil {
				b.Fatal(result.Err)
			}
		}
	}
	r.settled()
	for b.Loop() {
		v := rebuild.Verifier{Log: r.log, Redis: r.cache, Now: time.Now}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		report, err := v.Verify(b.Context())
		if err != nil || !report.Equal() {
			b.Fatalf("report %+v, %v", report, err)
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(report.PerSecond, "messages/s")
		b.ReportMetric(float64(report.Messages), "messages")
		b.ReportMetric(float64(after.HeapSys)/(1<<20), "heap-MiB")
		b.Logf("%d messages, %d quotes: folded in %d ms, all in %d ms", report.Messages, report.Quotes, report.FoldedInMS, report.TookMS)
	}
}
