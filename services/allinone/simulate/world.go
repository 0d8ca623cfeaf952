package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
)

// The consumers.
const (
	stripeToPayments = iota
	quotesToPayments
	paidToNotifier
	durables
)

// world is everything that a schedule runs in. It belongs to one goroutine and serves one schedule after the other.
type world struct {
	ctx      context.Context //nolint:containedctx // it never ends, and nobody asks it anything
	tape     tape
	sabotage sabotage
	now      time.Time

	stripe, quotes, sellers, deadLetters stream
	durables                             [durables]durable
	system                               map[string][]byte
	store                                *store
	mail                                 post

	slots   [slots]*slot
	running *actor

	lives     []*life // of this schedule
	arriving  [2][]arrival
	room      []choice
	saved     time.Time // when the store was saved
	storm     int
	roughMail int             // of 256 mails: no answer
	weather   int             // of 256 steps: something happens from outside
	harsh     bool            // Redis loses keys
	thorough  bool            // look closer than usual
	moved     map[string]bool // for the sabotage transitionOnly: facts that a commit made true just now

	quiet            bool // no more faults
	faults, switches int  // of 256 effects
	budget           int  // of faults
	steps            int

	broken  string // which invariant is
	why     string
	tracing bool
	trace   []string
	counted counts
}

// counts are what happened in all schedules of a world.
type counts struct {
	schedules, effects, faults, crashes, switches, wipes, mails int
}

// slots are the processes: two workers, two notifiers.
const slots = 4

// slot is a place for a process that may die and be started again.
type slot struct {
	name    string
	used    bool
	p       *process
	wire    *wire
	redis   redis.UniversalClient
	worker  *payments.Core // the first of all, from which the others are restarted
	mailer  *notifier.Core
	actors  [3]*actor
	mustSee bool // Redis may have lost keys since it was looked at
	owners  int
}

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

// actor is a place where one thing after the other is done, step by step.
type actor struct {
	slot  *slot
	d     int // consumer
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	job   func() // nil when it has nothing in hand
}

func newActor(s *slot, d int) *actor {
	a := &actor{slot: s, d: d}
	a.next, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		a.yield = yield
		for yield(struct{}{}) {
			a.job()
			a.job = nil
		}
	})
	a.next() // to the first yield
	return a
}

// resume goes on with the actor's job until it gives way or is done.
func (w *world) resume(a *actor) {
	before := w.running
	w.running = a
	a.next()
	w.running = before
}

func newWorld(ctx context.Context, how sabotage) *world {
	w := &world{
		ctx:      ctx,
		sabotage: how, system: map[string][]byte{}, store: newStore(), moved: map[string]bool{},
		stripe: stream{name: event.StreamStripe, subjects: map[string]uint64{}}, quotes: stream{name: event.StreamQuotes, subjects: map[string]uint64{}},
		sellers: stream{name: event.StreamSellers, subjects: map[string]uint64{}}, deadLetters: stream{name: event.StreamDead, subjects: map[string]uint64{}},
	}
	w.mail = newPost(w)
	w.store.blind = how == blindCommit
	w.store.committed = w.committed
	w.durables[stripeToPayments] = durable{name: "payments", stream: &w.stripe, prefix: "stripe."}
	w.durables[quotesToPayments] = durable{name: "payments", stream: &w.quotes, prefix: "quote."}
	w.durables[paidToNotifier] = durable{name: "notifier", stream: &w.quotes, prefix: "quote." + event.NamePaid + "."}
	for i := range w.slots {
		w.slots[i] = w.newSlot(i)
	}
	return w
}

func (w *world) newSlot(i int) *slot {
	s := &slot{}
	s.p = &process{w: w, slot: s}
	if i < 2 {
		client, h := newWire()
		h.p = s.p
		s.name, s.redis, s.wire = fmt.Sprintf("worker %d", i+1), client, h
		s.worker = payments.NewCore(payments.Config{
			Mode: event.ModeTest, Batch: 64, ParkedFor: parkedFor, Version: "simulation", Now: w.clock,
		}, s.p.workerStores(), prometheus.NewRegistry(), zap.NewNop())
		s.actors = [3]*actor{newActor(s, stripeToPayments), newActor(s, stripeToPayments), newActor(s, quotesToPayments)}
		return s
	}
	s.name = fmt.Sprintf("notifier %d", i-1)
	var err error
	s.mailer, err = notifier.NewCore(notifier.Config{
		From: sender, Connections: 2, Now: w.mailClock, NewOwner: w.owner, Relay: notifier.Relay{SendTimeout: 14 * time.Minute},
	}, s.p.mailStores(), prometheus.NewRegistry(), zap.NewNop())
	if err != nil {
		panic(err) // the templates are embedded
	}
	s.actors[0] = newActor(s, paidToNotifier)
	return s
}

