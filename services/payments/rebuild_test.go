package payments_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// rebuild asks the worker for a rebuild, as an operator's tool does, and returns the generation that it goes to.
func (r *rig) rebuild() string {
	r.t.Helper()
	body, err := json.Marshal(natsstream.RebuildRequest{By: "ada@desk", Reason: "ticket 9"})
	if err != nil {
		r.t.Fatal(err)
	}
	msg, err := r.nats.Conn("operator").Request(natsstream.RebuildSubject, body, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	var a natsstream.RebuildAnswer
	if err := json.Unmarshal(msg.Data, &a); err != nil || a.Error != "" {
		r.t.Fatalf("rebuild = %s, %v", msg.Data, err)
	}
	return a.State.Generation
}

// R52, R69: a message that was folded under yesterday's policy and that today's excludes is set aside by the rebuild: its outcome is
// dead from then on, and every such message is a dead letter.
func TestARebuildSetsAsideWhatItCannotFoldAnyMore(t *testing.T) {
	r := newRig(t)
	open := *quote.DefaultPolicy()
	open.Excluded = nil
	r.policy = &open
	stop := r.run()
	r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: "q_1", N: "1"}, event.Published{
		Seller: "main", QuoteID: "q_1", Revision: 1, Version: 1, Amount: 1000, Currency: "huf", Account: event.Platform, Mode: event.ModeTest,
	})
	paid := session("cs_1", "q_1", 1, 1000, "pi_1")
	paid["currency"] = "huf"
	seq := r.stripe("evt_1", "checkout.session.completed", "", paid)
	r.outcome(seq, "applied")
	stop()
	r.policy = nil
	r.run()
	generation := r.rebuild()
	r.eventually("the rebuild is done", func() error {
		s, err := r.log.RebuildState(r.t.Context())
		if err == nil && (s.Phase != natsstream.RebuildDone || s.Generation != generation) {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	r.read = redisquote.NewReader(r.cache, redisquote.NewKeys(generation))
	r.outcome(seq, "dead")
	letter, err := r.log.Read(t.Context(), event.StreamDead, event.DeadSubject("payments", event.StreamStripe, seq, 1))
	if err != nil || !strings.Contains(letter.Header.Get(natsstream.HeaderDeadReason), "R49") {
		t.Errorf("dead letter = %v, %v, want one with the reason", letter.Header, err)
	}
}
