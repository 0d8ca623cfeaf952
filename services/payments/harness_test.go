package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/payments"
)

// rig is a payments worker on real servers, with the log at hand.
type rig struct {
	t     *testing.T
	nats  *natstest.Server
	redis *redistest.Server
	log   *natsstream.Log
	cache redis.UniversalClient
	read  *redisquote.Reader
	logs  *observer.ObservedLogs
	now   func() time.Time
	// policy is nil for the built-in one.
	policy *quote.Policy
	// generationEvery is payments' default where it is 0.
	generationEvery time.Duration
	addr            string // of the worker's metrics
	durability      natsstream.Durability
}

// newRig starts the servers; run starts a worker.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, nats: natstest.Start(t), redis: redistest.Start(t), now: time.Now}
	r.log, r.cache = r.nats.Log("test"), r.redis.Client()
	r.read = redisquote.NewReader(r.cache, redisquote.NewKeys(redisquote.Generation))
	return r
}

func (r *rig) config() payments.Config {
	return payments.Config{
		NATS: r.nats.Config("payments"), Redis: r.redis.Config(), Addr: "127.0.0.1:0", Mode: event.ModeTest, Batch: 64,
		ParkedFor: 72 * time.Hour, LogLevel: "info", Version: "test", Now: r.now, Policy: r.policy, GenerationEvery: r.generationEvery,
		RebuildGrace: 50 * time.Millisecond, Durability: r.durability,
	}
}

// run starts a worker and waits until it is ready; the returned function stops it and waits.
func (r *rig) run() (stop func()) {
	r.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	r.logs = logs
	ctx, cancel := context.WithCancel(r.t.Context())
	s, err := payments.New(ctx, r.config(), zap.New(core))
	if err != nil {
		cancel()
		r.t.Fatal(err)
	}
	r.addr = s.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("Run = %v, want nil after its context ended", err)
			}
		})
	}
	r.t.Cleanup(stop)
	r.eventually("the worker is ready", func() error { return s.Ready(r.t.Context()) })
	return stop
}

func (r *rig) eventually(what string, f func() error) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not within a minute: %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// published writes a published revision of a quote on an account into the log.
func (r *rig) published(id string, n int, amount int64, account string) {
	r.t.Helper()
	r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: strconv.Itoa(n)}, event.Published{
		Seller: "main", QuoteID: id, Revision: n, Version: n, Amount: amount, Currency: "eur", Account: account, Mode: event.ModeTest,
		PublishedAt: time.Unix(1_700_000_000, 0).UTC(), URLToken: id + strconv.Itoa(n),
		Document: quote.Document{Title: "Consulting", Deal: quote.Deal{ID: "d1"}},
	})
}

func (r *rig) quoteEvent(s event.QuoteSubject, data any) {
	r.t.Helper()
	e, err := event.New(s, event.SourceQuotes, time.Unix(1_700_000_000, 0), data)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.log.Fact(r.t.Context(), natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Encode()}); err != nil {
		r.t.Fatal(err)
	}
}

// object is a Stripe object or event as JSON.
type object map[string]any

