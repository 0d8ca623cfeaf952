package quotes_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// shifted is the real clock, set wrong: timers fire by the server's clock.
type shifted struct {
	mu sync.Mutex
	by time.Duration
}

func (c *shifted) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *shifted) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by = by
}

// startReal is start by a clock that goes, an hour behind: what a test prepares is
// long before its quotes expire, however slow the machine. Timers fire by the
// server's clock, so set(0) lets them do their work.
func startReal(t *testing.T, remindBefore time.Duration) (*fixture, *shifted) {
	t.Helper()
	f := start(t)
	f.stop()
	c := &shifted{by: -time.Hour}
	f.cfg.Now, f.cfg.RemindBefore = c.Now, remindBefore
	f.run(t)
	return f, c
}

// ending is a document that expires then.
func ending(at time.Time) func(string) string {
	return func(d string) string {
		return strings.Replace(d, "2026-12-31", at.UTC().Format(time.RFC3339), 1)
	}
}

// said reports whether the log holds an event of the quote.
func (f *fixture) said(t *testing.T, id, name, n string) bool {
	t.Helper()
	return slices.Contains(f.log(t, id), event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: n}.String())
}

func (f *fixture) awaitSaid(t *testing.T, id, name, n string) {
	t.Helper()
	eventually(t, "quote."+name+" of "+id+" "+n, func() bool { return f.said(t, id, name, n) })
}

func (f *fixture) consumer(t *testing.T, stream, durable string) jetstream.Consumer {
	t.Helper()
	c, err := f.nats.Log("test").JetStream().Consumer(t.Context(), stream, durable)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// timersDone waits until so many timers were delivered and none is waited for.
func (f *fixture) timersDone(t *testing.T, fired uint64) {
	t.Helper()
	planner, timers := f.consumer(t, event.StreamQuotes, natsstream.DurablePlanner), f.consumer(t, event.StreamTimers, natsstream.DurableTimers)
	eventually(t, "all timers are done", func() bool {
		// In this order: who plans is done, so that no timer comes any more; none waits, so that each has fired; all are done.
		return f.upToDate(t, event.StreamQuotes, planner) && timersLeft(t, f) == 0 && f.upToDate(t, event.StreamTimers, timers) &&
			timers.CachedInfo().Delivered.Stream >= fired
	})
}

// upToDate reports whether a consumer has acknowledged all that is stored for it. What was stored a moment ago may not be
// counted as pending yet, so the last message must be acknowledged too.
func (f *fixture) upToDate(t *testing.T, stream string, c jetstream.Consumer) bool {
	t.Helper()
	last, err := f.nats.Log("test").Read(t.Context(), stream, c.CachedInfo().Config.FilterSubject)
	if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
		t.Fatal(err)
	}
	info, err := c.Info(t.Context())
	return err == nil && info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= last.Sequence
}

// timersLeft counts the schedules that wait.
func timersLeft(t *testing.T, f *fixture) int {
	t.Helper()
	s, err := f.nats.Log("test").JetStream().Stream(t.Context(), event.StreamTimers)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("timer.at.>"))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

// chores counts the lines of the log of a chore with a result.
func (f *fixture) chores(name, result string) (n int) {
	for _, line := range f.logs.All() {
		if m := line.ContextMap(); m["chore"] == name && m["result"] == result {
			n++
		}
	}
	return n
}

// R44
func TestATimerSaysThatAQuoteHasExpired(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	f.run(t) // a second instance shares the work
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	id, _ := f.offered(t, ending(end))
	endless, _ := f.offered(t, func(d string) string { return strings.Replace(d, `"expires_at":"2026-12-31",`, "", 1) })
	clock.set(0)
	f.awaitSaid(t, id, "expired", "1")
	record, err := f.nats.Log("test").Read(t.Context(), event.StreamQuotes, "quote.expired.main."+id+".1")
	if err != nil {
		t.Fatal(err)
	}
	env, err := event.Decode(record.Data)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Data[event.Expired](env)
	if err != nil || e != (event.Expired{Seller: "main", QuoteID: id, Revision: 1, ExpiredAt: end.UTC()}) || record.Time.Before(end) {
		t.Errorf("expired = %+v at %v, %v; want it after %v", e, record.Time, err, end)
	}
	if got := f.call(t, "GET", "/v1/quotes/"+id, "").text(t, "status"); got != "expired" {
		t.Errorf("status is %s", got)
	}
	// Everything once more, as after a loss of the consumer's state: the planner plans again, the timer fires again.
	f.timersDone(t, 1)
	before := f.log(t, id)
	if _, err := f.nats.Log("test").JetStream().ResetConsumerToSequence(t.Context(), event.StreamQuotes, natsstream.DurablePlanner, 1); err != nil {
		t.Fatal(err)
	}
	timers := f.consumer(t, event.StreamTimers, natsstream.DurableTimers)
	eventually(t, "the timer has fired again", func() bool {
		i, err := timers.Info(t.Context())
		return err == nil && i.Delivered.Consumer >= 2
	})
	f.timersDone(t, 2)
	if after := f.log(t, id); !slices.Equal(after, before) {
		t.Errorf("log = %v, want %v as before", after, before)
	}
	if f.said(t, endless, "expired", "1") {
		t.Error("a quote without an end has expired")
	}
}

