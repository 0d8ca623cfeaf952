package selection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
)

var keys = redisquote.NewKeys("g1")

// world is a log with many events and the outcomes of all of them but the last three.
type world struct {
	finder *selection.Finder
	redis  redis.UniversalClient
	log    *natsstream.Log
	count  int
	middle time.Time // between the two halves
}

// outcomeOf is what becomes of the n-th event, from 1.
func outcomeOf(n int) string {
	switch {
	case n%500 == 0:
		return "dead"
	case n%333 == 0:
		return "parked"
	case n%7 == 0:
		return "ignored"
	default:
		return "applied"
	}
}

func typeOf(n int) string {
	return []string{"checkout.session.completed", "payment_intent.succeeded", "charge.refunded"}[n%3]
}

func accountOf(n int) string {
	if n%10 == 0 {
		return "acct_1"
	}
	return "platform"
}

func quoteOf(n int) string { return "q_" + strconv.Itoa(n/10) }

func newWorld(tb testing.TB, count int) *world {
	tb.Helper()
	srv, store := natstest.Start(tb), redistest.Start(tb)
	w := &world{log: srv.Log("w"), redis: store.Client(), count: count}
	w.finder = &selection.Finder{Log: w.log, Reader: redisquote.NewReader(w.redis, keys)}
	body := []byte(`{"id":"evt","object":"event","data":{"object":{"metadata":{"quote_id":"q"}}},"filler":"` + strings.Repeat("x", 900) + `"}`)
	for from := 1; from <= count; from += 1000 {
		var batch []natsstream.Message
		pipe := w.redis.Pipeline()
		for n := from; n < from+1000 && n <= count; n++ {
			s := event.StripeSubject{Mode: "test", Account: accountOf(n), EventID: "evt_" + strconv.Itoa(n), Type: typeOf(n)}
			source := event.SourceWebhook
			if n%100 == 1 {
				source = event.SourceReconcile
			}
			batch = append(batch, natsstream.Message{Subject: s.String(), Data: body, Header: nats.Header{event.HeaderSource: {source}}})
			w.decide(pipe, n)
		}
		for _, r := range w.log.Facts(context.Background(), batch) {
			if r.Err != nil || r.Stored.Taken {
				tb.Fatalf("Facts = %+v", r)
			}
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			tb.Fatal(err)
		}
		if from <= count/2 && from+1000 > count/2 {
			w.middle = time.Now()
		}
	}
	return w
}

func (w *world) decide(pipe redis.Pipeliner, n int) {
	if n > w.count-3 {
		return
	}
	o := redisquote.Outcome{Outcome: outcomeOf(n), EventID: "evt_" + strconv.Itoa(n), Type: typeOf(n), At: time.Now().UTC(), Handler: "t"}
	if o.Outcome == "applied" {
		o.Account, o.Quote = accountOf(n), quoteOf(n)
		field := typeOf(n) + "|cs_" + strconv.Itoa(n) + "|" + o.EventID
		pipe.HSet(context.Background(), keys.PayEvents(o.Account, o.Quote), field, fmt.Sprintf("%d %s", n, o.EventID))
	}
	text, ok := o.AppendJSON(nil)
	if !ok {
		panic("outcome needs escapes")
	}
	pipe.HSet(context.Background(), keys.Outcomes("STRIPE", uint64(n)), strconv.Itoa(n), text)
}

// want are the numbers of the events that fit.
func (w *world) want(fits func(n int) bool) []uint64 {
	var all []uint64
	for n := 1; n <= w.count; n++ {
		if fits(n) {
			all = append(all, uint64(n))
		}
	}
	return all
}

func (w *world) parse(tb testing.TB, query string) selection.Selection {
	tb.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := selection.Parse(values, time.Now())
	if err != nil {
		tb.Fatalf("Parse(%s) = %v", query, err)
	}
	return s
}

func (w *world) find(tb testing.TB, s selection.Selection, o selection.Options) []uint64 {
	tb.Helper()
	var got []uint64
	for e, err := range w.finder.Find(context.Background(), s, o) {
		if err != nil {
			tb.Fatalf("Find(%s) = %v", s, err)
		}
		got = append(got, e.Record.Sequence)
	}
	return got
}

