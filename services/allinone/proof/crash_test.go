package proof_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

// faultPoints are all places at which a process can be made to kill itself: before and after each of its effects.
// TestEveryFaultPointIsListed keeps the list complete.
var faultPoints = []string{
	"ingress.before-publish", "ingress.after-publish", "ingress.before-response",
	"payments.after-link", "payments.before-commit", "payments.after-commit", "payments.before-emit", "payments.after-emit",
	"payments.before-ack", "payments.after-ack", "payments.before-marker",
	"notifier.before-claim", "notifier.before-sending", "notifier.after-sending", "notifier.after-data", "notifier.after-sent", "notifier.before-ack",
}

func (w *world) process(point string) *processtest.Process {
	service, _, _ := strings.Cut(point, ".")
	for _, p := range w.all() {
		if p.Name == service {
			return p
		}
	}
	w.tb.Fatalf("no process for %s", point)
	return nil
}

// crash kills the process at a fault point while quotes are being paid, starts it again, and returns the quotes. A
// point inside the repair needs a Redis that has lost its keys.
func (w *world) crash(point string, hit, n int) []published {
	w.tb.Helper()
	var quotes []published
	var events []scenario.Event
	for i, name := range []string{"paid", "refund", "bank-debit"} {
		q := w.publish(n+i, false)
		quotes = append(quotes, q)
		events = append(events, w.burst(name, q, int64(n+i)).Events...)
	}
	victim := w.process(point)
	victim.Kill()
	if point == "payments.before-marker" {
		if err := w.cache.FlushAll(w.tb.Context()).Err(); err != nil {
			w.tb.Fatal(err)
		}
		hit = 1 // a start repairs once
	}
	victim.Start("FAULT=" + fmt.Sprintf("%s:%d", point, hit))
	delivered := make(chan struct{})
	go func() { defer close(delivered); w.deliver(shuffled(events, uint64(n)), 4, patience) }()
	if !victim.Died(patience) {
		w.tb.Errorf("%s was not hit %d times: the point proves nothing", point, hit)
		victim.Kill()
	}
	victim.Start()
	victim.Ready()
	<-delivered
	return quotes
}

// R61: a crash at any point leads to the same final state after redelivery. Each service has a world of its own: what is
// checked after each crash grows with all that came before it.
func TestACrashAtAnyPointLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"ingress", "payments", "notifier"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel() // it mostly waits
			w := newWorld(t, nil, 3)
			var all []published
			for _, point := range faultPoints {
				if strings.HasPrefix(point, service+".") {
					all = append(all, w.crashThrice(point, 10*len(all))...)
				}
			}
			w.rebuildEqualsLive(all)
		})
	}
}

// crashThrice crashes at the first, second and third time that a point is reached, and checks after each. n makes the quotes
// differ from others.
func (w *world) crashThrice(point string, n int) (all []published) {
	w.tb.Helper()
	for hit := 1; hit <= 3; hit++ {
		began := time.Now()
		all = append(all, w.crash(point, hit, n+10*hit)...)
		w.settled(patience)
		if broken := w.checkInvariants(); len(broken) > 0 {
			w.tb.Fatalf("after %s at hit %d:\n%s", point, hit, strings.Join(broken, "\n"))
		}
		w.tb.Logf("%s:%d in %s", point, hit, time.Since(began).Round(time.Millisecond))
	}
	return all
}

// rebuildEqualsLive holds I8: what a rebuild from the log makes is what stood there before, and nobody is mailed.
func (w *world) rebuildEqualsLive(quotes []published) {
	w.tb.Helper()
	before := map[string]string{}
	for _, q := range quotes {
		p, err := w.reader().Payment(w.tb.Context(), "platform", q.ID)
		if err != nil {
			w.tb.Fatal(err)
		}
		before[q.ID] = p.Digest
	}
	mails := w.mail.Total()
	if err := w.cache.FlushAll(w.tb.Context()).Err(); err != nil {
		w.tb.Fatal(err)
	}
	processtest.Eventually(w.tb, patience, "the projection is rebuilt", func() error {
		for id, digest := range before {
			p, err := w.reader().Payment(w.tb.Context(), "platform", id)
			if err != nil {
				return err
			}
			if p.Digest != digest {
				return fmt.Errorf("digest of %s is %s, was %s", id, p.Digest, digest)
			}
		}
		return nil
	})
	w.payments.Ready()
	w.settleAndCheck(patience)
	if got := w.mail.Total(); got != mails {
		w.tb.Errorf("%d mails after the rebuild, %d before", got, mails)
	}
}

// The proof above must be able to fail. These two builds each give up one rule; the same checks find it.

func TestSabotageEmittingOnTheTransitionOnlyIsFound(t *testing.T) {
	w := newWorld(t, builtWith{"payments": "faults,sabotage_emission"}, 3)
	// Which commit makes a quote paid depends on the order of arrival, so the crash is tried at several of them.
	for hit := 1; hit <= 8; hit++ {
		w.crash("payments.after-commit", hit, 10*hit)
		w.settled(patience)
		if anyHas(w.checkInvariants(), "I4:") {
			return
		}
	}
	t.Error("a worker that emits only on the transition passed")
}

func TestSabotageAMailLedgerInRedisIsFound(t *testing.T) {
	w := newWorld(t, builtWith{"notifier": "faults,sabotage_ledger"}, 3)
	q := w.publish(1, false)
	w.notifier.Kill()
	w.notifier.Start("FAULT=notifier.before-ack:1")
	w.deliver(w.burst("paid", q, 1).Events, 2, patience)
	if !w.notifier.Died(patience) {
		t.Fatal("notifier.before-ack was not hit")
	}
	if err := w.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	w.notifier.Start()
	w.notifier.Ready()
	w.payments.Ready()
	w.settled(patience)
	if got := len(w.mail.To(q.Owner)); got < 2 {
		t.Errorf("a ledger in Redis survived a flush: %d mails, want the second one that proves the point", got)
	}
}

func anyHas(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}
