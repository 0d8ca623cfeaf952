package main

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
)

const (
	// storm is how many steps a schedule has before faults end, at most.
	storm = 160
	// patience is after how many steps without faults a schedule must have come to its end.
	patience = 3000
)

// run carries out the schedule that the tape tells.
func (w *world) run(all []*life) {
	w.reset(all)
	for w.steps < w.storm && (!w.allArrived() || w.busy() || w.tape.chance(200)) {
		w.steps++
		w.step()
	}
	w.calm()
	if w.broken == "" {
		w.check()
	}
}

// reset makes the world as it is before anything has happened, and draws what the schedule is about.
func (w *world) reset(all []*life) {
	w.broken, w.why, w.trace = "", "", w.trace[:0]
	w.now, w.steps, w.quiet, w.budget, w.faults, w.switches = began.Add(time.Hour), 0, false, 0, 0, 0
	for _, s := range []*stream{&w.stripe, &w.quotes, &w.sellers, &w.deadLetters} {
		s.clear()
	}
	for i := range w.durables {
		w.durables[i].clear()
	}
	clear(w.system)
	clear(w.moved)
	w.store.clear()
	w.mail.clear()

	w.lives = append(w.lives[:0], all[w.tape.pick(len(all))])
	w.draw(all)
	for i, s := range w.slots {
		s.owners, s.mustSee = 0, false
		if s.used = i == 0 || i == 2 || w.tape.chance(96); s.used {
			w.start(s)
		} else {
			s.p = &process{w: w, slot: s, dead: true}
		}
	}
	if !w.tape.chance(32) { // else the first look finds whatever has come in until then
		w.quiet = true
		w.look(w.slots[0])
		w.quiet = false
	}
}

// draw decides what happens to the quotes, in which order it comes into the log, and how rough it gets.
func (w *world) draw(all []*life) {
	if w.tape.chance(40) {
		if second := all[w.tape.pick(len(all))]; second != w.lives[0] {
			w.lives = append(w.lives, second)
		}
	}
	for i := range w.arriving {
		w.arriving[i] = w.arriving[i][:0]
	}
	for _, l := range w.lives {
		for _, a := range l.arrivals {
			if a.stream == event.StreamQuotes {
				w.arriving[0] = append(w.arriving[0], a)
			} else {
				w.arriving[1] = append(w.arriving[1], a)
			}
		}
	}
	if !w.tape.chance(64) {
		for i, list := 0, w.arriving[1]; i < len(list)-1; i++ {
			j := i + w.tape.pick(len(list)-i)
			list[i], list[j] = list[j], list[i]
		}
	}
	w.faults = [...]int{0, 3, 6, 16}[w.tape.pick(4)]
	w.switches = [...]int{0, 8, 24, 64}[w.tape.pick(4)]
	w.weather = [...]int{0, 4, 12, 32}[w.tape.pick(4)]
	w.roughMail = [...]int{0, 0, 0, 200}[w.tape.pick(4)]
	w.budget = w.tape.pick(8)
	w.storm = 20 + w.tape.pick(storm-20)
	w.thorough = w.tape.chance(12)
	w.harsh = w.tape.chance(48)
}

func (w *world) allArrived() bool { return len(w.arriving[0])+len(w.arriving[1]) == 0 }

// busy reports whether anybody has something in hand.
func (w *world) busy() bool {
	for _, s := range w.slots {
		if s.busy() {
			return true
		}
	}
	return false
}

func (s *slot) busy() bool {
	for _, a := range s.actors {
		if a != nil && a.job != nil {
			return true
		}
	}
	return false
}

// choice is something that may happen next.
type choice struct {
	kind choiceKind
	slot *slot
	a    *actor
	at   int // place of the message
}

type choiceKind int

const (
	goOn choiceKind = iota
	startLooking
	take
	bringUp
	arriveQuote
	arriveStripe
)

// choices are what may happen next, the plainest first. next is when a message will be due that is not yet.
func (w *world) choices() (all []choice, next time.Time) {
	all, next = w.room[:0], w.now.Add(1000*time.Hour)
	for _, s := range w.slots {
		if s.p.dead {
			if s.used && !s.busy() {
				all = append(all, choice{kind: bringUp, slot: s})
			}
			continue
		}
		if s.p.looking && !s.busy() {
			all = append(all, choice{kind: startLooking, slot: s})
		}
		for _, a := range s.actors {
			switch {
			case a == nil:
			case a.job != nil:
				all = append(all, choice{kind: goOn, slot: s, a: a})
			case !s.p.looking:
				if at := w.durables[a.d].ready(0, w.now, &next); at >= 0 {
					all = append(all, choice{kind: take, slot: s, a: a, at: at})
				}
			}
		}
	}
	if len(w.arriving[0]) > 0 {
		all = append(all, choice{kind: arriveQuote})
	}
	if len(w.arriving[1]) > 0 {
		all = append(all, choice{kind: arriveStripe})
	}
	w.room = all
	return all, next
}

