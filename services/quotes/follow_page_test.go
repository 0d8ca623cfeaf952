package quotes_test

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

// pageStream is a page's stream as a browser holds it.
type pageStream struct {
	header http.Header
	events chan string // the ids; closed at the end of the stream
	beats  chan struct{}
	leave  func()
}

// follow opens the stream of a page whose reader has seen a state.
func (f *fixture) follow(t *testing.T, token, seen string, headers ...string) *pageStream {
	t.Helper()
	return f.followAt(t, "/q/"+token+"/events", seen, headers...)
}

// followAt is follow for any page's stream.
func (f *fixture) followAt(t *testing.T, path, seen string, headers ...string) *pageStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.service.Addr().String()+path+"?seen="+seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := f.client.Do(req) //nolint:bodyclose // by the reader of the stream, below
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("stream = %d %v", res.StatusCode, res.Header)
	}
	s := &pageStream{header: res.Header, events: make(chan string, 64), beats: make(chan struct{}, 1024), leave: cancel}
	go func() {
		defer res.Body.Close()
		defer close(s.events)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				s.events <- id
			}
			if lines.Text() == ":" {
				s.beats <- struct{}{}
			}
		}
	}()
	return s
}

// next is the next event's id; empty at the end of the stream.
func (s *pageStream) next(t *testing.T) string {
	t.Helper()
	select {
	case id := <-s.events:
		return id
	case <-time.After(time.Minute):
		t.Fatal("no event within a minute")
		return ""
	}
}

// beat waits for a comment: the page was looked at and is as it was.
func (s *pageStream) beat(t *testing.T) {
	t.Helper()
	select {
	case <-s.beats:
	case id := <-s.events:
		t.Fatalf("event %q, want none", id)
	case <-time.After(time.Minute):
		t.Fatal("no comment within a minute")
	}
}

var seenInPage = regexp.MustCompile(`data-seen="([0-9a-f]+)"`)

// seen is the state that a page shows.
func (f *fixture) seen(t *testing.T, token string) string {
	t.Helper()
	m := seenInPage.FindSubmatch(f.get(t, token).want(t, http.StatusOK).body)
	if m == nil {
		t.Fatal("the page does not say what it shows")
	}
	return string(m[1])
}

// R33: an open page turns to Paid by itself.
func TestAnOpenPageIsToldThatItIsPaid(t *testing.T) {
	f := start(t)
	f.cfg.StreamBeat = time.Hour // nothing but the log's word wakes a follower
	f.withStripe(t)
	id, token := f.offered(t, nil)
	other, otherToken := f.offered(t, nil)
	before := f.seen(t, token)
	s, quiet := f.follow(t, token, before), f.follow(t, otherToken, f.seen(t, otherToken))
	for name, want := range map[string]string{"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"} {
		if got := s.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, open := range []*pageStream{s, quiet} { // the looks at the beginning are over
		open.beat(t)
		open.beat(t)
	}
	f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
	told := s.next(t)
	page := string(f.get(t, token).want(t, http.StatusOK).body)
	if told == before || !strings.Contains(page, `data-seen="`+told+`"`) || !strings.Contains(page, "Paid: Nov 20, 2026") || strings.Contains(page, "Check out") {
		t.Errorf("told %q, page = %s", told, page)
	}
	// Nobody is told of another quote's payment, or of one twice.
	f.payments(t, id, settled(118587, late)) // Redis says the same now
	f.fact(t, other, event.NameDisputed, "dp_1", event.PaymentFact{Seller: "main", QuoteID: other, Revision: 1, Object: "dp_1"})
	quiet.beat(t)
	if len(s.events) != 0 || len(quiet.events) != 0 {
		t.Errorf("%d and %d further events", len(s.events), len(quiet.events))
	}
}

// The log tells of a refund before Redis knows of it.
func TestAPageIsToldAlsoWhereRedisLags(t *testing.T) {
	f := start(t)
	id, token := f.offered(t, nil)
	f.fact(t, id, event.NamePaid, "1", paid(id, 1, noon))
	f.payments(t, id, settled(118587, noon))
	s := f.follow(t, token, f.seen(t, token))
	s.beat(t)
	f.fact(t, id, event.NameRefunded, "pi_1", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: "pi_1", Full: true})
	s.beat(t) // looked at, in vain
	f.payments(t, id, refunded(noon))
	told := s.next(t)
	if page := string(f.get(t, token).want(t, http.StatusOK).body); !strings.Contains(page, told) || !strings.Contains(page, "Refunded: Nov 22, 2026") {
		t.Errorf("told %q, page = %s", told, page)
	}
}

// Whatever gets lost (a wake-up, the line, an instance), the next look finds it.
func TestAFollowerCatchesUp(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.StreamBeat = 20 * time.Millisecond
	f.run(t)
	id, token := f.offered(t, nil)
	before := f.seen(t, token)
	s := f.follow(t, token, before)
	s.beat(t)
	f.payments(t, id, processing()) // no event
	told := s.next(t)
	s.leave()
	f.follow(t, token, before, "Last-Event-ID", told).beat(t) // knows it already
	if again := f.follow(t, token, before).next(t); again != told {
		t.Errorf("told %q, then %q", told, again)
	}
	s = f.follow(t, token, told)
	s.beat(t)
	f.redis.Stop()
	f.redis.Start()
	f.project(t, id)
	f.payments(t, id, settled(118587, noon))
	want := f.seen(t, token)
	for got := ""; got != want; { // it may be told of the empty Redis too, but never that the page is gone
		if got = s.next(t); got == "gone" {
			t.Fatal("an empty Redis takes the page away")
		}
	}
}

// R27, R44
func TestAFollowerIsToldOfTheEnd(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.StreamBeat = 20 * time.Millisecond
	f.run(t)
	_, expiring := f.offered(t, nil)
	recalled, token := f.offered(t, nil)
	f.call(t, "GET", "/q/"+strings.Repeat("a", 26)+"/events", "").problem(t, http.StatusNotFound, "not-found")
	f.call(t, "HEAD", "/q/"+token+"/events", "").want(t, http.StatusOK)

	s := f.follow(t, token, f.seen(t, token))
	s.beat(t)
	f.call(t, "POST", "/v1/quotes/"+recalled+"/recall", "").want(t, http.StatusOK)
	if got := s.next(t); got != "gone" {
		t.Errorf("told %q", got)
	}
	f.get(t, token).want(t, http.StatusGone)

	s = f.follow(t, expiring, f.seen(t, expiring))
	s.beat(t)
	f.clock.move(60 * 24 * time.Hour)
	if told := s.next(t); told != f.seen(t, expiring) {
		t.Errorf("told %q", told)
	}
}

func TestStreamsAreBoundedAndEndWithTheService(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.Streams = 2
	f.run(t)
	_, token := f.offered(t, nil)
	seen := f.seen(t, token)
	first, second := f.follow(t, token, seen), f.follow(t, token, seen)
	refused := f.call(t, "GET", "/q/"+token+"/events", "").problem(t, http.StatusServiceUnavailable, "too-many-pages")
	if refused.header.Get("Retry-After") != "30" {
		t.Errorf("refused = %v", refused.header)
	}
	first.leave()
	eventually(t, "room", func() bool {
		a, err := f.try(t.Context(), "HEAD", "/q/"+token+"/events", "")
		return err == nil && a.status == http.StatusOK
	})
	third := f.follow(t, token, seen)
	f.stop() // fails unless the drain ends by itself
	for _, s := range []*pageStream{second, third} {
		if id := s.next(t); id != "" {
			t.Errorf("event %q at the end", id)
		}
	}
}
