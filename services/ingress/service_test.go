package ingress_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/ingress"
)

// R75
func TestServiceIsReadyWhenItIsNewAndCountsOnItsAdminAddress(t *testing.T) {
	r := start(t)
	for _, url := range []string{r.url + "/livez", r.url + "/readyz", r.admin + "/livez", r.admin + "/readyz", r.admin + "/metrics"} {
		if status := r.status(url); status != http.StatusOK {
			t.Errorf("GET %s = %d, want 200", url, status)
		}
	}
	if status := r.status(r.url + "/metrics"); status != http.StatusNotFound {
		t.Errorf("GET /metrics on the public address = %d, want 404", status)
	}
	for _, reason := range ingress.Reasons() {
		if reason != ingress.NotFound {
			r.wantMetric(fmt.Sprintf("quittance_webhooks_refused_total{reason=%q}", reason), "0")
		}
	}
	if lines := r.lines("ingress is listening"); len(lines) != 1 || fmt.Sprint(lines[0]["secrets"]) != "[main rolled]" {
		t.Errorf("start's log lines = %v, want one with the secrets' names", lines)
	}
}

func TestServiceRefusesToStartWhereItCouldNotKeepItsWord(t *testing.T) {
	lazy, undeclared := natstest.Start(t), natstest.StartSynced(t)
	for _, c := range []struct {
		name  string
		on    *natstest.Server
		alter func(*ingress.Config)
		want  string
	}{
		{"no secret", lazy, func(c *ingress.Config) { c.Secrets = nil }, "no signing secret is given"},
		{"the server syncs every two minutes", lazy, func(c *ingress.Config) {
			c.Durability = natsstream.Durability{Mode: natsstream.DurabilityServer, MonitorURL: lazy.MonitorURL}
		}, "sync_interval"},
		{"nobody can tell", lazy, func(c *ingress.Config) { c.Durability.Mode = natsstream.DurabilityServer }, "NATS_MONITOR_URL"},
		{"no stream", undeclared, func(c *ingress.Config) {
			c.Durability = natsstream.Durability{Mode: natsstream.DurabilityServer, MonitorURL: undeclared.MonitorURL}
		}, "STRIPE"},
		{"no address", lazy, func(c *ingress.Config) { c.Addr = "127.0.0.1:99999" }, "listen on"},
		{"no admin address", lazy, func(c *ingress.Config) { c.AdminAddr = "127.0.0.1:99999" }, "listen on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := ingress.Config{
				Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: c.on.Config("ingress"),
				Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed}, Secrets: secrets,
			}
			c.alter(&cfg)
			if _, err := ingress.New(t.Context(), cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New = %v, want an error that says %q", err, c.want)
			}
		})
	}
}

