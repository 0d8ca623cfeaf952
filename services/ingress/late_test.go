package ingress_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"quittance.internal/services/ingress"
)

// stuck is a store that ends when it is told to, whatever the context says: as the client library of NATS does while it calls a
// server behind a cut cable.
type stuck struct {
	resume chan struct{}
	bytes  chan string // of each delivery, as they are at its end
}

func (s *stuck) Publish(_ context.Context, d ingress.Delivery) (ingress.Published, error) {
	<-s.resume
	s.bytes <- string(d.Body)
	return ingress.Published{Outcome: ingress.Stored, TraceID: strings.Repeat("0", 32)}, nil
}

// R55. Where the client library does not come back, Stripe is told in time to come again. What is still under way keeps its bytes,
// and its place: beyond the bound the answer is 503 at once.
func TestAnAnswerDoesNotWaitForALatePublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room = 2
		s := &stuck{resume: make(chan struct{}), bytes: make(chan string, room+1)}
		rc := ingress.NewReceiver(ingress.ReceiverConfig{
			Verifier: newVerifier(t, at(noon)), Store: s, Log: zap.NewNop(), Metrics: ingress.NewMetrics(prometheus.NewRegistry()),
			Now: at(noon), Budget: 3 * time.Second, MaxInFlight: room,
		})
		post := func(id string) (status int, took time.Duration) {
			body := string(eventBody(id, "charge.succeeded"))
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ingress.WebhookPath, strings.NewReader(body))
			req.Header.Set("Stripe-Signature", sign(noon, []byte(body), mainKey))
			w := httptest.NewRecorder()
			began := time.Now()
			rc.ServeHTTP(w, req)
			return w.Code, time.Since(began)
		}
		for _, id := range []string{"evt_1", "evt_2"} {
			if status, took := post(id); status != http.StatusServiceUnavailable || took < 3*time.Second || took > 3200*time.Millisecond {
				t.Errorf("%s was answered %d after %s, want 503 after its budget of 3 s", id, status, took)
			}
		}
		if status, took := post("evt_3"); status != http.StatusServiceUnavailable || took != 0 {
			t.Errorf("beyond the bound the answer was %d after %s, want 503 at once", status, took)
		}
		close(s.resume)
		got := []string{<-s.bytes, <-s.bytes}
		slices.Sort(got)
		if want := []string{string(eventBody("evt_1", "charge.succeeded")), string(eventBody("evt_2", "charge.succeeded"))}; !slices.Equal(got, want) {
			t.Errorf("at their end the publications held %q, want %q", got, want)
		}
		synctest.Wait()
		if status, _ := post("evt_4"); status != http.StatusOK {
			t.Errorf("when there was room again the answer was %d, want 200", status)
		}
	})
}
