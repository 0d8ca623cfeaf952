package bench_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote/redistest"
)

// growthPatience bounds each step of a million events and more.
const growthPatience = time.Hour

// BenchmarkGrowth shows what becomes of cost, memory and times as the log grows: for each number of events in GROWTH a backlog
// of as many is drained by payments, then payments, NATS and, with an empty Redis, payments again are started anew, and ingress
// takes events into the log that is there. Each is one run: it takes minutes, and a minute's worth of noise evens out.
func BenchmarkGrowth(b *testing.B) {
	set := readSettings(b)
	sizes := growthSizes(b)
	for b.Loop() {
		b.ReportMetric(0, "ns/op")
		t := summarize("growth", "A log that grows, NATS with its default sync: one run for each size", "events (quotes)",
			"drained per second: all, first / last 10,000", "CPU s per 1,000: first / last 10,000", "worker MB: most while draining", "worker MB: started anew",
			"NATS / Redis MB", "log on disk, GB", "s to start: payments / NATS", "s to fold all again (worker MB)", "ingress: acks/s, CPU s per 1,000")
		for _, n := range sizes {
			g := newGrowth(b, set, n)
			t.row(g.run()...)
			g.drop()
		}
	}
}

// growthSizes reads GROWTH. Sizes that this machine has no room for are refused before anything has begun.
func growthSizes(b *testing.B) []int {
	b.Helper()
	value := os.Getenv("GROWTH")
	if value == "" {
		value = "10000,100000"
	}
	var sizes []int
	for part := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1000 {
			b.Fatalf("GROWTH is %q, want numbers from 1000, such as 10000,1000000", value)
		}
		needRoom(b, n)
		sizes = append(sizes, n)
	}
	return sizes
}

// growth is one size's servers.
type growth struct {
	*stage

	set settings
}

func newGrowth(b *testing.B, set settings, events int) *growth {
	b.Helper()
	perQuote := float64(newBacklog(b, len(mix)).events) / float64(len(mix))
	backlog := newBacklog(b, int(float64(events)/perQuote)+1)
	s := &stage{tb: b, nats: startNATS(b, syncDefault), redis: redistest.Start(b), backlog: backlog, base: set.base}
	s.cache = s.redis.Client()
	return &growth{stage: s, set: set}
}

// storeEvents stores the backlog and tells how far it is.
func (g *growth) storeEvents() {
	g.tb.Helper()
	const often = 500_000
	stored := 0
	g.backlog.inTurn(func(messages []natsstream.Message) {
		store(g.tb, g.nats.log, messages)
		if before := stored; before/often != (before+len(messages))/often {
			progress("growth: %d of %d are stored", before+len(messages), g.backlog.events)
		}
		stored += len(messages)
	})
}

func (g *growth) drop() {
	g.nats.drop()
	g.redis.Stop()
}

// run goes through the steps and returns the cells of a row.
func (g *growth) run() []string {
	g.tb.Helper()
	events := g.backlog.events
	say := func(what string) { progress("growth, %d events: %s", events, what) }
	g.pause(time.Now().Add(24 * time.Hour))
	worker, probe := g.launchPayments()
	worker.waitReady(probe, growthPatience)
	say("storing the quotes")
	g.backlog.storeQuotes(g.tb, g.nats.log)
	g.until("the quotes are known", func() error { return g.left(event.StreamQuotes) })
	say("storing the events")
	g.storeEvents()
	say("draining")
	d := g.drainAll(worker)
	g.backlog.wantSettled(g.tb, g.nats.log, g.cache)
	worker.stop()

	say("starting payments anew")
	again, toStart := g.startAgain()
	idle := memory(g.tb, again.pid())
	natsMB, redisMB := memory(g.tb, g.nats.proc.pid()), memory(g.tb, processOf(g.tb, g.cache))
	again.stop()

	say("starting NATS anew")
	g.nats.proc.stop()
	onDisk := sizeOf(g.tb, g.nats.store)
	began := time.Now()
	g.nats.launch(syncDefault, strings.TrimPrefix(g.nats.url, "nats://"))
	g.until("the connection to NATS is back", func() error { return natsstream.Ready(g.nats.log.JetStream().Conn()) })
	natsStart := time.Since(began)

	say("folding all again")
	if err := g.cache.FlushAllAsync(g.tb.Context()).Err(); err != nil {
		g.tb.Fatal(err)
	}
	folding, toFold := g.startAgain()
	foldMB := memory(g.tb, folding.pid())
	g.until("all is acknowledged", func() error { return g.left(event.StreamStripe) })
	g.backlog.wantSettled(g.tb, g.nats.log, g.cache)
	folding.stop()

	say("taking events in")
	l := g.takeIn()
	return []string{
		fmt.Sprintf("%d (%d)", events, g.backlog.quotes),
		fmt.Sprintf("%.0f, %.0f / %.0f", float64(events)/d.took.Seconds(), d.first.rate, d.last.rate),
		fmt.Sprintf("%.3f / %.3f", d.first.cpu, d.last.cpu), megabytes(d.memory), megabytes(idle),
		megabytes(natsMB) + " / " + megabytes(redisMB), fmt.Sprintf("%.1f", float64(onDisk)/1e9),
		fmt.Sprintf("%.1f / %.1f", toStart.Seconds(), natsStart.Seconds()),
		fmt.Sprintf("%.0f (%s)", toFold.Seconds(), megabytes(foldMB)),
		fmt.Sprintf("%.0f, %.3f", l.perSecond(), l.cpuPer1k()),
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1e6) }