// close ends the actors.
func (w *world) close() {
	for _, s := range w.slots {
		for _, a := range s.actors {
			if a != nil {
				a.stop()
			}
		}
	}
}

func (p *process) workerStores() payments.Stores {
	return payments.Stores{Log: journal{p}, Redis: p.slot.redis, System: system{p}}
}

func (p *process) mailStores() notifier.Stores {
	return notifier.Stores{Log: journal{p}, Dead: journal{p}, Ledger: ledger{p}, Dial: p.dial, Pause: p.pause}
}

func (w *world) clock() time.Time { return w.now }

// mailClock is the notifiers' clock.
func (w *world) mailClock() time.Time {
	if w.sabotage == frozenClock && w.running != nil {
		return w.running.slot.p.started
	}
	return w.now
}

// owner names an attempt.
func (w *world) owner() string {
	s := w.running.slot
	s.owners++
	return fmt.Sprintf("%s.%d", s.name, s.owners)
}

func (w *world) stream(name string) *stream {
	switch name {
	case event.StreamStripe:
		return &w.stripe
	case event.StreamQuotes:
		return &w.quotes
	case event.StreamSellers:
		return &w.sellers
	default:
		panic("no stream " + name)
	}
}

func (w *world) streamOf(subject string) *stream {
	if strings.HasPrefix(subject, "seller.") {
		return &w.sellers
	}
	return &w.quotes
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

// note writes into the trace.
func (w *world) note(parts ...any) {
	if !w.tracing {
		return
	}
	line := fmt.Sprintf("%10s  ", w.now.Sub(began).Truncate(time.Millisecond))
	for i, p := range parts {
		if i > 0 {
			line += " "
		}
		line += fmt.Sprint(p)
	}
	w.trace = append(w.trace, strings.TrimRight(line, " "))
}

// violate records that an invariant is broken; the first one counts.
func (w *world) violate(invariant, format string, args ...any) {
	if w.broken == "" {
		w.broken, w.why = invariant, fmt.Sprintf(format, args...)
		w.note("VIOLATED:", invariant, w.why)
	}
}

// start brings a process up.
func (w *world) start(s *slot) {
	s.p = &process{w: w, slot: s}
	if s.worker != nil {
		s.wire.p = s.p
		s.p.worker = s.worker.Restarted(s.p.workerStores())
		s.p.looking = true
		return
	}
	s.p.mailer = s.mailer.Restarted(s.p.mailStores())
}

// kill ends a process where it stands. What its actors still do has no effect.
func (w *world) kill(s *slot) {
	s.p.die()
	for _, a := range s.actors {
		if a != nil && a.job != nil {
			w.resume(a)
		}
	}
}

// begin gives an actor something to do, and lets it.
func (w *world) begin(a *actor, job func()) {
	a.job = job
	w.resume(a)
}

// settle leads messages through a worker, as the loops of Service do.
func (w *world) settle(a *actor, messages []jetstream.Msg) {
	p := a.slot.p
	w.begin(a, func() {
		ctx := w.ctx
		b := p.worker.Take(messages)
		p.worker.Apply(ctx, b)
		for p.worker.Conclude(ctx, b) != nil {
			if p.dead || !p.giveWay() {
				return
			}
		}
	})
}

// mailOut leads a message through a notifier.
func (w *world) mailOut(a *actor, m jetstream.Msg) {
	p := a.slot.p
	p.started = w.now
	w.begin(a, func() {
		_ = p.mailer.Handle(w.ctx, m) // lost answers mean a redelivery
	})
}

// look lets a worker look whether Redis is whole.
func (w *world) look(s *slot) {
	p := s.p
	p.looking, s.mustSee = true, false
	w.note(s.name, "looks at redis")
	w.begin(s.actors[0], func() {
		for p.worker.Inspect(w.ctx) != nil {
			if p.dead || !p.giveWay() {
				return
			}
		}
		p.looking = false
	})
}

// sweep lets a worker give up what has waited too long.
func (w *world) sweep(s *slot) {
	p := s.p
	w.now = w.now.Add(parkedFor + time.Hour)
	w.note(s.name, "sweeps, three days later")
	w.begin(s.actors[0], func() {
		_ = p.worker.Sweep(w.ctx) // it is tried again a minute later
	})
}
