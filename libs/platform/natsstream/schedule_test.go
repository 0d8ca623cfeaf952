package natsstream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// fired takes the next timer that is due, within a time that a loaded machine keeps.
func fired(t *testing.T, log *natsstream.Log, within time.Duration) (event.Timer, jetstream.Msg) {
	t.Helper()
	c, err := log.JetStream().Consumer(t.Context(), event.StreamTimers, natsstream.DurableTimers)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(within))
	if err != nil {
		t.Fatalf("no timer within %v: %v", within, err)
	}
	timer, ok := event.ParseTimerDue(m.Subject())
	if !ok {
		t.Fatalf("delivered on %s, which is no timer", m.Subject())
	}
	return timer, m
}

// waiting counts what the stream holds under a subject.
func waiting(t *testing.T, log *natsstream.Log, filter string) int {
	t.Helper()
	s, err := log.JetStream().Stream(t.Context(), event.StreamTimers)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

func schedule(t *testing.T, log *natsstream.Log, timer event.Timer, at time.Time) {
	t.Helper()
	if err := log.Schedule(t.Context(), timer, at); err != nil {
		t.Fatal(err)
	}
}

// R44: planned as often as one likes, a timer fires once, and its schedule is gone then.
func TestATimerFiresOnceHoweverOftenItIsPlanned(t *testing.T) {
	log := natstest.Start(t).Log("a")
	timer := event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_1", Revision: 2}
	other := event.Timer{Kind: event.TimerReminder, Seller: "main", Quote: "q_1", Revision: 2}
	at := time.Now().Add(2 * time.Second)
	for range 3 {
		schedule(t, log, timer, at)
	}
	if n := waiting(t, log, "timer.at.>"); n != 1 {
		t.Errorf("%d schedules, want 1", n)
	}
	got, m := fired(t, log, time.Minute)
	if got != timer || time.Now().Before(at.Truncate(time.Second)) || len(m.Data()) != 0 {
		t.Errorf("fired %+v at %v, want %+v not before %v", got, time.Now(), timer, at)
	}
	if ttl := m.Headers().Get(jetstream.MsgTTLHeader); ttl != "2160h0m0s" {
		t.Errorf("kept for %q, want 90 days", ttl)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The next one that fires is another timer, so nothing came in between.
	schedule(t, log, other, time.Now().Add(-time.Hour))
	if got, _ := fired(t, log, time.Minute); got != other {
		t.Errorf("fired %+v, want %+v: the first timer fired twice", got, other)
	}
	if n := waiting(t, log, "timer.at.>"); n != 0 {
		t.Errorf("%d schedules are left after firing", n)
	}
}

// R44: schedules lie in the stream's file.
func TestTimersSurviveARestartOfTheServer(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	during := event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_during", Revision: 1}
	after := event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_after", Revision: 1}
	at := time.Now().Add(2 * time.Second)
	schedule(t, log, during, at)
	schedule(t, log, after, at.Add(3*time.Second))
	srv.Stop()
	<-time.After(time.Until(at)) // the first one's time comes while nobody is there
	srv.Restart()
	log = srv.Log("b")
	seen := map[event.Timer]bool{}
	for range 2 {
		got, m := fired(t, log, time.Minute)
		seen[got] = true
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !seen[during] || !seen[after] {
		t.Errorf("fired %v, want both", seen)
	}
}

// R44: an expiry in the year 9999 must not wrap around and fire today.
func TestATimerOfTheFarFutureWaits(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	for year, id := range map[int]string{2100: "q_near", 2261: "q_far", 2262: "q_edge", 9999: "q_never"} {
		schedule(t, log, event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: id, Revision: 1}, time.Date(year, 12, 31, 23, 59, 59, 0, time.UTC))
	}
	srv.Stop()
	srv.Restart() // what was read from the file is reckoned anew
	log = srv.Log("b")
	sentinel := event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_now", Revision: 1}
	schedule(t, log, sentinel, time.Now())
	if got, _ := fired(t, log, time.Minute); got != sentinel {
		t.Errorf("fired %+v, want only %+v", got, sentinel)
	}
	if n := waiting(t, log, "timer.at.>"); n != 4 {
		t.Errorf("%d schedules wait, want 4", n)
	}
}

func TestCheckFindsATimerStreamThatForgets(t *testing.T) {
	log := natstest.Start(t).Log("a")
	if err := natsstream.Check(t.Context(), log.JetStream(), event.StreamTimers); err != nil {
		t.Fatalf("Check = %v", err)
	}
	s, err := log.JetStream().Stream(t.Context(), event.StreamTimers)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxAge = time.Hour
	if _, err := log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := natsstream.Check(t.Context(), log.JetStream(), event.StreamTimers); err == nil {
		t.Error("Check of a stream that forgets after an hour = nil, want an error")
	}
}
