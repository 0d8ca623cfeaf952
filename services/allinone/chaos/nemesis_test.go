package chaos_test

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// nemesis breaks things, in an order that follows from its seed. What its faults meet does not: that is the machine's doing.
type nemesis struct {
	w    *world
	rand *rand.Rand
	// weights say how often each process is the victim.
	weights []weight
	// faults is what it does, now and then, after a kill; also by default.
	faults func(context.Context)
	// calmed takes back what else was done, when a storm is over; nil for nothing.
	calmed func()
	// flushes and scriptFlushes are how often Redis lost everything, or its scripts alone.
	flushes, scriptFlushes int
}

type weight struct {
	keeper *keeper
	n      int
}

func newNemesis(w *world, seed uint64) *nemesis {
	n := &nemesis{w: w, rand: rand.New(rand.NewPCG(seed, 1)), weights: []weight{
		{w.ingress, 4}, {w.payments, 5}, {w.notifier, 4}, {w.quotes, 2}, {w.nats, 3}, {w.redis, 2},
	}}
	n.faults = n.also
	return n
}

func (n *nemesis) between(least, most time.Duration) time.Duration {
	return least + time.Duration(n.rand.Int64N(int64(most-least)))
}

// kill kills the next victim. One that is down already, or stands still, is left alone, and another one chosen.
func (n *nemesis) kill(ctx context.Context) bool {
	total := 0
	for _, w := range n.weights {
		total += w.n
	}
	at := n.rand.IntN(total)
	length := n.between(0, 300*time.Millisecond)
	for _, w := range n.weights {
		if at -= w.n; at < 0 {
			return n.tell(ctx, w.keeper, command{signal: syscall.SIGKILL, length: length})
		}
	}
	return false
}

// tell gives a command to a keeper that is not at another one.
func (n *nemesis) tell(ctx context.Context, k *keeper, c command) bool {
	done := make(chan bool, 1)
	c.done = done
	select {
	case k.commands <- c:
	case <-ctx.Done():
		return false
	case <-time.After(5 * time.Millisecond):
		return false
	}
	return <-done
}

// also does, now and then, what is not a kill.
func (n *nemesis) also(ctx context.Context) {
	switch at := n.rand.IntN(100); {
	case at < 5: // longer than the wait for an acknowledgement, and than a mail's lease
		n.tell(ctx, n.w.payments, command{signal: syscall.SIGSTOP, length: n.between(100*time.Millisecond, 4*time.Second)})
	case at < 10:
		n.tell(ctx, n.w.notifier, command{signal: syscall.SIGSTOP, length: n.between(100*time.Millisecond, 4*time.Second)})
	case at < 20:
		n.w.proxy.drop.Store(1 + n.rand.Int64N(4))
	case at < 28:
		n.w.mail.CutAfterData(1 + n.rand.IntN(3))
	case at < 32:
		if n.w.cache.ScriptFlush(ctx).Err() == nil {
			n.scriptFlushes++
		}
	case at < 34:
		n.flush(ctx)
	}
}

func (n *nemesis) flush(ctx context.Context) {
	if n.w.cache.FlushAll(ctx).Err() == nil {
		n.flushes++
	}
}

// calm takes back what is still to come.
func (n *nemesis) calm() {
	n.w.proxy.drop.Store(0)
	n.w.mail.CutAfterData(0)
	if n.calmed != nil {
		n.calmed()
	}
}
