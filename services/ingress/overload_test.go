package ingress_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/ingress"
)

// R55. A disk that stands still for a while: as many events as may be in flight wait for it, all others are told at once to
// come again, and when the disk goes on everybody is served. What was answered with 200 is stored, what was not is not.
func TestOverloadIsShedAndLeavesNothingBehind(t *testing.T) {
	const room, more = 4, 5
	srv, d := natstest.Start(t), &disk{}
	r := startOn(t, srv, func(c *ingress.Config) {
		c.MaxInFlight, c.Budget = room, time.Minute
		c.Durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: srv.StoreDir(), Sync: d.sync}
	})
	body := func(n int) []byte { return eventBody(fmt.Sprintf("evt_%d", n), "charge.succeeded") }
	d.hold.Lock()
	var waiting sync.WaitGroup
	for n := range room {
		waiting.Go(func() { r.wantPost(body(n), ingress.Stored) })
	}
	r.eventually("the room is taken", func() bool { return r.metric("quittance_webhooks_in_flight") == fmt.Sprint(room) })
	for n := room; n < room+more; n++ {
		if got := r.post(body(n)); got.status != http.StatusServiceUnavailable || got.code != "unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("answer beyond the room = %+v, want 503 unavailable with Retry-After", got)
		}
	}
	d.hold.Unlock()
	waiting.Wait()
	r.wantCount(room)
	for n := room; n < room+more; n++ {
		r.wantPost(body(n), ingress.Stored)
	}
	for n := range room + more {
		r.wantStored(fmt.Sprintf("stripe.test.platform.evt_%d.charge.succeeded", n), body(n))
	}
	r.wantCount(room + more)
}
