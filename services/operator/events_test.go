package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/operator"
)

// shelf is a log and a Redis that a test fills by hand.
type shelf struct {
	t        *testing.T
	srv      *natstest.Server
	log      *natsstream.Log
	redis    redis.UniversalClient
	keys     redisquote.Keys
	settings map[string]string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	srv, store := natstest.Start(t), redistest.Start(t)
	return &shelf{
		t: t, srv: srv, log: srv.Log("shelf"), redis: store.Client(), keys: redisquote.NewKeys(redisquote.Generation),
		settings: map[string]string{"NATS_URL": srv.URL, "REDIS_URL": store.URL, "TZ": "Europe/Warsaw"},
	}
}

// natsMsg is a core message.
type natsMsg = nats.Msg

func redisZ(at time.Time, member string) redis.Z {
	return redis.Z{Score: float64(at.UnixMilli()), Member: member}
}

func (s *shelf) run(args ...string) result { s.t.Helper(); return runWith(s.t, s.settings, args...) }

// stored puts a Stripe event into the log and returns its sequence.
func (s *shelf) stored(id, typ, body string) uint64 {
	s.t.Helper()
	subject := event.StripeSubject{Mode: "test", Account: event.Platform, EventID: id, Type: typ}.String()
	m := natsstream.Message{Subject: subject, Data: []byte(body), Header: nats.Header{
		event.HeaderSource: {event.SourceWebhook}, event.HeaderSecretName: {"main"}, event.HeaderReceivedAt: {"2026-11-25T10:00:00Z"},
	}}
	for {
		got, err := s.log.Fact(s.t.Context(), m)
		if err == nil {
			return got.Sequence
		}
		if s.t.Context().Err() != nil {
			s.t.Fatal(err)
		}
	}
}

