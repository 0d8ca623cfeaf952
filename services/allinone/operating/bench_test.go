package operating_test

import (
	"os"
	"runtime"
	"slices"
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
	r := settledRig(b, "VERIFY_QUOTES")
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

// settledRig has as many quotes as the variable says (default 2,000), each with about ten messages, which payments has settled.
// The worker is at work.
func settledRig(b *testing.B, variable string) *rig {
	b.Helper()
	quotes := 2000
	if text := os.Getenv(variable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		quotes = n
	}
	r := newRig(b)
	r.patience = 20 * time.Minute
	r.worker()
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
	return r
}

// BenchmarkReplay measures `replay plan --all` and `replay run --rate 0` over REPLAY_QUOTES quotes (default 2,000; 12,500 are
// about 100,000 events): where nothing changes, and where Redis has lost every payment.
func BenchmarkReplay(b *testing.B) {
	r := settledRig(b, "REPLAY_QUOTES")
	for b.Loop() {
		r.measureReplay(b, "nothing changes")
		keys, err := r.cache.Keys(b.Context(), r.keys().PayPattern()).Result()
		if err != nil {
			b.Fatal(err)
		}
		for part := range slices.Chunk(keys, 1000) {
			if err := r.cache.Del(b.Context(), part...).Err(); err != nil {
				b.Fatal(err)
			}
		}
		r.measureReplay(b, "every payment lost")
	}
}

func (r *rig) measureReplay(b *testing.B, name string) {
	b.Helper()
	var after runtime.MemStats
	began := time.Now()
	p := r.plan("--all")
	planned := time.Since(began)
	runtime.ReadMemStats(&after)
	began = time.Now()
	run := r.runPlan(0, p, "--max-quotes", "1000000")
	b.Logf("%s: %d messages, %d quotes, %d change: planned in %v (%.0f messages/s, heap %d MiB with the worker), run in %v: %s", name, p.Totals.Messages,
		p.Totals.Quotes, p.Totals.Changed, planned.Round(time.Millisecond), float64(p.Totals.Messages)/planned.Seconds(),
		after.HeapSys>>20, time.Since(began).Round(time.Millisecond), run.State)
}
