//go:build chaos

package chaos_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/services/allinone/processtest"
)

// Of two replicas of ingress behind a balancer one after the other ends by SIGTERM and comes again, ten times, under load. Each
// request has an answer, and each answer is 2xx.
func TestRollingRestartsOfIngressRefuseNoWebhook(t *testing.T) {
	c := newCampaign(newWorld(t, nil), seedOf(t), 1, 1, 1)
	b := &balancer{}
	for _, k := range []*keeper{c.w.ingress, c.w.secondIngress()} {
		b.replicas = append(b.replicas, &replica{keeper: k, address: "http://" + settingOf(k.Env, "INGRESS_ADDR") + "/webhooks/stripe"})
	}
	b.look()
	c.w.tester.address = b.address
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load errgroup.Group
	load.SetLimit(senders + 2)
	load.Go(func() error { b.watch(ctx); return nil })
	load.Go(func() error {
		for ctx.Err() == nil {
			for _, f := range c.items(200) {
				load.Go(func() error { f(); return nil })
			}
		}
		return nil
	})
	const rounds = 10
	for range rounds {
		for _, r := range b.replicas {
			done := make(chan bool, 1)
			r.commands <- command{signal: syscall.SIGTERM, length: 50 * time.Millisecond, done: done}
			<-done
			c.w.isReady(r.keeper)
			processtest.Eventually(t, patience, "the balancer sends to it again", r.down)
		}
	}
	cancel()
	_ = load.Wait()
	if broken := c.calm(); len(broken) > 0 {
		c.tell(broken)
	}
	s := c.w.tester
	if s.unknown > 0 || len(s.refused) > 0 || s.twoHundred < 100*rounds {
		t.Errorf("%d without an answer, answers other than 2xx: %v, 2xx: %d", s.unknown, s.refused, s.twoHundred)
	}
	t.Logf("%d restarts under load, %d answers, all 2xx", rounds*len(b.replicas), s.twoHundred)
}

// secondIngress starts another replica.
func (w *world) secondIngress() *keeper {
	w.tb.Helper()
	addr, admin := freeaddr.New(w.tb), freeaddr.New(w.tb)
	env := append(slices.Clone(w.settings), "INGRESS_ADDR="+addr, "INGRESS_ADMIN_ADDR="+admin) // of two the last one counts
	path := processtest.Binary(w.tb, "ingress/cmd/ingress", "")
	k := w.run(newKeeper(processtest.New(w.tb, "ingress 2", path, "http://"+admin+"/readyz", env)))
	w.tb.Cleanup(w.stop)
	w.isReady(k)
	return k
}

func settingOf(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// balancer does what is usual: it asks each replica's /readyz several times a second, and sends a request to the ready ones in
// turn. It hides no answer and repeats no request.
type balancer struct {
	replicas []*replica
	next     atomic.Int64
}

type replica struct {
	*keeper
	address string
	trouble atomic.Pointer[error] // why it is not ready; nil while it is
}

func (r *replica) down() error {
	if err := r.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *balancer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		b.look()
		wait(ctx, 100*time.Millisecond)
	}
}

func (b *balancer) look() {
	for _, r := range b.replicas {
		if err := askReady(r.keeper); err != nil {
			r.trouble.Store(&err)
		} else {
			r.trouble.Store(nil)
		}
	}
}

func (b *balancer) address() string {
	first := int(b.next.Add(1))
	for i := range b.replicas {
		if r := b.replicas[(first+i)%len(b.replicas)]; r.down() == nil {
			return r.address
		}
	}
	return b.replicas[0].address // none is ready, and it has to go somewhere
}
