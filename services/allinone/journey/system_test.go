package journey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/allinone"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
)

// patience is how long anything may take on a machine that is busy with other things; nothing waits so long without need.
const patience = 2 * time.Minute

// system is the whole product, started for one test.
type system struct {
	*allinone.Service
	t     *testing.T
	log   *natsstream.Log
	token string
	at    map[string]string // addresses, by the variables of client.env
}

// start starts it; more are further settings, in pairs.
func start(t *testing.T, more ...string) *system {
	t.Helper()
	values := map[string]string{"DATA_DIR": t.TempDir()}
	for _, name := range []string{
		"NATS_ADDR", "NATS_MONITOR_ADDR", "REDIS_ADDR", "MAILBOX_SMTP_ADDR", "MAILBOX_ADDR", "INGRESS_ADDR", "INGRESS_ADMIN_ADDR",
		"PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADDR", "QUOTES_ADMIN_ADDR", "CONSOLE_ADDR", "CONSOLE_ADMIN_ADDR", "SANDBOX_ADDR",
	} {
		values[name] = "127.0.0.1:0"
	}
	for i := 0; i+1 < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	cfg, err := allinone.ConfigFromEnv(func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	cfg.Out = writer(func([]byte) { close(ready) }) // the tour is printed in one piece, when everything is ready
	// The system outlives the test's own context by its drain.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	service, err := allinone.New(ctx, cfg, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run: %v", err)
	case <-time.After(patience):
		t.Fatal("the system is not ready")
	}
	s := &system{Service: service, t: t, at: map[string]string{}}
	file, err := os.ReadFile(service.ClientEnv())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			s.at[name] = value
		}
	}
	s.token = s.at["API_TOKEN"]
	nc, err := natsstream.Connect(t.Context(), natsstream.Config{URL: env.NewSecret(s.at["NATS_URL"]), Name: "operator"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if s.log, err = natsstream.NewLog(nc); err != nil {
		t.Fatal(err)
	}
	return s
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// ask speaks JSON with one of the system's addresses; answer may be nil. A PATCH is of whatever version there is.
func (s *system) ask(method, url, body string, answer any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPatch {
		req.Header.Set("If-Match", "*")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= http.StatusMultipleChoices {
		s.t.Fatalf("%s %s = %s, %v\n%s", method, url, res.Status, err, b)
	}
	if answer == nil {
		return
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(answer); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, url, err, b)
	}
}

// resource is what the tests look at in a quote.
type resource struct {
	ID, Status, URL string
	Revision        int
	Flags           []string
	PaidAt          time.Time `json:"paid_at"`
}

func (s *system) quote(id string) (q resource) {
	s.t.Helper()
	s.ask(http.MethodGet, s.at["QUOTES_URL"]+"/v1/quotes/"+id, "", &q)
	return q
}

// publish makes a quote of the document and publishes it.
func (s *system) publish(document string) resource {
	s.t.Helper()
	var q resource
	s.ask(http.MethodPost, s.at["QUOTES_URL"]+"/v1/quotes", document, &q)
	s.ask(http.MethodPost, s.at["QUOTES_URL"]+"/v1/quotes/"+q.ID+"/publish", "", nil)
	return s.quote(q.ID)
}

// card is the text on the deal record.
func (s *system) card(id string) string {
	s.t.Helper()
	var card struct{ Text string }
	s.ask(http.MethodGet, s.at["QUOTES_URL"]+"/v1/quotes/"+id+"/card", "", &card)
	return card.Text
}

// mails are the subjects of all mails, the newest first.
func (s *system) mails() (subjects []string) {
	s.t.Helper()
	var list struct{ Messages []struct{ Subject string } }
	s.ask(http.MethodGet, s.at["MAILBOX_URL"]+"/api/v1/messages?limit=500", "", &list)
	for _, m := range list.Messages {
		subjects = append(subjects, m.Subject)
	}
	return subjects
}

// sandbox moves Stripe's world by hand; services/sandbox has the description.
func (s *system) sandbox(method, path, body string, answer any) {
	s.t.Helper()
	s.ask(method, s.at["SANDBOX_URL"]+"/sandbox/"+path, body, answer)
}

// settled waits until every webhook of the sandbox is delivered, and what they mean for the quote has been worked out and mailed.
func (s *system) settled() {
	s.t.Helper()
	processtest.Eventually(s.t, patience, "everything is worked on", func() error {
		return pipelinetest.Quiet(s.t.Context(), s.log, s.at["SANDBOX_URL"], natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier})
	})
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	processtest.Until(t, patience, what, ok)
}

// pause is the pace of polling.
func pause() { <-time.After(50 * time.Millisecond) }