func TestASelectionFindsAllThatFitsAndNothingElse(t *testing.T) {
	w := newWorld(t, 2703)
	decided := func(n int) bool { return n <= w.count-3 }
	for query, fits := range map[string]func(n int) bool{
		"":                                      func(int) bool { return true },
		"outcome=dead":                          func(n int) bool { return decided(n) && outcomeOf(n) == "dead" },
		"outcome=failed":                        func(n int) bool { return decided(n) && (outcomeOf(n) == "dead" || outcomeOf(n) == "parked") },
		"outcome=applied":                       func(n int) bool { return decided(n) && outcomeOf(n) == "applied" },
		"outcome=ignored,dead&type=charge.*":    func(n int) bool { return decided(n) && strings.Contains("ignored dead", outcomeOf(n)) && n%3 == 2 },
		"outcome=pending":                       func(n int) bool { return !decided(n) },
		"outcome=pending&outcome=dead":          func(n int) bool { return !decided(n) || outcomeOf(n) == "dead" },
		"type=checkout.session.*":               func(n int) bool { return n%3 == 0 },
		"type=checkout.*&type=payment_intent.*": func(n int) bool { return n%3 != 2 },
		"account=acct_*":                        func(n int) bool { return n%10 == 0 },
		"source=reconcile":                      func(n int) bool { return n%100 == 1 },
		"seq=500..1600":                         func(n int) bool { return n >= 500 && n <= 1600 },
		"seq=2500..&account=acct_1":             func(n int) bool { return n >= 2500 && n%10 == 0 },
		"seq=..4":                               func(n int) bool { return n <= 4 },
		"seq=77":                                func(n int) bool { return n == 77 },
		"seq=6000..":                            func(int) bool { return false },
		"id=evt_42,evt_9":                       func(n int) bool { return n == 42 || n == 9 },
		"id=evt_42&type=nothing":                func(int) bool { return false },
		"id=evt_none":                           func(int) bool { return false },
		"quote=q_12":                            func(n int) bool { return n/10 == 12 && outcomeOf(n) == "applied" && n%10 != 0 },
		"quote=q_12&account=acct_1":             func(n int) bool { return n == 120 },
		"quote=q_none":                          func(int) bool { return false },
		"since=1h&until=0s":                     func(int) bool { return true },
		"until=1h":                              func(int) bool { return false },
	} {
		want := w.want(fits)
		s := w.parse(t, query)
		if got := w.find(t, s, selection.Options{}); !slices.Equal(got, want) {
			t.Errorf("%s: found %d events, want %d (%.200v / %.200v)", query, len(got), len(want), got, want)
		}
		slices.Reverse(want)
		if got := w.find(t, s, selection.Options{Order: selection.NewestFirst}); !slices.Equal(got, want) {
			t.Errorf("%s, newest first: found %d events, want %d", query, len(got), len(want))
		}
	}
	half := w.parse(t, "until="+url.QueryEscape(w.middle.Format(time.RFC3339Nano)))
	got := w.find(t, half, selection.Options{})
	if len(got) < w.count/2-1000 || len(got) > w.count/2+1000 || got[0] != 1 {
		t.Errorf("until the middle: %d events", len(got))
	}
	rest := w.parse(t, "since="+url.QueryEscape(w.middle.Format(time.RFC3339Nano)))
	if after := w.find(t, rest, selection.Options{}); len(after)+len(got) != w.count {
		t.Errorf("until and since the same moment: %d and %d events, want all %d once", len(got), len(after), w.count)
	}
}

// There is no list that ends at ten thousand, or at a page.
func TestPagesAddUpToTheWhole(t *testing.T) {
	w := newWorld(t, 12345)
	for _, order := range []selection.Order{selection.OldestFirst, selection.NewestFirst} {
		for _, query := range []string{"type=payment_intent.*", "outcome=ignored"} {
			s := w.parse(t, query)
			whole := w.find(t, s, selection.Options{Order: order})
			var pages []uint64
			cursor := uint64(0)
			for {
				s.Limit = 777
				page := w.find(t, s, selection.Options{Order: order, After: cursor})
				pages = append(pages, page...)
				if len(page) < s.Limit {
					break
				}
				cursor = page[len(page)-1]
			}
			if !slices.Equal(pages, whole) || len(whole) < 1000 {
				t.Errorf("%s newest %t: pages have %d events, the whole %d", query, order, len(pages), len(whole))
			}
		}
	}
	var looked, all uint64
	s := w.parse(t, "")
	w.find(t, s, selection.Options{Progress: func(l, a uint64) { looked, all = l, a }})
	if looked != 12345 || all != 12345 {
		t.Errorf("progress ended at %d of %d, want 12345", looked, all)
	}
}

