package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
)

// process is one life of a process. What a dead one does has no effect.
type process struct {
	w       *world
	slot    *slot
	dead    bool
	looking bool // it has not found Redis whole yet, or looks again: no batch begins
	worker  *payments.Core
	mailer  *notifier.Core
	started time.Time // of the delivery in hand, for the sabotage frozenClock
}

func (p *process) workerStores() payments.Stores {
	return payments.Stores{Log: journal{p}, Redis: p.slot.redis, System: system{p}}
}

func (p *process) mailStores() notifier.Stores {
	return notifier.Stores{Log: journal{p}, Dead: journal{p}, Ledger: ledger{p}, Dial: p.dial, Pause: p.pause}
}

// fate is what becomes of an effect.
type fate int

const (
	proceed   fate = iota
	refused        // it does not happen, and the caller is told that it failed
	mute           // it happens, and the caller is told that it failed
	twice          // it happens twice: a client repeats by itself what was not answered
	deadAfter      // it happens, and the process dies
	dead           // it does not happen: the process is dead, or dies before
)

func (f fate) lost() bool { return f == dead || f == refused }

// faulty are the fates that are no plain one.
var faulty = [...]fate{refused, mute, dead, deadAfter, twice}

func (f fate) String() string {
	return [...]string{"", "fails", "happens, the answer is lost", "happens twice", "happens, then the process dies", "the process dies before"}[f]
}

var errLost = errors.New("no answer")

// effect is asked before every effect of a process, and says what becomes of it. after must be called when it has.
func (p *process) effect(what, on string) fate {
	w := p.w
	if p.dead {
		return dead
	}
	w.counted.effects++
	if w.quiet {
		return proceed
	}
	b := int(w.tape.byte())
	switch {
	case b < 256-w.faults-w.switches:
		if on != "" { // what only reads is told where something happens to it
			w.note(p.slot.name, what, on)
		}
		return proceed
	case b < 256-w.faults || w.budget == 0:
		w.counted.switches++
		w.note(p.slot.name, what, on, "... waits")
		if !p.giveWay() {
			return dead
		}
		w.note(p.slot.name, "... goes on:", what, on)
		return proceed
	}
	w.budget--
	w.counted.faults++
	f := faulty[w.tape.pick(len(faulty))]
	w.note(p.slot.name, what, on, "FAULT:", f)
	if f == dead {
		p.die()
	}
	return f
}

// after is what follows an effect.
func (p *process) after(f fate) {
	if f == deadAfter {
		p.die()
	}
}

// read is effect for what changes nothing.
func (p *process) read(what string) error {
	f := p.effect(what, "")
	p.after(f)
	if f == proceed || f == twice {
		return nil
	}
	return errLost
}

// giveWay lets others go on. It returns false when the process has died meanwhile.
func (p *process) giveWay() bool {
	p.w.running.yield(struct{}{})
	return !p.dead
}

func (p *process) die() {
	if !p.dead {
		p.dead = true
		p.w.counted.crashes++
	}
}

// pause is a wait of a process for something to come back.
func (p *process) pause(context.Context, time.Duration) error {
	if p.dead || !p.w.quiet && !p.giveWay() {
		return errLost
	}
	return nil
}

// redis carries commands out.
func (p *process) redis(cmds []redis.Cmder) error {
	w := p.w
	on := ""
	if w.tracing {
		on = described(cmds)
	}
	f := p.effect("redis", on)
	if f.lost() {
		return failed(cmds)
	}
	n := len(cmds)
	var err error
	switch {
	case f == mute || f == deadAfter:
		n -= w.tape.pick(n) // the line may break in the middle
	case f == twice:
		_ = w.store.carryOut(cmds) // its answers are overwritten below
		for _, c := range cmds {
			c.SetErr(nil)
		}
	case n > 1 && !w.quiet && w.switches > 0 && w.tape.chance(w.switches/4):
		half := 1 + w.tape.pick(n-1)
		w.note(p.slot.name, "... waits in the middle")
		if err = w.store.carryOut(cmds[:half]); !p.giveWay() {
			return failed(cmds)
		}
		if rest := w.store.carryOut(cmds[half:]); err == nil {
			err = rest
		}
		return err
	}
	err = w.store.carryOut(cmds[:n])
	p.after(f)
	if f == mute || f == deadAfter {
		return failed(cmds)
	}
	return err
}

func failed(cmds []redis.Cmder) error {
	for _, c := range cmds {
		c.SetErr(errLost)
	}
	return errLost
}

func described(cmds []redis.Cmder) string {
	var all []string
	for _, c := range cmds {
		args := c.Args()
		name := fmt.Sprint(args[0])
		switch {
		case strings.HasPrefix(name, "eval"):
			all = append(all, "script "+text(args[3]))
		case len(args) > 2 && name[0] == 'h':
			all = append(all, name+" "+text(args[1])+" "+text(args[2]))
		case len(args) > 1:
			all = append(all, name+" "+text(args[1]))
		default:
			all = append(all, name)
		}
	}
	if len(all) > 4 {
		all = append(all[:4], fmt.Sprintf("and %d more", len(all)-4))
	}
	return strings.Join(all, "; ")
}
