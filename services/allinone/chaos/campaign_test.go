package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/invariants"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

// senders are how many webhooks are under way at once.
const senders = 16

// campaign is one run: kills over webhooks, in rounds. After each the faults pause, everything comes to its end, and the
// invariants are looked at.
type campaign struct {
	w       *world
	nemesis *nemesis
	seed    uint64
	rand    *rand.Rand

	kills, webhooks int
	rounds          int

	killed, sent atomic.Int64
	sales, made  int // quotes that the tester published itself, and those by the API
	foreigners   int
	paid         map[string]scenario.Burst // quote that the tester published itself → what Stripe says about it
	patience     time.Duration             // for what is broken to be mended by itself
	began        time.Time
	slowest      time.Duration // to the end of all work, after the faults
}

func newCampaign(w *world, seed uint64, kills, webhooks, rounds int) *campaign {
	return &campaign{
		w: w, nemesis: newNemesis(w, seed), seed: seed, rand: rand.New(rand.NewPCG(seed, 2)), kills: kills, webhooks: webhooks, rounds: rounds, patience: patience, began: time.Now(),
		paid: map[string]scenario.Burst{},
	}
}

// run goes through the rounds and returns what is broken; it stops at the first round after which something is.
func (c *campaign) run() []invariants.Violation {
	c.w.tb.Helper()
	for round := 1; round <= c.rounds; round++ {
		c.storm(c.kills*round/c.rounds, c.webhooks*round/c.rounds)
		if broken := c.calm(); len(broken) > 0 {
			return broken
		}
		c.say("round %d of %d holds: %s", round, c.rounds, c.summary())
	}
	return nil
}

// storm sends webhooks and kills until there are so many of each. Neither runs ahead of the other.
func (c *campaign) storm(kills, webhooks int) {
	c.w.tb.Helper()
	ctx, cancel := context.WithCancel(c.w.tb.Context())
	defer cancel()
	items := c.items(webhooks - int(c.sent.Load()))
	perKill := float64(c.webhooks) / float64(c.kills)
	slack := max(2, c.kills/50)
	var load errgroup.Group
	work := make(chan func())
	for range senders {
		load.Go(func() error {
			for f := range work {
				f()
			}
			return nil
		})
	}
	load.Go(func() error {
		defer close(work)
		for _, f := range items {
			for int(float64(c.sent.Load())/perKill) > int(c.killed.Load())+slack && int(c.killed.Load()) < kills && ctx.Err() == nil {
				wait(ctx, 5*time.Millisecond)
			}
			work <- f
		}
		return nil
	})
	load.Go(func() error { c.sell(ctx, max(2, c.webhooks/c.rounds/1000)); return nil })
	told := time.Now()
	for int(c.killed.Load()) < kills && ctx.Err() == nil {
		wait(ctx, c.nemesis.between(20*time.Millisecond, 400*time.Millisecond))
		for float64(c.killed.Load()) > float64(c.sent.Load())/perKill+float64(slack) && int(c.sent.Load()) < webhooks && ctx.Err() == nil {
			wait(ctx, 5*time.Millisecond)
		}
		if c.nemesis.kill(ctx) {
			c.killed.Add(1)
		}
		c.nemesis.faults(ctx)
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			c.say("%s", c.summary())
		}
	}
	c.nemesis.calm()
	_ = load.Wait()
}

