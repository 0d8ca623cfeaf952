package main

import (
	"context"
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
