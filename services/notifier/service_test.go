package notifier_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryPaidQuoteGetsOneMail(t *testing.T) { // R34 R63
	h := newHouse(t, script{})
	service, stop := h.start(h.config())
	h.pay(0, 30)
	h.settled(0, 30, notifier.StateSent)
	h.acked()
	h.oneEach(30)
	h.quiet()
	for path, want := range map[string]string{
		"/livez": `"ok"`, "/readyz": `"ok"`,
		"/metrics": `quittance_mails_total{state="sent"} 30`,
	} {
		if body := get(t, "http://"+service.Addr().String()+path); !strings.Contains(body, want) {
			t.Errorf("%s = %s, want %s in it", path, body, want)
		}
	}
	metrics := get(t, "http://"+service.Addr().String()+"/metrics")
	for _, want := range []string{
		"quittance_mail_ambiguous_total 0", `quittance_messages_total{disposition="ack"} 30`, "quittance_mail_paid_to_accepted_seconds_count 30",
		"quittance_consumer_pending ", "quittance_consumer_unacked ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
	stop()
	// Lines are gathered for a moment before they are written.
	eventually(t, func() bool { return strings.Count(h.lines.String(), "quote.paid handled") == 30 }, "every mail has its line")
	for line := range strings.SplitSeq(strings.TrimSpace(h.lines.String()), "\n") {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if fields["msg"] != "quote.paid handled" {
			continue
		}
		for _, name := range []string{"quote_id", "revision", "seq", "state", "took", "event_id", "disposition", "attempt"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("log line %s has no %s", line, name)
			}
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTwoHundredMailsNeedNoMoreConnectionsThanThePool(t *testing.T) {
	h := newHouse(t, script{})
	h.pay(0, 200)
	began := time.Now()
	_, stop := h.start(h.config())
	h.settled(0, 200, notifier.StateSent)
	took := time.Since(began)
	h.oneEach(200)
	stop()
	h.smtp.mu.Lock()
	defer h.smtp.mu.Unlock()
	if h.smtp.maxOpen > 4 || h.smtp.dialled > 6 {
		t.Errorf("%d connections at one time, %d in all, want at most 4 and few more", h.smtp.maxOpen, h.smtp.dialled)
	}
	t.Logf("200 mails in %v over %d connections", took, h.smtp.dialled)
}

// Two notifiers on one durable, and everything redelivered to both: the ledger alone decides. Rows 4 and 20, R68
func TestRedeliveryOfEverythingToTwoNotifiersSendsNothingTwice(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.start(h.config())
	h.pay(0, 60)
	h.settled(0, 60, notifier.StateSent)
	h.acked()
	h.oneEach(60)
	c, err := h.log.JetStream().Consumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	delivered := func() uint64 {
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.Delivered.Consumer
	}
	for range 2 {
		if _, err := h.log.JetStream().ResetConsumerToSequence(t.Context(), event.StreamQuotes, natsstream.DurableNotifier, 1); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return delivered() >= 60 }, "everything is delivered again")
		h.acked()
	}
	h.oneEach(60)
}

// The acks are lost, as after a crash of the server: the messages come again.
func TestLostAcksSendNothingTwice(t *testing.T) {
	h := newHouse(t, script{})
	_, stop := h.start(h.config())
	h.pay(0, 20)
	h.settled(0, 20, notifier.StateSent)
	h.acked()
	stop()
	js := h.log.JetStream()
	if err := js.DeleteConsumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier); err != nil {
		t.Fatal(err)
	}
	if err := natsstream.Declare(t.Context(), h.log.JetStream().Conn(), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	h.start(h.config())
	h.pay(20, 1)
	h.settled(20, 1, notifier.StateSent)
	h.acked()
	h.oneEach(21)
}

// No stuck neighbour: mails that hang in the final dot, bounded by their deadline, hold up no others. Row 33
func TestASlowMailHoldsUpNoOther(t *testing.T) {
	h := newHouse(t, script{hang: "dot", only: "canary0@seller.example"})
	cfg := h.config()
	cfg.Lease, cfg.Relay.SendTimeout, cfg.AmbiguousAfter = 6*time.Minute, 5*time.Minute, time.Minute
	h.start(cfg)
	h.pay(0, 40)
	h.settled(1, 39, notifier.StateSent) // waits a minute, and the slow one may take five
	if e := h.entry(0); e.State != notifier.StateSending {
		t.Errorf("the slow mail is %s, want it still sending", e.State)
	}
	h.smtp.set(script{})
	h.smtp.cutAll()
	h.settled(0, 1, notifier.StateAmbiguous)
}

// While a mail is being sent for longer than the ack wait, JetStream hears of it and delivers it to nobody else.
func TestASlowSendIsNotRedelivered(t *testing.T) {
	h := newHouse(t, script{delay: map[string]time.Duration{"dot": 3500 * time.Millisecond}})
	js := h.log.JetStream()
	c, err := js.Consumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	durable := c.CachedInfo().Config
	durable.AckWait = time.Second
	if _, err := js.UpdateConsumer(t.Context(), event.StreamQuotes, durable); err != nil {
		t.Fatal(err)
	}
	cfg := h.config()
	cfg.Lease, cfg.Relay.SendTimeout = 10*time.Second, 8*time.Second
	h.start(cfg)
	h.start(cfg)
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	h.acked()
	h.oneEach(1)
	if n := strings.Count(h.lines.String(), `"attempt":2`); n != 0 {
		t.Errorf("%d redeliveries during one slow send, want none", n)
	}
}

func TestMailsWaitForARelayThatIsAway(t *testing.T) { // R63
	h := newHouse(t, script{reply: map[string]string{"banner": "421 4.3.2 shutting down"}})
	service, _ := h.start(h.config())
	h.pay(0, 5)
	eventually(t, func() bool { return strings.Count(h.lines.String(), "not handled") >= 5 }, "the first attempts have failed")
	if body := get(t, "http://"+service.Addr().String()+"/readyz"); !strings.Contains(body, `"ok"`) {
		t.Errorf("/readyz = %s: trouble with SMTP must not take the notifier out of service", body)
	}
	h.smtp.set(script{})
	h.settled(0, 5, notifier.StateSent)
	h.acked()
	h.oneEach(5)
	h.quiet()
}

func TestTheLogsServerMayRestartUnderANotifier(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	h.pay(0, 10)
	h.settled(0, 10, notifier.StateSent)
	h.nats.Stop()
	h.nats.Restart()
	eventually(t, func() bool { return natsstream.Ready(h.log.JetStream().Conn()) == nil }, "the test is connected again")
	h.pay(10, 10)
	h.settled(10, 10, notifier.StateSent)
	h.oneEach(20)
}

// What the mail is about may not be readable yet: that is no fault.
func TestAPaymentBeforeItsQuoteIsVisibleWaits(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	r := paidQuote(0)
	r.Published.Document.Owner.Email = "canary0@seller.example"
	store(t, h.log, paidMessage(t, r))
	eventually(t, func() bool { return strings.Contains(h.lines.String(), "no such message") }, "the first attempt finds no quote")
	store(t, h.log, publishedMessage(t, r))
	h.settled(0, 1, notifier.StateSent)
	h.oneEach(1)
}

// R69
func TestWhatCannotBeDecodedIsSetAsideWithItsBytes(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	r := paidQuote(3)
	good := paidMessage(t, r)
	other := r
	other.Paid.QuoteID = "q_other"
	broken := map[string][]byte{
		"quote.paid.main.q_a.1": []byte("no JSON \xff"),
		"quote.paid.main.q_b.1": []byte(`{"specversion":"1.0","id":"x","source":"/x","type":"quote.paid","data":{}}`),
		"quote.paid.main.q_c.1": []byte(strings.ReplaceAll(string(good.Data), "quote.paid:1", "quote.paid:2")),
		"quote.paid.main.q_d.1": good.Data,
		"quote.paid.main.q_e.x": good.Data,
	}
	header := nats.Header{"Traceparent-Test": {"kept"}}
	for subject, data := range broken {
		store(t, h.log, natsstream.Message{Subject: subject, ID: subject, Header: header, Data: data})
	}
	store(t, h.log, publishedMessage(t, other), natsstream.Message{Subject: "quote.published.main.q_f.1", Data: []byte("{}")})
	unreadable := r
	unreadable.Paid.QuoteID, unreadable.Paid.Revision = "q_f", 1
	store(t, h.log, paidMessage(t, unreadable))
	h.acked()
	letters, err := h.log.ReadAll(t.Context(), event.StreamDead, "dead.notifier.QUOTES.*.*")
	if err != nil || len(letters) != len(broken)+1 {
		t.Fatalf("%d dead letters, %v, want %d\n%s", len(letters), err, len(broken)+1, h.lines)
	}
	for _, l := range letters {
		subject := l.Header.Get(natsstream.HeaderDeadSubject)
		if want, ok := broken[subject]; ok && (!bytes.Equal(l.Data, want) || l.Header.Get("Traceparent-Test") != "kept") {
			t.Errorf("dead letter of %s has other bytes or headers: %q %v", subject, l.Data, l.Header)
		}
		if l.Header.Get(natsstream.HeaderDeadReason) == "" || l.Header.Get(natsstream.HeaderDeadAttempts) != "1" {
			t.Errorf("dead letter of %s: reason %q, attempts %q", subject, l.Header.Get(natsstream.HeaderDeadReason), l.Header.Get(natsstream.HeaderDeadAttempts))
		}
	}
	h.pay(10, 1) // the others go on
	h.settled(10, 1, notifier.StateSent)
	h.quiet()
}

// A message is given up only once its dead letter is stored.
func TestWhatCannotBeSetAsideYetIsNotGivenUp(t *testing.T) { // R69
	h := newHouse(t, script{})
	limit := func(most int64) {
		s, err := h.log.JetStream().Stream(t.Context(), event.StreamDead)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.MaxMsgs = most
		if _, err := h.log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	store(t, h.log, natsstream.Message{Subject: "dead.x.y.1.1"}, natsstream.Message{Subject: "quote.paid.main.q_a.1", Data: []byte("broken")})
	h.start(h.config())
	eventually(t, func() bool { return strings.Contains(h.lines.String(), `"attempt":2`) }, "the message comes again")
	limit(-1)
	h.acked()
	if _, err := h.log.Read(t.Context(), event.StreamDead, "dead.notifier.QUOTES.1.1"); err != nil {
		t.Errorf("dead letter: %v", err)
	}
}

// Mails that the server puts off wait without holding up the others.
func TestMailsThatArePutOffHoldUpNoOther(t *testing.T) {
	h := newHouse(t, script{reply: map[string]string{"RCPT": "451 4.7.1 later"}})
	cfg := h.config()
	cfg.RetryAfter = time.Hour
	h.start(cfg)
	h.pay(0, 100)
	eventually(t, func() bool { return h.entry(99).Code == 451 }, "all are put off")
	h.smtp.set(script{})
	h.pay(100, 5)
	h.settled(100, 5, notifier.StateSent)
}

func TestAnOwnerWithoutAUsableAddressIsVisible(t *testing.T) {
	h := newHouse(t, script{})
	h.start(h.config())
	r := paidQuote(0)
	r.Published.Document.Owner.Email = "canary0@[127.0.0.1]"
	store(t, h.log, publishedMessage(t, r), paidMessage(t, r))
	h.settled(0, 1, notifier.StateRejected)
	h.acked()
	if e := h.entry(0); e.Attempts != 0 || !strings.Contains(e.Reason, "address") || len(h.smtp.mails()) != 0 {
		t.Errorf("%d mails, entry %+v, want it rejected by our policy", len(h.smtp.mails()), e)
	}
	h.quiet()
}

// Row 6 of stripe.md §2.5: the refund was known first.
func TestARefundThatIsKnownIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name     string
		object   string
		revision int
		full     bool
		want     string
	}{
		{"this payment, in full", "pi_1", 2, true, "full"},
		{"this payment, in part", "pi_1", 2, false, "some"},
		{"another payment of this revision", "pi_other", 2, true, "some"},
		{"another revision's payment", "pi_old", 1, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, script{})
			r := paidQuote(0)
			store(t, h.log, publishedMessage(t, r), refundMessage(t, r, tt.object, tt.revision, tt.full), paidMessage(t, r))
			h.start(h.config())
			h.settled(0, 1, notifier.StateSent)
			if e := h.entry(0); e.Refund != tt.want {
				t.Errorf("refund = %q, want %q", e.Refund, tt.want)
			}
		})
	}
}

