package journal_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
)

var update = flag.Bool("update", false, "write golden files anew")

func clock() time.Time { return time.Date(2026, 11, 25, 10, 2, 11, 204000000, time.UTC) }

func entry(n int) journal.Entry {
	return journal.Entry{
		Action: "replay", Who: "ada@desk", Reason: fmt.Sprintf("ticket %d: <why> & so", n), Target: "STRIPE:88120",
		Before: "open", After: "paid", Detail: map[string]any{"rate": 50, "mails": 0},
	}
}

// written starts a server with a journal of n entries.
func written(t *testing.T, n int) (*natstest.Server, *natsstream.Log, *journal.Journal) {
	t.Helper()
	srv := natstest.Start(t)
	log := srv.Log("operator")
	j := journal.New(log, clock)
	for i := range n {
		if _, err := j.Append(t.Context(), entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	return srv, log, j
}

func all(t *testing.T, log *natsstream.Log) []natsstream.Record {
	t.Helper()
	records, err := log.Scan(t.Context(), event.StreamJournal, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// R70
func TestEveryActionIsRecordedWithWhoWhenWhyAndWhatChanged(t *testing.T) {
	_, log, j := written(t, 3)
	got, err := j.List(t.Context(), journal.Filter{})
	if err != nil || len(got) != 3 {
		t.Fatalf("List = %d entries, %v, want 3", len(got), err)
	}
	last := got[0]
	if last.Number != 3 || last.Who != "ada@desk" || last.Reason != "ticket 2: <why> & so" || last.Target != "STRIPE:88120" ||
		!last.At.Equal(clock()) || last.Before != "open" || last.After != "paid" {
		t.Errorf("newest entry = %+v", last)
	}
	head, err := j.Head(t.Context())
	if err != nil || head.Hash != journal.Hash("journal.replay", all(t, log)[2].Data) || head.Previous != got[1].Hash {
		t.Errorf("Head = %+v, %v; its hash must be that of the stored bytes, its prev that of the entry before", head, err)
	}
}

// The bytes of an entry are what the chain stands on: they may grow new members, never change the old ones.
func TestTheBytesOfAnEntryAreGolden(t *testing.T) {
	_, log, _ := written(t, 2)
	var got bytes.Buffer
	for _, r := range all(t, log) {
		body := r.Data
		id := body[bytes.Index(body, []byte(`"id":"`))+6:][:26]
		fmt.Fprintf(&got, "%s %s\n", r.Subject, bytes.ReplaceAll(body, id, []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ")))
	}
	// The second entry's prev depends on the first one's random id.
	lines := strings.SplitAfter(got.String(), "\n")
	at := strings.Index(lines[1], `"prev":"`) + 8
	text := lines[0] + lines[1][:at] + strings.Repeat("0", 64) + lines[1][at+64:]
	golden := filepath.Join("testdata", "entries.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("entries are\n%s\nwant\n%s", text, want)
	}
}

func TestConcurrentWritersMakeOneChain(t *testing.T) {
	srv, _, j := written(t, 1)
	var wg sync.WaitGroup
	for w := range 6 {
		other := journal.New(srv.Log(fmt.Sprintf("writer%d", w)), clock)
		wg.Go(func() {
			for n := range 10 {
				if _, err := other.Append(context.WithoutCancel(t.Context()), entry(n)); err != nil {
					t.Errorf("Append = %v", err)
				}
			}
		})
	}
	wg.Wait()
	report, err := j.Verify(t.Context(), nil, nil)
	if err != nil || report.Broken != nil || report.Entries != 61 {
		t.Errorf("Verify = %+v, %v, want 61 whole entries", report, err)
	}
}

func TestWhatSaysNeitherWhoNorWhatIsRefused(t *testing.T) {
	_, _, j := written(t, 0)
	for name, e := range map[string]journal.Entry{
		"no action": {Who: "x"}, "no word": {Action: "a.b", Who: "x"}, "nobody": {Action: "replay"},
		"long reason":  {Action: "replay", Who: "x", Reason: strings.Repeat("x", journal.MaxText+1)},
		"large detail": {Action: "replay", Who: "x", Detail: strings.Repeat("x", journal.MaxBody)},
		"no JSON":      {Action: "replay", Who: "x", Detail: func() {}},
	} {
		if _, err := j.Append(t.Context(), e); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%s: Append = %v, want ErrInvalid", name, err)
		}
		done := false
		err := j.Around(t.Context(), e, func(*journal.Entry) error { done = true; return nil })
		if !errors.Is(err, journal.ErrInvalid) || done {
			t.Errorf("%s: Around = %v, carried out %t, want ErrInvalid and nothing done", name, err, done)
		}
	}
	if _, err := j.Head(t.Context()); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("Head of an empty journal = %v, want ErrNotFound", err)
	}
	if report, err := j.Verify(t.Context(), nil, nil); err != nil || report.Broken != nil {
		t.Errorf("Verify of an empty journal = %+v, %v, want whole", report, err)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	_, _, j := written(t, 1203)
	if _, err := j.Append(t.Context(), journal.Entry{Action: "declare", Who: "root@prod"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter journal.Filter
		want   int
		newest uint64
	}{
		"all, beyond a page": {journal.Filter{}, 1204, 1204},
		"limit":              {journal.Filter{Limit: 700}, 700, 1204},
		"action":             {journal.Filter{Action: "decl*"}, 1, 1204},
		"who":                {journal.Filter{Who: "ada@*"}, 1203, 1203},
		"target":             {journal.Filter{Target: "STRIPE:88120", Limit: 5}, 5, 1203},
		"cursor":             {journal.Filter{Before: 4}, 3, 3},
		"nobody":             {journal.Filter{Who: "bob"}, 0, 0},
		"later":              {journal.Filter{Since: time.Now().Add(time.Hour)}, 0, 0},
		"until":              {journal.Filter{Until: time.Now().Add(-time.Hour)}, 0, 0},
	} {
		got, err := j.List(t.Context(), c.filter)
		if err != nil || len(got) != c.want || c.want > 0 && got[0].Number != c.newest {
			t.Errorf("%s: List = %d entries, %v, want %d, the newest being %d", name, len(got), err, c.want, c.newest)
		}
	}
}

// copied writes records into a journal of another server, as somebody would who has the rights to.
func copied(t *testing.T, records []natsstream.Record) *journal.Journal {
	t.Helper()
	log := natstest.Start(t).Log("copy")
	for _, r := range records {
		if _, err := log.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: r.Subject, Data: r.Data}); err != nil {
			t.Fatal(err)
		}
	}
	return journal.New(log, clock)
}

// forged is entry after entry with another name in the third and every hash after it made to fit.
func forged(t *testing.T, n int) *journal.Journal {
	t.Helper()
	j := journal.New(natstest.Start(t).Log("forger"), clock)
	for i := range n {
		e := entry(i)
		if i == 2 {
			e.Who = "nobody@desk"
		}
		if _, err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// R70
func TestTamperingIsFoundAtItsFirstSequence(t *testing.T) {
	_, log, j := written(t, 6)
	records := all(t, log)
	if report, err := copied(t, records).Verify(t.Context(), nil, nil); err != nil || report.Broken != nil || report.Entries != 6 {
		t.Fatalf("Verify of an equal copy = %+v, %v, want it whole", report, err)
	}
	with := func(i int, change func(r *natsstream.Record)) []natsstream.Record {
		all := append([]natsstream.Record{}, records...)
		change(&all[i])
		return all
	}
	for name, c := range map[string]struct {
		records []natsstream.Record
		at      uint64
		why     string
	}{
		"another name": {with(2, func(r *natsstream.Record) { r.Data = bytes.Replace(r.Data, []byte("ada@"), []byte("bob@"), 1) }), 4, "changed"},
		"one space":    {with(2, func(r *natsstream.Record) { r.Data = append([]byte(" "), r.Data...) }), 4, "changed"},
		"no JSON":      {with(2, func(r *natsstream.Record) { r.Data = []byte("{") }), 3, "decode"},
		"other action": {with(2, func(r *natsstream.Record) { r.Subject = "journal.declare" }), 3, "lies under"},
		"cut out":      {append(append([]natsstream.Record{}, records[:2]...), records[3:]...), 3, "is entry 4"},
		"slipped in":   {append(append([]natsstream.Record{}, records[:3]...), records[2:]...), 4, "is entry 3"},
		"swapped":      {append(append([]natsstream.Record{}, records[1], records[0]), records[2:]...), 1, "is entry 2"},
		"no beginning": {records[1:], 1, "is entry 2"},
	} {
		report, err := copied(t, c.records).Verify(t.Context(), nil, nil)
		if err != nil || report.Broken == nil || report.Broken.Sequence != c.at || !strings.Contains(report.Broken.Why, c.why) {
			t.Errorf("%s: Verify = %+v (%+v), %v, want it broken at %d: %s", name, report, report.Broken, err, c.at, c.why)
		}
	}
	head, err := j.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noted := []journal.Mark{{Number: head.Number, Hash: head.Hash}}
	if report, err := forged(t, 6).Verify(t.Context(), noted, nil); err != nil || report.Broken == nil || !strings.Contains(report.Broken.Why, "anew") {
		t.Errorf("Verify of a chain written anew, with a noted head = %+v, %v, want it found", report.Broken, err)
	}
	if report, err := copied(t, records[:4]).Verify(t.Context(), noted, nil); err != nil || report.Broken == nil || !strings.Contains(report.Broken.Why, "cut off") {
		t.Errorf("Verify of a chain without its end, with a noted head = %+v, %v, want it found", report.Broken, err)
	}
}

func TestRemovedEntriesAreFound(t *testing.T) {
	for name, gone := range map[string]uint64{"first": 1, "middle": 3, "last": 6} {
		_, log, j := written(t, 6)
		stream, err := log.JetStream().Stream(t.Context(), event.StreamJournal)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.DeleteMsg(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		report, err := j.Verify(t.Context(), nil, nil)
		if err != nil || report.Broken == nil || report.Broken.Sequence != gone {
			t.Errorf("%s removed: Verify = %+v, %v, want it broken at %d", name, report.Broken, err, gone)
		}
	}
}

// Bytes that are changed in the server's own files do not pass either: the server drops what fails its checksum, and the
// chain then lacks it.
func TestBytesChangedInTheStoreAreFound(t *testing.T) {
	srv, _, j := written(t, 6)
	srv.Stop()
	blocks, err := filepath.Glob(filepath.Join(srv.StoreDir(), "jetstream", "*", "streams", event.StreamJournal, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no message blocks: %v", err)
	}
	changed := false
	for _, path := range blocks {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte("ticket 3")); at >= 0 {
			copy(b[at:], "ticket 9")
			changed = true
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !changed {
		t.Fatal("the entry is in no block")
	}
	srv.Restart()
	deadline, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		// Each try has a deadline of its own: a question that is put while the client connects again may never be answered.
		try, stop := context.WithTimeout(deadline, 5*time.Second)
		report, err := j.Verify(try, nil, nil)
		stop()
		if err == nil {
			if report.Broken == nil || report.Entries >= 6 {
				t.Errorf("Verify = %+v, want the changed entry found", report)
			}
			return
		}
		if deadline.Err() != nil {
			t.Fatalf("Verify = %v", err)
		}
	}
}

// An entry that was stored while its answer got lost is not written a second time.
func TestALostAnswerDoesNotDoubleTheEntry(t *testing.T) {
	_, log, _ := written(t, 2)
	m := natsstream.Message{Subject: "journal.replay", ID: "one", Data: []byte("{}")}
	first, err := log.Append(t.Context(), m, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.JetStream().Publish(t.Context(), "journal.declare", []byte("{}"), jetstream.WithMsgID("two")); err != nil {
		t.Fatal(err)
	}
	again, err := log.Append(t.Context(), m, 4)
	if err != nil || !again.Taken || again.Sequence != first.Sequence {
		t.Errorf("Append of the same message id = %+v, %v, want it taken at %d", again, err, first.Sequence)
	}
}
