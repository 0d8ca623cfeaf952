package httpserve_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/platform/httpserve"
)

func start(t *testing.T, h http.Handler) (url string, stop func() error) {
	t.Helper()
	return startWith(t, httpserve.Config{Handler: h})
}

func startWith(t *testing.T, cfg httpserve.Config) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Addr = "127.0.0.1:0"
	s, err := httpserve.Listen(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return "http://" + s.Addr().String(), func() error { cancel(); return <-done }
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestReadinessTellsItsReasonAndLivenessDoesNotCare(t *testing.T) {
	url, stop := start(t, httpserve.Admin(httpserve.NewRegistry(), func(context.Context) error { return errors.New("redis is away") }))
	if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "redis is away") {
		t.Errorf("/readyz = %d %s, want 503 with its reason", code, body)
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez = %d, want 200", code)
	}
	if code, body := get(t, url+"/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") {
		t.Errorf("/metrics = %d, want 200 with go_goroutines", code)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve = %v, want nil after its context ended", err)
	}
}

func TestMetricsTellWhetherTheServiceIsReady(t *testing.T) {
	var away error
	url, stop := start(t, httpserve.Admin(httpserve.NewRegistry(), func(context.Context) error { return away }))
	for _, want := range []string{"quittance_ready 1", "quittance_ready 0", "quittance_ready 1"} {
		if away = nil; strings.HasSuffix(want, "0") {
			away = errors.New("redis is away")
		}
		res, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		for _, line := range []string{want, `quittance_build_info{go="go`} {
			if !strings.Contains(string(body), "\n"+line) {
				t.Errorf("metrics lack %s", line)
			}
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestARequestInHandIsAnsweredWhileDraining(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	}))
	body := make(chan string, 1)
	go func() {
		res, err := http.Get(url)
		if err != nil {
			body <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		body <- string(b)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if got := <-body; got != "done" {
		t.Errorf("answer while draining = %q, want done", got)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

// A client that keeps its connection learns with an answer that it ends: the next request goes elsewhere instead of being lost with
// a connection that is closed while it is on its way.
func TestAStoppingServerTellsKeptConnectionsWithTheirNextAnswer(t *testing.T) {
	mux := http.NewServeMux()
	httpserve.Probes(mux, func(context.Context) error { return nil })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "stored") })
	url, stop := startWith(t, httpserve.Config{Handler: mux, Linger: time.Hour})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	post := func() (last bool) {
		t.Helper()
		res, err := client.Post(url, "text/plain", strings.NewReader("event"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "stored" {
			t.Fatalf("answer = %q, %v, want stored", b, err)
		}
		return res.Close
	}
	if post() {
		t.Error("the connection is closed while nobody stops the server")
	}
	go func() { _ = stop() }()
	for ; ; post() { // the probe has a connection of its own
		if code, body := get(t, url+"/readyz"); code == http.StatusServiceUnavailable && strings.Contains(body, "stopping") {
			break
		}
	}
	for range 2 {
		if !post() {
			t.Error("a stopping server keeps a connection open after its answer")
		}
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez of a stopping server = %d, want 200", code)
	}
}
