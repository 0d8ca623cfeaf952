package natsstream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

func TestAFactIsStoredOnceForEver(t *testing.T) { // R58
	log := natstest.Start(t).Log("a")
	m := natsstream.Message{Subject: "stripe.test.platform.evt_1.x", ID: "evt_1", Data: []byte("one")}
	first, err := log.Fact(t.Context(), m)
	if err != nil || first.Taken || first.Sequence != 1 {
		t.Fatalf("Fact = %+v, %v, want sequence 1", first, err)
	}
	again, err := log.Fact(t.Context(), m)
	if err != nil || !again.Taken {
		t.Errorf("Fact again = %+v, %v, want taken", again, err)
	}
	m.ID = "another" // as after the window of message ids has passed: the subject alone refuses
	again, err = log.Fact(t.Context(), m)
	if err != nil || !again.Taken {
		t.Errorf("Fact with another message id = %+v, %v, want taken", again, err)
	}
	rec, err := log.Read(t.Context(), "STRIPE", m.Subject)
	if err != nil || string(rec.Data) != "one" || rec.Sequence != 1 || rec.Subject != m.Subject || rec.Time.IsZero() {
		t.Errorf("Read = %+v, %v, want the first message", rec, err)
	}
	if bySeq, err := log.ReadSequence(t.Context(), "STRIPE", 1); err != nil || bySeq.Subject != m.Subject {
		t.Errorf("ReadSequence(1) = %+v, %v, want the same message", bySeq, err)
	}
}

func TestAGuardedFactIsRefusedWhereTheGuardIsTaken(t *testing.T) {
	log := natstest.Start(t).Log("a")
	next := natsstream.Message{Subject: "quote.published.main.q_1.2", Data: []byte("{}")}
	if _, err := log.Fact(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	paid := natsstream.Message{Subject: "quote.paid.main.q_1.1", ID: "p1", Data: []byte("{}"), Absent: next.Subject}
	if _, err := log.Fact(t.Context(), paid); !errors.Is(err, natsstream.ErrGuard) {
		t.Errorf("Fact guarded by a taken subject = %v, want ErrGuard", err)
	}
	if _, err := log.Read(t.Context(), "QUOTES", paid.Subject); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("Read = %v, want ErrNotFound: nothing may be stored", err)
	}
	paid2 := natsstream.Message{Subject: "quote.paid.main.q_1.2", ID: "p2", Data: []byte("{}"), Absent: "quote.published.main.q_1.3"}
	for i := range 2 {
		stored, err := log.Fact(t.Context(), paid2)
		if err != nil || stored.Taken != (i == 1) {
			t.Errorf("Fact %d with an empty guard = %+v, %v, want stored once, then taken", i, stored, err)
		}
		paid2.ID = "other"
	}
}

func TestAFullStreamIsNeverTakenForADuplicate(t *testing.T) { // R55
	srv := natstest.Start(t)
	log := srv.Log("a")
	s, err := log.JetStream().Stream(t.Context(), "STRIPE")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = 1
	if _, err := log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Fact(t.Context(), natsstream.Message{Subject: "stripe.a"}); err != nil {
		t.Fatal(err)
	}
	got, err := log.Fact(t.Context(), natsstream.Message{Subject: "stripe.b"})
	if !errors.Is(err, natsstream.ErrUnavailable) {
		t.Errorf("Fact into a full stream = %+v, %v, want ErrUnavailable", got, err)
	}
}

func TestOfSixtyFourRacingCommandsOneWins(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			_, err := log.Command(t.Context(), natsstream.Message{Subject: fmt.Sprintf("quote.drafted.main.q_1.%d", i+1)}, "quote.*.main.q_1.*", 0)
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, natsstream.ErrConflict):
				lost.Add(1)
			default:
				t.Errorf("Command = %v, want nil or ErrConflict", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 63 {
		t.Errorf("won %d, lost %d, want 1 and 63", won.Load(), lost.Load())
	}
	all, err := log.ReadAll(t.Context(), "QUOTES", "quote.*.main.q_1.*")
	if err != nil || len(all) != 1 {
		t.Errorf("ReadAll = %d records, %v, want 1", len(all), err)
	}
	if none, err := log.ReadAll(t.Context(), "QUOTES", "quote.*.main.q_2.*"); err != nil || len(none) != 0 {
		t.Errorf("ReadAll of nothing = %d records, %v, want none and no error", len(none), err)
	}
}

func TestFactsAnswerInOrder(t *testing.T) {
	log := natstest.Start(t).Log("a")
	var batch []natsstream.Message
	for i := range 300 {
		batch = append(batch, natsstream.Message{Subject: fmt.Sprintf("stripe.n.%d", i%250)})
	}
	taken := 0
	for i, r := range log.Facts(t.Context(), batch) {
		if r.Err != nil {
			t.Fatalf("message %d: %v", i, r.Err)
		}
		if r.Stored.Taken {
			taken++
			if i < 250 {
				t.Errorf("message %d is taken, want only the repeated ones", i)
			}
		}
	}
	if taken != 50 {
		t.Errorf("%d taken, want 50", taken)
	}
}

