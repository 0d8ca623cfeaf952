package ingress_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary stands in every secret, body and header that the tests send. No log line may hold it.
const canary = "canary"

// rig is a running ingress on a real NATS server.
type rig struct {
	tb     testing.TB
	nats   *natstest.Server
	stored *natsstream.Log
	logs   *buffer
	url    string
	admin  string
	stop   func()
}

// start runs an ingress with the two test secrets; each change is applied to its configuration first.
func start(tb testing.TB, changes ...func(*ingress.Config)) *rig {
	tb.Helper()
	return startOn(tb, natstest.Start(tb), changes...)
}

func startOn(tb testing.TB, srv *natstest.Server, changes ...func(*ingress.Config)) *rig {
	tb.Helper()
	r := &rig{tb: tb, nats: srv, stored: srv.Log("test"), logs: &buffer{}}
	cfg := ingress.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: srv.Config("ingress"), Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed},
		Secrets: secrets, SecretsPoll: 5 * time.Millisecond,
	}
	for _, change := range changes {
		change(&cfg)
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), r.logs, zapcore.DebugLevel))
	ctx, cancel := context.WithCancel(tb.Context())
	service, err := ingress.New(ctx, cfg, log)
	if err != nil {
		cancel()
		tb.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- service.Run(ctx) }()
	r.url, r.admin = "http://"+service.Addr().String(), "http://"+service.AdminAddr().String()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			tb.Errorf("Run = %v, want nil after the context's end", err)
		}
	})
	tb.Cleanup(func() {
		r.stop()
		http.DefaultClient.CloseIdleConnections()
		if logged := r.logs.String(); strings.Contains(logged, canary) {
			tb.Errorf("the log shows what it must not:\n%s", logged)
		}
	})
	return r
}

// in returns the same rig that reports to another test.
func (r *rig) in(tb testing.TB) *rig {
	tb.Helper()
	other := *r
	other.tb = tb
	return &other
}

// buffer is a log sink that may be read while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) Sync() error { return nil }

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines returns the log lines with that message.
func (r *rig) lines(message string) []map[string]any {
	r.tb.Helper()
	var found []map[string]any
	for line := range strings.Lines(r.logs.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			r.tb.Fatalf("log line %q: %v", line, err)
		}
		if fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// eventBody is an event as Stripe sends it, with an e-mail address in its object.
func eventBody(id, typ string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2023-10-16","created":1700000000,"type":%q,"livemode":false,`+
		`"pending_webhooks":2,"data":{"object":{"id":"cs_1","customer_email":"canary@example.com","amount_total":10000}}}`, id, typ)
}

// answered is a response, read.
type answered struct {
	status int
	code   string
	header http.Header
}

func (r *rig) do(req *http.Request) answered {
	r.tb.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.read(res)
}

func (r *rig) read(res *http.Response) answered {
	r.tb.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.tb.Fatal(err)
	}
	var body struct{ Code, Detail string }
	if err := json.Unmarshal(b, &body); err != nil {
		r.tb.Fatalf("answer %q: %v", b, err)
	}
	return answered{status: res.StatusCode, code: body.Code, header: res.Header}
}

// request is a genuine delivery of body, not sent yet.
func (r *rig) request(body []byte) *http.Request {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodPost, r.url+ingress.WebhookPath, bytes.NewReader(body))
	if err != nil {
		r.tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Stripe-Signature", sign(time.Now(), body, mainKey))
	return req
}

func (r *rig) post(body []byte) answered {
	r.tb.Helper()
	return r.do(r.request(body))
}

func (r *rig) wantPost(body []byte, outcome ingress.Outcome) {
	r.tb.Helper()
	if got := r.post(body); got.status != http.StatusOK || got.code != string(outcome) {
		r.tb.Errorf("POST %.80s = %d %s, want 200 %s", body, got.status, got.code, outcome)
	}
}

// wantStored checks that body lies under subject, and returns its message.
func (r *rig) wantStored(subject string, body []byte) natsstream.Record {
	r.tb.Helper()
	record, err := r.stored.Read(r.tb.Context(), event.StreamStripe, subject)
	if err != nil {
		r.tb.Fatalf("read back what was answered with 200: %v", err)
	}
	if !bytes.Equal(record.Data, body) {
		r.tb.Errorf("stored under %s: %q, want %q", subject, record.Data, body)
	}
	return record
}

func (r *rig) wantCount(want uint64) {
	r.tb.Helper()
	stream, err := r.stored.JetStream().Stream(r.tb.Context(), event.StreamStripe)
	if err != nil {
		r.tb.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != want {
		r.tb.Errorf("%d messages on stream STRIPE, want %d", got, want)
	}
}

// change alters the stream's configuration.
func (r *rig) change(alter func(*jetstream.StreamConfig)) {
	r.tb.Helper()
	stream, err := r.stored.JetStream().Stream(r.tb.Context(), event.StreamStripe)
	if err != nil {
		r.tb.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	alter(&cfg)
	if _, err := r.stored.JetStream().UpdateStream(r.tb.Context(), cfg); err != nil {
		r.tb.Fatal(err)
	}
}

// metric returns the value of one line of /metrics.
func (r *rig) metric(line string) string {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodGet, r.admin+"/metrics", http.NoBody)
	if err != nil {
		r.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.tb.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(l, line+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (r *rig) wantMetric(line, want string) {
	r.tb.Helper()
	if got := r.metric(line); got != want {
		r.tb.Errorf("%s = %q, want %q", line, got, want)
	}
}

// eventually repeats ok until it holds, for a minute at most.
func (r *rig) eventually(what string, ok func() bool) {
	r.tb.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			r.tb.Fatalf("within a minute not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *rig) status(url string) int {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		r.tb.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.tb.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
