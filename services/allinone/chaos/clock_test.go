package chaos_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/quotepaid"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/ingress"
)

// clock is that of one service, which the test steps while the service runs. The machine's own clock, and so that of Stripe's side,
// of NATS and of Redis, stays as it is.
type clock struct {
	path string

	mu    sync.Mutex
	steps []stepped
}

// stepped is by how much a clock was wrong from a moment on, until the next step was over.
type stepped struct {
	from, until time.Time // until is zero for the last one
	by          time.Duration
}

func newClock(tb testing.TB, name string) *clock {
	tb.Helper()
	c := &clock{path: filepath.Join(tb.TempDir(), name)}
	c.step(tb, 0)
	return c
}

// step sets the clock wrong by so much, at one blow.
func (c *clock) step(tb testing.TB, by time.Duration) {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	next := stepped{from: time.Now(), by: by}
	err := os.WriteFile(c.path+".next", []byte(by.String()), 0o600)
	if err == nil {
		err = os.Rename(c.path+".next", c.path)
	}
	if err != nil {
		tb.Error(err)
		return
	}
	if n := len(c.steps); n > 0 {
		c.steps[n-1].until = time.Now()
	}
	c.steps = append(c.steps, next)
}

// during is by how much the clock may have been wrong between two moments: several where it was stepped.
func (c *clock) during(from, to time.Time) (by []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.steps {
		if !s.from.After(to) && (s.until.IsZero() || !s.until.Before(from)) {
			by = append(by, s.by)
		}
	}
	return by
}

// wrongBy is what clocks are stepped by: within and beyond what a signature may be old, and far from the truth.
var wrongBy = []time.Duration{
	0, 0, 0, 4 * time.Minute, -4 * time.Minute, 6 * time.Minute, -6 * time.Minute, 2 * time.Hour, -2 * time.Hour, 26 * time.Hour, -26 * time.Hour,
	400 * 24 * time.Hour, -400 * 24 * time.Hour,
}

// stepper steps the clocks of the services, in an order that follows from its seed, while a storm lasts.
type stepper struct {
	w    *world
	rand *rand.Rand

	mu    sync.Mutex
	calm  bool
	count int
}

func (s *stepper) run(ctx context.Context) {
	names := []string{"ingress", "ingress", "payments", "notifier", "quotes"}
	for ctx.Err() == nil {
		wait(ctx, time.Duration(20+s.rand.IntN(200))*time.Millisecond)
		name, by := names[s.rand.IntN(len(names))], wrongBy[s.rand.IntN(len(wrongBy))]
		s.mu.Lock()
		if !s.calm {
			s.w.clocks[name].step(s.w.tb, by)
			s.count++
		}
		s.mu.Unlock()
	}
}

// resume begins to step the clocks.
func (s *stepper) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = false
}

// stop sets all clocks right and leaves them so until resume.
func (s *stepper) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = true
	for _, c := range s.w.clocks {
		c.step(s.w.tb, 0)
	}
}

// answersByTheClock holds each answer of ingress against the clock by which it was given.
type answersByTheClock struct {
	tb    testing.TB
	clock *clock
	// off are the answers 2xx and refused those 400 by a clock that was wrong.
	off, refused atomic.Int64
}

// answered is told of an answer to what was signed at a moment, in whole seconds.
func (a *answersByTheClock) answered(status int, signed, began, ended time.Time) {
	wrong := a.clock.during(began, ended)
	if fault := judge(status, signed, began, ended, wrong); fault != "" {
		a.tb.Errorf("%s: the clock of ingress was wrong by %s", fault, wrong)
	}
	if len(wrong) == 1 && wrong[0] != 0 && status/100 == 2 {
		a.off.Add(1)
	}
	if len(wrong) == 1 && wrong[0] != 0 && status == http.StatusBadRequest {
		a.refused.Add(1)
	}
}

// judge says what is wrong with an answer that ingress gave between two moments, by a clock that was wrong by one of so much.
func judge(status int, signed, began, ended time.Time, wrong []time.Duration) string {
	within, beyond := false, false
	for _, by := range wrong {
		youngest, oldest := began.Add(by).Sub(signed), ended.Add(by).Sub(signed)
		within = within || oldest >= -ingress.Tolerance && youngest <= ingress.Tolerance
		beyond = beyond || youngest < -ingress.Tolerance || oldest > ingress.Tolerance
	}
	switch {
	case status/100 == 2 && !within:
		return "a signature was accepted beyond its tolerance"
	case status == http.StatusBadRequest && !beyond:
		return "a signature was refused within its tolerance"
	}
	return ""
}

// The judge must be able to find fault.
func TestAnAnswerAgainstTheClockIsFound(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		status int
		wrong  []time.Duration
		fault  bool
	}{
		{200, []time.Duration{0}, false},
		{200, []time.Duration{4 * time.Minute}, false},
		{200, []time.Duration{6 * time.Minute}, true},
		{200, []time.Duration{-6 * time.Minute}, true},
		{200, []time.Duration{6 * time.Minute, 0}, false}, // stepped meanwhile: by one of the two it is right
		{400, []time.Duration{-26 * time.Hour}, false},
		{400, []time.Duration{0}, true},
		{400, []time.Duration{-4 * time.Minute}, true},
		{503, []time.Duration{0}, false},
	} {
		if got := judge(tt.status, now.Truncate(time.Second), now, now.Add(time.Second), tt.wrong); (got != "") != tt.fault {
			t.Errorf("%d by a clock that is wrong by %s: %q", tt.status, tt.wrong, got)
		}
	}
}

