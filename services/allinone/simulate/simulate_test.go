package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := learnRefusals(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestNoScheduleBreaksAnInvariant is the short form of `make simulate`, with seeds of its own.
func TestNoScheduleBreaksAnInvariant(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), options{schedules: schedulesHere, from: 1_000_000_000, workers: 2}, &out); code != 0 {
		t.Fatalf("simulate = %d, want 0:\n%s", code, out.String())
	}
	t.Log(strings.TrimSpace(out.String()))
}

// TestEverySabotageIsFound takes one rule away at a time. Whoever weakens a check, or makes the schedules so tame that they do
// not reach what the rule is for, sees it here.
func TestEverySabotageIsFound(t *testing.T) {
	t.Parallel()
	all := writeLives()
	for _, s := range sabotages {
		t.Run(string(s.how), func(t *testing.T) {
			t.Parallel()
			failed, c := search(t.Context(), all, options{schedules: 5000, from: 1, sabotage: s.how, workers: 1})
			if failed == 0 {
				t.Fatalf("without %s no schedule of %d has failed", s.what, c.schedules)
			}
			w := newWorld(t.Context(), s.how)
			defer w.close()
			w.tape.begin(failed)
			if w.run(all); w.broken == "" {
				t.Fatalf("seed %d failed and does not fail again", failed)
			}
			t.Logf("without %s: found by schedule %d, %s", s.what, failed, w.broken)
		})
	}
}

// TestAFailureIsToldInItsPlainestForm: of what has nothing to do with it, nothing is left. A message that was acknowledged first is
// lost with whoever has it in hand; that takes one death.
func TestAFailureIsToldInItsPlainestForm(t *testing.T) {
	t.Parallel()
	all := writeLives()
	failed, _ := search(t.Context(), all, options{schedules: 5000, from: 1, sabotage: ackFirst, workers: 1})
	w := newWorld(t.Context(), ackFirst)
	defer w.close()
	f := w.explain(all, failed)
	told := strings.Join(f.trace, "\n")
	if f.invariant == "" || !strings.Contains(told, "VIOLATED: "+f.invariant) {
		t.Errorf("seed %d breaks %q, and the trace does not tell it:\n%s", failed, f.invariant, told)
	}
	if n := strings.Count(told, "FAULT") + strings.Count(told, "== "); n > 2 { // the death and the end
		t.Errorf("the trace tells of %d faults and changes, it takes one and the end:\n%s", n, told)
	}
}

// TestTheCommandTellsHowItEnded: 0 where all holds, 1 where not, 2 where it cannot tell; one seed is told either way.
func TestTheCommandTellsHowItEnded(t *testing.T) {
	for _, c := range []struct {
		o    options
		code int
		says string
	}{
		{options{schedules: 10, from: 1, workers: 1}, 0, "no invariant is broken"},
		{options{one: 5, workers: 1}, 0, "-> log: "},
		{options{schedules: 1000, from: 1, workers: 1, sabotage: ackFirst}, 1, "again: make simulate SEED="},
		{options{schedules: 10, workers: 1, sabotage: "ack-frist"}, 2, "there are transition-only, "},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.o, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("run(%+v) = %d, want %d and %q:\n%s", c.o, code, c.code, c.says, out.String())
		}
	}
}

// TestAScheduleFollowsFromItsSeed: what happens in a schedule does not depend on what ran before it, or on chance.
func TestAScheduleFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	all := writeLives()
	first, second := newWorld(t.Context(), none), newWorld(t.Context(), none)
	defer first.close()
	defer second.close()
	first.tracing, second.tracing = true, true
	for seed := uint64(1); seed <= 100; seed++ {
		first.tape.begin(seed)
		first.run(all)
	}
	for seed := uint64(7); seed <= 100; seed += 7 {
		first.tape.begin(seed)
		first.run(all)
		second.tape.begin(seed)
		second.run(all)
		if !slices.Equal(first.trace, second.trace) {
			t.Fatalf("seed %d: two runs differ:\n%s\n\n%s", seed, strings.Join(first.trace, "\n"), strings.Join(second.trace, "\n"))
		}
		second.tape.replay(slices.Clone(first.tape.taken))
		second.run(all)
		if !slices.Equal(first.trace, second.trace) {
			t.Fatalf("seed %d: its decisions played again make another run", seed)
		}
	}
}

func BenchmarkSchedule(b *testing.B) {
	all := writeLives()
	w := newWorld(b.Context(), none)
	defer w.close()
	b.ReportAllocs()
	for seed := uint64(1); b.Loop(); seed++ {
		w.tape.begin(seed)
		w.run(all)
		if w.broken != "" {
			b.Fatalf("seed %d breaks %s: %s", seed, w.broken, w.why)
		}
	}
}
