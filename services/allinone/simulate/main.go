// Command simulate runs the production code of the payments worker and of the notifier through random schedules, over a
// log, a Redis, a key-value bucket and a mail relay in memory.
//
// A schedule is the life of one or two quotes: events come in any order, processes die before and after every effect,
// replies get lost, messages come again, Redis is wiped or loses its last writes, a process stands still until its lease is
// over. At its end the invariants must hold (check.go). A schedule follows from its seed alone; one that fails is made as
// plain as it can be, and printed.
//
// It does not simulate ingress, the servers themselves or time within a server: those are the crash proof's and the power
// cuts' subjects. `make simulate` runs it, `make simulate SEED=n` tells one schedule.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	schedules := flag.Uint64("schedules", 1_000_000, "how many schedules to run")
	from := flag.Uint64("from", 1, "the first seed; the others follow it")
	one := flag.Uint64("seed", 0, "run the schedule of this seed alone, and tell what happens in it")
	how := flag.String("sabotage", "", "take a rule away that the code relies on; the run must fail then")
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "how many schedules to run at a time")
	flag.Parse()
	os.Exit(run(context.Background(), options{*schedules, *from, *one, sabotage(*how), *workers}, os.Stdout)) //nolint:forbidigo // this is main
}

type options struct {
	schedules, from, one uint64
	sabotage             sabotage
	workers              int
}

// run is the command; it returns the exit code.
func run(ctx context.Context, o options, out io.Writer) int {
	if err := o.sabotage.check(); err != nil {
		fmt.Fprintln(out, "simulate:", err)
		return 2
	}
	if err := learnRefusals(ctx); err != nil {
		fmt.Fprintln(out, "simulate:", err)
		return 2
	}
	all := writeLives()
	if o.one != 0 {
		return tell(ctx, all, o, out)
	}
	began := time.Now() //nolint:forbidigo // how long the whole takes
	failed, c := search(ctx, all, o)
	took := time.Since(began)
	fmt.Fprintf(out, "%d schedules from seed %d in %.1f s (%.0f/s on %d cores): %d effects, %d faults, %d processes killed, %d times out of turn, redis lost keys %d times, %d mails\n",
		c.schedules, o.from, took.Seconds(), float64(c.schedules)/took.Seconds(), o.workers, c.effects, c.faults, c.crashes, c.switches, c.wipes, c.mails)
	if failed == 0 {
		fmt.Fprintln(out, "no invariant is broken")
		return 0
	}
	w := newWorld(ctx, o.sabotage)
	defer w.close()
	w.explain(all, failed).print(out, o.sabotage)
	return 1
}

// search runs schedules until one fails, and returns the least seed that does among those that were run, 0 for none.
func search(ctx context.Context, all []*life, o options) (failed uint64, sum counts) {
	debug.SetGCPercent(1000)
	var next, least atomic.Uint64
	next.Store(o.from)
	least.Store(^uint64(0))
	var group sync.WaitGroup
	var mu sync.Mutex
	for range o.workers {
		group.Go(func() {
			w := newWorld(ctx, o.sabotage)
			defer w.close()
			for {
				seed := next.Add(1) - 1
				if seed >= o.from+o.schedules || seed > least.Load() {
					break
				}
				w.tape.begin(seed)
				w.run(all)
				w.counted.schedules++
				if w.broken != "" {
					for l := least.Load(); seed < l && !least.CompareAndSwap(l, seed); l = least.Load() {
					}
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(w.counted)
		})
	}
	group.Wait()
	if failed = least.Load(); failed == ^uint64(0) {
		failed = 0
	}
	return failed, sum
}

func (c *counts) add(o counts) {
	c.schedules += o.schedules
	c.effects += o.effects
	c.faults += o.faults
	c.crashes += o.crashes
	c.switches += o.switches
	c.wipes += o.wipes
	c.mails += o.mails
}

// tell runs one schedule and prints what happens in it.
func tell(ctx context.Context, all []*life, o options, out io.Writer) int {
	w := newWorld(ctx, o.sabotage)
	defer w.close()
	w.tracing = true
	w.tape.begin(o.one)
	w.run(all)
	w.tracing = false
	if w.broken != "" {
		w.explain(all, o.one).print(out, o.sabotage)
		return 1
	}
	for _, line := range w.trace {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "seed %d: no invariant is broken\n", o.one)
	return 0
}

func (f found) print(out io.Writer, how sabotage) {
	for _, line := range f.trace {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "seed %d breaks %s: %s\n", f.seed, f.invariant, f.why)
	again := fmt.Sprintf("make simulate SEED=%d", f.seed)
	if how != none {
		again += " SABOTAGE=" + string(how)
	}
	fmt.Fprintln(out, "again:", again)
}
