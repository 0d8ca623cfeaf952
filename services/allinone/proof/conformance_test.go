package proof_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/operator/scenario"
	"quittance.internal/services/payments"
)

// The same histories give the same facts, status, digest and outcomes on redis-server, on a Redis Cluster of three masters, on
// miniredis, and in the pure fold. Message by message the outcomes are the very same; in a batch it may be another of several
// messages that tell the same which is the applied one. Nothing that we send to the cluster reaches over its slots.
func TestRedisMiniredisAndThePureFoldAgree(t *testing.T) {
	mini, cluster := miniredis.RunT(t), redistest.StartCluster(t, 3, 0)
	count := testsize.Of(t, 48, 2000, 20_000)
	for name, run := range map[string]struct {
		url   string
		batch int
	}{
		"redis-server":       {redistest.Start(t).URL, 16},
		"message by message": {redistest.Start(t).URL, 1},
		"miniredis":          {"redis://" + mini.Addr() + "/0", 16},
		"redis cluster":      {cluster.URL, 16},
	} {
		t.Run(name, func(t *testing.T) {
			url := run.url
			srv := natstest.Start(t)
			log := srv.Log("test")
			writeHistories(t, log, count)
			cfg := payments.Config{
				NATS: srv.Config("payments"), Redis: redisquote.Config{URL: env.NewSecret(url)}, Addr: "127.0.0.1:0", Mode: event.ModeTest,
				Batch: run.batch, ParkedFor: time.Hour, Version: "test", Now: time.Now,
			}
			pipelinetest.Run(t, payments.New, cfg)
			client, err := redisquote.Open(t.Context(), cfg.Redis)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			w := &world{tb: t, nats: srv, log: log, cache: client, acked: map[string][]string{}}
			w.settledPayments(patience)
			stripe := w.scan(event.StreamStripe)
			fold, outcomes := foldOutcomes(t, w.scan(event.StreamQuotes), stripe)
			if n := len(fold.Keys()); n != count {
				t.Fatalf("the pure fold knows %d quotes, want %d", n, count)
			}
			for _, k := range fold.Keys() {
				if unsent := fold.Unsent(k); len(unsent) > 0 {
					t.Errorf("unsent of %v = %v", k, unsent)
				}
			}
			for _, broken := range w.checkInvariants() {
				t.Error(broken)
			}
			for _, r := range stripe {
				o, _ := w.reader().Outcome(t.Context(), event.StreamStripe, r.Sequence)
				if want := outcomes[projection.Place{Stripe: true, Sequence: r.Sequence}]; run.batch == 1 && o.Outcome != want.Kind {
					t.Errorf("outcome of message %d (%s) is %s, the pure fold's %s", r.Sequence, r.Subject, o.Outcome, want.Kind)
				}
			}
			t.Logf("%d quotes, %d messages", count, len(stripe))
		})
	}
	keys := 0
	for _, n := range cluster.Nodes {
		size, err := n.Do(t.Context(), "DBSIZE").Int()
		if err != nil || size == 0 {
			t.Errorf("master %s holds %d keys, %v: it proves nothing", n.Addr(), size, err)
		}
		keys += size
		if told, err := n.Do(t.Context(), "INFO", "errorstats").Text(); err != nil || strings.Contains(told, "CROSSSLOT") {
			t.Errorf("errors of master %s: %s, %v; want no CROSSSLOT", n.Addr(), told, err)
		}
	}
	t.Logf("the cluster holds %d keys", keys)
}

// writeHistories writes published quotes and their shuffled bursts straight into the log.
func writeHistories(t *testing.T, log *natsstream.Log, count int) {
	t.Helper()
	var events []scenario.Event
	all := scenario.All()
	for i := range count {
		s := all[i%len(all)]
		id := fmt.Sprintf("q_%d", i)
		at := time.Unix(1_760_000_000, 0).UTC()
		subject := event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: "1"}
		envelope, err := event.New(subject, event.SourceQuotes, at, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
			PublishedAt: at, URLToken: id, Document: quote.Document{Deal: quote.Deal{ID: "d"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: subject.String(), ID: envelope.ID, Data: envelope.Encode()}); err != nil {
			t.Fatal(err)
		}
		target := scenario.Target{
			Quote: id, Seller: "main", Revision: 1, Title: "x", Amount: 1000, Currency: "eur",
			CustomerName: "Jan", CustomerEmail: "customer@buyer.example",
		}
		if s.Name == "subscription" {
			target.Interval, target.IntervalCount = "month", 1
		}
		version := []scenario.Version{scenario.V20231016, scenario.Basil}[i/len(all)%2]
		b, err := s.Run(target, int64(i), at.Add(time.Minute), version)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, b.Events...)
	}
	for _, e := range shuffled(events, 5) {
		subject := event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: e.ID, Type: e.Type}
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: subject.String(), ID: e.ID, Data: e.Body}); err != nil {
			t.Fatal(err)
		}
	}
}
