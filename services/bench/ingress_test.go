package bench_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/operator/scenario"
)

// The receivers that ratios are taken to.
const (
	signedHTTP   = "net/http with the signature check"
	groupFile    = "file, one fdatasync for all who wait"
	asynqFast    = "asynq with our signature check"
	plainPublish = "publishers alone (as nats bench)"
)

// BenchmarkIngress compares ingress with its limits and with other ways to build one, in two classes that are never mixed: in
// the one an answer may be given before the event is on the disk, in the other it may not.
func BenchmarkIngress(b *testing.B) {
	set := readSettings(b)
	b.Run("relaxed", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(0, "ns/op") // one operation is the whole comparison: its time says nothing
			s := newIngressStage(b, set, syncDefault)
			s.role("net/http alone", "bare-http", nil)
			s.role(signedHTTP, "signed-http", nil)
			s.addPublishers(s.nats)
			s.addIngress("ingress, server's default sync", s.nats, natsstream.DurabilityRelaxed)
			s.addPeers()
			s.compare("ingress-relaxed", "Ingress, an answer may precede the disk", signedHTTP, asynqFast, plainPublish)
		}
	})
	b.Run("durable", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(0, "ns/op")
			s := newIngressStage(b, set, syncAlways)
			s.role(groupFile, "group-file", nil)
			s.addPublishers(s.nats)
			s.addIngress("ingress, `sync_interval: always`", s.nats, natsstream.DurabilityServer)
			beside := startNATS(b, syncDefault) // whom the barrier syncs
			b.Cleanup(beside.drop)
			s.addIngress("ingress, `DURABILITY=barrier`", beside, natsstream.DurabilityBarrier)
			s.addPeers()
			s.compare("ingress-durable", "Ingress, an answer means that the event is on the disk", groupFile, asynqFast, plainPublish)
		}
	})
}

// receiver is one of those compared.
type receiver struct {
	name string
	ours bool
	run  func(connections int) load // one window, and the check of what was acknowledged in it
	got  map[int][]load             // by connections
}

// ingressStage holds the servers of one comparison.
type ingressStage struct {
	b         *testing.B
	set       settings
	how       syncMode
	template  scenario.Event
	nats      *natsServer
	redis     *redistest.Server
	receivers []*receiver
}

func newIngressStage(b *testing.B, set settings, how syncMode) *ingressStage {
	b.Helper()
	s := &ingressStage{b: b, set: set, how: how, template: checkoutCompleted(b), nats: startNATS(b, how)}
	b.Cleanup(s.nats.drop)
	if err := declarePeers(b.Context(), s.nats.log.JetStream()); err != nil {
		b.Fatal(err)
	}
	fsync := "everysec" // Redis's own default
	if how == syncAlways {
		fsync = "always"
	}
	s.redis = redistest.Start(b, "--appendonly", "yes", "--appendfsync", fsync)
	return s
}

func (s *ingressStage) add(r *receiver) {
	r.got = map[int][]load{}
	s.receivers = append(s.receivers, r)
}