func TestAFrozenSelectionDoesNotChange(t *testing.T) {
	w := newWorld(t, 1500)
	s := w.parse(t, "outcome=dead&since=1h")
	z, err := w.finder.Freeze(t.Context(), s, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint64{500, 1000}; !slices.Equal(z.Sequences, want) || z.Check() != nil || !strings.Contains(z.Query, "--outcome dead") {
		t.Errorf("Freeze = %+v, want %v", z, want)
	}
	pipe := w.redis.Pipeline()
	w.count += 1000
	w.decide(pipe, 1500)
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.find(t, s, selection.Options{}); len(got) != 3 {
		t.Errorf("the selection now finds %v, want one more", got)
	}
	b, err := json.Marshal(z)
	if err != nil {
		t.Fatal(err)
	}
	var back selection.Frozen
	if err := json.Unmarshal(b, &back); err != nil || back.Check() != nil || len(back.Sequences) != 2 {
		t.Errorf("a frozen selection read back = %+v, %v", back, err)
	}
	back.Sequences = append(back.Sequences, 3)
	if back.Check() == nil {
		t.Error("Check of a changed selection = nil")
	}
}

func TestQuotesOwnEventsAreSelectedToo(t *testing.T) {
	w := newWorld(t, 4)
	for i, subject := range []string{"quote.drafted.main.q_1.1", "quote.published.main.q_1.1", "quote.drafted.main.q_2.1", "quote.paid.main.q_1.1"} {
		if _, err := w.log.Fact(t.Context(), natsstream.Message{Subject: subject, Data: []byte("{}")}); err != nil {
			t.Fatal(i, err)
		}
	}
	for query, want := range map[string][]uint64{
		"stream=QUOTES": {1, 2, 3, 4}, "stream=quotes&quote=q_1": {1, 2, 4}, "stream=QUOTES&type=quote.paid": {4}, "stream=QUOTES&outcome=pending&quote=q_2": {3},
	} {
		if got := w.find(t, w.parse(t, query), selection.Options{}); !slices.Equal(got, want) {
			t.Errorf("%s: found %v, want %v", query, got, want)
		}
	}
}

func TestWithoutRedisOutcomesCannotBeSelected(t *testing.T) {
	w := newWorld(t, 5)
	w.finder.Reader = nil
	if got := w.find(t, w.parse(t, "type=charge.*"), selection.Options{}); !slices.Equal(got, []uint64{2, 5}) {
		t.Errorf("found %v, want 2 and 5", got)
	}
	for _, query := range []string{"outcome=dead", "quote=q_1"} {
		for _, err := range w.finder.Find(t.Context(), w.parse(t, query), selection.Options{}) {
			if err == nil || !strings.Contains(err.Error(), "without Redis") {
				t.Errorf("%s: Find = %v, want an error that names Redis", query, err)
			}
		}
	}
}

func TestFlagsAndURLsMeanTheSameAndFaultsAreAllReported(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	values := url.Values{
		"quote": {"q_1,q_2"}, "type": {"checkout.*", "charge.*"}, "outcome": {"failed"}, "since": {"2h"}, "until": {"2026-11-25T11:30:00Z"},
		"seq": {"5.."}, "limit": {"7"}, "page": {"3"},
	}
	s, err := selection.Parse(values, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := selection.Parse(s.Values(), now.Add(48*time.Hour))
	if err != nil || again.String() != s.String() || !again.Since.Equal(now.Add(-2*time.Hour)) || again.Limit != 7 || again.From != 5 || len(again.Outcomes) != 3 {
		t.Errorf("Parse(Values()) = %s, %v, want %s", again, err, s)
	}
	_, err = selection.Parse(url.Values{
		"stream": {"DEAD"}, "quote": {"q.*"}, "type": {"["}, "outcome": {"lost"}, "since": {"soon"}, "seq": {"9..3"}, "limit": {"-1"}, "id": {"evt_1.>"},
	}, now)
	for _, want := range []string{"stream", "quote", "type", "outcome", "since", "seq", "limit", "id"} {
		if err == nil || !strings.Contains(err.Error(), want+": ") {
			t.Errorf("Parse of faults = %v, want it to name %s", err, want)
		}
	}
	// The messages of an event lie on STRIPE: looked for on QUOTES, they would be judged by the places and outcomes of others.
	if _, err := selection.Parse(url.Values{"stream": {"QUOTES"}, "id": {"evt_1"}}, now); err == nil || !strings.Contains(err.Error(), "id: only messages of STRIPE") {
		t.Errorf("Parse of an event id on QUOTES = %v, want a fault", err)
	}
	if s, err := selection.Parse(nil, now); err != nil || !s.Unbounded() || s.Stream != "STRIPE" {
		t.Errorf("Parse(nil) = %+v, %v", s, err)
	}
}

// BenchmarkFind reports events looked at per second.
func BenchmarkFind(b *testing.B) {
	w := newWorld(b, 50000)
	for _, query := range []string{"", "type=charge.*", "outcome=failed", "outcome=applied"} {
		s := w.parse(b, query)
		b.Run("query="+query, func(b *testing.B) {
			for b.Loop() {
				w.find(b, s, selection.Options{})
			}
			b.ReportMetric(float64(w.count)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	s := w.parse(b, "quote=q_12")
	b.Run("one quote", func(b *testing.B) {
		for b.Loop() {
			w.find(b, s, selection.Options{})
		}
	})
}
