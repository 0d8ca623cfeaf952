//go:build chaos

package chaos_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"quittance.internal/libs/operations/invariants"
)

// The campaign must be able to fail. These two builds each give up one rule, and the same campaign finds it.

func TestSabotageEmittingOnTheTransitionOnlyIsFoundByKills(t *testing.T) {
	c := newCampaign(newWorld(t, map[string]string{"payments": "sabotage_emission"}), 1, 200, 12_000, 10) // it ends with the round that finds it
	c.patience = 15 * time.Second
	c.nemesis.weights = []weight{{c.nemesis.w.payments, 2}, {c.nemesis.w.nats, 1}}
	c.nemesis.faults = func(context.Context) {} // a Redis that is emptied is folded again, and tells what was not told
	broken := c.run()
	if !slices.ContainsFunc(broken, func(v invariants.Violation) bool { return v.Invariant == "I4" }) {
		t.Errorf("a worker that emits only on the transition passed: %s\n%v", c.summary(), broken)
	}
	t.Logf("found after %d kills: %d violations", c.killed.Load(), len(broken))
}

// Neither the notifier nor Redis is killed here, and the mail server answers every mail, so nothing excuses a second one.
func TestSabotageAMailLedgerInRedisIsFoundByKills(t *testing.T) {
	c := newCampaign(newWorld(t, map[string]string{"notifier": "sabotage_ledger"}), 1, 60, 3600, 3)
	c.patience = time.Second // the log's ledger is empty; what counts is what the mail server accepted
	c.nemesis.weights = []weight{{c.nemesis.w.nats, 1}}
	c.nemesis.faults = func(ctx context.Context) {
		if c.nemesis.rand.IntN(3) == 0 {
			c.nemesis.flush(ctx)
		}
	}
	twice := 0
	for round := 1; round <= c.rounds && twice == 0; round++ {
		c.storm(c.kills*round/c.rounds, c.webhooks*round/c.rounds)
		c.calm()
		for _, n := range c.w.mail.ByMessageID() {
			if n > 1 {
				twice++
			}
		}
	}
	if twice == 0 {
		t.Errorf("a ledger in Redis survived: %s", c.summary())
	}
	t.Logf("found after %d kills: %d mails were accepted more than once", c.killed.Load(), twice)
}
