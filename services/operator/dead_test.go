package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// aside puts n dead letters of a consumer onto the log.
func (s *shelf) aside(consumer string, from, n int, reason string) {
	s.t.Helper()
	for i := from; i < from+n; i++ {
		id := fmt.Sprintf("evt_%d", i)
		seq := s.stored(id, "checkout.session.completed", `{"id":"`+id+`","data":{"object":{"customer_email":"anna@customer.example"}}}`)
		r, err := s.log.ReadSequence(s.t.Context(), event.StreamStripe, seq)
		if err != nil {
			s.t.Fatal(err)
		}
		letter := natsstream.DeadLetter{Consumer: consumer, Record: r, Reason: fmt.Sprintf(reason, i), Attempts: 1, Handler: "v1"}
		if err := s.log.SetAside(s.t.Context(), letter); err != nil {
			s.t.Fatal(err)
		}
	}
}

// owner runs a service that answers for the letters of consumers; it returns what its handler was given.
func (s *shelf) owner(service, consumer string, handler func(r natsstream.Record) error) func() []uint64 {
	s.t.Helper()
	var mu sync.Mutex
	var got []uint64
	server := &deadletter.Server{
		Service: service, NATS: s.srv.Conn(service), Log: s.log, Logger: zap.NewNop(), Now: time.Now, Version: "v2",
		Handlers: map[string]deadletter.Handler{consumer: func(_ context.Context, r natsstream.Record, _ int) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Sequence)
			return "applied", handler(r)
		}},
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	s.t.Cleanup(func() { stop(); <-done })
	probe := deadletter.Request{Verb: "none", Key: deadletter.Key{Consumer: consumer, Stream: "X", Sequence: 1}, Who: "test", Why: "is it there?"}
	for {
		if _, err := deadletter.Ask(s.t.Context(), s.srv.Conn("probe"), probe); !errors.Is(err, deadletter.ErrNobody) {
			break
		}
	}
	return func() []uint64 { mu.Lock(); defer mu.Unlock(); return got }
}

// A list has pages; what is done about a cause has not.
func TestRetryOfAGroupFollowsTheFilterNotThePage(t *testing.T) {
	s := newShelf(t)
	s.aside("payments", 0, 120, "payment of evt_%d is in HUF")
	s.aside("payments", 200, 3, "panic: index %d out of range")
	s.run("dead", "retry", "DEAD:1", "--reason", "x").want(t, 1, "nobody answers for this letter: no payments runs", "next: start payments")
	tried := s.owner("payments", "payments", func(r natsstream.Record) error {
		if r.Sequence == 7 {
			return delivery.Permanent(errors.New("payment of evt_6 is in HUF still"))
		}
		if r.Sequence == 8 {
			return errors.New("redis is away")
		}
		return nil
	})
	groups := s.run("dead", "list", "-o", "json")
	groups.want(t, 0, `"count": 120`, `"count": 3`, "payment of … is in HUF")
	var all []dead.Group
	if err := json.Unmarshal([]byte(groups.out), &all); err != nil || len(all) != 2 {
		t.Fatalf("groups: %v\n%s", err, groups.out)
	}
	cause := all[0].Cause
	list := s.run("dead", "list", "--cause", cause)
	list.want(t, 0, "next: the same with --before 71")
	if n := strings.Count(list.out, "DEAD:"); n != 50 {
		t.Errorf("a page lists %d letters, want 50", n)
	}
	s.run("dead", "list", "--cause", cause, "--before", "71", "--limit", "0").want(t, 0, "DEAD:70 ", "DEAD:1 ")

	plan := s.run("dead", "retry", "--cause", cause, "--reason", "fixed in v2")
	plan.want(t, 0, "this would retry 120 letters; next: the same with --yes")
	s.run("dead", "retry", "--cause", cause, "--reason", "fixed in v2", "-o", "json").document(t)
	if len(tried()) != 0 {
		t.Fatalf("a plan tried %v", tried())
	}
	run := s.run("dead", "retry", "--cause", cause, "--yes", "--reason", "fixed in v2")
	run.want(t, 1, "retry: 2 of 120 letters are as they were, or set aside again", "redis is away", "set aside again: payment of evt_6 is in HUF still")
	if n := len(tried()); n != 120 {
		t.Errorf("%d letters were tried, want all 120", n)
	}
	s.run("dead", "list").want(t, 0, "panic: index … out of range")
	left := s.run("dead", "list", "--letters", "-o", "json")
	var letters []deadletter.Letter
	if err := json.Unmarshal([]byte(left.out), &letters); err != nil || len(letters) != 5 {
		t.Errorf("%d letters are left (%v), want the 3 of the other cause and 2", len(letters), err)
	}
	s.run("dead", "list", "--state", "resolved", "--letters", "--limit", "0", "-o", "jsonl").want(t, 0, `"why":"fixed in v2"`)
	s.run("journal", "list", "--action", "dead_retry").want(t, 0, "120 letters", "fixed in v2")
	s.run("journal", "list", "--action", "dead_retry", "-o", "jsonl", "--limit", "1").want(t, 0, `"done":118`, `"failed":2`, "payments/STRIPE:1 applied")
}

