package bench_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/operator/scenario"
)

const (
	ingressRounds = 5
	ingressWindow = 1500 * time.Millisecond
)

// BenchmarkIngress compares ingress with net/http that does nothing, and with net/http that checks signatures. Its figures
// are medians of the rounds; cpu_s/1k is the processor time of ingress and its NATS server for 1,000 events.
func BenchmarkIngress(b *testing.B) {
	for _, how := range []syncMode{syncDefault, syncAlways} {
		b.Run("sync="+string(how), func(b *testing.B) {
			for b.Loop() {
				compareIngress(b, how)
			}
		})
	}
}

// receiver is one of those compared.
type receiver struct {
	name  string
	addr  string
	pids  []int
	check func(load) // after each window
	got   []load
}

func compareIngress(b *testing.B, how syncMode) {
	b.Helper()
	template := checkoutCompleted(b)
	srv := startNATS(b, how)
	defer srv.drop()
	var receivers []*receiver
	for _, role := range []string{"bare-http", "signed-http"} {
		p, addr := startRole(b, role)
		defer p.stop()
		receivers = append(receivers, &receiver{name: role, addr: addr, pids: []int{p.pid()}, check: func(load) {}})
	}
	in, addr := startIngress(b, srv, how)
	defer in.stop()
	receivers = append(receivers, &receiver{
		name: "ingress", addr: addr, pids: []int{in.pid(), srv.proc.pid()}, check: func(l load) { wantStored(b, srv.log, l) },
	})
	for round := range ingressRounds {
		for i := range receivers {
			r := receivers[(i+round)%len(receivers)] // nobody always comes after the same neighbour
			l := drive(b, r.addr, template, ingressWindow, r.pids...)
			r.check(l)
			r.got = append(r.got, l)
		}
	}
	reportIngress(b, how, len(template.Body), receivers)
}

// checkoutCompleted is the event that is sent: a checkout paid by card, of a size usual at Stripe.
func checkoutCompleted(tb testing.TB) scenario.Event {
	tb.Helper()
	s, _ := scenario.Find("paid")
	burst, err := s.Run(scenario.Target{
		Quote: "q_bench000000", Seller: "main", Revision: 1, Title: "Consulting", Amount: 123450, Currency: "eur",
		CustomerName: "Jan Nowak", CustomerEmail: "customer@buyer.example",
	}, 1, time.Now(), scenario.Basil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range burst.Events {
		if e.Type == "checkout.session.completed" {
			return e
		}
	}
	tb.Fatal("the scenario paid has no checkout.session.completed")
	return scenario.Event{}
}

func startIngress(tb testing.TB, srv *natsServer, how syncMode) (p *process, addr string) {
	tb.Helper()
	addr, admin, durability := freeaddr.New(tb), freeaddr.New(tb), natsstream.DurabilityRelaxed
	if how == syncAlways {
		durability = natsstream.DurabilityServer
	}
	p = startService(tb, "ingress", "http://"+admin+"/readyz",
		"INGRESS_ADDR="+addr, "INGRESS_ADMIN_ADDR="+admin, "NATS_URL="+srv.url, "NATS_MONITOR_URL="+srv.monitor,
		"DURABILITY="+durability, "STRIPE_WEBHOOK_SECRETS="+secretSetting)
	return p, addr
}

// wantStored checks that the stream holds as many events as were acknowledged, one for each, and the last one of each
// connection byte for byte; then it empties the stream for the next round.
func wantStored(tb testing.TB, log *natsstream.Log, l load) {
	tb.Helper()
	stream, err := log.JetStream().Stream(tb.Context(), event.StreamStripe)
	if err != nil {
		tb.Fatal(err)
	}
	if have := stream.CachedInfo().State.Msgs; have != uint64(l.total) {
		tb.Fatalf("%d events acknowledged, %d stored", l.total, have)
	}
	for id, body := range l.last {
		subject := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: id, Type: "checkout.session.completed"}
		record, err := log.Read(tb.Context(), event.StreamStripe, subject.String())
		if err != nil {
			tb.Fatalf("read back what was acknowledged: %v", err)
		}
		if !bytes.Equal(record.Data, body) {
			tb.Fatalf("stored under %s: %q, want %q", subject, record.Data, body)
		}
	}
	if err := stream.Purge(tb.Context(), jetstream.WithPurgeKeep(0)); err != nil {
		tb.Fatal(err)
	}
}

func reportIngress(b *testing.B, how syncMode, size int, receivers []*receiver) {
	b.Helper()
	bare, signed, ours := receivers[0], receivers[1], receivers[2]
	rate := func(r *receiver) []float64 { return each(r.got, load.perSecond) }
	xBare, xSigned := ratios(rate(ours), rate(bare)), ratios(rate(ours), rate(signed))
	b.ReportMetric(0, "ns/op") // one operation is the whole comparison: its time says nothing
	b.ReportMetric(xBare.median, "x_bare_http")
	b.ReportMetric(xSigned.median, "x_signed_http")
	b.ReportMetric(spreadOf(rate(ours)).median, "acks/s")
	b.ReportMetric(spreadOf(each(ours.got, load.cpuPer1k)).median, "cpu_s/1k")
	b.ReportMetric(spreadOf(each(ours.got, func(l load) float64 { return milliseconds(l.p50) })).median, "p50_ms")
	b.ReportMetric(spreadOf(each(ours.got, func(l load) float64 { return milliseconds(l.p99) })).median, "p99_ms")

	t := summarize(fmt.Sprintf("Ingress, sync_interval %s: %d connections in a closed loop, events of %d bytes, %d rounds of %s",
		how, connections, size, ingressRounds, ingressWindow),
		"", "acks/s", "p50 ms", "p99 ms", "CPU s/1,000", "of bare http", "of signed http")
	for _, r := range receivers {
		t.row(r.name,
			spreadOf(rate(r)).format("%.0f"),
			spreadOf(each(r.got, func(l load) float64 { return milliseconds(l.p50) })).format("%.2f"),
			spreadOf(each(r.got, func(l load) float64 { return milliseconds(l.p99) })).format("%.1f"),
			spreadOf(each(r.got, load.cpuPer1k)).format("%.4f"),
			ratios(rate(r), rate(bare)).format("%.2f"), ratios(rate(r), rate(signed)).format("%.2f"))
	}
}
