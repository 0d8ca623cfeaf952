package natsstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

// openTogether returns a log whose facts share a sync.
func openTogether(t *testing.T, srv *natstest.Server) *natsstream.Log {
	t.Helper()
	log, err := natsstream.OpenLog(t.Context(), srv.Conn("a"), natsstream.Durability{Mode: natsstream.DurabilityServer, Unchecked: true}, zap.NewNop())
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

// More than a batch may hold, on a server that syncs each message.
func TestFactsThatShareASyncAreEachStoredOnce(t *testing.T) {
	srv := natstest.StartSynced(t)
	if err := natsstream.Declare(t.Context(), srv.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	log := openTogether(t, srv)
	messages := paidFacts("q", 1100)
	wantThere(t, log, messages, log.Facts(t.Context(), messages), 0)
	wantBatch(t, log, messages[700])
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

// payments publishes many facts about accounts at one time, too: SELLERS allows no batches.
func TestAStreamWithoutBatchesTakesThemFromNoOther(t *testing.T) {
	log := openTogether(t, natstest.Start(t))
	accounts := make([]natsstream.Message, 20)
	for i := range accounts {
		accounts[i] = natsstream.Message{Subject: fmt.Sprintf("seller.account_updated.acct_1.evt_%d", i)}
	}
	for i, r := range log.Facts(t.Context(), accounts) {
		if r.Err != nil || r.Stored.Taken || r.Stored.Stream != "SELLERS" {
			t.Fatalf("answer to %s = %+v, want stored on SELLERS", accounts[i].Subject, r)
		}
	}
	messages := paidFacts("q", 40)
	wantThere(t, log, messages, log.Facts(t.Context(), messages), 0)
	wantBatch(t, log, messages[0])
}

// watched is a connection that tells when a text has gone out.
type watched struct {
	net.Conn
	text []byte
	out  func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if bytes.Contains(b, w.text) {
		w.out()
	}
	return n, err
}

// dialer makes watched connections.
type dialer struct{ watched }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &watched{c, d.text, d.out}, err
}

// Who gives up while the server stores the batch is told of none that it is stored, and whoever publishes the facts again finds
// each of them taken.
func TestABatchOfUnknownOutcomeIsFoundByTheNextTry(t *testing.T) {
	srv := natstest.Start(t)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	nc, err := nats.Connect(srv.URL, nats.SetCustomDialer(dialer{watched{text: []byte("Nats-Batch-Commit"), out: giveUp}}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log, err := natsstream.OpenLog(t.Context(), nc, natsstream.Durability{Mode: natsstream.DurabilityServer, Unchecked: true}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	messages := paidFacts("q", 16)
	for i, r := range log.Facts(ctx, messages) {
		if r.Err == nil && !r.Stored.Taken || r.Err != nil && !errors.Is(r.Err, natsstream.ErrUnavailable) {
			t.Errorf("answer to %s = %+v, want ErrUnavailable, or taken where the answer came all the same", messages[i].Subject, r)
		}
	}
	if ctx.Err() == nil {
		t.Fatal("no batch was committed: this test has seen nothing")
	}
	stream, err := log.JetStream().Stream(t.Context(), "QUOTES")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		info, err := stream.Info(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("a minute after the commit the stream holds %+v, %v", info, err)
		}
		if info.State.Msgs == uint64(len(messages)) {
			break
		}
	}
	wantBatch(t, log, messages[0])
	for i, r := range log.Facts(t.Context(), messages) {
		if r.Err != nil || !r.Stored.Taken {
			t.Errorf("second answer to %s = %+v, want taken", messages[i].Subject, r)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != uint64(len(messages)) {
		t.Errorf("the stream holds %+v (%v), want each fact once", info.State, err)
	}
}

// wantBatch checks that a message was stored by a batch: it bears the batch's header.
func wantBatch(t *testing.T, log *natsstream.Log, m natsstream.Message) {
	t.Helper()
	record, err := log.Read(t.Context(), "QUOTES", m.Subject)
	if err != nil || record.Header.Get(jetstreamext.BatchIDHeader) == "" {
		t.Errorf("header of %s = %v, %v; want a batch's", m.Subject, record.Header, err)
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
