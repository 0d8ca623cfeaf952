package proof_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// checkInvariants holds the world against I1 to I9 and returns what is broken, one line each. It may be called when
// everything is settled. Quotes are those that were published; their owners' addresses tell the mails apart.
func (w *world) checkInvariants(quotes []published) []string {
	w.tb.Helper()
	log := w.scan(event.StreamStripe)
	commands := w.scan(event.StreamQuotes)
	fold, outcomes := foldOutcomes(w.tb, commands, log)
	var broken []string
	fail := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	w.checkLog(log, fail)
	w.checkOutcomes(log, outcomes, fail)
	w.checkPaidFacts(commands, fold, fail)
	for _, k := range fold.Keys() {
		w.checkProjection(k, fold, fail)
	}
	for _, q := range quotes {
		w.checkMail(q, fold.Facts(projection.Key{Account: event.Platform, Quote: q.ID}), fail)
	}
	return broken
}

type report func(format string, args ...any)

// checkLog holds I1, no acknowledged webhook is lost, and I2, none is stored twice.
func (w *world) checkLog(log []natsstream.Record, fail report) {
	stored := map[string][]string{}
	for _, r := range log {
		if s, ok := event.ParseStripeSubject(r.Subject); ok {
			sum := sha256.Sum256(r.Data)
			stored[s.EventID] = append(stored[s.EventID], hex.EncodeToString(sum[:]))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, bodies := range w.acked {
		switch {
		case len(stored[id]) == 0:
			fail("I1: event %s was answered 2xx and is not in the log", id)
		case !slices.Contains(bodies, stored[id][0]):
			fail("I1: event %s is in the log with another body", id)
		case len(stored[id]) > 1:
			fail("I2: event %s is in the log %d times", id, len(stored[id]))
		}
	}
}

// checkPaidFacts holds I4, exactly one quote.paid for a revision that was paid, and I5, none without a payment.
func (w *world) checkPaidFacts(commands []natsstream.Record, fold *projection.Projection, fail report) {
	paid := map[string]int{}
	ids := map[string]bool{}
	for _, r := range commands {
		s, ok := event.ParseQuoteSubject(r.Subject)
		if !ok || s.Event != quote.EventPaid {
			continue
		}
		e, err := event.Decode(r.Data)
		if err != nil {
			fail("I4: %s does not decode: %v", r.Subject, err)
			continue
		}
		if ids[e.ID] || e.ID != event.ID(quote.EventPaid, s.Seller, s.Quote, s.N) {
			fail("I4: id of %s is %s", r.Subject, e.ID)
		}
		ids[e.ID] = true
		paid[s.Quote+"."+s.N]++
	}
	for _, k := range fold.Keys() {
		for _, e := range fold.State(k).Due {
			if e.Event != quote.EventPaid {
				continue
			}
			if n := paid[k.Quote+"."+e.N]; n != 1 {
				fail("I4: %d quote.paid of %s revision %s, want 1", n, k.Quote, e.N)
			}
			delete(paid, k.Quote+"."+e.N)
		}
	}
	for key := range paid {
		fail("I5: quote.paid of %s without a payment", key)
	}
}

// checkProjection holds I3, the status is the fold's, and I7, so are the facts to the last byte.
func (w *world) checkProjection(k projection.Key, fold *projection.Projection, fail report) {
	have, err := w.reader().Payment(w.tb.Context(), k.Account, k.Quote)
	if err != nil {
		fail("I7: %v", err)
		return
	}
	want := fold.Live(k)
	if have.Status != want.Status || strings.Join(have.Flags, ",") != want.Flags {
		fail("I3: status of %s is %s %v, want %s %s", k.Quote, have.Status, have.Flags, want.Status, want.Flags)
	}
	if have.Digest != want.Digest {
		fail("I7: digest of %s is %s, the pure fold's %s\nredis %s\nfold  %s", k.Quote, have.Digest, want.Digest, have.Facts, fold.Facts(k).Encode())
	}
}

// checkOutcomes holds I9: every event in the log has the outcome that the pure fold comes to, and a dead one its dead letter.
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
		if o.Outcome != projection.Dead {
			continue
		}
		if dead, err := w.log.Read(w.tb.Context(), event.StreamDead, fmt.Sprintf("dead.payments.STRIPE.%d.1", r.Sequence)); err != nil || string(dead.Data) != string(r.Data) {
			fail("I9: dead message %d has no dead letter with its bytes: %v", r.Sequence, err)
		}
	}
}

// checkMail holds I6: one mail for a paid quote, one more only if an attempt ended without an answer and is on record,
// none for others.
func (w *world) checkMail(q published, f quote.Facts, fail report) {
	due := slices.ContainsFunc(quote.Derive(event.Platform, f).Due, func(e quote.Emission) bool { return e.Event == quote.EventPaid })
	mails := w.mail.To(q.Owner)
	if !due {
		if len(mails) > 0 {
			fail("I6: %d mails for %s, which nobody paid", len(mails), q.ID)
		}
		return
	}
	var entry struct {
		State     string `json:"state"`
		Ambiguous int    `json:"ambiguous"`
	}
	bucket, err := w.log.JetStream().KeyValue(w.tb.Context(), event.BucketMail)
	if err != nil {
		w.tb.Fatal(err)
	}
	if value, err := bucket.Get(w.tb.Context(), fmt.Sprintf("main.%s.%d.paid", q.ID, q.Revision)); err != nil {
		fail("I6: no ledger entry of %s: %v", q.ID, err)
	} else if err := json.Unmarshal(value.Value(), &entry); err != nil {
		fail("I6: ledger entry of %s: %v", q.ID, err)
	}
	if len(mails) < 1 || len(mails) > 1+min(entry.Ambiguous, 1) {
		fail("I6: %d mails for %s, ledger says %+v", len(mails), q.ID, entry)
	}
	if len(mails) > 1 && slices.ContainsFunc(mails, func(id string) bool { return id != mails[0] }) {
		fail("I6: mails of %s have different Message-IDs: %v", q.ID, mails)
	}
}

// settleAndCheck waits until nothing moves any more and fails the test when an invariant is still broken at the end of the
// time: a flushed Redis is noticed within a second and then folded again.
func (w *world) settleAndCheck(quotes []published, within time.Duration) {
	w.tb.Helper()
	deadline := time.Now().Add(within)
	for {
		w.settled(within)
		broken := w.checkInvariants(quotes)
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