func TestServiceRunsOnAServerThatSyncsAlways(t *testing.T) { // R55
	srv := natstest.StartSynced(t)
	if err := natsstream.Declare(t.Context(), srv.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	r := startOn(t, srv, func(c *ingress.Config) {
		c.Durability = natsstream.Durability{Mode: natsstream.DurabilityServer, MonitorURL: srv.MonitorURL}
	})
	body := eventBody("evt_1", "charge.succeeded")
	r.wantPost(body, ingress.Stored)
	r.wantStored(chargeSubject, body)
}

// Row 45 of the fault matrix.
func TestADriftedStreamShowsInReadiness(t *testing.T) {
	var ahead atomic.Int64 // the service's clock against ours: its look at the stream is good for a while
	r := start(t, func(c *ingress.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{time.Hour, http.StatusServiceUnavailable}, {0, http.StatusOK}} {
		r.change(func(cfg *jetstream.StreamConfig) { cfg.MaxAge = c.age })
		ahead.Add(int64(time.Minute))
		if status := r.status(r.url + "/readyz"); status != c.want {
			t.Errorf("readyz on a stream that forgets after %v = %d, want %d", c.age, status, c.want)
		}
	}
}

// R61, R75; row 43 of the fault matrix.
func TestARequestInHandIsFinishedAtTheEnd(t *testing.T) {
	r := start(t)
	body := string(eventBody("evt_1", "charge.succeeded"))
	conn := r.raw(fmt.Sprintf("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		sign(time.Now(), []byte(body), mainKey), len(body)))
	answers := bufio.NewReader(conn)
	const asked = "HTTP/1.1 100 Continue\r\n\r\n"
	head := make([]byte, len(asked))
	if _, err := io.ReadFull(answers, head); err != nil || string(head) != asked { // the server has it in hand when it asks for the body
		t.Fatalf("the server says %q, %v, want %q", head, err, asked)
	}
	if _, err := io.WriteString(conn, body[:10]); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	r.eventually("no new connections are taken", func() bool {
		var dialer net.Dialer
		c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			return true
		}
		return c.Close() != nil
	})
	if _, err := io.WriteString(conn, body[10:]); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatalf("the request in hand got no answer: %v", err)
	}
	if got := r.read(res); got.status != http.StatusOK || got.code != "stored" {
		t.Errorf("the request in hand got %+v, want 200 stored", got)
	}
	<-stopped
	r.wantStored(chargeSubject, []byte(body))
}

// blocked is a store that answers when it is released.
type blocked struct{ entered, release chan struct{} }

func (b blocked) Publish(ctx context.Context, _ ingress.Delivery) (ingress.Published, error) {
	b.entered <- struct{}{}
	select {
	case <-b.release:
		return ingress.Published{Outcome: ingress.Stored}, nil
	case <-ctx.Done():
		return ingress.Published{}, fmt.Errorf("blocked: %w", ctx.Err())
	}
}

func newReceiver(tb testing.TB, store ingress.Store, budget time.Duration, inFlight int) *ingress.Receiver {
	tb.Helper()
	return ingress.NewReceiver(ingress.ReceiverConfig{
		Verifier: newVerifier(tb, at(noon)), Store: store, Log: zap.NewNop(), Metrics: ingress.NewMetrics(prometheus.NewRegistry()),
		Now: at(noon), Budget: budget, MaxInFlight: inFlight,
	})
}

// serve hands one genuine delivery straight to the receiver.
func serve(ctx context.Context, rc *ingress.Receiver) *httptest.ResponseRecorder {
	body := string(eventBody("evt_1", "charge.succeeded"))
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, ingress.WebhookPath, strings.NewReader(body))
	req.Header.Set("Stripe-Signature", sign(noon, []byte(body), mainKey))
	w := httptest.NewRecorder()
	rc.ServeHTTP(w, req)
	return w
}

func TestBeyondTheBoundOfEventsInFlightTheAnswerIs503AtOnce(t *testing.T) {
	store := blocked{make(chan struct{}), make(chan struct{})}
	rc := newReceiver(t, store, time.Minute, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if w := serve(t.Context(), rc); w.Code != http.StatusOK {
				t.Errorf("within the bound: %d, want 200", w.Code)
			}
		})
		<-store.entered
	}
	if w := serve(t.Context(), rc); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("beyond the bound: %d, want 503 with Retry-After", w.Code)
	}
	close(store.release)
	wg.Wait()
	go func() { <-store.entered }()
	if w := serve(t.Context(), rc); w.Code != http.StatusOK {
		t.Errorf("after the others: %d, want 200", w.Code)
	}
}

// R55
func TestTheBudgetEndsInA503(t *testing.T) {
	store := blocked{make(chan struct{}, 1), nil}
	if w := serve(t.Context(), newReceiver(t, store, 10*time.Millisecond, 1)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a store that does not answer: %d, want 503", w.Code)
	}
}

// What is here and genuine is stored, whether or not Stripe still waits.
func TestAClientThatGoesAwayDoesNotEndTheStoring(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := serve(ctx, newReceiver(t, patient{}, time.Minute, 1)); w.Code != http.StatusOK {
		t.Errorf("the client went away: %d, want 200", w.Code)
	}
}