// step lets one thing happen.
func (w *world) step() {
	w.now = w.now.Add(time.Millisecond)
	if w.tape.chance(w.weather) {
		w.change()
		return
	}
	all, next := w.choices()
	if len(all) == 0 {
		w.now = next
		return
	}
	w.carryOut(all[w.tape.pick(len(all))])
}

func (w *world) carryOut(c choice) {
	switch c.kind {
	case goOn:
		w.resume(c.a)
	case startLooking:
		w.look(c.slot)
	case take:
		w.take(c)
	case bringUp:
		w.note(c.slot.name, "starts")
		w.start(c.slot)
	case arriveQuote:
		w.arrive(0)
	case arriveStripe:
		w.arrive(1)
	}
	if c.slot != nil && c.slot.p.dead && c.slot.busy() {
		w.kill(c.slot)
	}
}

func (w *world) arrive(i int) {
	a := w.arriving[i][0]
	w.arriving[i] = w.arriving[i][1:]
	w.stream(a.stream).add(a.subject, nil, a.body, w.now)
	w.note("-> log:", a.subject)
}

// take hands an actor what is there: a few messages, perhaps not the first ones.
func (w *world) take(c choice) {
	d := &w.durables[c.a.d]
	at, never := c.at, w.now
	if !w.quiet && w.tape.chance(40) {
		if later := d.ready(at+1, w.now, &never); later >= 0 {
			at = later
		}
	}
	if c.a.d == paidToNotifier {
		m := d.deliver(c.slot.p, at)
		w.note(c.slot.name, "takes", m.Subject())
		w.mailOut(c.a, m)
		return
	}
	limit := 3
	if !w.quiet {
		limit = 1 + w.tape.pick(4)
	}
	var batch []jetstream.Msg
	for ; at >= 0 && len(batch) < limit; at = d.ready(at+1, w.now, &never) {
		m := d.deliver(c.slot.p, at)
		w.note(c.slot.name, "takes", m.Subject())
		batch = append(batch, m)
	}
	w.settle(c.a, batch)
}

// change is something from outside.
func (w *world) change() {
	switch w.tape.pick(9) {
	case 8:
		if s := w.slots[0]; w.harsh && !s.p.dead && !s.busy() {
			w.sweep(s)
		}
	case 0:
		by := [...]time.Duration{time.Second, 5 * time.Second, 31 * time.Second, 31 * time.Second, 16 * time.Minute, 16 * time.Minute, time.Hour}[w.tape.pick(7)]
		w.note("== time passes:", by)
		w.now = w.now.Add(by)
	case 1, 2:
		s := w.slots[w.tape.pick(slots)]
		if !s.p.dead {
			w.note("==", s.name, "is killed")
			w.kill(s)
		}
	case 3:
		if !w.harsh {
			return
		}
		w.lose("== redis is wiped", w.store.wipe)
		if w.sabotage == ledgerInRedis {
			for _, e := range w.mail.entries {
				e.value, e.revision = nil, 0
			}
		}
	case 4:
		if w.harsh && w.store.backup == nil {
			w.store.save()
			w.saved = w.now
		} else if w.harsh && w.now.Sub(w.saved) < time.Minute {
			w.lose("== redis loses its last writes", w.store.restore)
		}
	case 5:
		w.note("== nats forgets acknowledgements")
		d := &w.durables[w.tape.pick(durables)]
		d.extend()
		d.forget(max(len(d.places)-1-w.tape.pick(8), 0))
	case 6:
		w.note("== redis forgets its scripts")
		clear(w.store.scripts)
	case 7:
		s := w.slots[w.tape.pick(2)]
		if s.used && !s.p.dead && !s.busy() {
			w.look(s)
		}
	}
}

func (w *world) lose(what string, do func()) {
	w.note(what)
	do()
	w.counted.wipes++
	for _, s := range w.slots[:2] {
		s.mustSee = true
	}
}

// calm lets everything come to its end: no more faults, everybody is up, all that waits comes due.
func (w *world) calm() {
	w.quiet = true
	w.note("== no more faults")
	for range patience {
		if w.broken != "" {
			return
		}
		w.now = w.now.Add(time.Millisecond)
		all, next := w.choices()
		switch {
		case len(all) > 0:
			w.carryOut(all[0])
		case w.unseen() != nil:
			w.look(w.unseen())
		case w.done():
			return
		default:
			w.now = next
		}
	}
	w.violate("I3 liveness", "it has not come to its end %d steps after the last fault", patience)
}

func (w *world) unseen() *slot {
	for _, s := range w.slots[:2] {
		if s.used && s.mustSee {
			return s
		}
	}
	return nil
}

func (w *world) done() bool {
	for i := range w.durables {
		if !w.durables[i].done() {
			return false
		}
	}
	return true
}

// paidSubjects lists the quote.paid of the log.
func (w *world) paidSubjects() []string {
	var all []string
	for _, r := range w.quotes.records {
		if strings.HasPrefix(r.Subject, "quote."+event.NamePaid+".") {
			all = append(all, r.Subject)
		}
	}
	return all
}
