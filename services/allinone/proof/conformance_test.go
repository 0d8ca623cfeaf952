package proof_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/operator/scenario"
	"quittance.internal/services/payments"
)

// The same histories give the same facts, status, digest and outcomes on redis-server, on miniredis, and in the pure fold.
// Message by message the outcomes are the very same; in a batch it may be another of several messages that tell the same
// which is the applied one.
func TestRedisMiniredisAndThePureFoldAgree(t *testing.T) {
	mini := miniredis.RunT(t)
	for name, run := range map[string]struct {
		url   string
		batch int
	}{
		"redis-server":       {redistest.Start(t).URL, 16},
		"message by message": {redistest.Start(t).URL, 1},
		"miniredis":          {"redis://" + mini.Addr() + "/0", 16},
	} {
		t.Run(name, func(t *testing.T) {
			url := run.url
			srv := natstest.Start(t)
			log := srv.Log("test")
			writeHistories(t, log, 48)
			cfg := payments.Config{
				NATS: srv.Config("payments"), Redis: redisquote.Config{URL: env.NewSecret(url)}, Addr: "127.0.0.1:0", Mode: event.ModeTest,
				Batch: run.batch, ParkedFor: time.Hour, Version: "test", Now: time.Now,
			}
			pipelinetest.Run(t, payments.New, cfg)
			opts, err := redis.ParseURL(url)
			if err != nil {
				t.Fatal(err)
			}
			client := redis.NewClient(opts)
			defer client.Close()
			w := &world{tb: t, nats: srv, log: log, cache: client, acked: map[string][]string{}}
			w.settledPayments(patience)
			stripe := w.scan(event.StreamStripe)
			fold, outcomes := foldOutcomes(t, w.scan(event.StreamQuotes), stripe)
			if n := len(fold.Keys()); n != 48 {
				t.Fatalf("the pure fold knows %d quotes, want 48", n)
			}
			for _, k := range fold.Keys() {
				w.checkProjection(k, fold, t.Errorf)
				if unsent := fold.Unsent(k); len(unsent) > 0 {
					t.Errorf("unsent of %v = %v", k, unsent)
				}
			}
			w.checkOutcomes(stripe, outcomes, t.Errorf)
			for _, r := range stripe {
				o, _ := w.reader().Outcome(t.Context(), event.StreamStripe, r.Sequence)
				if want := outcomes[projection.Place{Stripe: true, Sequence: r.Sequence}]; run.batch == 1 && o.Outcome != want.Kind {
					t.Errorf("outcome of message %d (%s) is %s, the pure fold's %s", r.Sequence, r.Subject, o.Outcome, want.Kind)
				}
			}
			w.checkPaidFacts(w.scan(event.StreamQuotes), fold, t.Errorf)
		})
	}
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