// patient is a store that works only while its context lasts.
type patient struct{}

func (patient) Publish(ctx context.Context, _ ingress.Delivery) (ingress.Published, error) {
	return ingress.Published{Outcome: ingress.Stored}, ctx.Err()
}

// endless is a body without an end; it counts what was taken of it.
type endless struct{ taken atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.taken.Add(int64(len(p)))
	return len(p), nil
}

// Row 34 of the fault matrix: 1 GB, chunked, no length.
func TestHugeBodiesCostNoMemory(t *testing.T) {
	r := start(t)
	r.wantPost(eventBody("evt_1", "charge.succeeded"), ingress.Stored)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	before := heap()
	for range 5 {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				body := &endless{}
				req := r.request(nil)
				req.Body, req.ContentLength = io.NopCloser(io.LimitReader(body, 1<<30)), -1
				res, err := http.DefaultClient.Do(req)
				if err == nil { // else the connection ended while we wrote, which is as good
					if got := r.read(res); got.status != http.StatusRequestEntityTooLarge || got.code != "too_large" {
						t.Errorf("answer to 1 GB = %+v, want 413 too_large", got)
					}
				}
				if taken := body.taken.Load(); taken > 64<<20 {
					t.Errorf("%d bytes of an endless body were taken, want no more than sockets hold", taken)
				}
			})
		}
		wg.Wait()
	}
	if after := heap(); after > before+16<<20 {
		t.Errorf("the heap grew from %d to %d bytes over 80 endless bodies, want it flat", before, after)
	}
	r.wantCount(1)
}

// R57: bodies that are large but allowed share one bound, so that many slow ones cannot fill the memory.
func TestManyLargeBodiesAtOneTimeShareABound(t *testing.T) {
	r := start(t)
	part := strings.Repeat("x", 300<<10)
	head := "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: 400000\r\n\r\n"
	for range 200 {
		r.raw(head + part)
	}
	r.eventually("some of 200 stalled large bodies are refused", func() bool {
		return r.metric(`quittance_webhooks_refused_total{reason="unavailable"}`) != "0"
	})
	r.wantPost(eventBody("evt_1", "charge.succeeded"), ingress.Stored)
}

// The least privilege of the security table, on a server that enforces it.
func TestIngressNeedsNoMoreThanItsPermissions(t *testing.T) {
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{
			{Username: "admin", Password: "admin"},
			{Username: "ingress", Password: "ingress", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"stripe.>", "$JS.API.DIRECT.GET.STRIPE.>", "$JS.API.DIRECT.GET.STRIPE", "$JS.API.STREAM.INFO.STRIPE"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_ingress.>"}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("nats-server did not become ready")
	}
	connect := func(user string) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, user), nats.CustomInboxPrefix("_INBOX_"+user))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	if err := natsstream.Declare(t.Context(), connect("admin"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	stored, err := natsstream.NewLog(connect("admin"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{tb: t, stored: stored}
	service, err := ingress.New(t.Context(), ingress.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Secrets: secrets, Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed},
		NATS: natsstream.Config{URL: env.NewSecret(strings.Replace(srv.ClientURL(), "nats://", "nats://ingress:ingress@", 1)), Name: "ingress"},
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- service.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ran })
	r.url, r.admin = "http://"+service.Addr().String(), "http://"+service.AdminAddr().String()
	body := eventBody("evt_1", "charge.succeeded")
	r.wantPost(body, ingress.Stored)
	r.wantPost(body, ingress.Duplicate) // told by the message id: read back by sequence
	r.wantPost([]byte("{}"), ingress.Unreadable)
	if status := r.status(r.url + "/readyz"); status != http.StatusOK {
		t.Errorf("readyz = %d, want 200: no permission was missing", status)
	}
	r.forget()
	r.wantPost(body, ingress.Duplicate) // told by the guard: read back by subject
	r.wantPost(eventBody("evt_1", "charge.failed"), ingress.Conflict)
}
