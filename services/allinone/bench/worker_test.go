package bench_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

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
	workerRounds = 3
	// fewQuotes make the naive worker's backlog, a second or more of its work. The others get times as much, within bounds:
	// about a second of theirs, on any machine.
	fewQuotes  = 480
	times      = 14
	mostQuotes = 8000
)

// BenchmarkWorker compares the payments worker, which drains a backlog, with a naive worker over the same domain code and
// with one that only acknowledges. Its figures are medians of the rounds. Each of them begins with empty stores: cpu_s/1k is
// the processor time of worker, NATS and Redis for 1,000 events, worker_cpu_s/1k that of the worker alone, worker_MB its
// largest anonymous memory.
func BenchmarkWorker(b *testing.B) {
	for _, how := range []syncMode{syncDefault, syncAlways} {
		b.Run("sync="+string(how), func(b *testing.B) {
			for b.Loop() {
				compareWorkers(b, how)
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
	backlog backlog
	streams []string                // where it must have acknowledged everything
	start   func(s *stage) *process // brings it to the point where only the events are missing
	settles bool                    // its work is checked
	got     []drained
}

func compareWorkers(b *testing.B, how syncMode) {
	b.Helper()
	naive := &contender{name: "naive", backlog: newBacklog(b, fewQuotes), streams: []string{event.StreamStripe}, start: (*stage).startNaive, settles: true}
	few := drain(b, how, naive) // also warms everything up
	quotes := int(float64(fewQuotes) * times / few.took.Seconds())
	many := newBacklog(b, min(max(quotes, 2*fewQuotes), mostQuotes))
	ours := &contender{name: "payments", backlog: many, streams: []string{event.StreamStripe, event.StreamQuotes}, start: (*stage).startPayments, settles: true}
	limit := &contender{name: "fetch-and-ack", backlog: many, streams: []string{event.StreamStripe}, start: (*stage).startFetchAndAck}
	contenders := []*contender{ours, naive, limit}
	for round := range workerRounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			c.got = append(c.got, drain(b, how, c))
		}
	}
	reportWorkers(b, how, ours, naive, limit)
}

// stage is a round's servers.
type stage struct {
	tb      testing.TB
	nats    *natsServer
	redis   *redistest.Server
	cache   redis.UniversalClient
	backlog backlog
}

// drain lets one worker drain its backlog on fresh servers.
func drain(tb testing.TB, how syncMode, c *contender) drained {
	tb.Helper()
	s := &stage{tb: tb, nats: startNATS(tb, syncDefault), redis: redistest.Start(tb), backlog: c.backlog}
	defer s.nats.drop()
	defer s.redis.Stop()
	s.cache = s.redis.Client()
	s.pause(time.Now().Add(time.Hour))
	worker := c.start(s)
	defer worker.stop()
	s.backlog.storeEvents(tb, s.nats.log)
	if how == syncAlways {
		s.nats.restart(syncAlways) // the backlog itself is stored faster without
	}
	s.waitForPull()
	d := s.measure(worker, c.streams)
	if c.settles {
		s.backlog.wantSettled(tb, s.nats.log, s.cache)
	}
	return d
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
	addr := freeaddr.New(s.tb)
	// On an empty log: a worker that finds an empty Redis and a full log first folds all of it again.
	p := startService(s.tb, "payments", "http://"+addr+"/readyz",
		"NATS_URL="+s.nats.url, "REDIS_URL="+s.redis.URL, "PAYMENTS_ADDR="+addr, "MODE="+event.ModeTest)
	s.backlog.storeQuotes(s.tb, s.nats.log)
	processtest.Eventually(s.tb, 60*time.Second, "the quotes are known", func() error { return s.left(event.StreamQuotes) })
	return p
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

// measure lets the events flow and ends when all messages of the streams are acknowledged.
func (s *stage) measure(worker *process, streams []string) drained {
	s.tb.Helper()
	pids := map[string]int{"worker": worker.pid(), "nats": s.nats.proc.pid(), "redis": s.redisPID()}
	d := drained{events: s.backlog.events, cpu: map[string]time.Duration{}}
	for name, pid := range pids {
		d.cpu[name] = -cpu(s.tb, pid)
	}
	began := s.release()
	processtest.Eventually(s.tb, 2*time.Minute, "the backlog is drained", func() error {
		d.memory = max(d.memory, memory(s.tb, worker.pid()))
		for _, stream := range streams {
			if err := s.left(stream); err != nil {
				return err
			}
		}
		return nil
	})
	d.took = time.Since(began)
	for name, pid := range pids {
		d.cpu[name] += cpu(s.tb, pid)
	}
	return d
}

func (s *stage) redisPID() int {
	s.tb.Helper()
	info, err := s.cache.Info(s.tb.Context(), "server").Result()
	if err != nil {
		s.tb.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			pid, err := strconv.Atoi(value)
			if err != nil {
				s.tb.Fatal(err)
			}
			return pid
		}
	}
	s.tb.Fatal("redis does not tell its process id")
	return 0
}

func reportWorkers(b *testing.B, how syncMode, ours, naive, limit *contender) {
	b.Helper()
	rate := func(c *contender) []float64 { return each(c.got, drained.perSecond) }
	b.ReportMetric(0, "ns/op") // one operation is the whole comparison: its time says nothing
	b.ReportMetric(ratios(rate(ours), rate(naive)).median, "x_naive")
	b.ReportMetric(ratios(rate(ours), rate(limit)).median, "x_fetch_ack")
	b.ReportMetric(spreadOf(rate(ours)).median, "events/s")
	b.ReportMetric(spreadOf(each(ours.got, cpuPer1k("worker", "nats", "redis"))).median, "cpu_s/1k")
	b.ReportMetric(spreadOf(each(ours.got, cpuPer1k("worker"))).median, "worker_cpu_s/1k")
	b.ReportMetric(spreadOf(each(ours.got, drained.memoryInMB)).median, "worker_MB")

	t := summarize(fmt.Sprintf("Worker, sync_interval %s: a backlog of %d events of %d quotes (naive: %d of %d), events of %d quotes mixed, %d rounds",
		how, ours.backlog.events, ours.backlog.quotes, naive.backlog.events, naive.backlog.quotes, together, workerRounds),
		"", "events/s", "CPU s/1,000: worker", "NATS", "Redis", "all", "worker MB", "x naive", "of fetch and ack")
	for _, c := range []*contender{limit, ours, naive} {
		t.row(c.name,
			spreadOf(rate(c)).format("%.0f"),
			spreadOf(each(c.got, cpuPer1k("worker"))).short("%.4f"),
			spreadOf(each(c.got, cpuPer1k("nats"))).short("%.4f"),
			spreadOf(each(c.got, cpuPer1k("redis"))).short("%.4f"),
			spreadOf(each(c.got, cpuPer1k("worker", "nats", "redis"))).format("%.4f"),
			spreadOf(each(c.got, drained.memoryInMB)).short("%.0f"),
			ratios(rate(c), rate(naive)).format("%.1f"), ratios(rate(c), rate(limit)).format("%.2f"))
	}
}
