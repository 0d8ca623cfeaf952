package bench_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/processtest"
)

const (
	// fewQuotes make the naive worker's backlog, a second or more of its work. The others get times as much, within bounds:
	// about a second of theirs, on any machine.
	fewQuotes  = 480
	times      = 14
	mostQuotes = 8000
)

// BenchmarkWorker compares the payments worker, which drains a backlog, with a naive worker over the same domain code, with
// peers that call the same code, and with one that only acknowledges. Its figures are medians of the rounds. Each of them begins
// with empty stores: cpu_s/1k is the processor time of worker, NATS and Redis for 1,000 events, worker_MB the worker's largest
// anonymous memory.
func BenchmarkWorker(b *testing.B) {
	set := readSettings(b)
	for _, how := range []syncMode{syncDefault, syncAlways} {
		b.Run("sync="+string(how), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(0, "ns/op") // one operation is the whole comparison: its time says nothing
				compareWorkers(b, set, how)
			}
		})
	}
}

// drained is what one round of one worker gave.
type drained struct {
	events int
	took   time.Duration
	cpu    map[string]time.Duration // processor time by process
	memory int64                    // of the worker, bytes
}

func (d drained) perSecond() float64  { return float64(d.events) / d.took.Seconds() }
func (d drained) memoryInMB() float64 { return float64(d.memory) / 1e6 }

// cpuPer1k is the processor time of the named processes for 1,000 events.
func cpuPer1k(names ...string) func(drained) float64 {
	return func(d drained) float64 {
		var sum time.Duration
		for _, name := range names {
			sum += d.cpu[name]
		}
		return sum.Seconds() / float64(d.events) * 1000
	}
}

// contender is one of those compared.
type contender struct {
	name    string
	ours    bool
	base    string // see settings
	barrier bool   // NATS syncs when it likes, and the worker the whole file system
	queued  bool   // its backlog lies in asynq's queue
	backlog backlog
	streams []string                // where it must have acknowledged everything
	start   func(s *stage) *process // brings it to the point where only the events are missing
	settles bool                    // its work is checked
	got     []drained
}

func compareWorkers(b *testing.B, set settings, how syncMode) {
	b.Helper()
	few := newBacklog(b, fewQuotes)
	naive := &contender{name: "naive, one message at a time", backlog: few, streams: []string{event.StreamStripe}, start: (*stage).startNaive, settles: true}
	first := drain(b, how, naive) // also warms everything up
	quotes := int(float64(fewQuotes) * times / first.took.Seconds())
	many := newBacklog(b, min(max(quotes, 2*fewQuotes), mostQuotes))
	limit := &contender{name: "fetch and acknowledge alone", backlog: many, streams: []string{event.StreamStripe}, start: (*stage).startFetchAndAck}
	ours := &contender{
		name: "payments", ours: true, backlog: many, streams: []string{event.StreamStripe, event.StreamQuotes}, start: (*stage).startPayments, settles: true,
	}
	oursToo := []*contender{ours}
	if how == syncAlways {
		barrier := *ours
		ours.name += ", `sync_interval: always`"
		barrier.name, barrier.barrier = "payments, `DURABILITY=barrier`", true
		oursToo = append(oursToo, &barrier)
	}
	peers := []*contender{
		{name: "asynq, 64 at a time", queued: true, backlog: few, start: (*stage).startAsynq, settles: true},
		{name: "Watermill, 64 handlers", backlog: few, streams: []string{event.StreamStripe}, start: (*stage).startWatermill, settles: true},
	}
	if set.base != "" {
		for _, c := range oursToo {
			before := *c
			before.name, before.base = "before: "+c.name, set.base
			peers = append(peers, &before)
		}
	}
	all := slicesWith(slices.Concat([]*contender{limit}, oursToo, []*contender{naive}, peers), func(c *contender) bool {
		return c.ours || c == limit || strings.Contains(c.name, set.only)
	})
	for round := range set.rounds {
		for i := range all {
			c := all[(i+round)%len(all)]
			d := drain(b, how, c)
			progress("worker, sync %s, round %d of %d: %s: %.0f/s", how, round+1, set.rounds, c.name, d.perSecond())
			c.got = append(c.got, d)
		}
	}
	reportWorkers(b, how, set, all)
}

// stage is a round's servers.
type stage struct {
	tb      testing.TB
	nats    *natsServer
	redis   *redistest.Server
	cache   redis.UniversalClient
	backlog backlog
	queue   queue  // asynq's
	base    string // see settings
	barrier bool   // see contender
}