// R58, R61, R62: whatever the clocks of the services say, and while their processes are killed: no acknowledged webhook is lost,
// nothing is doubled, no signature is accepted beyond its tolerance by the clock that judges it, and when a quote was paid is told
// by Stripe's clock.
func TestStepsOfTheClocksLoseAndDoubleNothing(t *testing.T) {
	seed := seedOf(t)
	kills := fromEnv(t, "CHAOS_CLOCK_KILLS", 20)
	tags := map[string]string{}
	for _, s := range []string{"ingress", "payments", "notifier", "quotes"} {
		tags[s] = "faults"
	}
	w := newWorld(t, tags)
	c := newCampaign(w, seed, kills, 60*kills, max(1, min(kills/20, 10)))
	byTheClock := &answersByTheClock{tb: t, clock: w.clocks["ingress"]}
	w.tester.answered = byTheClock.answered
	steps := &stepper{w: w, rand: rand.New(rand.NewPCG(seed, 4)), calm: true}
	c.nemesis.faults = func(context.Context) { steps.resume() }
	c.nemesis.calmed = steps.stop
	ctx, cancel := context.WithCancel(t.Context())
	var stepping sync.WaitGroup
	stepping.Go(func() { steps.run(ctx) })
	t.Cleanup(func() { cancel(); stepping.Wait() })
	for i, by := range []time.Duration{4 * time.Minute, 6 * time.Minute} { // whatever the seed says, each kind of answer is seen
		w.clocks["ingress"].step(t, by)
		if got, want := w.tester.post(t.Context(), foreign(9_000_000+i, time.Now())), by < ingress.Tolerance; got != want {
			t.Errorf("by a clock that is %s ahead a webhook was accepted: %t, want %t", by, got, want)
		}
	}
	w.clocks["ingress"].step(t, 0)
	expires := c.expiring(10)
	if broken := c.run(); len(broken) > 0 {
		c.tell(broken)
		return
	}
	c.paidWhenStripeSays()
	c.expiredInTime(expires)
	if byTheClock.off.Load() == 0 || byTheClock.refused.Load() == 0 {
		t.Errorf("by a wrong clock %d webhooks were accepted and %d refused: nothing was tried", byTheClock.off.Load(), byTheClock.refused.Load())
	}
	line := fmt.Sprintf("%d steps of the clocks; by a wrong clock ingress accepted %d webhooks, within its tolerance, and refused %d; %s",
		steps.count, byTheClock.off.Load(), byTheClock.refused.Load(), c.summary())
	t.Log(line)
	c.say("everything holds: %s", line)
}

// expiring publishes quotes that nobody pays, and returns when each runs out.
func (c *campaign) expiring(count int) map[string]time.Time {
	all := map[string]time.Time{}
	ctx, cancel := context.WithTimeout(c.w.tb.Context(), patience)
	defer cancel()
	for i := range count {
		expires := time.Now().Add(time.Duration(5+2*i) * time.Second).Truncate(time.Second).UTC()
		all[c.offer(ctx, fmt.Sprintf("expiring-%d-%d", c.seed, i), 1000, expires.Format(time.RFC3339))] = expires
	}
	return all
}

// expiredInTime waits until each of the quotes has expired, and holds that it did so once and, by the log's clock, not before its time.
func (c *campaign) expiredInTime(expires map[string]time.Time) {
	c.w.tb.Helper()
	processtest.Eventually(c.w.tb, patience, "all quotes have expired", func() error {
		left := maps.Clone(expires)
		for r := range c.facts(event.NameExpired) {
			s, _ := event.ParseQuoteSubject(r.Subject)
			due, open := left[s.Quote]
			if !open || r.Time.Before(due) {
				c.w.tb.Fatalf("%s expired at %s; it was to do so once, at %s", s.Quote, r.Time, expires[s.Quote])
			}
			delete(left, s.Quote)
		}
		if len(left) > 0 {
			return fmt.Errorf("%d have not: %v", len(left), left)
		}
		return nil
	})
}

// facts are all of a name that are in the log.
func (c *campaign) facts(name string) iter.Seq[natsstream.Record] {
	return func(yield func(natsstream.Record) bool) {
		for from := uint64(1); ; {
			part, err := c.w.log.Scan(c.w.tb.Context(), event.StreamQuotes, from, 1000)
			if err != nil {
				c.w.tb.Fatal(err)
			}
			for _, r := range part {
				if s, ok := event.ParseQuoteSubject(r.Subject); ok && s.Event == name && !yield(r) {
					return
				}
			}
			if len(part) < 1000 {
				return
			}
			from = part[len(part)-1].Sequence + 1
		}
	}
}

// paidWhenStripeSays holds the time in each quote.paid against what Stripe sent about it.
func (c *campaign) paidWhenStripeSays() {
	c.w.tb.Helper()
	seen := 0
	for r := range c.facts(quote.EventPaid) {
		fact, err := quotepaid.Decode(r.Data)
		if err != nil {
			c.w.tb.Fatal(err)
		}
		told, known := c.paid[fact.QuoteID]
		if !known {
			continue // made by the API
		}
		if fact.PaidAt.Before(told.PaidFrom) || fact.PaidAt.After(told.PaidTo) {
			c.w.tb.Errorf("%s was paid at %s by quote.paid, and from %s to %s by Stripe", fact.QuoteID, fact.PaidAt, told.PaidFrom, told.PaidTo)
		}
		seen++
	}
	if seen == 0 {
		c.w.tb.Error("no quote.paid was looked at")
	}
}
