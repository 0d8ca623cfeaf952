//go:build chaos

package chaos_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Of two replicas of ingress one after the other ends by SIGTERM and comes again, twenty times, under load. No webhook is
// answered with anything but 2xx. Stripe's side tries the other replica only where nobody listens; an answer it never hides. A
// request that came in the moment in which its connection was closed has no answer: it is told, not forbidden, and delivered again,
// as Stripe does.
func TestRollingRestartsOfIngressRefuseNoWebhook(t *testing.T) {
	c := newCampaign(newWorld(t, nil), seedOf(t), 1, 1, 1)
	replicas := []*keeper{c.w.ingress, c.w.secondIngress()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load errgroup.Group
	load.SetLimit(senders + 1)
	load.Go(func() error {
		for ctx.Err() == nil {
			for _, f := range c.items(200) {
				load.Go(func() error { f(); return nil })
			}
		}
		return nil
	})
	const rounds = 20
	for range rounds {
		for _, k := range replicas {
			done := make(chan bool, 1)
			k.commands <- command{signal: syscall.SIGTERM, length: 50 * time.Millisecond, done: done}
			<-done
			wait(ctx, 100*time.Millisecond)
			c.w.isReady(k)
		}
	}
	cancel()
	_ = load.Wait()
	if broken := c.calm(); len(broken) > 0 {
		c.tell(broken)
	}
	s := c.w.tester
	if len(s.refused) > 0 || s.twoHundred < 100*rounds {
		t.Errorf("answers other than 2xx: %v; 2xx: %d", s.refused, s.twoHundred)
	}
	t.Logf("%d restarts under load, %d answers 2xx, %d requests that went to the other replica because nobody listened, %d without an answer, "+
		"%d of them on a connection that was kept open", rounds*len(replicas), s.twoHundred, s.moved, s.unknown, s.kept)
}