func TestALetterIsShownMaskedGivenUpAndTriedAgain(t *testing.T) {
	s := newShelf(t)
	s.aside("customers", 0, 1, "Stripe refuses customer of evt_%d")
	s.aside("payments", 1, 1, "not JSON at %d")
	s.owner("quotes", "customers", func(natsstream.Record) error { return nil })
	show := s.run("dead", "show", "evt_0")
	show.want(t, 0, "DEAD:1", "STRIPE:1  checkout.session.completed", "Stripe refuses customer of evt_0", "a***@customer.example", "open")
	if strings.Contains(show.out, "anna@") {
		t.Errorf("personal data is shown:\n%s", show.out)
	}
	s.run("dead", "show", "customers/STRIPE:1", "--raw").want(t, 0, `"customer_email":"anna@customer.example"`)
	s.run("dead", "show", "STRIPE:2", "-o", "json").want(t, 0, `"consumer": "payments"`)
	s.run("explain", "DEAD:2").want(t, 0, "webhook", "evt_1")
	discarded := s.run("dead", "discard", "DEAD:1", "--reason", "test event", "-o", "json")
	discarded.want(t, 0, `"discarded"`)
	discarded.document(t)
	s.run("dead", "discard", "DEAD:1", "--reason", "test event").want(t, 1, "is discarded already", "next: quotectl dead show DEAD:1")
	s.run("dead", "list").want(t, 0, "payments")
	s.run("dead", "show", "DEAD:1").want(t, 0, "discarded by ", "test event")
	retried := s.run("dead", "retry", "--state", "discarded", "--consumer", "customers", "--reason", "ours after all", "-o", "json")
	retried.want(t, 0, `"resolved"`, `"applied"`)
	retried.document(t)
	s.run("journal", "list", "--target", "customers?STRIPE:1").want(t, 0, "discarded → resolved", "open → discarded", "ours after all")
	s.run("journal", "verify").want(t, 0, "yes")

	s.run("dead", "show", "DEAD:99").want(t, 5, "there is no such dead letter", "next: quotectl dead list")
	s.run("dead", "show", "evt_none").want(t, 5, "no such dead letter")
	s.run("dead", "show", "a/b").want(t, 2, "is none of DEAD:12")
	s.run("dead", "retry", "--reason", "x").want(t, 2, "name letters, or select some")
	s.run("dead", "retry", "DEAD:1", "--cause", "c_1").want(t, 2, "named or selected, not both")
	s.run("dead", "retry", "DEAD:2").want(t, 2, "--reason is missing")
	s.run("dead", "retry", "--cause", "c_none", "--reason", "x").want(t, 5, "no dead letters match")
	s.run("dead", "list", "--state", "lost").want(t, 2, "--state is \"lost\"")
}