// role adds one that is a role of this binary. Its processor time and memory are counted with those of the servers behind it.
func (s *ingressStage) role(name, role string, check func(load), servers ...int) {
	s.b.Helper()
	p, addr := startRole(s.b, role, "NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL)
	pids := append([]int{p.pid()}, servers...)
	s.add(&receiver{name: name, run: func(connections int) load {
		l := drive(s.b, addr, s.template, connections, s.set.window, pids...)
		if check != nil {
			check(l)
		}
		return l
	}})
}

// addPeers adds the other ways. Each checks signatures, each stores an event once, each is in the class of the stage.
func (s *ingressStage) addPeers() {
	s.b.Helper()
	redisPID := processOf(s.b, s.redis.Client())
	queued := func(l load) { s.wantQueued(l) }
	s.role(asynqFast, "asynq", queued, redisPID)
	s.role("asynq as shipped (stripe-go)", "asynq-shipped", queued, redisPID)
	s.role("Watermill, JetStream, our signature check", "watermill",
		func(l load) { wantCount(s.b, s.nats.log, streamWatermill, l) }, s.nats.proc.pid())
}

func (s *ingressStage) addPublishers(srv *natsServer) {
	s.add(&receiver{name: plainPublish, run: func(connections int) load {
		l := closedLoop(s.b, publishers(srv.log.JetStream(), s.template.Body, connections), s.set.window, srv.proc.pid())
		wantCount(s.b, srv.log, streamPlain, l)
		return l
	}})
}

func (s *ingressStage) addIngress(name string, srv *natsServer, durability string) {
	s.b.Helper()
	s.addIngressOf("", name, srv, durability)
	if s.set.base != "" {
		s.addIngressOf(s.set.base, "before: "+name, srv, durability)
	}
}

func (s *ingressStage) addIngressOf(base, name string, srv *natsServer, durability string) {
	s.b.Helper()
	p, addr := startIngress(s.b, srv, base, durability)
	s.add(&receiver{name: name, ours: true, run: func(connections int) load {
		l := drive(s.b, addr, s.template, connections, s.set.window, p.pid(), srv.proc.pid())
		wantStored(s.b, srv.log, l)
		return l
	}})
}

// compare lets the receivers take turns and reports. Ratios are taken to those named; what BENCH_ONLY leaves out stays out.
func (s *ingressStage) compare(marker, title string, limits ...string) {
	s.b.Helper()
	s.receivers = slicesWith(s.receivers, func(r *receiver) bool {
		return r.ours || strings.Contains(r.name, s.set.only) || r.name == limits[0]
	})
	for _, connections := range s.set.connections {
		for round := range s.set.rounds {
			for i := range s.receivers {
				r := s.receivers[(i+round)%len(s.receivers)] // nobody always comes after the same neighbour
				l := r.run(connections)
				progress("%s, %d connections, round %d of %d: %s: %.0f/s", marker, connections, round+1, s.set.rounds, r.name, l.perSecond())
				r.got[connections] = append(r.got[connections], l)
			}
		}
	}
	for _, connections := range s.set.connections {
		s.report(marker, title, connections, limits)
	}
	s.plot(marker, title)
}

func (s *ingressStage) report(marker, title string, connections int, limits []string) {
	s.b.Helper()
	columns := []string{fmt.Sprintf("%d connections", connections), "acks/s", "p50 / p99 ms", "CPU s per 1,000", "memory MB"}
	var refer []*receiver
	for _, name := range limits {
		for _, r := range s.receivers {
			if r.name == name {
				refer, columns = append(refer, r), append(columns, "× "+strings.TrimSuffix(strings.Split(name, ",")[0], " (as nats bench)"))
			}
		}
	}
	t := summarize(marker, fmt.Sprintf("%s: a closed loop, events of %d bytes, %d rounds of %s", title, len(s.template.Body), s.set.rounds, s.set.window), columns...)
	rate := func(r *receiver) []float64 { return each(r.got[connections], load.perSecond) }
	for _, r := range s.receivers {
		got := r.got[connections]
		name := r.name
		if r.ours {
			name = "**" + name + "**"
			s.b.ReportMetric(spreadOf(rate(r)).median, fmt.Sprintf("acks/s-%d", connections))
			s.b.ReportMetric(spreadOf(each(got, load.cpuPer1k)).median, fmt.Sprintf("cpu_s/1k-%d", connections))
		}
		cells := []string{
			name, spreadOf(rate(r)).short("%.0f"),
			spreadOf(each(got, load.p50ms)).short("%.2f") + " / " + spreadOf(each(got, load.p99ms)).short("%.1f"),
			spreadOf(each(got, load.cpuPer1k)).format("%.3f"), spreadOf(each(got, load.memoryInMB)).short("%.0f"),
		}
		for _, to := range refer {
			cells = append(cells, ratios(rate(r), rate(to)).format("%.2f"))
		}
		t.row(cells...)
	}
}

// plot draws processor time and rate of the last number of connections.
func (s *ingressStage) plot(marker, title string) {
	connections := s.set.connections[0]
	c := chart{title: fmt.Sprintf("%s, %d connections", title, connections)}
	for _, r := range s.receivers {
		c.bars = append(c.bars, bar{
			name: strings.ReplaceAll(r.name, "`", ""), ours: r.ours,
			value: spreadOf(each(r.got[connections], load.perSecond)), note: spreadOf(each(r.got[connections], load.cpuPer1k)).short("%.3f CPU s per 1,000"),
		})
	}
	charts[marker] = c
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

func startIngress(tb testing.TB, srv *natsServer, base, durability string) (p *process, addr string) {
	tb.Helper()
	addr, admin := freeaddr.New(tb), freeaddr.New(tb)
	p = startService(tb, "ingress", base, "http://"+admin+"/readyz",
		"INGRESS_ADDR="+addr, "INGRESS_ADMIN_ADDR="+admin, "NATS_URL="+srv.url, "NATS_MONITOR_URL="+srv.monitor,
		"NATS_STORE_DIR="+srv.store, "DURABILITY="+durability, "STRIPE_WEBHOOK_SECRETS="+secretSetting)
	return p, addr
}

// wantCount checks that a stream holds as many messages as were acknowledged, and empties it.
func wantCount(tb testing.TB, log *natsstream.Log, name string, l load) {
	tb.Helper()
	stream, err := log.JetStream().Stream(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	if have := stream.CachedInfo().State.Msgs; have != uint64(l.total) {
		tb.Fatalf("%d events acknowledged, %d stored in %s", l.total, have, name)
	}
	if err := stream.Purge(tb.Context(), jetstream.WithPurgeKeep(0)); err != nil {
		tb.Fatal(err)
	}
}

// wantQueued checks that asynq's queue holds as many tasks as were acknowledged, and empties it.
func (s *ingressStage) wantQueued(l load) {
	s.b.Helper()
	inspector := asynq.NewInspector(asynqOption(s.redis.URL))
	defer inspector.Close()
	info, err := inspector.GetQueueInfo(queueName)
	if err != nil {
		s.b.Fatal(err)
	}
	if info.Pending != l.total {
		s.b.Fatalf("%d events acknowledged, %d queued", l.total, info.Pending)
	}
	if _, err := inspector.DeleteAllPendingTasks(queueName); err != nil {
		s.b.Fatal(err)
	}
}

// wantStored checks that stream STRIPE holds the last event of each connection byte for byte, and as many as were acknowledged.
func wantStored(tb testing.TB, log *natsstream.Log, l load) {
	tb.Helper()
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
	wantCount(tb, log, event.StreamStripe, l)
}
