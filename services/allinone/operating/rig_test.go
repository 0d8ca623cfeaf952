package operating_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator"
	"quittance.internal/services/operator/scenario"
	"quittance.internal/services/payments"
)

// rig is the log and Redis, and payments workers that a test starts and stops.
type rig struct {
	t     testing.TB
	nats  *natstest.Server
	redis *redistest.Server
	log   *natsstream.Log
	cache redis.UniversalClient
	// patience is how long eventually waits, grace is the workers' REBUILD_GRACE.
	patience, grace time.Duration
	// env are more settings of quotectl's.
	env map[string]string
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{t: tb, nats: natstest.Start(tb), redis: redistest.Start(tb), patience: 3 * time.Minute, grace: 300 * time.Millisecond}
	r.log, r.cache = r.nats.Log("test"), r.redis.Client()
	return r
}

// worker starts a payments worker; stop stops it and waits.
func (r *rig) worker() (stop func()) {
	r.t.Helper()
	cfg := payments.Config{
		NATS: r.nats.Config("payments"), Redis: r.redis.Config(), Addr: "127.0.0.1:0", Mode: event.ModeTest, Batch: 64,
		ParkedFor: 72 * time.Hour, Version: "test", Now: time.Now, RebuildGrace: r.grace,
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	s, err := payments.New(ctx, cfg, zap.NewNop())
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("payments ended with %v", err)
			}
		})
	}
	r.t.Cleanup(stop)
	r.eventually("payments is ready", func() error { return s.Ready(r.t.Context()) })
	return stop
}

func (r *rig) eventually(what string, f func() error) {
	r.t.Helper()
	processtest.Eventually(r.t, r.patience, what, f)
}

// settled waits until payments has acknowledged everything.
func (r *rig) settled() {
	r.t.Helper()
	r.eventually("everything is acknowledged", func() error {
		return natstest.Settled(r.t.Context(), r.log,
			natstest.Consumer{Stream: event.StreamStripe, Durable: natsstream.DurablePayments},
			natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurablePayments})
	})
}

func (r *rig) store(subject, id string, body []byte) {
	r.t.Helper()
	if _, err := r.log.Fact(r.t.Context(), natsstream.Message{Subject: subject, ID: id, Data: body}); err != nil {
		r.t.Fatal(err)
	}
}

var published = time.Unix(1_760_000_000, 0).UTC()

// publish publishes quotes q_<from> to q_<to - 1>.
func (r *rig) publish(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		id := fmt.Sprintf("q_%d", i)
		s := event.QuoteSubject{Event: event.NamePublished, Seller: "main", Quote: id, N: "1"}
		e, err := event.New(s, event.SourceQuotes, published, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
			PublishedAt: published, URLToken: id, Document: quote.Document{Deal: quote.Deal{ID: "d"}},
		})
		if err != nil {
			r.t.Fatal(err)
		}
		r.store(s.String(), e.ID, e.Encode())
	}
}

// events makes what happens to quotes q_<from> to q_<to - 1>, every scenario in turn, shuffled.
func (r *rig) events(from, to int) []scenario.Event {
	r.t.Helper()
	all := scenario.All()
	var events []scenario.Event
	for i := from; i < to; i++ {
		target := scenario.Target{
			Quote: fmt.Sprintf("q_%d", i), Seller: "main", Revision: 1, Title: "x", Amount: 1000, Currency: "eur",
			CustomerName: "Jan", CustomerEmail: "customer@buyer.example",
		}
		s := all[i%len(all)]
		if s.Name == "subscription" {
			target.Interval, target.IntervalCount = "month", 1
		}
		b, err := s.Run(target, int64(i), published.Add(time.Minute), scenario.V20231016)
		if err != nil {
			r.t.Fatal(err)
		}
		events = append(events, b.Events...)
	}
	rnd := rand.New(rand.NewPCG(uint64(from), uint64(to)))
	rnd.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}

func (r *rig) deliver(e scenario.Event) {
	r.t.Helper()
	s := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: e.ID, Type: e.Type}
	r.store(s.String(), e.ID, e.Body)
}

// live plays count quotes to their end.
func (r *rig) live(count int) {
	r.t.Helper()
	r.publish(0, count)
	for _, e := range r.events(0, count) {
		r.deliver(e)
	}
	r.settled()
}

// keys are those of the generation in use.
func (r *rig) keys() redisquote.Keys {
	r.t.Helper()
	g, err := r.log.Generation(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return redisquote.NewKeys(g.Read)
}

// answer is what quotectl said.
type answer struct {
	code     int
	out, err string
}

func (r *rig) lookup() func(name string) (string, bool) {
	env := map[string]string{"NATS_URL": r.nats.URL, "REDIS_URL": r.redis.URL, "TZ": "UTC"}
	maps.Copy(env, r.env)
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func (r *rig) quotectl(args ...string) answer {
	r.t.Helper()
	var out, errs bytes.Buffer
	code := operator.Run(r.t.Context(), args, r.lookup(), &out, &errs)
	return answer{code, out.String(), errs.String()}
}

// want fails the test unless the exit code is this one and the texts were printed.
func (a answer) want(tb testing.TB, code int, texts ...string) answer {
	tb.Helper()
	if a.code != code {
		tb.Fatalf("exit code %d, want %d\n%s%s", a.code, code, a.out, a.err)
	}
	for _, text := range texts {
		if !strings.Contains(a.out+a.err, text) {
			tb.Errorf("output lacks %q:\n%s%s", text, a.out, a.err)
		}
	}
	return a
}

func (a answer) decode(tb testing.TB, into any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.out), into); err != nil {
		tb.Fatalf("%v\n%s%s", err, a.out, a.err)
	}
}
