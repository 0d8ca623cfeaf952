package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

func aside(t *testing.T, log *natsstream.Log, seq uint64, reason string) {
	t.Helper()
	r := natsstream.Record{
		Stream: event.StreamStripe, Sequence: seq, Subject: fmt.Sprintf("stripe.test.platform.evt_%d.a.b", seq), Data: []byte("body"),
		Header: nats.Header{"Source": {"webhook"}, "Nats-Msg-Id": {"x"}},
	}
	if err := log.SetAside(t.Context(), natsstream.DeadLetter{Consumer: "payments", Record: r, Reason: reason, Attempts: 3, Handler: "v1"}); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, srv *natstest.Server, handler deadletter.Handler) *nats.Conn {
	t.Helper()
	s := &deadletter.Server{
		Service: "payments", Handlers: map[string]deadletter.Handler{"payments": handler}, NATS: srv.Conn("payments"), Log: srv.Log("payments2"),
		Logger: zap.NewNop(), Now: time.Now, Version: "v2",
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return srv.Conn("operator")
}

func ask(t *testing.T, nc *nats.Conn, verb string, seq uint64) deadletter.Answer {
	t.Helper()
	for {
		a, err := deadletter.Ask(t.Context(), nc, deadletter.Request{Verb: verb, Key: deadletter.Key{Consumer: "payments", Stream: "STRIPE", Sequence: seq}, Who: "ada", Why: "w"})
		if errors.Is(err, deadletter.ErrNobody) && t.Context().Err() == nil {
			continue // it has not subscribed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// Two ways to read how a letter stands, one answer: all of them by a scan, one by its subjects.
func TestTheBookAndASingleLookAgree(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("test")
	fail := atomic.Bool{}
	nc := serve(t, srv, func(context.Context, natsstream.Record, int) (string, error) {
		if fail.Load() {
			return "", delivery.Permanent(errors.New("still no JSON at 7"))
		}
		return "applied", nil
	})
	for seq := uint64(1); seq <= 1100; seq++ { // more than one page of the Book
		aside(t, log, seq, fmt.Sprintf("no JSON at %d", seq))
	}
	book := deadletter.NewBook(log)
	if err := book.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, nc, deadletter.VerbDiscard, 1)
	ask(t, nc, deadletter.VerbRetry, 2)
	fail.Store(true)
	ask(t, nc, deadletter.VerbRetry, 3)
	ask(t, nc, deadletter.VerbDiscard, 4)
	ask(t, nc, deadletter.VerbRetry, 4)
	if err := book.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[uint64]deadletter.State{1: deadletter.Discarded, 2: deadletter.Resolved, 3: deadletter.Open, 4: deadletter.Open, 1100: deadletter.Open}
	n := 0
	for l := range book.Letters() {
		n++
		state, ok := want[l.Sequence]
		if !ok {
			continue
		}
		one, m, err := deadletter.Find(t.Context(), log, l.Key)
		if err != nil || l.State != state {
			t.Errorf("letter %d is %s, %v, want %s", l.Sequence, l.State, err, state)
		}
		if !reflect.DeepEqual(*l, one) {
			t.Errorf("letter %d: the Book has\n%+v, Find\n%+v", l.Sequence, *l, one)
		}
		if string(m.Data) != "body" || m.Subject != fmt.Sprintf("stripe.test.platform.evt_%d.a.b", l.Sequence) || m.Header.Get("Source") != "webhook" || m.Header.Get(natsstream.HeaderDeadReason) != "" {
			t.Errorf("the message of letter %d = %+v, want it as it was", l.Sequence, m)
		}
	}
	if n != 1100 {
		t.Errorf("the Book has %d letters, want 1100", n)
	}
}

func TestCausesLeaveIdsAndNumbersOut(t *testing.T) {
	cause := func(reason string) string { return deadletter.CauseOf("payments", "STRIPE", reason) }
	same := []string{"evt_1QaB of q_1042: amount 100 is not 200", "evt_9 of q_7: amount 5 is not 7"}
	if cause(same[0]) != cause(same[1]) {
		t.Errorf("%q and %q are two causes: %q, %q", same[0], same[1], deadletter.Pattern(same[0]), deadletter.Pattern(same[1]))
	}
	if cause("no JSON") == cause("no subject") || cause("x") == deadletter.CauseOf("notifier", "STRIPE", "x") {
		t.Error("different reasons or consumers are one cause")
	}
	if got := deadletter.Pattern(`invalid character 'x' after "a" in 5f1c2b3a4d5e6f70`); strings.ContainsAny(got, "x5") {
		t.Errorf("Pattern = %q", got)
	}
}

// Two operators at once: the handler may run twice, which is harmless, and one decision stands.
func TestTwoRetriesAtOnceLeaveOneDecision(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("test")
	aside(t, log, 1, "no JSON")
	handler := func(context.Context, natsstream.Record, int) (string, error) { return "applied", nil }
	nc := serve(t, srv, handler)
	serve(t, srv, handler) // a second instance
	ask(t, nc, "none", 1)
	var wg sync.WaitGroup
	var good atomic.Int32
	for range 6 {
		wg.Go(func() {
			if a := ask(t, nc, deadletter.VerbRetry, 1); a.Error == "" {
				good.Add(1)
			} else if !strings.Contains(a.Error, "is resolved already") {
				t.Errorf("retry = %+v", a)
			}
		})
	}
	wg.Wait()
	l, _, err := deadletter.Find(t.Context(), log, deadletter.Key{Consumer: "payments", Stream: "STRIPE", Sequence: 1})
	if err != nil || good.Load() == 0 || l.State != deadletter.Resolved || l.Decisions != 1 {
		t.Errorf("after %d successes the letter is %+v, %v, want one decision", good.Load(), l, err)
	}
}

// A decision that a newer version writes does not confuse this one.
func TestAnUnknownDecisionLeavesTheLetterAsItStands(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("test")
	aside(t, log, 1, "no JSON")
	body, err := json.Marshal(map[string]string{"state": "delegated"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Fact(t.Context(), natsstream.Message{Subject: event.DeadStateSubject("payments", "STRIPE", 1, 1), Data: body}); err != nil {
		t.Fatal(err)
	}
	l, _, err := deadletter.Find(t.Context(), log, deadletter.Key{Consumer: "payments", Stream: "STRIPE", Sequence: 1})
	if err != nil || l.State != deadletter.Open {
		t.Errorf("letter = %+v, %v, want it open", l, err)
	}
	nc := serve(t, srv, func(context.Context, natsstream.Record, int) (string, error) { return "applied", nil })
	if a := ask(t, nc, deadletter.VerbRetry, 1); a.Error != "" || a.Letter.State != deadletter.Resolved || a.Letter.Decisions != 2 {
		t.Errorf("retry after an unknown decision = %+v, want it resolved", a)
	}
}