func TestTheLogIsUnavailableWhileTheServerIsAwayAndRecoversByItself(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := log.Fact(ctx, natsstream.Message{Subject: "stripe.a", Data: []byte("x")}); !errors.Is(err, natsstream.ErrUnavailable) {
		t.Errorf("Fact = %v, want ErrUnavailable", err)
	}
	srv.Restart()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := log.Fact(ctx, natsstream.Message{Subject: "stripe.b"})
		cancel()
		if err == nil {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("Fact after the restart = %v", err)
		}
	}
}

func TestCheckNamesEveryDrift(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	if err := natsstream.Check(t.Context(), log.JetStream(), "STRIPE", "QUOTES", "DEAD", "JOURNAL"); err != nil {
		t.Errorf("Check of what Declare made = %v, want nil", err)
	}
	s, err := log.JetStream().Stream(t.Context(), "STRIPE")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxAge, cfg.DiscardNewPerSubject, cfg.Duplicates, cfg.Metadata = time.Hour, false, time.Minute, nil
	if _, err := log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	err = natsstream.Check(t.Context(), log.JetStream(), "STRIPE", "NOWHERE")
	for _, want := range []string{"forgets messages", "second message", "message ids", "schema", "NOWHERE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want it to say %q", err, want)
		}
	}
	if err := natsstream.Declare(t.Context(), srv.Conn("b"), natsstream.Options{}); err != nil {
		t.Fatalf("Declare again = %v", err)
	}
	if err := natsstream.Check(t.Context(), log.JetStream(), "STRIPE"); err != nil {
		t.Errorf("Check after Declare = %v, want the drift mended", err)
	}
}

// Many entries of one action are kept, and a writer that has not seen the last one is told so.
func TestAppendExpectsTheEndOfTheStream(t *testing.T) {
	log := natstest.Start(t).Log("a")
	for n := range uint64(3) {
		got, err := log.Append(t.Context(), natsstream.Message{Subject: "journal.replay", Data: []byte("entry")}, n)
		if err != nil || got.Sequence != n+1 {
			t.Fatalf("Append onto %d = %+v, %v, want sequence %d", n, got, err, n+1)
		}
	}
	if _, err := log.Append(t.Context(), natsstream.Message{Subject: "journal.declare"}, 2); !errors.Is(err, natsstream.ErrConflict) {
		t.Errorf("Append onto an older end = %v, want ErrConflict", err)
	}
	last, err := log.Read(t.Context(), "JOURNAL", "journal.*")
	if err != nil || last.Sequence != 3 {
		t.Errorf("Read of the last entry = %d, %v, want 3", last.Sequence, err)
	}
}

func TestDurabilityIsCheckedNotAssumed(t *testing.T) {
	srv := natstest.StartEmpty(t) // default sync: every two minutes
	always := natstest.StartSynced(t)
	open := func(on *natstest.Server, mode, monitorURL string) error {
		_, err := natsstream.OpenLog(t.Context(), on.Conn("a"), natsstream.Durability{Mode: mode, MonitorURL: monitorURL}, zap.NewNop())
		return err
	}
	if err := open(srv, natsstream.DurabilityServer, srv.MonitorURL); err == nil || !strings.Contains(err.Error(), "sync_interval") {
		t.Errorf("OpenLog on a lazy server = %v, want an error that names sync_interval", err)
	}
	if err := open(srv, natsstream.DurabilityServer, ""); err == nil || !strings.Contains(err.Error(), "NATS_MONITOR_URL") {
		t.Errorf("OpenLog without a monitor = %v, want an error that names NATS_MONITOR_URL", err)
	}
	if err := open(srv, natsstream.DurabilityRelaxed, ""); err != nil {
		t.Errorf("OpenLog(relaxed) = %v, want nil", err)
	}
	if err := open(always, natsstream.DurabilityServer, always.MonitorURL); err != nil {
		t.Errorf("OpenLog on a syncing server = %v, want nil", err)
	}
}