// R44, R61
func TestTimersOutliveTheServerAndTheService(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	id, _ := f.offered(t, ending(time.Now().Add(3*time.Second)))
	eventually(t, "the timer is planned", func() bool { return timersLeft(t, f) == 1 || f.said(t, id, "expired", "1") })
	f.stop()
	f.nats.Stop()
	f.nats.Restart()
	clock.set(0)
	f.run(t)
	f.awaitSaid(t, id, "expired", "1")
}

// R44, R61: the crash between quote.published and its timers.
func TestACrashBeforeItsTimersArePlannedLosesNone(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	js := f.nats.Log("test").JetStream()
	if _, err := js.PauseConsumer(t.Context(), event.StreamQuotes, natsstream.DurablePlanner, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	id, _ := f.offered(t, ending(time.Now().Add(2*time.Second)))
	f.stop()
	if n := timersLeft(t, f); n != 0 {
		t.Fatalf("%d timers are planned already", n)
	}
	if _, err := js.ResumeConsumer(t.Context(), event.StreamQuotes, natsstream.DurablePlanner); err != nil {
		t.Fatal(err)
	}
	clock.set(0)
	f.run(t)
	f.awaitSaid(t, id, "expired", "1")
}

// R27, R44
func TestEachRevisionHasItsOwnTimer(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	first := time.Now().Add(3 * time.Second)
	id, _ := f.offered(t, ending(first))
	gone, _ := f.offered(t, ending(first))
	for _, q := range []string{id, gone} {
		f.call(t, "POST", "/v1/quotes/"+q+"/recall", "").want(t, http.StatusOK)
	}
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"expires_at":"`+first.Add(2*time.Second).UTC().Format(time.RFC3339)+`"}`, "If-Match", `"1"`).want(t, http.StatusOK)
	f.publish(t, id)
	clock.set(0)
	f.awaitSaid(t, id, "expired", "2")
	f.timersDone(t, 3)
	if f.said(t, id, "expired", "1") || f.said(t, gone, "expired", "1") {
		t.Errorf("a recalled revision has expired: %v %v", f.log(t, id), f.log(t, gone))
	}
}

// R44: the session ends with the quote, also where the timer comes early by our clock and Stripe is away at first.
func TestExpiryEndsTheOpenSessionAtStripe(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	s := f.withStripe(t)
	id, token := f.offered(t, ending(time.Now().Add(2*time.Second)))
	f.checkOut(t, token).leadsTo(t, firstSession)
	eventually(t, "the timer comes early", func() bool { return f.chores("timer", "retry") > 0 })
	if f.said(t, id, "expired", "1") || s.session("cs_test_1").status != "open" {
		t.Errorf("expired before its time: %v, session %s", f.log(t, id), s.session("cs_test_1").status)
	}
	s.with(func() {
		s.refuse = func(_, path string, _ url.Values) (int, string, string) {
			if strings.HasPrefix(path, "/v1/checkout/sessions/") {
				return http.StatusServiceUnavailable, "", ""
			}
			return 0, "", ""
		}
	})
	clock.set(0)
	f.awaitSaid(t, id, "expired", "1") // lists are right while Stripe is away
	eventually(t, "Stripe is asked in vain", func() bool { return s.called("GET /v1/checkout/sessions/cs_test_1") > 0 })
	s.with(func() { s.refuse = nil })
	eventually(t, "the session has ended", func() bool { return s.session("cs_test_1").status == "expired" })
	f.timersDone(t, 1)
	a := f.checkOut(t, token).problem(t, http.StatusConflict, "conflict")
	if got := fmt.Sprint(a.codes(t)); got != "[expired]" {
		t.Errorf("a click after the expiry: %s", got)
	}
}

// A session that was completed in time is left to its payment, and what Stripe refuses is set aside, seen by operators.
func TestExpiryLeavesWhatItCannotEnd(t *testing.T) { // R44, R69
	t.Parallel()
	f, clock := startReal(t, 0)
	s := f.withStripe(t)
	end := ending(time.Now().Add(3 * time.Second))
	complete, token := f.offered(t, end)
	f.checkOut(t, token).leadsTo(t, firstSession)
	refused, token := f.offered(t, end)
	f.checkOut(t, token).leadsTo(t, "https://checkout.stripe.example/cs_test_2")
	s.with(func() {
		s.sessions["cs_test_1"].status = "complete"
		s.refuse = func(_, path string, _ url.Values) (int, string, string) {
			if strings.HasPrefix(path, "/v1/checkout/sessions/cs_test_2") {
				return http.StatusBadRequest, "parameter_invalid", "id"
			}
			return 0, "", ""
		}
	})
	clock.set(0)
	f.awaitSaid(t, complete, "expired", "1")
	f.awaitSaid(t, refused, "expired", "1")
	f.timersDone(t, 2)
	if got := s.session("cs_test_1").status; got != "complete" {
		t.Errorf("the completed session is %s", got)
	}
	dead, err := f.nats.Log("test").ReadAll(t.Context(), event.StreamDead, "dead.>")
	if err != nil || len(dead) != 1 || dead[0].Header.Get(natsstream.HeaderDeadSubject) != "timer.due.expiry.main."+refused+".1" {
		t.Errorf("dead letters = %v, %v, want the one that Stripe refused", dead, err)
	}
}

// R27, R44: money that is there or under way keeps a quote from expiring.
func TestAPaymentKeepsAQuoteFromExpiring(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	end := ending(time.Now().Add(2 * time.Second))
	settled, _ := f.offered(t, end)
	flying, _ := f.offered(t, end)
	attempt := event.PaymentFact{Seller: "main", QuoteID: flying, Revision: 1, Object: "cs_1", Account: "platform", Mode: "test", Currency: "pln"}
	f.fact(t, settled, "paid", "1", paid(settled, 1, time.Now()))
	f.fact(t, flying, "payment_processing", "cs_1", attempt)
	clock.set(0)
	eventually(t, "the timers fire", func() bool { return f.chores("timer", "retry") > 0 && f.chores("timer", "overtaken") > 0 })
	if f.said(t, settled, "expired", "1") || f.said(t, flying, "expired", "1") {
		t.Errorf("expired: %v %v", f.log(t, settled), f.log(t, flying))
	}
	f.fact(t, flying, "payment_failed", "cs_1", attempt) // the debit bounces: now it has
	f.awaitSaid(t, flying, "expired", "1")
	f.timersDone(t, 2)
	if f.said(t, settled, "expired", "1") {
		t.Errorf("a paid quote has expired: %v", f.log(t, settled))
	}
}

// Beside R44: the owner is told before.
func TestAReminderIsSaidOnceBeforeTheExpiry(t *testing.T) {
	t.Parallel()
	const before = 10 * time.Minute
	f, clock := startReal(t, before)
	end := time.Now().Add(before + 3*time.Second).Truncate(time.Second)
	id, _ := f.offered(t, ending(end))
	bought, _ := f.offered(t, ending(end))
	reviewed, _ := f.offered(t, ending(end))
	flying, _ := f.offered(t, ending(end))
	f.fact(t, bought, "paid", "1", paid(bought, 1, time.Now()))
	f.fact(t, flying, "payment_processing", "cs_1", event.PaymentFact{Seller: "main", QuoteID: flying, Revision: 1, Object: "cs_1", Account: "platform", Mode: "test", Currency: "pln"})
	f.payments(t, reviewed, settled(90, time.Now()))
	clock.set(0)
	late, _ := f.offered(t, ending(time.Now().Add(before-time.Minute))) // published when it was too late to remind
	f.awaitSaid(t, id, "expiring", "1")
	record, err := f.nats.Log("test").Read(t.Context(), event.StreamQuotes, "quote.expiring.main."+id+".1")
	if err != nil {
		t.Fatal(err)
	}
	env, err := event.Decode(record.Data)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Data[event.Expiring](env)
	if err != nil || e.Amount != 118587 || e.Currency != "pln" || e.DealID != "deal_42" || !e.ExpiresAt.Equal(end) || e.Revision != 1 ||
		e.Account != "platform" || e.Mode != "test" || e.RemindedAt.Before(end.Add(-before)) || env.Source != event.SourceQuotes {
		t.Errorf("expiring = %+v of %s, %v", e, env.Source, err)
	}
	timers := f.consumer(t, event.StreamTimers, natsstream.DurableTimers)
	eventually(t, "the four reminders have fired, the five expiries wait", func() bool {
		i, err := timers.Info(t.Context())
		return err == nil && timersLeft(t, f) == 5 && i.Delivered.Stream > 0 && i.NumPending == 0 && i.NumAckPending == 0 &&
			f.chores("timer", "reminded") == 1 && f.chores("timer", "overtaken") == 3
	})
	for what, q := range map[string]string{"paid": bought, "asking for review": reviewed, "being paid": flying, "published too late": late} {
		if f.said(t, q, "expiring", "1") {
			t.Errorf("reminded of a quote that is %s", what)
		}
	}
	if f.said(t, id, "expired", "1") {
		t.Error("expired ten minutes early")
	}
}

func TestRemindersCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	f, clock := startReal(t, 0)
	id, _ := f.offered(t, ending(time.Now().Add(2*time.Second)))
	clock.set(0)
	f.awaitSaid(t, id, "expired", "1")
	f.timersDone(t, 1)
	if f.said(t, id, "expiring", "1") {
		t.Error("reminded, with REMIND_BEFORE 0")
	}
}