// items are what the senders do in a round: publish quotes, and deliver what Stripe says about them and about what is not ours,
// in any order, a part of it twice.
func (c *campaign) items(webhooks int) []func() {
	ctx, at := c.w.tb.Context(), time.Now()
	var events []scenario.Event
	var items []func()
	for len(events) < webhooks*6/10 {
		c.sales++
		s := sale{id: fmt.Sprintf("q_%d", c.sales), number: c.sales, recurring: scenarioOf(c.sales).Name == "subscription"}
		items = append(items, func() { c.publish(ctx, s) })
		b, err := burst(s, at)
		if err != nil {
			c.w.tb.Fatal(err)
		}
		events = append(events, b.Events...)
		c.paid[s.id] = b
	}
	for len(events) < webhooks {
		c.foreigners++
		events = append(events, foreign(c.foreigners, at))
	}
	for _, e := range events {
		items = append(items, func() { c.w.tester.deliver(ctx, e); c.sent.Add(1) })
		if c.rand.IntN(5) == 0 {
			items = append(items, func() { c.w.tester.deliver(ctx, e) })
		}
	}
	return shuffled(c.rand, items)
}

// publish stores that a quote was published, as the service quotes does.
func (c *campaign) publish(ctx context.Context, s sale) {
	at := time.Now().UTC()
	subject := event.QuoteSubject{Event: event.NamePublished, Seller: "main", Quote: s.id, N: "1"}
	line := quote.LineItem{Name: "Consulting", Quantity: 1, UnitAmount: s.amount()}
	if s.recurring {
		line.Recurring = &quote.Recurring{Interval: "month", IntervalCount: 1}
	}
	e, err := event.New(subject, event.SourceQuotes, at, event.Published{
		Seller: "main", QuoteID: s.id, Revision: 1, Version: 1, Amount: s.amount(), Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
		PublishedAt: at, URLToken: s.id, Document: quote.Document{
			Title: "Quote", Deal: quote.Deal{ID: "d", Name: "Deal"}, Currency: "eur", LineItems: []quote.LineItem{line},
			Owner:   quote.Owner{Name: "Ola", Email: s.owner(), TimeZone: "Europe/Warsaw"},
			Contact: quote.Contact{Email: "customer@buyer.example", FirstName: "Jan", LastName: "Nowak"}, Payment: quote.PaymentOptions{Stripe: true},
		},
	})
	if err != nil {
		c.w.tb.Error(err)
		return
	}
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := c.w.log.Fact(once, natsstream.Message{Subject: subject.String(), ID: e.ID, Data: e.Encode()})
		cancel()
		if err == nil {
			return
		}
		wait(ctx, 50*time.Millisecond)
	}
}

// sell makes quotes through the API, which is killed like the rest, and has them paid.
func (c *campaign) sell(ctx context.Context, count int) {
	for range count {
		c.made++
		number := 8_000_000 + 8*c.made // a multiple of the number of scenarios is paid by card
		amount := sale{number: number}.amount()
		id := c.offer(ctx, fmt.Sprintf("chaos-%d-%d", c.seed, c.made), amount, "")
		if ctx.Err() != nil {
			return // the storm is over, and nobody knows whether it was published
		}
		b, err := burst(sale{id: id, number: number}, time.Now())
		if err != nil {
			c.w.tb.Error(err)
			return
		}
		for _, e := range b.Events {
			c.w.tester.deliver(c.w.tb.Context(), e)
		}
	}
}

// offer makes and publishes a quote by the API and returns its id. expires is RFC 3339, or "" for never.
func (c *campaign) offer(ctx context.Context, key string, amount int64, expires string) string {
	var made struct {
		ID string `json:"id"`
	}
	document := map[string]any{
		"title": "Quote", "deal": map[string]any{"id": "d", "name": "Deal"}, "currency": "eur",
		"line_items": []any{map[string]any{"name": "Consulting", "quantity": 1, "unit_amount": amount}},
		"owner":      map[string]any{"name": "Ola", "email": "api@seller.example", "time_zone": "Europe/Warsaw"},
		"contact":    map[string]any{"email": "customer@buyer.example", "first_name": "Jan", "last_name": "Nowak"},
		"payment":    map[string]any{"stripe": true},
	}
	if expires != "" {
		document["expires_at"] = expires
	}
	c.call(ctx, "/v1/quotes", key, document, &made)
	c.call(ctx, "/v1/quotes/"+made.ID+"/publish", key+"-publish", nil, nil)
	return made.ID
}