func TestQuotePaidIsRepublishedToLiveListeners(t *testing.T) {
	srv := natstest.Start(t)
	sub, err := srv.Conn("live").SubscribeSync("quote.paid")
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.AutoUnsubscribe(1); err != nil {
		t.Fatal(err)
	}
	log := srv.Log("a")
	// The subscription has reached the server once a round trip on its connection has.
	deadline := time.Now().Add(time.Minute)
	for n := 1; ; n++ {
		if _, err := log.Fact(t.Context(), natsstream.Message{Subject: fmt.Sprintf("quote.paid.main.q_1.%d", n), Data: []byte("fact")}); err != nil {
			t.Fatal(err)
		}
		msg, err := sub.NextMsg(100 * time.Millisecond)
		if err == nil {
			if string(msg.Data) != "fact" || msg.Header.Get(jetstream.StreamHeader) != "QUOTES" {
				t.Errorf("live message = %q %v, want the stored fact", msg.Data, msg.Header)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no live message within a minute")
		}
	}
}

func TestAScanReadsTheWholeStreamInOrder(t *testing.T) {
	log := natstest.Start(t).Log("a")
	const count = 2345
	batch := make([]natsstream.Message, count)
	for i := range batch {
		batch[i] = natsstream.Message{Subject: fmt.Sprintf("stripe.n.%d", i)}
	}
	log.Facts(t.Context(), batch)
	next := uint64(1)
	for {
		part, err := log.Scan(t.Context(), "STRIPE", next, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range part {
			if r.Sequence != next {
				t.Fatalf("sequence %d, want %d", r.Sequence, next)
			}
			next++
		}
		if len(part) < 1000 {
			break
		}
	}
	if next != count+1 {
		t.Errorf("scanned %d messages, want %d", next-1, count)
	}
	if at, err := log.SequenceAt(t.Context(), "STRIPE", time.Now().Add(-time.Hour)); err != nil || at != 1 {
		t.Errorf("SequenceAt(an hour ago) = %d, %v, want 1", at, err)
	}
	if at, err := log.SequenceAt(t.Context(), "STRIPE", time.Now().Add(time.Hour)); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("SequenceAt(in an hour) = %d, %v, want ErrNotFound", at, err)
	}
}

// What reads several messages has room for the longest answer that may be asked for, and takes no memory for longer ones.
func TestTheLongestAnswersComeWhole(t *testing.T) {
	log := natstest.Start(t).Log("a")
	const longest, subjects = 2048, 1024
	batch := make([]natsstream.Message, longest)
	for i := range batch {
		batch[i] = natsstream.Message{Subject: fmt.Sprintf("stripe.n%d.%d", i/subjects, i)}
	}
	log.Facts(t.Context(), batch)
	if got, err := log.Scan(t.Context(), "STRIPE", 1, longest); err != nil || len(got) != longest {
		t.Errorf("Scan(%d) = %d messages, %v, want all", longest, len(got), err)
	}
	if got, err := log.Scan(t.Context(), "STRIPE", 1, longest+1); err == nil {
		t.Errorf("Scan(%d) = %d messages, want an error that names the bound", longest+1, len(got))
	}
	if got, err := log.ReadAll(t.Context(), "STRIPE", "stripe.n1.*"); err != nil || len(got) != subjects {
		t.Errorf("ReadAll = %d messages, %v, want %d", len(got), err, subjects)
	}
	const reads, most = 50, 100 << 10 // bytes a read, those of the server in this process among them; half a megabyte by nats.go's default
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range reads {
		if _, err := log.ReadAll(t.Context(), "STRIPE", "stripe.n0.7"); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / reads; each > most {
		t.Errorf("a read of one message allocates %d bytes, want %d at the most", each, most)
	}
}

// An answer that breaks off must never be taken for the end of the log: a rebuild would lack what comes after.
func TestABrokenAnswerIsNotTheEndOfTheLog(t *testing.T) {
	srv := natstest.Start(t)
	log := srv.Log("a")
	log.Facts(t.Context(), []natsstream.Message{{Subject: "stripe.n.1"}, {Subject: "stripe.n.2"}})
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got, err := log.Scan(ctx, "STRIPE", 1, 10); !errors.Is(err, natsstream.ErrUnavailable) {
		t.Errorf("Scan without a server = %d records, %v, want ErrUnavailable", len(got), err)
	}
	if got, err := log.ReadAll(ctx, "STRIPE", "stripe.>"); !errors.Is(err, natsstream.ErrUnavailable) {
		t.Errorf("ReadAll without a server = %d records, %v, want ErrUnavailable", len(got), err)
	}
	if _, err := log.SequenceAt(ctx, "STRIPE", time.Unix(0, 0)); !errors.Is(err, natsstream.ErrUnavailable) {
		t.Errorf("SequenceAt without a server = %v, want ErrUnavailable", err)
	}
}

func TestADuplicateCommandIsAConflict(t *testing.T) {
	log := natstest.Start(t).Log("a")
	m := natsstream.Message{Subject: "quote.drafted.main.q_1.1", ID: "x"}
	if _, err := log.Command(t.Context(), m, "quote.*.main.q_1.*", 0); err != nil {
		t.Fatal(err)
	}
	m.Subject = "quote.drafted.main.q_1.2"
	if _, err := log.Command(t.Context(), m, "quote.*.main.q_1.*", 1); !errors.Is(err, natsstream.ErrConflict) {
		t.Errorf("Command with a message id that is taken = %v, want ErrConflict", err)
	}
}
