package quotepaid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/quotepaid"
)

// natsServer is a real server with the stream QUOTES as it is in production.
type natsServer struct {
	opts server.Options
	srv  *server.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func startServer(tb testing.TB) *natsServer {
	tb.Helper()
	s := &natsServer{opts: server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true}}
	s.start(tb)
	tb.Cleanup(func() { s.srv.Shutdown(); s.srv.WaitForShutdown() })
	nc, err := nats.Connect(s.srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		tb.Fatal(err)
	}
	s.nc = nc
	if _, err := s.js.CreateStream(tb.Context(), jetstream.StreamConfig{
		Name: quotepaid.Stream, Subjects: []string{"quote.*.*.*.*"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
		DiscardNewPerSubject: true, AllowDirect: true,
	}); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *natsServer) start(tb testing.TB) {
	tb.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		tb.Fatal("nats-server is not ready")
	}
	s.srv = srv
	if s.opts.Port == -1 {
		if _, err := fmt.Sscanf(srv.ClientURL(), "nats://127.0.0.1:%d", &s.opts.Port); err != nil {
			tb.Fatal(err)
		}
	}
}

// paid stores the quote.paid of quote n.
func (s *natsServer) paid(tb testing.TB, n int) {
	tb.Helper()
	b := bytes.ReplaceAll(golden(tb), []byte("q_mfrggzdfmztwq2lknnwg23tpob"), fmt.Appendf(nil, "q_%d", n))
	s.publish(tb, fmt.Sprintf("quote.paid.main.q_%d.1", n), b)
}

func (s *natsServer) publish(tb testing.TB, subject string, b []byte) {
	tb.Helper()
	if _, err := s.js.Publish(tb.Context(), subject, b); err != nil {
		tb.Fatal(err)
	}
}

// seen collects what handlers and hooks saw.
type seen struct {
	mu         sync.Mutex
	quotes     []string
	deliveries []quotepaid.Delivery
}

func (s *seen) quote(p quotepaid.Paid) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quotes = append(s.quotes, p.QuoteID)
	return len(s.quotes)
}

func (s *seen) observe(d quotepaid.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries = append(s.deliveries, d)
}

func (s *seen) snapshot() ([]string, []quotepaid.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.quotes), slices.Clone(s.deliveries)
}

