package notifier_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/notifier"
)

// house is a NATS server, a fake SMTP server, and what is needed to run notifiers between them.
type house struct {
	t     *testing.T
	nats  *natstest.Server
	log   *natsstream.Log
	shelf notifier.Shelf
	smtp  *smtpFake
	lines *safeBuffer
}

// safeBuffer is a buffer that several loggers may write to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newHouse(t *testing.T, s script) *house {
	t.Helper()
	h := &house{t: t, nats: natstest.Start(t), smtp: newSMTPFake(t, s), lines: &safeBuffer{}}
	h.log = h.nats.Log("test")
	var err error
	if h.shelf, err = notifier.OpenShelf(t.Context(), h.log); err != nil {
		t.Fatal(err)
	}
	return h
}

// config has short times: a lease of 2 s, so that a test need not wait long for anything.
func (h *house) config() notifier.Config {
	relay := h.smtp.relay(h.t)
	relay.SendTimeout = 1500 * time.Millisecond
	return notifier.Config{
		NATS: h.nats.Config("notifier"), Addr: "127.0.0.1:0", Relay: relay, From: testFrom, PublicURL: "https://quotes.seller.example",
		Lease: 2 * time.Second, AmbiguousAfter: 500 * time.Millisecond, RetryAfter: 200 * time.Millisecond,
	}
}

// start runs a notifier until the test ends or the returned function is called.
func (h *house) start(cfg notifier.Config) (service *notifier.Service, stop func()) {
	h.t.Helper()
	log, err := logging.New(h.lines, "debug", "notifier")
	if err != nil {
		h.t.Fatal(err)
	}
	service, err = notifier.New(h.t.Context(), cfg, log)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := service.Run(ctx); err != nil {
			h.t.Errorf("Run = %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	h.t.Cleanup(stop)
	return service, stop
}

// pay puts n quotes, published and paid, on the log; their numbers begin with from.
func (h *house) pay(from, n int) {
	h.t.Helper()
	for i := range n {
		r := paidQuote(from + i)
		r.Published.Document.Owner.Email = fmt.Sprintf("canary%d@seller.example", from+i)
		store(h.t, h.log, publishedMessage(h.t, r), paidMessage(h.t, r))
	}
}

func (h *house) entry(n int) notifier.Entry { return entryOf(h.t, h.shelf, paidQuote(n).Key) }

// settled waits until the quotes' mails have come to that state.
func (h *house) settled(from, n int, want notifier.State) {
	h.t.Helper()
	for i := range n {
		eventually(h.t, func() bool { return h.entry(from+i).State == want }, fmt.Sprintf("quote %d is %s (%+v)\n%s", from+i, want, h.entry(from+i), h.lines))
	}
}

// acked waits until every quote.paid that is stored is answered for good.
func (h *house) acked() {
	h.t.Helper()
	last, err := h.log.Read(h.t.Context(), event.StreamQuotes, "quote.paid.>")
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := h.log.JetStream().Consumer(h.t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		h.t.Fatal(err)
	}
	eventually(h.t, func() bool {
		info, err := c.Info(h.t.Context())
		return err == nil && info.NumAckPending == 0 && info.AckFloor.Stream >= last.Sequence
	}, "everything is acknowledged")
}

// oneEach checks that each of the quotes got exactly one mail and that there are no others.
func (h *house) oneEach(n int) {
	h.t.Helper()
	got := map[string]int{}
	for _, m := range h.smtp.mails() {
		got[m.to]++
	}
	for i := range n {
		if to := fmt.Sprintf("canary%d@seller.example", i); got[to] != 1 {
			h.t.Errorf("%s got %d mails, want 1", to, got[to])
		}
	}
	if len(h.smtp.mails()) != n {
		h.t.Errorf("%d mails, want %d", len(h.smtp.mails()), n)
	}
}

var addressInLog = regexp.MustCompile(`canary\d+@|buyer@|Kowalski|Nowak`)

// quiet checks that no personal data stands in the log. R74
func (h *house) quiet() {
	h.t.Helper()
	if found := addressInLog.FindString(h.lines.String()); found != "" {
		h.t.Errorf("the log has %q in it", found)
	}
}
