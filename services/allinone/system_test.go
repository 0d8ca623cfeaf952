package allinone_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"quittance.internal/services/allinone"
	"quittance.internal/services/operator"
)

// settings are the environment of a system of the test's own: any free port, a folder of its own, and what set says.
func settings(t *testing.T, dir string, set map[string]string) map[string]string {
	t.Helper()
	values := map[string]string{"DATA_DIR": dir}
	for _, name := range addressVariables {
		values[name] = "127.0.0.1:0"
	}
	maps.Copy(values, set)
	return values
}

func lookup(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

func config(t *testing.T, values map[string]string) allinone.Config {
	t.Helper()
	cfg, err := allinone.ConfigFromEnv(lookup(values))
	if err != nil {
		t.Fatalf("ConfigFromEnv: %v", err)
	}
	return cfg
}

// system is a running all-in-one.
type system struct {
	*allinone.Service
	t    *testing.T
	out  *screen
	stop func() error
}

// start starts it and waits until the tour is printed, which is when everything is ready.
func start(t *testing.T, values map[string]string) system {
	t.Helper()
	return startWith(t, config(t, values), zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
}

func startWith(t *testing.T, cfg allinone.Config, log *zap.Logger) system {
	t.Helper()
	out := &screen{}
	cfg.Out = out
	// The system outlives the test's own context by its drain.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := allinone.New(ctx, cfg, log)
	if err != nil {
		cancel()
		t.Fatalf("New: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	eventually(t, "the tour is printed", func() bool { return strings.Contains(out.String(), "Ctrl-C stops it") })
	return system{Service: s, t: t, out: out, stop: stop}
}

// screen is a buffer that two goroutines share.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// quotectl runs the operators' command line as a person would, with the file that the system has written.
func (s system) quotectl(args ...string) (string, int) {
	s.t.Helper()
	var out, faults bytes.Buffer
	code := operator.Run(s.t.Context(), args, lookup(map[string]string{"QUITTANCE_ENV_FILE": s.ClientEnv()}), &out, &faults)
	return out.String() + faults.String(), code
}

func (s system) mustQuotectl(args ...string) string {
	s.t.Helper()
	out, code := s.quotectl(args...)
	if code != 0 {
		s.t.Fatalf("quotectl %s = %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// clientEnv reads what the system tells its clients.
func (s system) clientEnv() map[string]string {
	s.t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(readFile(s.t, s.ClientEnv())) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = value
		}
	}
	return values
}

// call speaks the quote API and returns the decoded answer.
func call(t *testing.T, method, url, token, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(b, &answer); err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s %s = %s\n%s", method, url, res.Status, b)
	}
	return answer
}

// publishQuote makes a quote and publishes it.
func publishQuote(t *testing.T, api, token string) string {
	t.Helper()
	const document = `{"title":"Roof","deal":{"id":"deal_1","name":"Roof"},"currency":"eur",
		"line_items":[{"name":"Tiles","quantity":2,"unit_amount":50000}],
		"owner":{"name":"Ada","email":"ada@seller.example","time_zone":"Europe/Warsaw"},
		"contact":{"email":"pat@acme.example","first_name":"Pat","last_name":"C","company":"Acme"},
		"payment":{"stripe":true,"three_d_secure":true}}`
	quote, ok := call(t, http.MethodPost, api+"/v1/quotes", token, document)["id"].(string)
	if !ok {
		t.Fatal("the quote has no id")
	}
	call(t, http.MethodPost, api+"/v1/quotes/"+quote+"/publish", token, "")
	return quote
}

func (s system) publish() string {
	s.t.Helper()
	env := s.clientEnv()
	return publishQuote(s.t, env["QUOTES_URL"], env["API_TOKEN"])
}

func (s system) card(quote string) string {
	s.t.Helper()
	env := s.clientEnv()
	text, _ := call(s.t, http.MethodGet, env["QUOTES_URL"]+"/v1/quotes/"+quote+"/card", env["API_TOKEN"], "")["text"].(string)
	return text
}

func (s system) mails() int {
	s.t.Helper()
	total, ok := call(s.t, http.MethodGet, s.URL("MAILBOX_ADDR")+"/api/v1/messages", "", "")["total"].(float64)
	if !ok {
		s.t.Fatal("the mail catcher does not tell its total")
	}
	return int(total)
}
