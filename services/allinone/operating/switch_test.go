package operating_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// emissions counts the facts that payments has published, by subject.
func (r *rig) emissions() map[string]int {
	r.t.Helper()
	count := map[string]int{}
	for from := uint64(1); ; {
		records, err := r.log.Scan(r.t.Context(), event.StreamQuotes, from, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, rec := range records {
			count[rec.Subject]++
			from = rec.Sequence + 1
		}
		if len(records) < 1000 {
			return count
		}
	}
}

func (r *rig) noKeysOf(generation string) {
	r.t.Helper()
	keys, err := r.cache.Keys(r.t.Context(), generation+":*").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(keys) > 0 {
		r.t.Errorf("%d keys of generation %s are left, such as %s", len(keys), generation, keys[0])
	}
}

func TestSwitchGoesOverToAFreshGenerationAndEmitsNothingTwice(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.worker() // two instances
	r.live(60)
	before := len(r.emissions())
	o, err := redisquote.NewReader(r.cache, r.keys()).Outcome(t.Context(), event.StreamStripe, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.quotectl("rebuild", "--switch", "--reason", "drill").want(t, 0, "done g2", "prove it")
	r.quotectl("rebuild", "--verify").want(t, 0, "60 quotes of generation g2", "equal")
	r.quotectl("check", "conservation").want(t, 0)
	r.noKeysOf("g1")
	if after := len(r.emissions()); after != before {
		t.Errorf("%d messages in QUOTES after the rebuild, %d before", after, before)
	}
	if again, err := redisquote.NewReader(r.cache, r.keys()).Outcome(t.Context(), event.StreamStripe, 1); err != nil || !again.At.Equal(o.At) {
		t.Errorf("outcome of STRIPE 1 is of %v, %v; it was decided at %v", again.At, err, o.At)
	}
	r.quotectl("journal", "list").want(t, 0, "rebuild_switch", "g1 → g2", "drill")
	// The whole works with the new generation as with the old one, and once more.
	r.publish(60, 64)
	for _, e := range r.events(60, 64) {
		r.deliver(e)
	}
	r.settled()
	r.quotectl("rebuild", "--switch", "--reason", "again").want(t, 0, "done g3")
	r.quotectl("rebuild", "--verify").want(t, 0, "64 quotes of generation g3", "equal")
	r.noKeysOf("g2")
}

// While events come in and quotes are read, a switch takes nothing back that was shown once, and loses nothing.
func TestSwitchUnderLoadLosesNothingAndNeverGoesBackwards(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.worker()
	r.live(40)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	last := 40
	group.Go(func() error {
		for n := 40; ctx.Err() == nil && n < 6000; n += 5 {
			r.publish(n, n+5)
			for _, e := range r.events(n, n+5) {
				r.deliver(e)
			}
			last = n + 5
		}
		return nil
	})
	// A reader as quotes has it: it follows the generation, and once a quote is paid it must never be less.
	var active redisquote.Active
	group.Go(func() error {
		r.log.FollowGeneration(ctx, 50*time.Millisecond, func(g natsstream.Generation) { active.Set(g.Read) })
		return nil
	})
	group.Go(func() error {
		reader, paid := redisquote.NewReader(r.cache, &active), map[string]string{}
		for ctx.Err() == nil {
			for n := range 400 {
				id := fmt.Sprintf("q_%d", n)
				p, err := reader.Payment(ctx, event.Platform, id)
				if err != nil && ctx.Err() == nil && !errors.Is(err, redisquote.ErrNotFound) {
					return err
				}
				if was := paid[id]; was != "" && ctx.Err() == nil && p.Status != was && !later(was, p.Status) {
					return fmt.Errorf("%s was %s and is %q in %s", id, was, p.Status, active.Keys().Generation())
				}
				if p.Status != "" {
					paid[id] = p.Status
				}
			}
		}
		return nil
	})
	for n := 2; n <= 4; n++ {
		r.quotectl("rebuild", "--switch", "--reason", "drill").want(t, 0, fmt.Sprintf("done g%d", n))
		r.quotectl("rebuild", "--verify").want(t, 0)
	}
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	r.settled()
	r.quotectl("rebuild", "--verify").want(t, 0, fmt.Sprintf("%d quotes of generation g4", last), "equal")
	r.quotectl("check", "conservation").want(t, 0)
	for subject, n := range r.emissions() {
		if n != 1 {
			t.Errorf("%s is there %d times", subject, n)
		}
	}
}

// later reports whether a status may follow another as more becomes known.
func later(was, is string) bool {
	order := []string{"pending", "processing", "review", "paid", "refunded", "charged_back"}
	rank := func(s string) int {
		for i, o := range order {
			if s == o {
				return i
			}
		}
		return -1
	}
	return rank(is) > rank(was) || was == "processing" && is == "pending" // a debit that failed
}

func TestARebuildCanBeCancelledUntilItGoesOver(t *testing.T) {
	r := newRig(t)
	r.grace = 10 * time.Second // so long it folds, and so long it can be met folding
	stop := r.worker()
	r.live(10)
	stop()
	r.quotectl("rebuild", "--switch", "--reason", "x").want(t, 1, "no payments worker listens")
	r.quotectl("rebuild", "--cancel", "--reason", "x").want(t, 1, "no payments worker listens")
	r.quotectl("rebuild", "--status").want(t, 5, "there was no rebuild yet", "next: quotectl rebuild --verify")
	r.worker()
	r.quotectl("rebuild", "--cancel", "--reason", "x").want(t, 1, "no rebuild is folding")
	r.quotectl("rebuild").want(t, 2, "one of --verify, --switch")
	r.quotectl("rebuild", "--switch").want(t, 2, "--reason is missing")
	got := r.quotectl("rebuild", "--switch", "--detach", "--reason", "x").want(t, 0)
	if !strings.Contains(got.out, "g2") {
		t.Errorf("output = %s", got.out)
	}
	r.quotectl("rebuild", "--switch", "--reason", "y").want(t, 1, "under way already", "next: quotectl rebuild --status")
	cancelled := r.quotectl("rebuild", "--cancel", "--reason", "x")
	r.eventually("the rebuild has ended", func() error {
		if s, err := r.log.RebuildState(t.Context()); err != nil || s.Unfinished() {
			return fmt.Errorf("state is %s, %w", s.Phase, err)
		}
		return nil
	})
	generation := r.keys().Generation()
	if want := map[int]string{0: "g1", 1: "g2"}[cancelled.code]; generation != want { // it may have been too late
		t.Errorf("generation is %s after cancel ended with %d, want %s", generation, cancelled.code, want)
	}
	r.quotectl("rebuild", "--verify").want(t, 0, "equal")
	for _, g := range []string{"g1", "g2"} {
		if g != generation {
			r.noKeysOf(g)
		}
	}
}