// subscribe runs Subscribe until stop, or to the end of the test.
func subscribe(t *testing.T, nc *nats.Conn, cfg quotepaid.Config, handler quotepaid.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- quotepaid.Subscribe(ctx, nc, cfg, handler) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// eventually polls until ok, at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// settled waits until n deliveries are answered.
func settled(t *testing.T, s *seen, n int) []quotepaid.Delivery {
	t.Helper()
	eventually(t, fmt.Sprintf("%d deliveries", n), func() bool { _, d := s.snapshot(); return len(d) >= n })
	_, d := s.snapshot()
	return d
}

// R65
func TestEveryServiceHasItsOwnCursor(t *testing.T) {
	s := startServer(t)
	for n := range 3 {
		s.paid(t, n)
	}
	s.publish(t, "quote.refunded.main.q_0.pi_1", []byte("not for us"))
	var billing, ledger seen
	for name, to := range map[string]*seen{"billing": &billing, "ledger": &ledger} {
		stop := subscribe(t, s.nc, quotepaid.Config{Name: name, Observe: to.observe}, func(_ context.Context, p quotepaid.Paid) error { to.quote(p); return nil })
		settled(t, to, 3)
		if err := stop(); err != nil {
			t.Errorf("Subscribe = %v, want nil after its context ends", err)
		}
	}
	s.paid(t, 3)
	subscribe(t, s.nc, quotepaid.Config{Name: "billing", Start: quotepaid.FromBeginning(), Observe: billing.observe},
		func(_ context.Context, p quotepaid.Paid) error { billing.quote(p); return nil })
	settled(t, &billing, 4)
	if got, _ := billing.snapshot(); !slices.Equal(got, []string{"q_0", "q_1", "q_2", "q_3"}) {
		t.Errorf("billing saw %v, want each once and in order", got)
	}
	if got, _ := ledger.snapshot(); !slices.Equal(got, []string{"q_0", "q_1", "q_2"}) {
		t.Errorf("ledger saw %v", got)
	}
}

func TestANewConsumerBeginsWhereItIsTold(t *testing.T) {
	s := startServer(t)
	s.paid(t, 1)
	stream, err := s.js.Stream(t.Context(), quotepaid.Stream)
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s.paid(t, 2)
	for name, tt := range map[string]struct {
		start quotepaid.Start
		want  []string
	}{
		"default":   {quotepaid.Start{}, []string{"q_1", "q_2", "q_3"}},
		"beginning": {quotepaid.FromBeginning(), []string{"q_1", "q_2", "q_3"}},
		"time":      {quotepaid.From(first.Time.Add(1)), []string{"q_2", "q_3"}},
		"now":       {quotepaid.FromNow(), []string{"q_3"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got seen
			subscribe(t, s.nc, quotepaid.Config{Name: name, Start: tt.start, Observe: got.observe},
				func(_ context.Context, p quotepaid.Paid) error { got.quote(p); return nil })
			eventually(t, "the consumer", func() bool { _, err := stream.Consumer(t.Context(), name); return err == nil })
			if name == "now" {
				s.paid(t, 3)
			}
			eventually(t, "its events", func() bool {
				q, _ := got.snapshot()
				return len(q) >= len(tt.want) || name != "now" && len(q) == len(tt.want)-1
			})
			if q, _ := got.snapshot(); !slices.Equal(q, tt.want[:len(q)]) {
				t.Errorf("saw %v, want %v", q, tt.want)
			}
		})
	}
}

func TestAFailedHandlerIsCalledAgainAfterADelay(t *testing.T) {
	s := startServer(t)
	s.paid(t, 1)
	var got seen
	subscribe(t, s.nc, quotepaid.Config{Name: "billing", First: 30 * time.Millisecond, Cap: 40 * time.Millisecond, Observe: got.observe},
		func(_ context.Context, p quotepaid.Paid) error {
			if got.quote(p) < 4 {
				return errors.New("database is away")
			}
			return nil
		})
	for i, d := range settled(t, &got, 4) {
		want := quotepaid.Delivery{
			Disposition: quotepaid.Retried, Paid: d.Paid, Subject: "quote.paid.main.q_1.1", Sequence: 1, Attempt: uint64(i + 1), Err: d.Err,
			After: []time.Duration{30 * time.Millisecond, 40 * time.Millisecond, 40 * time.Millisecond, 0}[i],
		}
		if i == 3 {
			want.Disposition = quotepaid.Acked
		}
		if d != want || (d.Err == nil) != (i == 3) || d.Paid.ID == "" {
			t.Errorf("delivery %d = %+v, want %+v", i+1, d, want)
		}
	}
}

func TestWhatIsPermanentOrUnreadableIsSetAside(t *testing.T) {
	s := startServer(t)
	s.paid(t, 1)
	s.publish(t, "quote.paid.main.q_2.1", []byte("no JSON"))
	s.paid(t, 3)
	var got seen
	subscribe(t, s.nc, quotepaid.Config{Name: "billing", Observe: got.observe}, func(_ context.Context, p quotepaid.Paid) error {
		got.quote(p)
		if p.QuoteID == "q_1" {
			return fmt.Errorf("book it: %w", quotepaid.Permanent(errors.New("no such\ncustomer "+strings.Repeat("x", 300))))
		}
		return nil
	})
	d := settled(t, &got, 3)
	for i, want := range []quotepaid.Disposition{quotepaid.SetAside, quotepaid.SetAside, quotepaid.Acked} {
		if d[i].Disposition != want || (want == quotepaid.SetAside) != (d[i].Err != nil) {
			t.Errorf("delivery of %s = %+v, want %s", d[i].Subject, d[i], want)
		}
	}
	info, err := s.js.Consumer(t.Context(), quotepaid.Stream, "billing")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing left to deliver", func() bool {
		i, err := info.Info(t.Context())
		return err == nil && i.NumAckPending == 0 && i.NumPending == 0
	})
	if q, _ := got.snapshot(); !slices.Equal(q, []string{"q_1", "q_3"}) {
		t.Errorf("handler saw %v, want q_1 and q_3 once each", q)
	}
}