func TestParkedListTellsWhatIsWaitedForAndReleaseAsksTheWorker(t *testing.T) {
	s := newShelf(t)
	s.run("parked", "list").want(t, 0, "nothing waits")
	ctx, now := t.Context(), time.Now()
	for i, age := range []time.Duration{50 * time.Hour, time.Minute} {
		id := fmt.Sprintf("evt_%d", i)
		seq := s.stored(id, "charge.refunded", "{}")
		s.decided("STRIPE", seq, redisquote.Outcome{Outcome: "parked", EventID: id, Type: "charge.refunded"})
		for _, object := range []string{"ch_1", "pi_1"} {
			s.redis.ZAdd(ctx, s.keys.IndexParked(), redisZ(now.Add(-age), redisquote.ParkedMember("platform", object, seq)))
		}
	}
	s.redis.ZAdd(ctx, s.keys.IndexParked(), redisZ(now, redisquote.ParkedMember("platform", "in_renewal", 0)))
	s.redis.ZAdd(ctx, s.keys.IndexUnknown(), redisZ(now.Add(-time.Hour), "acct_1|q_77"))
	list := s.run("parked", "list")
	list.want(t, 0, "STRIPE:1", "ch_1 or pi_1", "2d2h", "evt_1", "q_77", "acct_1")
	if strings.Index(list.out, "evt_0") > strings.Index(list.out, "q_77") || strings.Contains(list.out, "in_renewal") {
		t.Errorf("not the oldest first, or a renewal's mark is listed:\n%s", list.out)
	}
	if r := s.run("parked", "list", "--older-than", "24h", "-o", "jsonl"); r.code != 0 || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.out, `"evt_0"`) {
		t.Errorf("--older-than 24h = %+v", r)
	}
	s.run("parked", "release", "evt_0", "--reason", "x").want(t, 1, "no payments worker listens", "next: start the payments worker")
	var asked []natsstream.ParkedRequest
	var mu sync.Mutex
	s.srv.Answer("worker", natsstream.ParkedSubject, func(m *natsMsg) {
		mu.Lock()
		defer mu.Unlock()
		var r natsstream.ParkedRequest
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Error(err)
		}
		asked = append(asked, r)
		answer, err := json.Marshal(natsstream.ParkedAnswer{Before: "parked", Outcome: map[bool]string{true: "ignored", false: "applied"}[r.GiveUp], Quote: "q_1"})
		if err != nil {
			t.Error(err)
		}
		if err := m.Respond(answer); err != nil {
			t.Error(err)
		}
	})
	s.run("parked", "release", "--type", "charge.*", "--reason", "x").want(t, 0, "this would release 2 messages; next: the same with --yes")
	s.run("parked", "release", "--type", "charge.*", "--reason", "x", "-o", "json").document(t)
	released := s.run("parked", "release", "evt_0", "--reason", "ticket 1", "-o", "json")
	released.want(t, 0, `"applied"`, `"q_1"`)
	released.document(t)
	s.run("parked", "release", "--type", "charge.*", "--give-up", "--reason", "not ours", "--yes").want(t, 0, "ignored")
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 3 || asked[0].GiveUp || asked[0].Sequence != 1 || asked[0].Why != "ticket 1" || !asked[2].GiveUp || !strings.Contains(asked[2].Who, "@") {
		t.Errorf("asked %+v", asked)
	}
	s.run("journal", "list", "--action", "parked_*").want(t, 0, "parked → applied", "not ours", "2 messages")
	s.run("parked", "release", "evt_9", "--reason", "x").want(t, 5, "evt_9 is not parked")
	s.run("parked", "release").want(t, 2, "name parked messages, or select some")
	delete(s.settings, "REDIS_URL")
	s.run("parked", "list").want(t, 1, "what waits stands in Redis")
}
