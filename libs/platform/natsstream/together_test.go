package natsstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// openTogether returns a log whose facts share a sync.
func openTogether(t *testing.T, srv *natstest.Server) *natsstream.Log {
	t.Helper()
	log, err := natsstream.OpenLog(t.Context(), srv.Conn("a"), natsstream.Durability{Together: true}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func paidFacts(quote string, n int) []natsstream.Message {
	messages := make([]natsstream.Message, n)
	for i := range messages {
		id := fmt.Sprintf("%s_%d", quote, i)
		messages[i] = natsstream.Message{
			Subject: "quote.paid.main." + id + ".1", ID: id, Data: []byte(id), Absent: "quote.published.main." + id + ".2",
		}
	}
	return messages
}

// wantThere checks that each message is stored, where its answer says, and that the stream holds no other.
func wantThere(t *testing.T, log *natsstream.Log, messages []natsstream.Message, results []natsstream.Result, others uint64) {
	t.Helper()
	for i, m := range messages {
		r := results[i]
		if r.Err != nil || r.Stored.Taken {
			t.Fatalf("answer to %s = %+v, want stored", m.Subject, r)
		}
		record, err := log.Read(t.Context(), "QUOTES", m.Subject)
		if err != nil || string(record.Data) != string(m.Data) || record.Sequence != r.Stored.Sequence {
			t.Fatalf("stored under %s: %+v, %v; want %q with sequence %d", m.Subject, record, err, m.Data, r.Stored.Sequence)
		}
	}
	stream, err := log.JetStream().Stream(t.Context(), "QUOTES")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := stream.CachedInfo().State.Msgs, uint64(len(messages))+others; got != want {
		t.Errorf("the stream holds %d messages, want %d", got, want)
	}
}

// More than a batch may hold, on a server that syncs each message. They went by batches: the stored ones bear the batch's header.
func TestFactsThatShareASyncAreEachStoredOnce(t *testing.T) {
	srv := natstest.StartSynced(t)
	if err := natsstream.Declare(t.Context(), srv.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	log := openTogether(t, srv)
	messages := paidFacts("q", 1100)
	wantThere(t, log, messages, log.Facts(t.Context(), messages), 0)
	record, err := log.Read(t.Context(), "QUOTES", messages[700].Subject)
	if err != nil || record.Header.Get("Nats-Batch-Id") == "" {
		t.Errorf("header of a stored one = %v, %v; want a batch's", record.Header, err)
	}
	for i, r := range log.Facts(t.Context(), messages) {
		if r.Err != nil || !r.Stored.Taken {
			t.Fatalf("second answer to %s = %+v, want taken", messages[i].Subject, r)
		}
	}
}

// One that is taken, and one whose guard is, hold up none of the others, whatever the server does with a batch.
func TestInABatchEachFactHasItsOwnAnswer(t *testing.T) {
	log := openTogether(t, natstest.Start(t))
	messages := paidFacts("q", 40)
	taken := messages[3]
	taken.ID, taken.Data = "", []byte("another")
	guard := natsstream.Message{Subject: messages[17].Absent, Data: []byte("revision 2")}
	for _, m := range []natsstream.Message{taken, guard} {
		if _, err := log.Fact(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	results := log.Facts(t.Context(), messages)
	if r := results[3]; r.Err != nil || !r.Stored.Taken {
		t.Errorf("the taken one = %+v, want taken", r)
	}
	if r := results[17]; !errors.Is(r.Err, natsstream.ErrGuard) {
		t.Errorf("the guarded one = %+v, want ErrGuard", r)
	}
	drop := func(i int) {
		messages, results = append(messages[:i:i], messages[i+1:]...), append(results[:i:i], results[i+1:]...)
	}
	drop(17)
	drop(3)
	wantThere(t, log, messages, results, 2)
}

// As an older version declared it, or as a newer one does on a server that another version declares again.
func TestAStreamWithoutBatchesTakesTheFactsOneByOne(t *testing.T) {
	srv := natstest.Start(t)
	log := openTogether(t, srv)
	stream, err := log.JetStream().Stream(t.Context(), "QUOTES")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.AllowAtomicPublish = false
	if _, err := log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	messages := paidFacts("q", 40)
	wantThere(t, log, messages, log.Facts(t.Context(), messages), 0)
	if err := natsstream.Check(t.Context(), log.JetStream(), "QUOTES"); err != nil {
		t.Errorf("Check of a stream without batches = %v, want nil: an older version's declaration serves", err)
	}
	if err := natsstream.Declare(t.Context(), srv.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	if stream, err = log.JetStream().Stream(t.Context(), "QUOTES"); err != nil || !stream.CachedInfo().Config.AllowAtomicPublish {
		t.Errorf("after Declare the stream allows no batches (%v)", err)
	}
}

func TestAFullStreamTakesNoBatch(t *testing.T) { // R55
	log := openTogether(t, natstest.Start(t))
	stream, err := log.JetStream().Stream(t.Context(), "QUOTES")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = 10
	if _, err := log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, r := range log.Facts(t.Context(), paidFacts("q", 40)) {
		switch {
		case r.Err == nil && !r.Stored.Taken:
			stored++
		case !errors.Is(r.Err, natsstream.ErrUnavailable):
			t.Errorf("answer of a full stream = %+v, want ErrUnavailable", r)
		}
	}
	if stored > 10 {
		t.Errorf("%d are answered as stored, and 10 are room for", stored)
	}
}

func TestLiveListenersHearOfABatch(t *testing.T) {
	srv := natstest.Start(t)
	conn := srv.Conn("live")
	sub, err := conn.SubscribeSync("quote.paid")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	log := openTogether(t, srv)
	messages := paidFacts("q", 40)
	wantThere(t, log, messages, log.Facts(t.Context(), messages), 0)
	heard := map[string]bool{}
	for range messages {
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			t.Fatalf("after %d live messages: %v", len(heard), err)
		}
		if heard[string(m.Data)] = true; m.Header.Get(jetstream.StreamHeader) != "QUOTES" || !strings.HasPrefix(string(m.Data), "q_") {
			t.Errorf("live message = %q %v, want a stored fact", m.Data, m.Header)
		}
	}
	if len(heard) != len(messages) {
		t.Errorf("%d different live messages, want %d", len(heard), len(messages))
	}
}
