package payments_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// With a barrier the server hands out what is not on disk yet. Facts in Redis are never taken back: they wait for the sync.
func TestRedisDoesNotKnowWhatAPowerCutCouldStillTake(t *testing.T) {
	r := newRig(t)
	var hold sync.Mutex
	var syncs atomic.Int64
	r.durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: r.nats.StoreDir(), Sync: func() error {
		syncs.Add(1)
		hold.Lock()
		defer hold.Unlock()
		return nil
	}}
	r.published("q_1", 1, 1000, event.Platform)
	r.run()
	r.drained()
	hold.Lock()
	before := syncs.Load()
	sequence := r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.eventually("the sync is under way", func() error {
		if syncs.Load() == before {
			return errors.New("none has begun")
		}
		return nil
	})
	if o, err := r.read.Outcome(t.Context(), event.StreamStripe, sequence); !errors.Is(err, redisquote.ErrNotFound) {
		t.Errorf("before the sync is over Redis holds %+v, %v; want nothing", o, err)
	}
	if keys, err := r.cache.Keys(t.Context(), "*pi_1*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("before the sync is over Redis holds %v, %v; want nothing of the payment", keys, err)
	}
	hold.Unlock()
	r.outcome(sequence, "applied")
}
