//go:build linux

package powercut_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/ingress"
)

const (
	secret    = "whsec_powercut_0123456789abcdef"
	eventType = "checkout.session.completed"
	// senders wait for their answers at one time.
	senders = 16
)

// stripe sends webhooks and keeps the list of those that were acknowledged. It knows ingress's address and nothing else.
type stripe struct {
	t      *testing.T
	url    string
	client *http.Client
	seed   uint64

	mu      sync.Mutex
	next    int
	again   []int // sent, and not acknowledged
	acked   []int
	refused int
}

func newStripe(t *testing.T, addr string, seed uint64) *stripe {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: senders}
	t.Cleanup(transport.CloseIdleConnections)
	return &stripe{t: t, url: "http://" + addr + ingress.WebhookPath, client: &http.Client{Transport: transport}, seed: seed}
}

func eventID(n int) string { return fmt.Sprintf("evt_%08d", n) }

// body is the event with that number, always the same.
func body(n int) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2023-10-16","created":1700000100,"type":%q,"livemode":false,`+
		`"data":{"object":{"id":"cs_%d","object":"checkout.session","mode":"payment","status":"complete","payment_status":"paid",`+
		`"amount_total":%d,"currency":"eur","payment_intent":"pi_%d","metadata":{"quote_id":%q,"quote_revision":"1","seller":"main"}}}}`,
		eventID(n), eventType, n, amount, n, quoteID(n))
}

const amount = 1000

func quoteID(n int) string { return fmt.Sprintf("q_%d", n) }

func subject(n int) string {
	return event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: eventID(n), Type: eventType}.String()
}

// send keeps senders busy until ctx ends; it returns when the last of them has. first is closed at the first acknowledgement.
func (s *stripe) send(ctx context.Context, first func()) {
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := s.take()
				if s.post(ctx, n) {
					first()
				}
			}
		})
	}
	wg.Wait()
}

// take is what to send: what was not acknowledged first, as Stripe repeats it.
func (s *stripe) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.again) - 1; last >= 0 {
		n := s.again[last]
		s.again = s.again[:last]
		return n
	}
	s.next++
	return s.next
}

func (s *stripe) post(ctx context.Context, n int) (ok bool) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ok {
			s.acked = append(s.acked, n)
			return
		}
		s.refused++
		// Every other one is never sent again: it must not come to cover up for something that remembers it without the log.
		if rand.New(rand.NewPCG(s.seed, uint64(n))).IntN(2) == 0 {
			s.again = append(s.again, n)
		}
	}()
	b := body(n)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(b))
	if err != nil {
		s.t.Error(err)
		return false
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(b)
	req.Header.Set("Stripe-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	res, err := s.client.Do(req)
	if err != nil {
		select { // ingress is away
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		s.t.Errorf("event %d was answered %s", n, res.Status)
	}
	return err == nil && res.StatusCode == http.StatusOK
}

// acknowledged is a copy of the list.
func (s *stripe) acknowledged() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.acked)
}