// A stop finishes the mail in hand, and one that does not end in time is recorded as what it is.
func TestAStopFinishesTheMailInHand(t *testing.T) {
	h := newHouse(t, script{delay: map[string]time.Duration{"dot": 700 * time.Millisecond}})
	_, stop := h.start(h.config())
	h.pay(0, 1)
	eventually(t, func() bool { return h.entry(0).State == notifier.StateSending }, "the mail is being sent")
	stop()
	if e := h.entry(0); e.State != notifier.StateSent || e.Ambiguous != 0 {
		t.Errorf("entry %+v, want it sent", e)
	}
	h.oneEach(1)
}

func TestNewRefusesALedgerThatForgets(t *testing.T) {
	h := newHouse(t, script{})
	js := h.log.JetStream()
	if _, err := js.UpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: event.BucketMail, TTL: time.Hour, History: 1}); err != nil {
		t.Fatal(err)
	}
	if s, err := notifier.New(t.Context(), h.config(), zap.New(zapcore.NewNopCore())); err == nil {
		t.Errorf("New = %v, want a refusal of a bucket with expiry", s.Addr())
	}
}

// Without its durable a notifier can do nothing: it ends, and says so, and whoever started it starts it again.
func TestANotifierWithoutItsDurableEnds(t *testing.T) {
	h := newHouse(t, script{})
	service, err := notifier.New(t.Context(), h.config(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Run(t.Context()) }()
	h.pay(0, 1)
	h.settled(0, 1, notifier.StateSent)
	if err := h.log.JetStream().DeleteConsumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "consumer notifier") {
			t.Errorf("Run = %v, want an error that names the consumer", err)
		}
	case <-time.After(time.Minute):
		t.Error("Run goes on without its durable")
	}
	if _, err := notifier.New(t.Context(), h.config(), zap.NewNop()); err == nil || !strings.Contains(err.Error(), "quotectl declare") {
		t.Errorf("New without the durable = %v, want a hint at quotectl declare", err)
	}
}
