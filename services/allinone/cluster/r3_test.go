package cluster_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/testsize"
)

const (
	// budget is that of ingress for storing one event; what is beyond it is the machine's own slowness.
	budget = 3 * time.Second
	// drainGoal is within what time of the recovery everything must be worked off; a loaded machine is given four times as much.
	drainGoal = 30 * time.Second
)

// With three copies of the log, a leader that dies, one that stands still, one that is lost with its disk, and the loss of two
// servers of three under load: ingress answers 503 in time where nothing can be stored, nothing that it has acknowledged is lost or
// doubled, and the backlog is soon gone.
func TestNATSLosesItsLeaderAndItsQuorumAndWeLoseNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	nats, single := startNATS(t), redistest.Start(t)
	w := newWorld(t, stores{
		nats: nats.config, log: nats.log("quotes"), operator: nats.log("operator"), monitors: nats.monitors(), redis: func(string) redisquote.Config { return single.Config() },
	})
	js := w.stores.operator.JetStream()
	if testsize.Of(t, 1, 0, 0) == 1 {
		impatient(t, w)
	}
	nats.current(js)
	rounds := testsize.Of(t, 1, 4, 200)
	w.publish(testsize.Of(t, 150, 600, 30_000))
	load := deliver(t, w, testsize.Of(t, 60, 80, 80))
	for round := range rounds {
		load.moving(10)
		leader := nats.leader(js, event.StreamStripe)
		outage(t, w, load, "leader killed", func() { nats.servers[leader].Kill() }) // the other two do its work
		nats.servers[leader].Start()
		nats.current(js)

		load.moving(10)
		leader = nats.leader(js, event.StreamStripe)
		outage(t, w, load, "leader stopped", func() {
			nats.servers[leader].Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(2+(4*round)%5) * time.Second)
			nats.servers[leader].Signal(syscall.SIGCONT)
		})
		nats.current(js)

		load.moving(10)
		leader = nats.leader(js, event.StreamStripe)
		outage(t, w, load, "leader lost with its disk", func() { nats.lose(leader) })
		nats.servers[leader].Start()
		nats.current(js)

		load.moving(10)
		quorumLoss(t, w, load, nats, round)
		nats.current(js)
	}
	load.rest()
	w.check(load)
}

// impatient lets JetStream deliver again after two seconds what the death of a consumer's leader has lost, instead of natsstream.AckWait:
// for a test of seconds, whose figures then say nothing about that.
func impatient(t *testing.T, w *world) {
	t.Helper()
	js := w.stores.operator.JetStream()
	for _, c := range consumers {
		durable, err := js.Consumer(t.Context(), c.Stream, c.Durable)
		if err != nil {
			t.Fatal(err)
		}
		cfg := durable.CachedInfo().Config
		cfg.AckWait = 2 * time.Second
		if _, err := js.UpdateConsumer(t.Context(), c.Stream, cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// outage does harm, and measures for how long nothing was stored, and how long after harm has returned, which is when the fault is
// over, all was worked off: the more functions wait until it is in their respect. It leaves the load paused.
func outage(t *testing.T, w *world, load *tester, what string, harm func(), more ...func()) {
	t.Helper()
	began := time.Now()
	harm()
	ended := time.Now()
	load.moving(1)
	stall := load.stall(began, time.Now())
	load.pause()
	load.idle()
	w.settled()
	for _, f := range more {
		f()
	}
	drained := time.Since(ended)
	judge(t, load, what, began, stall, drained)
}

// quorumLoss kills two servers of three, holds that nothing is acknowledged meanwhile, and starts them again.
func quorumLoss(t *testing.T, w *world, load *tester, nats *natsCluster, round int) {
	t.Helper()
	for i := range 2 {
		nats.servers[nats.names[(round+i)%3]].Kill()
	}
	alone := time.Now()
	time.Sleep(budget + 2*time.Second) // ingress has given up on some by then
	nothingStored(t, load, alone, time.Now())
	outage(t, w, load, "two of three killed", func() {
		for i := range 2 {
			nats.servers[nats.names[(round+i)%3]].Start()
		}
	})
}

// nothingStored holds that ingress refused what it heard of for the first time between two moments, with 503.
func nothingStored(t *testing.T, load *tester, from, to time.Time) {
	t.Helper()
	during := load.between(from, to)
	refused := 0
	for _, a := range during {
		switch {
		case a.status/100 == 2 && a.known.After(from): // one that was stored before is still known
			t.Error("without a quorum an event was acknowledged that ingress heard of for the first time")
		case a.status == http.StatusServiceUnavailable:
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("ingress answered %d times without a quorum, none of them 503: %v", len(during), during)
	}
}

// judge prints what was measured, and fails where it is far from the goals.
func judge(t *testing.T, load *tester, what string, began time.Time, stall, drained time.Duration) {
	t.Helper()
	slowest, refused := time.Duration(0), 0
	for _, a := range load.between(began.Add(-budget), time.Now()) {
		if a.status/100 == 2 || a.status == 0 && load.unheard {
			continue
		}
		if a.status != http.StatusServiceUnavailable {
			t.Errorf("%s: ingress answered %d after %s, want 2xx or 503", what, a.status, a.took)
		}
		slowest, refused = max(slowest, a.took), refused+1
	}
	if slowest > 4*budget {
		t.Errorf("%s: a 503 took %s, its budget is %s", what, slowest, budget)
	}
	if drained > 4*drainGoal {
		t.Errorf("%s: it took %s after its end until all was worked off, the goal is %s", what, drained, drainGoal)
	}
	t.Logf("%s: %d answers 503, the slowest after %s; nothing stored for %s; all worked off %s after its end", what, refused,
		slowest.Round(time.Millisecond), stall.Round(time.Millisecond), drained.Round(time.Millisecond))
}