// stripe stores an event as ingress would and returns its sequence.
func (r *rig) stripe(id, typ, account string, data object) uint64 {
	r.t.Helper()
	body := object{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": 1_700_000_100, "type": typ, "livemode": false,
		"data": object{"object": data},
	}
	subjectAccount := event.Platform
	if account != "" {
		body["account"], subjectAccount = account, account
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.raw(event.StripeSubject{Mode: event.ModeTest, Account: subjectAccount, EventID: id, Type: typ}.String(), encoded)
}

func (r *rig) raw(subject string, body []byte) uint64 {
	r.t.Helper()
	stored, err := r.log.Fact(r.t.Context(), natsstream.Message{Subject: subject, Header: nats.Header{"Source": []string{"webhook"}}, Data: body})
	if err != nil {
		r.t.Fatal(err)
	}
	return stored.Sequence
}

func metadata(quoteID string, revision int) object {
	return object{"quote_id": quoteID, "quote_revision": strconv.Itoa(revision), "seller": "main"}
}

// session is a paid Checkout Session of a quote.
func session(id, quoteID string, revision int, amount int64, intent string) object {
	return object{
		"id": id, "object": "checkout.session", "mode": "payment", "status": "complete", "payment_status": "paid",
		"amount_total": amount, "currency": "eur", "payment_intent": intent, "metadata": metadata(quoteID, revision),
	}
}

func charge(id, intent string, amount, refunded int64) object {
	return object{
		"id": id, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": refunded, "captured": true,
		"paid": true, "status": "succeeded", "currency": "eur", "payment_intent": intent, "created": 1_700_000_090, "metadata": object{},
	}
}

func refund(id, chargeID, intent string, amount int64) object {
	return object{
		"id": id, "object": "refund", "amount": amount, "currency": "eur", "charge": chargeID, "payment_intent": intent,
		"status": "succeeded", "created": 1_700_000_095, "metadata": object{},
	}
}

// status waits until a quote has the status.
func (r *rig) status(account, quoteID, want string) redisquote.Payment {
	r.t.Helper()
	var p redisquote.Payment
	r.eventually("status of "+quoteID+" is "+want, func() (err error) {
		if p, err = r.read.Payment(r.t.Context(), account, quoteID); err == nil && p.Status != want {
			err = fmt.Errorf("status is %q %v", p.Status, p.Flags)
		}
		return err
	})
	return p
}

// outcome waits until a message has an outcome of the wanted kind.
func (r *rig) outcome(sequence uint64, want string) redisquote.Outcome {
	r.t.Helper()
	var o redisquote.Outcome
	r.eventually(fmt.Sprintf("outcome of %d is %s", sequence, want), func() (err error) {
		if o, err = r.read.Outcome(r.t.Context(), event.StreamStripe, sequence); err == nil && o.Outcome != want {
			err = fmt.Errorf("outcome is %+v", o)
		}
		return err
	})
	return o
}

// drained waits until the worker has acknowledged everything.
func (r *rig) drained() {
	r.t.Helper()
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		r.eventually(stream+" is acknowledged", func() error {
			c, err := r.log.JetStream().Consumer(r.t.Context(), stream, "payments")
			if err != nil {
				return err
			}
			// What was stored a moment ago may not be counted as pending yet, so the last message must be acknowledged too.
			i := c.CachedInfo()
			last, err := r.log.Read(r.t.Context(), stream, ">")
			if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
				return err
			}
			if i.NumPending+uint64(i.NumAckPending) > 0 || i.AckFloor.Stream < last.Sequence {
				return errors.New("messages are left")
			}
			return nil
		})
	}
}

func (r *rig) paidFact(quoteID string, n int) (event.Paid, error) {
	rec, err := r.log.Read(r.t.Context(), event.StreamQuotes, event.QuoteSubject{Event: "paid", Seller: "main", Quote: quoteID, N: strconv.Itoa(n)}.String())
	if err != nil {
		return event.Paid{}, err
	}
	e, err := event.Decode(rec.Data)
	if err != nil {
		return event.Paid{}, err
	}
	return event.Data[event.Paid](e)
}

func (r *rig) keys() redisquote.Keys { return redisquote.NewKeys(redisquote.Generation) }

// lose removes quote.paid of a quote's first revision from the log.
func (r *rig) lose(quoteID string) {
	r.t.Helper()
	rec, err := r.log.Read(r.t.Context(), event.StreamQuotes, "quote.paid.main."+quoteID+".1")
	if err != nil {
		r.t.Fatal(err)
	}
	stream, err := r.log.JetStream().Stream(r.t.Context(), event.StreamQuotes)
	if err == nil {
		err = stream.DeleteMsg(r.t.Context(), rec.Sequence)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