// decided records what became of a message.
func (s *shelf) decided(stream string, seq uint64, o redisquote.Outcome) {
	s.t.Helper()
	if o.At.IsZero() {
		o.At = time.Now().UTC()
	}
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.redis.HSet(s.t.Context(), s.keys.Outcomes(stream, seq), strconv.FormatUint(seq, 10), text).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func TestEventsListShowsWhatFailedFirstWhenAsked(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for n := range 120 {
		id := fmt.Sprintf("evt_%d", n)
		seq := s.stored(id, "checkout.session.completed", `{"id":"`+id+`"}`)
		o := redisquote.Outcome{Outcome: "applied", Quote: "q_1", Account: "platform", Before: "pending", After: "paid", EventID: id, Type: "checkout.session.completed"}
		if n%60 == 7 {
			o = redisquote.Outcome{Outcome: "dead", Reason: "not JSON", EventID: id, Type: "checkout.session.completed"}
		}
		if n < 119 {
			s.decided("STRIPE", seq, o)
		}
	}
	r := s.run("events", "list", "--outcome", "failed", "-o", "wide")
	r.want(t, 0, "STRIPE:8 ", "STRIPE:68 ", "dead", "not JSON", "evt_7")
	if strings.Contains(r.out, "applied") || strings.Index(r.out, "STRIPE:68 ") > strings.Index(r.out, "STRIPE:8 ") {
		t.Errorf("list of the failed ones:\n%s", r.out)
	}
	r = s.run("events", "list")
	r.want(t, 0, "pending", "next: the same with --after 71")
	s.run("events", "list", "--after", "71", "--limit", "2").want(t, 0, "STRIPE:70 ", "STRIPE:69 ", "next: the same with --after 69")
	s.run("events", "list", "--oldest-first", "--limit", "1").want(t, 0, "STRIPE:1 ")
	if r = s.run("events", "list", "--limit", "0", "-o", "jsonl"); strings.Count(r.out, "\n") != 120 {
		t.Errorf("--limit 0 prints %d lines, want all 120", strings.Count(r.out, "\n"))
	}
	s.run("events", "list", "--id", "evt_7", "-o", "json").want(t, 0, `"place": "STRIPE:8"`, `"outcome": "dead"`, `"source": "webhook"`)
	s.run("events", "list", "--type", "charge.*").want(t, 0, "no events match")
	s.run("events", "list", "--type", "charge.*", "-o", "json").want(t, 0, "[]")
	s.run("events", "list", "--outcome", "lost", "--seq", "x").want(t, 2, "outcome: \"lost\" is none of applied", "seq: \"x\" is no sequence", "next: quotectl events list --help")
	delete(s.settings, "REDIS_URL")
	s.run("events", "list", "--limit", "1").want(t, 0, "outcomes are not known", "unknown")
	s.run("events", "list", "--outcome", "failed").want(t, 1, "without Redis", "next: export REDIS_URL")
	s.srv.Stop()
	s.run("events", "list").want(t, 1, "next: check that the server runs")
}

func TestEventsGetMasksUnlessRawIsAskedFor(t *testing.T) {
	s := newShelf(t)
	body := `{ "id":"evt_1", "data":{"object":{"customer_details":{"email":"anna@customer.example","name":"Anna"}}} }`
	seq := s.stored("evt_1", "checkout.session.completed", body)
	s.decided("STRIPE", seq, redisquote.Outcome{Outcome: "applied", Quote: "q_1", Before: "pending", After: "paid", Account: "platform"})
	r := s.run("events", "get", "evt_1")
	r.want(t, 0, "STRIPE:1", "applied  pending → paid", "header Secret-Name", "a***@customer.example", "+01:00")
	if strings.Contains(r.out, "anna@") || strings.Contains(r.out, "Anna") {
		t.Errorf("personal data is shown:\n%s", r.out)
	}
	if r = s.run("events", "get", "STRIPE:1", "--raw"); r.code != 0 || r.out != body {
		t.Errorf("--raw = %d %q, want the stored bytes", r.code, r.out)
	}
	if r = s.run("events", "get", "evt_1", "--headers"); r.code != 0 || strings.Contains(r.out, "customer_details") {
		t.Errorf("--headers shows the body:\n%s", r.out)
	}
	s.run("events", "get", "evt_1", "-o", "json").want(t, 0, `"Source": "webhook"`, `"customer_details"`, `"subject": "stripe.test.platform.evt_1.checkout.session.completed"`)
	s.run("events", "get", "evt_2").want(t, 5, "event evt_2 is not in the log")
	s.run("events", "get", "STRIPE:2").want(t, 5, "the log has no such message")
	s.run("events", "get", "STRIPE:x").want(t, 2, "is not of the form")
	s.run("events", "get", "NOWHERE:1").want(t, 2, "there is no stream")
	s.run("events", "get", "evt 1").want(t, 2, "neither an event id")
	s.run("events", "get", "evt_1", "--raw", "--headers").want(t, 2, "exclude each other")
	s.stored("evt_3", "x", "no json")
	s.run("events", "get", "evt_3").want(t, 0, "the body is no JSON", "pending")
}

// lines collects what is printed while a command runs.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *lines) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// await waits until everything is printed.
func (l *lines) await(t *testing.T, texts ...string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for _, text := range texts {
		for !strings.Contains(l.String(), text) {
			if time.Now().After(deadline) {
				t.Fatalf("%q was not printed within 60 s:\n%s", text, l.String())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestEventsTailFollowsOverALostConnectionAndEndsWellOnCtrlC(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.stored("evt_before", "a.b", "{}")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, errs lines
	code := make(chan int, 1)
	lookup := func(name string) (string, bool) { v, ok := s.settings[name]; return v, ok }
	go func() { code <- operator.Run(ctx, []string{"events", "tail", "--since", "1h"}, lookup, &out, &errs) }()
	out.await(t, "--> a.b [evt_before]  platform")
	seq := s.stored("evt_1", "checkout.session.completed", "{}")
	s.decided("STRIPE", seq, redisquote.Outcome{Outcome: "applied", Quote: "q_1", Before: "pending", After: "paid", At: time.Now().UTC()})
	out.await(t, "--> checkout.session.completed [evt_1]", "<-- [applied] checkout.session.completed [evt_1]  q_1  pending → paid  after ")
	s.srv.Stop()
	errs.await(t, "waiting for the log: ")
	s.srv.Restart()
	dead := s.stored("evt_2", "charge.refunded", "{}")
	s.decided("STRIPE", dead, redisquote.Outcome{Outcome: "dead", Reason: "not JSON"})
	out.await(t, "--> charge.refunded [evt_2]", "<-- [dead] charge.refunded [evt_2]", "(not JSON)")
	if _, err := s.log.Fact(t.Context(), natsstream.Message{Subject: "quote.paid.main.q_1.1", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	out.await(t, "==> quote.paid [QUOTES:1]  q_1")
	interrupt()
	if got := <-code; got != 0 {
		t.Errorf("exit code after Ctrl-C = %d, want 0\n%s", got, errs.String())
	}
	for _, id := range []string{"evt_before", "evt_1", "evt_2"} {
		if n := strings.Count(out.String(), "--> "); n != 3 || strings.Count(out.String(), "["+id+"]") > 2 {
			t.Errorf("an event was told twice or not at all (%d arrows):\n%s", n, out.String())
		}
	}
}

func TestEventsTailTellsOnlyWhatIsSelected(t *testing.T) {
	s := newShelf(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out, errs lines
	code := make(chan int, 1)
	lookup := func(name string) (string, bool) { v, ok := s.settings[name]; return v, ok }
	go func() {
		code <- operator.Run(ctx, []string{"events", "tail", "--since", "1h", "--outcome", "failed", "-o", "jsonl"}, lookup, &out, &errs)
	}()
	for n, outcome := range []string{"applied", "dead", "ignored", "parked"} {
		seq := s.stored("evt_"+strconv.Itoa(n), "a.b", "{}")
		s.decided("STRIPE", seq, redisquote.Outcome{Outcome: outcome})
	}
	out.await(t, `"id":"evt_1"`, `"id":"evt_3"`)
	interrupt()
	if got := <-code; got != 0 || strings.Contains(out.String(), "evt_0") || strings.Contains(out.String(), "evt_2") {
		t.Errorf("exit code %d, printed:\n%s", got, out.String())
	}
	runWith(t, s.settings, "events", "tail", "--since", "soon").want(t, 2, "since: \"soon\" is no time")
}
