package proof_test

import (
	"syscall"
	"testing"
	"time"

	"quittance.internal/services/operator/scenario"
)

// underLoad pays 60 quotes while f breaks something, and holds everything against the invariants afterwards.
func underLoad(t *testing.T, f func(w *world)) {
	t.Helper()
	w := newWorld(t, nil, 64)
	var events []scenario.Event
	names := []string{"paid", "refund", "bank-debit", "partial-refund", "duplicate-payment", "dispute-lost"}
	for i := range 60 {
		q := w.publish(i+1, false)
		events = append(events, w.burst(names[i%len(names)], q, int64(i)).Events...)
	}
	events = shuffled(events, 3)
	delivered := make(chan struct{})
	go func() { defer close(delivered); w.deliver(events, 4, patience) }()
	f(w)
	<-delivered
	for _, p := range w.all() {
		p.Ready()
	}
	w.settleAndCheck(patience)
}

func TestFlushedRedisIsFoldedAgainAndMailsNobodyTwice(t *testing.T) {
	underLoad(t, func(w *world) {
		for range 3 {
			time.Sleep(150 * time.Millisecond) // anywhere within the load, not at a moment of its own
			if err := w.cache.FlushAll(w.tb.Context()).Err(); err != nil {
				w.tb.Fatal(err)
			}
		}
	})
}

func TestRestartedRedisIsRepaired(t *testing.T) {
	underLoad(t, func(w *world) {
		time.Sleep(150 * time.Millisecond)
		w.redis.Stop() // SIGKILL: with everysec the last second is gone
		time.Sleep(300 * time.Millisecond)
		w.redis.Start()
	})
}

func TestRestartedNATSLosesNothing(t *testing.T) {
	underLoad(t, func(w *world) {
		time.Sleep(150 * time.Millisecond)
		w.nats.Stop()
		time.Sleep(300 * time.Millisecond)
		w.nats.Restart()
	})
}

func TestMailServerAwayForAWhileDelaysTheMailAlone(t *testing.T) { // R63, R64
	underLoad(t, func(w *world) {
		w.mail.Down()
		q := w.publish(1000, false)
		w.deliver(w.burst("paid", q, 1000).Events, 2, patience)
		w.settledPayments(patience) // no mail can have gone out
		if got := w.mail.To(q.Owner); len(got) != 0 {
			w.tb.Errorf("mails while the server was away: %v", got)
		}
		w.mail.Up()
	})
}

func TestStoppedWorkerComesBackWithoutHarm(t *testing.T) {
	underLoad(t, func(w *world) {
		time.Sleep(150 * time.Millisecond)
		w.payments.Signal(syscall.SIGSTOP)
		w.notifier.Signal(syscall.SIGSTOP)
		time.Sleep(3 * time.Second) // longer than the ack wait and the mail lease of this world
		w.payments.Signal(syscall.SIGCONT)
		w.notifier.Signal(syscall.SIGCONT)
	})
}