// call makes a call of the API until it is answered 2xx.
func (c *campaign) call(ctx context.Context, path, key string, body, into any) {
	for ctx.Err() == nil {
		once, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := processtest.JSON(once, http.MethodPost, c.w.quotesURL+path, body, into, "Authorization", "Bearer "+token, "Idempotency-Key", key)
		cancel()
		if err == nil {
			return
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// calm waits until all work has come to its end and returns what is broken then. A Redis that has lost something is noticed
// within a second and folded again: what is broken at first may be mended by itself, within patience.
func (c *campaign) calm() []invariants.Violation {
	c.w.tb.Helper()
	began := time.Now()
	for deadline := began.Add(c.patience); ; {
		c.w.ready()
		processtest.Eventually(c.w.tb, patience, "all messages are acknowledged", func() error {
			return natstest.Settled(c.w.tb.Context(), c.w.log, consumers...)
		})
		checker := invariants.Checker{Log: c.w.log, Redis: c.w.cache, Now: time.Now, Acked: c.w.tester.snapshot(), Mails: c.w.mail.ByMessageID()}
		report, err := checker.Check(c.w.tb.Context())
		var broken []invariants.Violation
		switch {
		case err != nil:
			broken = []invariants.Violation{{Invariant: "I?", What: err.Error()}}
		case report.Held() && report.InFlight() == 0:
			c.slowest = max(c.slowest, time.Since(began))
			return nil
		case report.Held():
			broken = []invariants.Violation{{Invariant: "I3", What: fmt.Sprintf("%d things are still in flight: %+v", report.InFlight(), report.Lines)}}
		default:
			broken = report.Violations
		}
		if time.Now().After(deadline) || slices.ContainsFunc(broken, beyondRepair) {
			return broken
		}
		wait(c.w.tb.Context(), 500*time.Millisecond)
	}
}

// beyondRepair: nothing that runs by itself would mend it, so there is nothing to wait for.
func beyondRepair(v invariants.Violation) bool {
	return v.Invariant == "I1" || v.Invariant == "I2" || v.Invariant == "I5" || v.Invariant == "I6" && strings.Contains(v.What, "was accepted")
}

// summary is the state of the campaign in one line.
func (c *campaign) summary() string {
	var kills, ended []string
	for _, k := range c.w.all() {
		kills = append(kills, fmt.Sprintf("%s %d", k.Name, k.kills.Load()))
		if n := k.ended.Load(); n > 0 {
			ended = append(ended, fmt.Sprintf("%s %d", k.Name, n))
		}
	}
	t := c.w.tester
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("seed %d, %s: %d kills (%s; ended by themselves: %s), %d pauses, %d lost replies of Redis, %d flushes, %d script flushes; "+
		"%d webhooks, %d acknowledged, %d answers 2xx, refused %v, %d without an answer; %d quotes, %d mails, %d of them not answered",
		c.seed, time.Since(c.began).Round(time.Second), c.killed.Load(), strings.Join(kills, ", "), strings.Join(ended, ", "),
		c.w.payments.stops.Load()+c.w.notifier.stops.Load(), c.w.proxy.dropped.Load(), c.nemesis.flushes, c.nemesis.scriptFlushes,
		c.sent.Load(), len(t.acked), t.twoHundred, t.refused, t.unknown, c.sales+c.made, c.w.mail.Total(), c.w.mail.Cuts())
}

// say tells how far it is, at once and not when the test has ended.
func (c *campaign) say(format string, args ...any) {
	if os.Getenv("CHAOS_KILLS") == "" {
		return // the short form is over before anybody asks
	}
	fmt.Fprintf(os.Stderr, "chaos: "+format+"\n", args...)
}

// fromEnv is a number from the environment, or by default.
func fromEnv(tb testing.TB, name string, byDefault int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s=%q is no number above zero", name, text)
	}
	return n
}
