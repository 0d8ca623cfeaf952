package chaos_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/operations/invariants"
	"quittance.internal/services/operator/scenario"
)

// tester behaves as Stripe's webhook delivery does: it signs each event anew and posts it until it is answered 2xx. It writes
// down what was answered, whatever the product says of itself.
type tester struct {
	address func() string // asked before each request
	http    *http.Client
	// answered, if not nil, is told of every answer to what was signed at a moment, in whole seconds.
	answered func(status int, signed, began, ended time.Time)

	mu    sync.Mutex
	acked invariants.Acked
	// twoHundred are all answers 2xx, refused the others by their status, unknown the requests that had no answer.
	twoHundred, unknown int
	refused             map[int]int
}

func newTester(url string) *tester {
	return &tester{
		address: func() string { return url }, acked: invariants.Acked{}, refused: map[int]int{},
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: senders}},
	}
}

// deliver posts an event until it is answered 2xx, or ctx ends.
func (s *tester) deliver(ctx context.Context, e scenario.Event) {
	for n := 0; !s.post(ctx, e) && ctx.Err() == nil; n++ {
		wait(ctx, time.Duration(min(n+1, 10)*30)*time.Millisecond)
	}
}

func (s *tester) post(ctx context.Context, e scenario.Event) bool {
	accepted, err := s.try(ctx, e)
	if err != nil {
		s.mu.Lock()
		s.unknown++
		s.mu.Unlock()
	}
	return accepted
}

// try returns an error where there was no answer.
func (s *tester) try(ctx context.Context, e scenario.Event) (bool, error) {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Body, Secret: secret})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address(), bytes.NewReader(e.Body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Stripe-Signature", signed.Header)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	began := time.Now()
	res, err := s.http.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if s.answered != nil {
		s.answered(res.StatusCode, signed.Timestamp.Truncate(time.Second), began, time.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if res.StatusCode/100 != 2 {
		s.refused[res.StatusCode]++
		return false, nil
	}
	s.twoHundred++
	if s.acked[e.ID] == nil {
		sum := sha256.Sum256(e.Body)
		s.acked[e.ID] = []string{hex.EncodeToString(sum[:])}
	}
	return true, nil
}

// snapshot is what was acknowledged by now.
func (s *tester) snapshot() invariants.Acked {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := invariants.Acked{}
	for id, sums := range s.acked {
		all[id] = sums
	}
	return all
}

// file writes what was acknowledged as quotectl takes it.
func (s *tester) file(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	for id, sums := range s.snapshot() {
		fmt.Fprintln(&b, id, sums[0])
	}
	path := filepath.Join(tb.TempDir(), "acked")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// sale is a quote that a customer can pay.
type sale struct {
	id        string
	number    int
	recurring bool
}

func (s sale) amount() int64 { return int64(1000 + s.number) }

func (s sale) owner() string { return fmt.Sprintf("owner%d@seller.example", s.number) }

// scenarioOf is what happens to the n-th quote, in turn.
func scenarioOf(n int) scenario.Scenario { return scenario.All()[n%len(scenario.All())] }

// burst is what Stripe sends about a sale.
func burst(s sale, at time.Time) (scenario.Burst, error) {
	target := scenario.Target{
		Quote: s.id, Seller: "main", Revision: 1, Title: "Consulting", Amount: s.amount(), Currency: "eur",
		CustomerName: "Jan Nowak", CustomerEmail: "customer@buyer.example",
	}
	if s.recurring {
		target.Interval, target.IntervalCount = "month", 1
	}
	version := []scenario.Version{scenario.V20231016, scenario.Basil}[s.number/8%2]
	return scenarioOf(s.number).Run(target, int64(s.number), at, version)
}

// foreign is an event of the same Stripe account that no checkout of ours made.
func foreign(n int, at time.Time) scenario.Event {
	typ := []string{"product.updated", "customer.updated", "balance.available"}[n%3]
	id := fmt.Sprintf("evt_foreign%d", n)
	body := fmt.Sprintf(`{"id":%q,"object":"event","api_version":"2023-10-16","created":%d,"livemode":false,"type":%q,`+
		`"data":{"object":{"id":"obj_%d","object":%q,"metadata":{"n":"%d"}}},"pending_webhooks":1,"request":null}`,
		id, at.Unix(), typ, n, strings.Split(typ, ".")[0], n)
	return scenario.Event{ID: id, Type: typ, Created: at, Body: []byte(body)}
}

// shuffled returns the items in a random order.
func shuffled[T any](r *rand.Rand, items []T) []T {
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items
}
