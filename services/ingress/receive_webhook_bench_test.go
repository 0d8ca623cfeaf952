package ingress_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"quittance.internal/libs/domain/stripebody"
	"quittance.internal/services/ingress"
)

// nowhere stores nothing and says that it did.
type nowhere struct{}

func (nowhere) Publish(context.Context, ingress.Delivery) (ingress.Published, error) {
	return ingress.Published{Outcome: ingress.Stored, TraceID: strings.Repeat("0", 32)}, nil
}

// BenchmarkReceive is everything but the network and the log: reading, verifying, the answer, the log line, the metrics. The
// event has the size of performance.md's.
func BenchmarkReceive(b *testing.B) {
	body := string(eventBody("evt_1", "checkout.session.completed"))
	body = strings.Replace(body, "cs_1", strings.Repeat("x", 3463-len(body)+4), 1)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zapcore.InfoLevel))
	rc := ingress.NewReceiver(ingress.ReceiverConfig{
		Verifier: newVerifier(b, at(noon)), Store: nowhere{}, Log: log, Metrics: ingress.NewMetrics(prometheus.NewRegistry()),
		Now: at(noon), Budget: 3e9, MaxInFlight: 1024,
	})
	signature := sign(noon, []byte(body), mainKey)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		reader := strings.NewReader(body)
		req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, ingress.WebhookPath, reader)
		req.Header.Set("Stripe-Signature", signature)
		w := &discard{header: http.Header{}}
		for pb.Next() {
			reader.Reset(body)
			req.Body = io.NopCloser(reader)
			if rc.ServeHTTP(w, req); w.status != http.StatusOK {
				b.Errorf("answer = %d, want 200", w.status)
				return
			}
		}
	})
}

// discard is an http.ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkPeek is the reading of an event's address; the worst body is the one that must be read to its end.
func BenchmarkPeek(b *testing.B) {
	body := eventBody("evt_1", "checkout.session.completed")
	body = []byte(strings.Replace(string(body), "cs_1", strings.Repeat("x", 3463-len(body)+4), 1))
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := stripebody.Peek(body); err != nil {
			b.Fatal(err)
		}
	}
}