// drain lets one worker drain its backlog on fresh servers.
func drain(tb testing.TB, how syncMode, c *contender) drained {
	tb.Helper()
	// Redis is a projection where the log is the truth, and holds the only copy where it is asynq's queue.
	var persist []string
	if c.queued {
		persist = []string{"--appendonly", "yes", "--appendfsync", map[syncMode]string{syncDefault: "everysec", syncAlways: "always"}[how]}
	}
	s := &stage{tb: tb, nats: startNATS(tb, syncDefault), redis: redistest.Start(tb, persist...), backlog: c.backlog, base: c.base, barrier: c.barrier}
	defer s.nats.drop()
	defer s.redis.Stop()
	s.cache = s.redis.Client()
	s.queue = queue{asynq.NewClient(asynqOption(s.redis.URL)), asynq.NewInspector(asynqOption(s.redis.URL))}
	defer s.queue.client.Close()
	defer s.queue.inspector.Close()
	s.pause(time.Now().Add(time.Hour))
	worker := c.start(s)
	defer worker.stop()
	if c.queued {
		s.backlog.inTurn(s.enqueue)
	} else {
		s.backlog.storeEvents(tb, s.nats.log)
	}
	if how == syncAlways && !c.barrier {
		s.nats.restart(syncAlways) // the backlog itself is stored faster without
	}
	var d drained
	if c.queued {
		d = s.measure(worker, s.unpause, s.queue.left)
	} else {
		s.waitForPull()
		d = s.measure(worker, s.release, func() error {
			for _, stream := range c.streams {
				if err := s.left(stream); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if c.settles {
		s.backlog.wantSettled(tb, s.nats.log, s.cache)
	}
	return d
}

func (s *stage) startAsynq() *process {
	s.tb.Helper()
	s.backlog.storeRevisions(s.tb, s.cache, redisquote.NewKeys(redisquote.Generation))
	if err := s.queue.inspector.PauseQueue(queueName); err != nil {
		s.tb.Fatal(err)
	}
	p, _ := startRole(s.tb, "asynq-worker", "NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL)
	return p
}

func (s *stage) enqueue(messages []natsstream.Message) {
	s.tb.Helper()
	if err := s.queue.fill(s.tb.Context(), messages); err != nil {
		s.tb.Fatal(err)
	}
}

// unpause lets asynq's tasks flow.
func (s *stage) unpause() time.Time {
	s.tb.Helper()
	at := time.Now()
	if err := s.queue.inspector.UnpauseQueue(queueName); err != nil {
		s.tb.Fatal(err)
	}
	return at
}

func (s *stage) startWatermill() *process {
	s.tb.Helper()
	s.backlog.storeRevisions(s.tb, s.cache, redisquote.NewKeys(redisquote.Generation))
	p, _ := startRole(s.tb, "watermill-worker", "NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL)
	return p
}

// pause keeps the server from delivering events until a time, and reports whether that lay ahead when the server heard of
// it. Events flow again only when a pause runs out: nats-server 2.15.2 takes a ResumeConsumer, or a pause that is over
// already, and wakes nobody, so that the backlog lies until something else happens to the consumer.
func (s *stage) pause(until time.Time) bool {
	s.tb.Helper()
	answer, err := s.nats.log.JetStream().PauseConsumer(s.tb.Context(), event.StreamStripe, natsstream.DurablePayments, until)
	if err != nil {
		s.tb.Fatal(err)
	}
	return answer.Paused
}

// release lets the events flow and returns the time at which they did.
func (s *stage) release() time.Time {
	s.tb.Helper()
	for {
		if at := time.Now().Add(200 * time.Millisecond); s.pause(at) {
			return at
		}
	}
}

func (s *stage) startPayments() *process {
	s.tb.Helper()
	// On an empty log: a worker that finds an empty Redis and a full log first folds all of it again.
	p, probe := s.launchPayments()
	p.waitReady(probe, 30*time.Second)
	s.backlog.storeQuotes(s.tb, s.nats.log)
	processtest.Eventually(s.tb, 60*time.Second, "the quotes are known", func() error { return s.left(event.StreamQuotes) })
	return p
}

func (s *stage) launchPayments() (p *process, probe string) {
	s.tb.Helper()
	addr, durability := freeaddr.New(s.tb), natsstream.DurabilityServer
	if s.barrier {
		durability = natsstream.DurabilityBarrier
	}
	p = launchService(s.tb, "payments", s.base,
		"DURABILITY="+durability, "NATS_STORE_DIR="+s.nats.store,
		"NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL, "PAYMENTS_ADDR="+addr, "MODE="+event.ModeTest)
	return p, "http://" + addr + "/readyz"
}

func (s *stage) startNaive() *process {
	s.tb.Helper()
	s.backlog.storeRevisions(s.tb, s.cache, redisquote.NewKeys(redisquote.Generation))
	p, _ := startRole(s.tb, "naive-worker", "NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL)
	return p
}

func (s *stage) startFetchAndAck() *process {
	s.tb.Helper()
	p, _ := startRole(s.tb, "fetch-and-ack", "NATS_URL="+s.nats.url)
	return p
}

// waitForPull waits until the worker has asked for messages, as it does again after a restart of the server.
func (s *stage) waitForPull() {
	s.tb.Helper()
	processtest.Eventually(s.tb, 30*time.Second, "the worker asks for events", func() error {
		c, err := s.nats.log.JetStream().Consumer(s.tb.Context(), event.StreamStripe, natsstream.DurablePayments)
		if err == nil && c.CachedInfo().NumWaiting == 0 {
			err = errors.New("no request is waiting")
		}
		return err
	})
}

// left reports what the worker has not acknowledged of a stream.
func (s *stage) left(stream string) error {
	return natstest.Settled(s.tb.Context(), s.nats.log, natstest.Consumer{Stream: stream, Durable: natsstream.DurablePayments})
}

// measure lets the events flow and ends when nothing is left.
func (s *stage) measure(worker *process, flow func() time.Time, left func() error) drained {
	s.tb.Helper()
	pids := map[string]int{"worker": worker.pid(), "nats": s.nats.proc.pid(), "redis": processOf(s.tb, s.cache)}
	d := drained{events: s.backlog.events, cpu: map[string]time.Duration{}}
	for name, pid := range pids {
		d.cpu[name] = -cpu(s.tb, pid)
	}
	began := flow()
	processtest.Eventually(s.tb, 2*time.Minute, "the backlog is drained", func() error {
		d.memory = max(d.memory, memory(s.tb, worker.pid()))
		return left()
	})
	d.took = time.Since(began)
	for name, pid := range pids {
		d.cpu[name] += cpu(s.tb, pid)
	}
	return d
}

// processOf asks a Redis server for its process id.
func processOf(tb testing.TB, client redis.UniversalClient) int {
	tb.Helper()
	info, err := client.Info(tb.Context(), "server").Result()
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			pid, err := strconv.Atoi(value)
			if err != nil {
				tb.Fatal(err)
			}
			return pid
		}
	}
	tb.Fatal("redis does not tell its process id")
	return 0
}

func reportWorkers(b *testing.B, how syncMode, set settings, all []*contender) {
	b.Helper()
	rate := func(c *contender) []float64 { return each(c.got, drained.perSecond) }
	limit, ours := all[0], all[1]
	marker, class := "worker-relaxed", "NATS's default sync, asynq's Redis everysec"
	if how == syncAlways {
		marker, class = "worker-durable", "NATS `sync_interval: always`, asynq's Redis AOF always"
	}
	t := summarize(marker, fmt.Sprintf("Worker, %s: a backlog of %d events of %d quotes (of %d the slower ones), events of %d quotes mixed, %d rounds",
		class, ours.backlog.events, ours.backlog.quotes, fewQuotes, together, set.rounds),
		"worker", "events/s", "CPU s per 1,000: worker / NATS / Redis", "all", "worker MB", "× "+limit.name, "payments ×")
	c := chart{title: "Worker, " + strings.ReplaceAll(class, "`", "")}
	for _, w := range all {
		name := w.name
		if w.ours {
			name = "**" + name + "**"
			b.ReportMetric(spreadOf(rate(w)).median, "events/s")
			b.ReportMetric(spreadOf(each(w.got, cpuPer1k("worker", "nats", "redis"))).median, "cpu_s/1k")
			b.ReportMetric(ratios(rate(w), rate(limit)).median, "x_fetch_ack")
		}
		part := func(of string) string { return spreadOf(each(w.got, cpuPer1k(of))).short("%.3f") }
		t.row(name, spreadOf(rate(w)).short("%.0f"), part("worker")+" / "+part("nats")+" / "+part("redis"),
			spreadOf(each(w.got, cpuPer1k("worker", "nats", "redis"))).format("%.3f"),
			spreadOf(each(w.got, drained.memoryInMB)).short("%.0f"),
			ratios(rate(w), rate(limit)).format("%.2f"), ratios(rate(ours), rate(w)).format("%.1f"))
		c.bars = append(c.bars, bar{
			name: w.name, ours: w.ours, value: spreadOf(rate(w)),
			note: spreadOf(each(w.got, cpuPer1k("worker", "nats", "redis"))).short("%.3f CPU s per 1,000"),
		})
	}
	charts[marker] = c
}
