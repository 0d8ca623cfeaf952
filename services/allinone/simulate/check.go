package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/notifier"
)

var keys = redisquote.NewKeys(redisquote.Generation)

// check holds the end of a schedule against the invariants.
func (w *world) check() {
	w.checkProjection()
	w.checkOutcomes()
	w.checkEmissions()
	w.checkMails()
	w.checkBounds()
	if w.thorough && w.broken == "" {
		w.checkRebuild()
	}
}

// checkProjection: I3, I7, I11. Every quote shows what the pure fold of its life says, whatever came in which order.
func (w *world) checkProjection() {
	for _, l := range w.lives {
		for _, want := range l.want {
			v := w.store.find(keys.Pay(want.key.Account, want.key.Quote))
			digest, _ := v.get(redisquote.FieldDigest)
			status, _ := v.get(redisquote.FieldStatus)
			flags, _ := v.get(redisquote.FieldFlags)
			if status != want.live.Status {
				w.violate("I3 status", "%s on %s is %q, want %q (%s)", want.key.Quote, want.key.Account, status, want.live.Status, l.name)
			}
			if digest != want.live.Digest || flags != want.live.Flags {
				w.violate("I7 purity", "%s on %s holds other facts or flags than the pure fold: %q, want %q", want.key.Quote, want.key.Account, flags, want.live.Flags)
			}
		}
	}
}

// checkOutcomes: I9. Every message has one outcome, and the right one; what is dead is set aside.
func (w *world) checkOutcomes() {
	if w.sweepIsDue() {
		w.now = w.now.Add(parkedFor + time.Hour)
		if err := w.slots[0].p.worker.Sweep(w.ctx); err != nil {
			w.violate("I9 conservation", "sweep: %v", err)
		}
	}
	for _, s := range []*stream{&w.stripe, &w.quotes} {
		for _, r := range s.records {
			kind, err := w.outcome(r.Stream, r.Sequence)
			if err != nil {
				w.violate("I9 conservation", "%s %d (%s) has no outcome: %v", r.Stream, r.Sequence, r.Subject, err)
				return
			}
			want, known := w.wantedOutcome(r.Subject)
			if !known {
				want = projection.Applied // what payments published itself
			}
			if !fits(kind, want) {
				w.violate("I9 conservation", "%s %d (%s) is %s, want %s", r.Stream, r.Sequence, r.Subject, kind, want)
			}
			letter := event.DeadSubject("payments", r.Stream, r.Sequence, 1)
			if _, aside := w.deadLetters.subjects[letter]; aside != (want == projection.Dead) {
				w.violate("I9 conservation", "%s %d (%s) is %s; a dead letter of it is there: %t", r.Stream, r.Sequence, r.Subject, kind, aside)
			}
		}
	}
}

// sweepIsDue reports whether a message stands as waiting, or as given up, that is counted: a crash came before the record of
// it. The next sweep finds out.
func (w *world) sweepIsDue() bool {
	for _, r := range w.stripe.records {
		want, _ := w.wantedOutcome(r.Subject)
		kind, err := w.outcome(r.Stream, r.Sequence)
		if err == nil && !fits(kind, want) && (kind == projection.Parked || kind == projection.Ignored) {
			return true
		}
	}
	return false
}

func (w *world) outcome(name string, sequence uint64) (string, error) {
	text, _ := w.store.find(keys.Outcomes(name, sequence)).get(strconv.FormatUint(sequence, 10))
	if rest, ok := strings.CutPrefix(text, `{"outcome":"`); ok { // as payments writes it nearly always
		kind, _, _ := strings.Cut(rest, `"`)
		return kind, nil
	}
	var o redisquote.Outcome
	err := json.Unmarshal([]byte(text), &o)
	return o.Outcome, err
}

func (w *world) wantedOutcome(subject string) (string, bool) {
	for _, l := range w.lives {
		if o, ok := l.outcomes[subject]; ok {
			return o.Kind, true
		}
	}
	return "", false
}

// fits: which of several messages that tell the same is the one that was applied depends on the order; what waits may have
// been given up.
func fits(kind, want string) bool {
	folded := projection.Outcome{Kind: kind}.Folded() && projection.Outcome{Kind: want}.Folded()
	return kind == want || folded || want == projection.Parked && kind == projection.Ignored
}

