package payments_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
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
	body, err := json.Marshal(natsstream.RebuildRequest{By: "ada@desk", Reason: "ticket 9"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.nats.Conn("operator").Request(natsstream.RebuildSubject, body, 30*time.Second); err != nil {
		t.Fatal(err)
	}
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
