package payments_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// A rebuild by another instance has gone over to g2 and removed g1, before this worker looked which generation is written: the
// missing markers are no loss. It goes over, and leaves no key of a generation that nobody removes any more.
func TestAGenerationThatWasRemovedIsNotFilledAgain(t *testing.T) {
	r := newRig(t)
	r.generationEvery = time.Hour // so that the worker hears of g2 by missing its markers alone
	r.run()
	r.published("q_1", 1, 123000, event.Platform)
	r.eventually("the quote is known", func() error {
		_, err := r.read.Quote(t.Context(), "q_1")
		return err
	})
	r.drained()

	encoded, err := json.Marshal(natsstream.Generation{Read: "g2", Write: "g2", Previous: "g1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.log.SetSystem(t.Context(), natsstream.GenerationKey, encoded, 0); err != nil {
		t.Fatal(err)
	}
	keys := redisquote.NewKeys("g2")
	for _, shard := range redisquote.Shards(r.cache) {
		if err := r.cache.Set(t.Context(), keys.Marker(shard), "nonce", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	old := func() []string {
		names, err := r.cache.Keys(t.Context(), "g1:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if err := r.cache.Del(t.Context(), old()...).Err(); err != nil {
		t.Fatal(err)
	}

	// What comes now shows that the worker is at work in g2; its guard has looked at the markers by then, or is about to.
	r.eventually("the worker has gone over", func() error {
		if r.logs.FilterMessage("writing another generation of redis").Len() == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	r.published("q_2", 1, 123000, event.Platform)
	r.eventually("the second quote is known in g2", func() error {
		_, err := redisquote.NewReader(r.cache, keys).Quote(t.Context(), "q_2")
		return err
	})
	if repairs := r.logs.FilterMessage("redis differs from what was known, folding again").FilterField(zap.String("reason", "empty")).Len(); repairs > 1 {
		t.Errorf("the log was folded again %d times, want once, at the start", repairs)
	}
	if names := old(); len(names) > 0 {
		t.Errorf("keys of g1 are left: %v", names)
	}
}