// checkEmissions: I4 and I5. The log holds each fact that is due, and no other. That it holds it once is the log's own
// promise, which the model in memory keeps by construction.
func (w *world) checkEmissions() {
	for _, l := range w.lives {
		for subject := range l.due {
			if _, stored := w.quotes.subjects[subject]; !stored {
				w.violate("I4 emission", "%s is due and not in the log (%s)", subject, l.name)
			}
		}
		if l.paid > 0 {
			w.checkPaid(l)
		}
		if _, stored := w.sellers.subjects[l.accountFact]; l.accountFact != "" && !stored {
			w.violate("I4 emission", "%s is not in the log (%s)", l.accountFact, l.name)
		}
	}
	for _, r := range w.quotes.records {
		if _, arrived := w.wantedOutcome(r.Subject); !arrived && !w.justified(r.Subject) {
			w.violate("I5 ghost", "%s is in the log and nothing justifies it", r.Subject)
		}
	}
}

// checkPaid looks into the fact itself.
func (w *world) checkPaid(l *life) {
	at := w.quotes.subjects[l.paidSubject(l.paid)]
	if at == 0 {
		w.violate("I4 emission", "%s: no quote.paid of revision %d (%s)", l.quote, l.paid, l.name)
		return
	}
	e, err := event.Decode(w.quotes.records[at-1].Data)
	if err != nil || e.ID != event.ID(event.NamePaid, seller, l.quote, strconv.Itoa(l.paid)) {
		w.violate("I4 emission", "%s: quote.paid with id %q: %v", l.quote, e.ID, err)
	}
}

func (w *world) justified(subject string) bool {
	for _, l := range w.lives {
		if l.due[subject] || l.perhaps > 0 && subject == l.paidSubject(l.perhaps) {
			return true
		}
	}
	return false
}

// checkMails: I6.
func (w *world) checkMails() {
	for _, subject := range w.paidSubjects() {
		name, _ := event.ParseQuoteSubject(subject)
		key := name.Seller + "." + name.Quote + "." + name.N + "." + event.NamePaid
		e := w.mail.entries[key]
		if w.sabotage == ledgerInRedis && e != nil && e.revision == 0 { // what comes of that is to be found
			if e.accepted > 1 {
				w.violate("I6 mail", "%s: %d mails", key, e.accepted)
			}
			continue
		}
		if e == nil || e.revision == 0 {
			w.violate("I6 mail", "%s: the ledger has no entry", key)
			continue
		}
		entry, err := notifier.DecodeEntry(e.value)
		if err != nil {
			w.violate("I6 mail", "%s: %v", key, err)
			continue
		}
		w.checkMail(key, e, entry)
	}
}

func (w *world) checkMail(key string, e *held, entry notifier.Entry) {
	bad := func(what string) { w.violate("I6 mail", "%s: %d mails, %s (%s)", key, e.accepted, what, e.value) }
	expected := 1
	for _, l := range w.lives {
		if l.undeliverable && strings.HasPrefix(key, seller+"."+l.quote+".") {
			expected = 0
		}
	}
	switch {
	case !entry.Final():
		bad("and the ledger's entry is not final")
	case e.accepted > 1+min(e.unanswered, 1):
		bad("more than one and the one resend of an unanswered attempt")
	case w.sabotage == noBound: // the ledger is wrong; what comes of it is to be found
	case e.accepted > 1+entry.Resends || entry.Resends > 1 || entry.Resends > entry.Ambiguous:
		bad("and the ledger tells of other resends")
	case e.accepted > 1 && e.unanswered == 0:
		bad("though every attempt was answered")
	case entry.Ambiguous != e.unanswered:
		bad("and the count of unanswered attempts is wrong")
	case entry.State == notifier.StateSent && e.accepted == 0:
		bad("and the ledger says sent")
	case e.accepted == 0 && entry.State != notifier.StateRejected && entry.State != notifier.StateParked:
		bad("and nobody is told")
	case e.accepted == 0 && expected == 1 && entry.State == notifier.StateRejected && !e.rejected:
		bad("rejected by nobody")
	case e.accepted > 0 && expected == 0:
		bad("to an address that is refused")
	}
}

// checkBounds: I12, as far as this layer has it. What Redis holds is bounded by what is in the log.
func (w *world) checkBounds() {
	if have, bound := len(w.store.keys), 12+8*(len(w.stripe.records)+len(w.quotes.records)); have > bound {
		w.violate("I12 bounded", "%d keys in redis for %d messages", have, len(w.stripe.records)+len(w.quotes.records))
	}
}

// checkRebuild: I8. Redis is emptied, a worker folds the log again, and it is the same. Nothing is published or mailed anew.
func (w *world) checkRebuild() {
	stored, mails := len(w.quotes.records), w.counted.mails
	w.lose("== redis is wiped at the end", w.store.wipe)
	w.calm()
	w.checkProjection()
	w.checkOutcomes()
	if len(w.quotes.records) != stored || w.counted.mails != mails {
		w.violate("I8 rebuild", "%d messages and %d mails more after a rebuild", len(w.quotes.records)-stored, w.counted.mails-mails)
	}
}