func TestHeartbeatsHoldASlowEvent(t *testing.T) {
	s := startServer(t)
	s.paid(t, 1)
	var got seen
	const wait = time.Second // a heartbeat every third of it, also on a loaded machine
	subscribe(t, s.nc, quotepaid.Config{Name: "billing", AckWait: wait, Concurrency: 2, Observe: got.observe}, func(ctx context.Context, p quotepaid.Paid) error {
		got.quote(p)
		select {
		case <-ctx.Done():
		case <-time.After(3 * wait): // the second worker would get it meanwhile
		}
		return ctx.Err()
	})
	settled(t, &got, 1)
	if q, d := got.snapshot(); len(q) != 1 || d[0].Disposition != quotepaid.Acked {
		t.Errorf("handler ran %d times, %+v, want once", len(q), d)
	}
}

func TestInstancesOfAServiceShareTheWork(t *testing.T) {
	s := startServer(t)
	const events = 60
	for n := range events {
		s.paid(t, n)
	}
	var got seen
	var instances [3]seen
	for i := range instances {
		subscribe(t, s.nc, quotepaid.Config{Name: "billing", Start: quotepaid.From(time.Unix(int64(i), 0)), Concurrency: 2, Observe: got.observe},
			func(_ context.Context, p quotepaid.Paid) error { instances[i].quote(p); got.quote(p); return nil })
	}
	settled(t, &got, events)
	q, _ := got.snapshot()
	slices.Sort(q)
	if len(slices.Compact(q)) != events || len(q) != events {
		t.Errorf("%d deliveries of %d events, want %d of each", len(q), len(slices.Compact(q)), events)
	}
}

func TestARestartOfTheServerIsWaitedOut(t *testing.T) {
	s := startServer(t)
	var got seen
	stop := subscribe(t, s.nc, quotepaid.Config{Name: "billing", Observe: got.observe},
		func(_ context.Context, p quotepaid.Paid) error { got.quote(p); return nil })
	s.paid(t, 1)
	settled(t, &got, 1)
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	s.start(t)
	eventually(t, "the connection", s.nc.IsConnected)
	eventually(t, "the stream", func() bool { _, err := s.js.Stream(t.Context(), quotepaid.Stream); return err == nil })
	s.paid(t, 2)
	eventually(t, "the event after the restart", func() bool { q, _ := got.snapshot(); return slices.Contains(q, "q_2") })
	if err := stop(); err != nil {
		t.Errorf("Subscribe = %v", err)
	}
}

func TestAConsumerThatIsNotOursIsRefused(t *testing.T) {
	s := startServer(t)
	for name, cfg := range map[string]jetstream.ConsumerConfig{
		"other": {FilterSubject: "quote.refunded.>", AckPolicy: jetstream.AckExplicitPolicy},
		"all":   {AckPolicy: jetstream.AckExplicitPolicy},
		"noack": {FilterSubject: quotepaid.Subject, AckPolicy: jetstream.AckNonePolicy},
	} {
		cfg.Durable = name
		if _, err := s.js.CreateConsumer(t.Context(), quotepaid.Stream, cfg); err != nil {
			t.Fatal(err)
		}
		if err := quotepaid.Subscribe(t.Context(), s.nc, quotepaid.Config{Name: name}, nil); err == nil {
			t.Errorf("Subscribe over consumer %q = nil, want an error", name)
		}
	}
	if err := quotepaid.Subscribe(t.Context(), s.nc, quotepaid.Config{Name: "a.b"}, nil); err == nil {
		t.Error("Subscribe with a dot in its name = nil, want an error")
	}
}

func TestADeletedConsumerEndsSubscribe(t *testing.T) {
	s := startServer(t)
	ended := make(chan error, 1)
	go func() {
		ended <- quotepaid.Subscribe(t.Context(), s.nc, quotepaid.Config{Name: "billing", Concurrency: 2}, func(context.Context, quotepaid.Paid) error { return nil })
	}()
	eventually(t, "the consumer", func() bool { _, err := s.js.Consumer(t.Context(), quotepaid.Stream, "billing"); return err == nil })
	if err := s.js.DeleteConsumer(t.Context(), quotepaid.Stream, "billing"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Subscribe = nil, want an error: a new consumer would begin anew")
		}
	case <-time.After(time.Minute):
		t.Fatal("Subscribe goes on without its consumer")
	}
}
