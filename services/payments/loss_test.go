package payments_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/payments"
)

var firstKeys = redisquote.NewKeys(redisquote.Generation)

// forget deletes keys and the marker, as if Redis had lost them: the next look folds the log again.
func (r *rig) forget(keys ...string) {
	r.t.Helper()
	if err := r.cache.Del(r.t.Context(), append(keys, firstKeys.Marker("0"))...).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// A worker ties a charge to its quote, Redis loses that, and the worker's commit of the facts arrives after it. The facts are
// there, the link is not, and what comes later about that charge finds its quote all the same.
func TestALinkThatWasLostWithoutItsFactsIsTiedAgain(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.stripe("evt_2", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0))
	r.status(event.Platform, "q_1", "paid")
	r.drained()
	stop()
	r.forget(firstKeys.Link(event.Platform, "ch_1"))
	r.run()
	sequence := r.stripe("evt_3", "refund.created", "", refund("re_1", "ch_1", "", 1000))
	r.status(event.Platform, "q_1", "refunded")
	r.outcome(sequence, "applied")
}

// A worker parks a charge, Redis loses that, others find the charge's quote, and the worker's record that it waits arrives
// after all that. It does not stand.
func TestAnOutcomeParkedDoesNotOutliveTheWait(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
	sequence := r.stripe("evt_2", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0))
	r.outcome(sequence, "applied")
	r.drained()
	stop()
	late := fmt.Sprintf(`{"outcome":"parked","event_id":"evt_2","type":"charge.succeeded","at":%q}`, time.Now().UTC().Format(time.RFC3339Nano))
	if err := r.cache.HSet(t.Context(), firstKeys.Outcomes(event.StreamStripe, sequence), sequence, late).Err(); err != nil {
		t.Fatal(err)
	}
	r.forget(firstKeys.IndexParked())
	r.run()
	r.outcome(sequence, "corroborated")
}

// What Redis has lost of its last writes is told by when they were acknowledged, not by when their messages came into the
// log: a repair goes back to what was acknowledged a quarter of an hour before Redis was last seen unharmed.
func TestARepairGoesBackToWhatWasAcknowledgedBefore(t *testing.T) {
	r := newRig(t)
	var ahead atomic.Int64
	r.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	stop := r.run()
	settled := func(n int) {
		id := fmt.Sprintf("q_%d", n)
		r.published(id, 1, 1000, event.Platform)
		r.stripe("evt_"+id, "checkout.session.completed", "", session("cs_"+id, id, 1, 1000, "pi_"+id))
		r.status(event.Platform, id, "paid")
		r.drained()
	}
	noted := func(older, newer uint64) {
		r.eventually("the floors are noted", func() error {
			e, err := r.system().Get(t.Context(), "redis.floors")
			if err != nil {
				return err
			}
			var f struct {
				Older, Newer struct{ Streams map[string]uint64 }
			}
			if err := json.Unmarshal(e.Value(), &f); err != nil {
				return err
			}
			if f.Older.Streams["STRIPE"] != older || f.Newer.Streams["STRIPE"] != newer {
				return fmt.Errorf("they are %s", e.Value())
			}
			return nil
		})
	}
	noted(0, 0)
	settled(1)
	ahead.Add(int64(16 * time.Minute))
	noted(0, 1)
	settled(2)
	ahead.Add(int64(16 * time.Minute))
	noted(1, 2)
	settled(3)
	stop()
	if _, err := r.system().Put(t.Context(), "redis.identity", []byte(`{"another":"server"}`)); err != nil {
		t.Fatal(err)
	}
	r.run()
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		folded := r.logs.FilterMessage("folding again").FilterField(zap.String("stream", stream)).All()
		// Of QUOTES the publication and quote.paid of two quotes, of STRIPE their two payments.
		want := map[string]int64{event.StreamQuotes: 4, event.StreamStripe: 2}[stream]
		if len(folded) != 1 || folded[0].ContextMap()["messages"] != want {
			t.Errorf("folded again of %s: %v, want %d messages", stream, folded, want)
		}
	}
}

// A worker ties a charge to its quote and dies before the commit. Long after, the sweep comes before the message that made
// the tie. What had waited under it is not forgotten, since no quote counts it yet.
func TestWhatIsTiedAndNotCountedYetOutlivesTheSweep(t *testing.T) {
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	waiting := []uint64{
		r.stripe("evt_re", "refund.created", "", refund("re_1", "ch_1", "", 1000)),
		r.stripe("evt_ch", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0)),
	}
	for _, sequence := range waiting {
		r.outcome(sequence, "parked")
	}
	r.drained()
	for _, object := range []string{"ch_1", "pi_1"} {
		if err := r.cache.HSet(t.Context(), firstKeys.Link(event.Platform, object), redisquote.LinkQuote+"q_1", "1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	sweeper := r.config()
	sweeper.Now = func() time.Time { return time.Now().Add(73 * time.Hour) }
	if err := payments.SweepOnce(t.Context(), sweeper); err != nil {
		t.Fatal(err)
	}
	r.stripe("evt_cs", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "refunded")
	for _, sequence := range waiting {
		r.outcome(sequence, "applied")
	}
}

func (r *rig) system() jetstream.KeyValue {
	r.t.Helper()
	bucket, err := r.log.JetStream().KeyValue(r.t.Context(), event.BucketSystem)
	if err != nil {
		r.t.Fatal(err)
	}
	return bucket
}
