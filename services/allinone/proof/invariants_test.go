package proof_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/invariants"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// checkInvariants holds the world against I1 to I9 and returns what is broken, one line each. It may be called when everything is
// settled. What became of each message it holds against the pure fold, too.
func (w *world) checkInvariants() []string {
	w.tb.Helper()
	var broken []string
	fail := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	c := invariants.Checker{Log: w.log, Redis: w.cache, Now: time.Now}
	if w.mail != nil {
		c.Mails = w.mail.ByMessageID()
	}
	w.mu.Lock()
	c.Acked = maps.Clone(w.acked)
	w.mu.Unlock()
	report, err := c.Check(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, v := range report.Violations {
		fail("%s: %s", v.Invariant, v.What)
	}
	if n := report.InFlight(); n > 0 && w.mail != nil {
		fail("%d things are in flight: %+v", n, report.Lines)
	}
	log := w.scan(event.StreamStripe)
	_, outcomes := foldOutcomes(w.tb, w.scan(event.StreamQuotes), log)
	w.checkOutcomes(log, outcomes, fail)
	return broken
}

type report func(format string, args ...any)

// checkOutcomes holds what is more than I9 says: every event in the log has the very outcome that the pure fold comes to.
func (w *world) checkOutcomes(log []natsstream.Record, outcomes map[projection.Place]projection.Outcome, fail report) {
	for _, r := range log {
		o, err := w.reader().Outcome(w.tb.Context(), event.StreamStripe, r.Sequence)
		if errors.Is(err, redisquote.ErrNotFound) {
			fail("I9: message %d (%s) has no outcome", r.Sequence, r.Subject)
			continue
		}
		if err != nil {
			w.tb.Fatal(err)
		}
		have, want := projection.Outcome{Kind: o.Outcome, Reason: o.Reason}, outcomes[projection.Place{Stripe: true, Sequence: r.Sequence}]
		if have.Folded() != want.Folded() || !have.Folded() && (have.Kind != want.Kind || have.Reason != want.Reason) {
			fail("I9: outcome of message %d (%s) is %s %s, the pure fold's %s %s", r.Sequence, r.Subject, have.Kind, have.Reason, want.Kind, want.Reason)
		}
	}
}

// settleAndCheck waits until nothing moves any more and fails the test when an invariant is still broken at the end of the
// time: a flushed Redis is noticed within a second and then folded again.
func (w *world) settleAndCheck(within time.Duration) {
	w.tb.Helper()
	deadline := time.Now().Add(within)
	for {
		w.settled(within)
		broken := w.checkInvariants()
		if len(broken) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.tb.Errorf("%d invariants broken:\n%s", len(broken), strings.Join(broken[:min(len(broken), 20)], "\n"))
			return
		}
		select {
		case <-w.tb.Context().Done():
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}
