package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/services/operator/scenario"
)

// burst makes the events of a scenario for a published quote.
func (w *world) burst(name string, q published, seed int64) scenario.Burst {
	w.tb.Helper()
	s, ok := scenario.Find(name)
	if !ok {
		w.tb.Fatalf("no scenario %s", name)
	}
	target := scenario.Target{
		Quote: q.ID, Seller: "main", Revision: q.Revision, Title: "Consulting", Amount: q.Amount, Currency: "eur",
		CustomerName: "Jan Nowak", CustomerEmail: "customer@buyer.example",
	}
	if name == "subscription" {
		target.Interval, target.IntervalCount = "month", 1
	}
	b, err := s.Run(target, seed, time.Now(), scenario.V20231016)
	if err != nil {
		w.tb.Fatal(err)
	}
	return b
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

// deliver behaves as Stripe's webhook delivery does: each event is posted, freshly signed, again and again until it is
// answered 2xx. What was answered 2xx is written down: that is the promise.
func (w *world) deliver(events []scenario.Event, parallel int, within time.Duration) {
	w.tb.Helper()
	deadline := time.Now().Add(within)
	work := make(chan scenario.Event)
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for e := range work {
				for !w.post(e) {
					if time.Now().After(deadline) || w.tb.Context().Err() != nil {
						w.tb.Errorf("event %s not accepted within %s", e.ID, within)
						break
					}
					select {
					case <-w.tb.Context().Done():
					case <-time.After(30 * time.Millisecond):
					}
				}
			}
		})
	}
	for _, e := range events {
		work <- e
	}
	close(work)
	wg.Wait()
}

func (w *world) post(e scenario.Event) bool {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Body, Secret: secret})
	req, err := http.NewRequestWithContext(w.tb.Context(), http.MethodPost, w.ingressURL, bytes.NewReader(e.Body))
	if err != nil {
		return false
	}
	req.Header.Set("Stripe-Signature", signed.Header)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode/100 != 2 {
		return false
	}
	sum := sha256.Sum256(e.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[e.ID] = append(w.acked[e.ID], hex.EncodeToString(sum[:]))
	return true
}
