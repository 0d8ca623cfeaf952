package payments_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// damaged is a rig whose worker has settled three quotes and was stopped, before NATS lost the payment of q_1.
func damaged(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	stop := r.run()
	for _, id := range []string{"q_1", "q_2", "q_3"} {
		r.published(id, 1, 1000, event.Platform)
		r.stripe("evt_"+id, "checkout.session.completed", "", session("cs_"+id, id, 1, 1000, "pi_"+id))
		r.status(event.Platform, id, "paid")
	}
	stop()
	r.nats.Damage(event.StreamStripe, `"cs_q_1"`, `"cs_q_X"`)
	r.log = r.nats.Log("again")
	return r
}

// One message that NATS cannot read any more does not keep the projection from being folded again: the others are, and the log says
// which one is missing and what to do.
func TestADamagedMessageDoesNotHoldUpARepair(t *testing.T) {
	r := damaged(t)
	if err := r.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.status(event.Platform, "q_2", "paid")
	r.status(event.Platform, "q_3", "paid")
	told := r.logs.FilterLevelExact(zap.ErrorLevel).FilterField(zap.String("stream", event.StreamStripe)).FilterField(zap.Uint64("first_seq", 1))
	if told.Len() == 0 {
		t.Errorf("errors logged = %v, want one that names message 1 of STRIPE", r.logs.FilterLevelExact(zap.ErrorLevel).All())
	}
}

// A rebuild does not go over to a generation that lacks what the one in use still knows; its state says why.
func TestADamagedMessageStopsARebuild(t *testing.T) {
	r := damaged(t)
	r.run()
	r.rebuild()
	r.eventually("the rebuild tells its trouble", func() error {
		s, err := r.log.RebuildState(t.Context())
		if err == nil && !strings.Contains(s.Trouble, "cannot read 1 messages, the first is 1:") {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	if g, err := r.log.LatestGeneration(t.Context()); err != nil || g.Read != event.FirstGeneration || g.Write != event.FirstGeneration {
		t.Errorf("generation in use = %+v, %v, want the first one still", g, err)
	}
	r.status(event.Platform, "q_1", "paid")
}

// A rebuild goes over while an instance is halfway through a repair: what the repair had folded already is folded into the new
// generation too, since Redis may have lost it there as well.
func TestARepairDoesNotSpreadOverTwoGenerations(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
	stop()

	g2 := redisquote.NewKeys("g2")
	for _, shard := range redisquote.Shards(r.cache) {
		if err := r.cache.Set(t.Context(), g2.Marker(shard), "nonce", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	system, err := r.log.JetStream().KeyValue(t.Context(), event.BucketSystem)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := system.Put(t.Context(), "redis.identity", []byte(`{"another":"server"}`)); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(natsstream.Generation{Read: "g2", Write: "g2", Previous: event.FirstGeneration})
	if err != nil {
		t.Fatal(err)
	}
	r.generationEvery = 10 * time.Millisecond
	var goOver sync.Once
	r.now = func() time.Time { // the fold of STRIPE asks for the time before it begins
		if r.logs.FilterMessage("folding again").Len() > 0 {
			goOver.Do(func() {
				if _, err := system.Put(t.Context(), natsstream.GenerationKey, encoded); err != nil {
					t.Error(err)
				}
				for r.logs.FilterMessage("writing another generation of redis").Len() == 0 && t.Context().Err() == nil {
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		return time.Now()
	}
	r.run()
	if _, err := redisquote.NewReader(r.cache, g2).Quote(t.Context(), "q_1"); err != nil {
		t.Errorf("q_1 in g2, of a worker that is ready = %v, want it folded", err)
	}
}