func (g *growth) until(what string, f func() error) {
	g.tb.Helper()
	told := time.Now()
	for deadline := time.Now().Add(growthPatience); ; wait(g.tb, 50*time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Since(told) > 15*time.Second {
			told = time.Now()
			progress("growth: not yet: %s: %v", what, err)
		}
		if time.Now().After(deadline) {
			g.tb.Fatalf("not within %s: %s: %v", growthPatience, what, err)
		}
	}
}

// startAgain starts payments and returns it with the time until it was ready.
func (g *growth) startAgain() (*process, time.Duration) {
	g.tb.Helper()
	began := time.Now()
	p, probe := g.launchPayments()
	p.waitReady(probe, growthPatience)
	return p, time.Since(began)
}

// sample is how many events at the beginning and at the end of a backlog are looked at by themselves.
const sample = 10_000

// stretch is some events of a backlog.
type stretch struct{ rate, cpu float64 } // events a second, seconds of processor time for 1,000

// drainedAll is what the draining of a backlog gave.
type drainedAll struct {
	took        time.Duration
	memory      int64 // the worker's most, bytes
	first, last stretch
}

// drainAll lets the backlog flow and watches it flow off.
func (g *growth) drainAll(worker *process) drainedAll {
	g.tb.Helper()
	type point struct {
		at     time.Time
		cpu    time.Duration
		events uint64
	}
	pids := []int{worker.pid(), g.nats.proc.pid(), processOf(g.tb, g.cache)}
	here := func(n uint64) point { return point{time.Now(), cpu(g.tb, pids...), n} }
	between := func(a, b point) stretch {
		n := float64(b.events - a.events)
		return stretch{n / b.at.Sub(a.at).Seconds(), (b.cpu - a.cpu).Seconds() / n * 1000}
	}
	total := uint64(g.backlog.events)
	began := g.release()
	var d drainedAll
	points := []point{here(0)}
	g.until("the backlog is drained", func() error {
		d.memory = max(d.memory, memory(g.tb, worker.pid()))
		floor, err := g.nats.log.AckFloor(g.tb.Context(), event.StreamStripe, natsstream.DurablePayments)
		if err != nil {
			return err
		}
		if total >= 3*sample && (len(points) == 1 && floor >= sample || len(points) == 2 && floor >= total-sample) || floor == total {
			points = append(points, here(floor))
		}
		if floor < total {
			return fmt.Errorf("%d of %d are acknowledged", floor, total)
		}
		return nil
	})
	d.took = time.Since(began)
	last := len(points) - 1
	d.first, d.last = between(points[0], points[1]), between(points[last-1], points[last])
	g.until("the quotes' own facts are acknowledged, too", func() error { return g.left(event.StreamQuotes) })
	return d
}

// takeIn lets ingress take events into the log that is there.
func (g *growth) takeIn() load {
	g.tb.Helper()
	count := func() uint64 {
		stream, err := g.nats.log.JetStream().Stream(g.tb.Context(), event.StreamStripe)
		if err != nil {
			g.tb.Fatal(err)
		}
		return stream.CachedInfo().State.Msgs
	}
	p, addr := startIngress(g.tb, g.nats, g.base, natsstream.DurabilityRelaxed)
	defer p.stop()
	before := count()
	l := drive(g.tb, addr, checkoutCompleted(g.tb), g.set.connections[0], g.set.window, p.pid(), g.nats.proc.pid())
	if have := count() - before; have != uint64(l.total) {
		g.tb.Fatalf("%d events acknowledged, %d stored", l.total, have)
	}
	return l
}
