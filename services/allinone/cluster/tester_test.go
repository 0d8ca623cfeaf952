package cluster_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

// answer is one of ingress to one delivery.
type answer struct {
	known  time.Time // when the event was posted for the first time
	began  time.Time
	took   time.Duration
	status int // 0 for none
}

// tester behaves as Stripe's webhook delivery does: each event is posted, freshly signed, again and again until it is answered 2xx.
// What was answered 2xx it writes down: that is the promise. It is told nothing about what is broken meanwhile.
type tester struct {
	tb   testing.TB
	url  string
	work chan scenario.Event
	done chan struct{} // closed when everything given was answered 2xx
	hold sync.Mutex    // held while nothing new is to be given
	held bool          // by the test itself, in pause
	// unheard: answers may be lost on their way, and a delivery without one says nothing against ingress.
	unheard bool

	mu      sync.Mutex
	open    int                  // events given and not yet answered 2xx
	left    int                  // events not given yet
	known   map[string]time.Time // event id → when it was posted for the first time
	acked   map[string][]string  // event id → SHA-256 of each body that was answered 2xx
	answers []answer
}

// deliver begins to give all events, so many a second, with a few under way at a time.
func deliver(tb testing.TB, w *world, perSecond int) *tester {
	tb.Helper()
	t := &tester{tb: tb, url: w.webhooks, work: make(chan scenario.Event), done: make(chan struct{}), known: map[string]time.Time{}, acked: map[string][]string{}, left: len(w.events)}
	var posters sync.WaitGroup
	for range 16 {
		posters.Go(func() {
			for e := range t.work {
				for !t.post(e) && tb.Context().Err() == nil {
					select {
					case <-tb.Context().Done():
					case <-time.After(100 * time.Millisecond):
					}
				}
				t.mu.Lock()
				t.open--
				t.mu.Unlock()
			}
		})
	}
	go func() {
		defer close(t.done)
		pace := time.NewTicker(time.Second / time.Duration(perSecond))
		defer pace.Stop()
		for _, e := range w.events {
			select {
			case <-tb.Context().Done():
			case <-pace.C:
			}
			t.hold.Lock()
			t.mu.Lock()
			t.open, t.left = t.open+1, t.left-1
			t.mu.Unlock()
			t.hold.Unlock()
			t.work <- e
		}
		close(t.work)
		posters.Wait()
	}()
	tb.Cleanup(t.rest)
	return t
}

var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

func (t *tester) post(e scenario.Event) bool {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Body, Secret: secret})
	req, err := http.NewRequestWithContext(t.tb.Context(), http.MethodPost, t.url, bytes.NewReader(e.Body))
	if err != nil {
		return false
	}
	req.Header.Set("Stripe-Signature", signed.Header)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	a := t.begin(e.ID)
	res, err := client.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		a.status = res.StatusCode
	}
	a.took = time.Since(a.began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers = append(t.answers, a)
	if a.status/100 != 2 {
		return false
	}
	sum := sha256.Sum256(e.Body)
	t.acked[e.ID] = append(t.acked[e.ID], hex.EncodeToString(sum[:]))
	return true
}

func (t *tester) begin(eventID string) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := answer{began: time.Now(), known: t.known[eventID]}
	if a.known.IsZero() {
		a.known = a.began
		t.known[eventID] = a.began
	}
	return a
}

// pause gives nothing new until moving is called; what was given goes on until it is answered.
func (t *tester) pause() {
	if !t.held {
		t.hold.Lock()
		t.held = true
	}
}

func (t *tester) resume() {
	if t.held {
		t.held = false
		t.hold.Unlock()
	}
}

// rest gives all that is left and waits until it is answered 2xx.
func (t *tester) rest() {
	t.resume()
	<-t.done
}

// idle waits until all that was given is answered 2xx.
func (t *tester) idle() {
	t.tb.Helper()
	processtest.Until(t.tb, patience, "all webhooks given are answered 2xx", func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.open == 0
	})
}

// moving waits until so many more webhooks have been answered 2xx: the load is on.
func (t *tester) moving(more int) {
	t.tb.Helper()
	t.resume()
	count := func() (n int) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.left == 0 {
			t.tb.Fatal("the load is over before the fault")
		}
		for _, a := range t.answers {
			if a.status/100 == 2 {
				n++
			}
		}
		return n
	}
	goal := count() + more
	processtest.Until(t.tb, patience, "the load is on", func() bool { return count() >= goal })
}

// between are the answers to what was posted from one time on and had come by the other.
func (t *tester) between(from, to time.Time) []answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.answers), func(a answer) bool { return a.began.Before(from) || a.began.Add(a.took).After(to) })
}

// stall is the longest time without an answer 2xx from one time to another.
func (t *tester) stall(from, to time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	stored := []time.Time{from, to}
	for _, a := range t.answers {
		if at := a.began.Add(a.took); a.status/100 == 2 && at.After(from) && at.Before(to) {
			stored = append(stored, at)
		}
	}
	slices.SortFunc(stored, time.Time.Compare)
	longest := time.Duration(0)
	for i, at := range stored[1:] {
		longest = max(longest, at.Sub(stored[i]))
	}
	return longest
}

// broken tells of every event that was answered 2xx and is not in the log once, with a body that was answered 2xx.
func (t *tester) broken(log []natsstream.Record) (broken []string) {
	stored := map[string][]string{}
	for _, r := range log {
		if s, ok := event.ParseStripeSubject(r.Subject); ok {
			sum := sha256.Sum256(r.Data)
			stored[s.EventID] = append(stored[s.EventID], hex.EncodeToString(sum[:]))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, bodies := range t.acked {
		if have := stored[id]; len(have) != 1 || !slices.Contains(bodies, have[0]) {
			broken = append(broken, fmt.Sprintf("event %s was answered 2xx and is in the log %d times, or with another body", id, len(have)))
		}
	}
	return broken
}

// shuffled returns the events in a random order with about a third of them twice.
func shuffled(events []scenario.Event, seed uint64) []scenario.Event {
	r := rand.New(rand.NewPCG(seed, 7))
	out := slices.Clone(events)
	for _, e := range events {
		if r.IntN(3) == 0 {
			out = append(out, e)
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
