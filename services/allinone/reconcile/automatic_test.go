package reconcile_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/env"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/quotes"
)

// quotes starts an instance of the quotes service that reconciles; it returns where its metrics are.
func (w *world) quotes(every time.Duration) string {
	w.t.Helper()
	cfg := w.QuotesConfig("ann:admin:admin-token-01234567890")
	cfg.IngressURL, cfg.WebhookSecret, cfg.ReconcileSecret = w.Ingress, env.NewSecret(pipelinetest.WebhookSecret), env.NewSecret(pipelinetest.ReconcileSecret)
	cfg.ReconcileEvery, cfg.ReconcileGrace = every, -1
	q := pipelinetest.Run(w.t, quotes.New, cfg)
	return "http://" + q.AdminAddr().String() + "/metrics"
}

// metric reads one figure without labels; -1 where there is none.
func (w *world) metric(address, name string) float64 {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// The quotes service makes good by itself what never came, counts it, and counts nothing on a day when all came.
func TestWhatNeverCameIsRecoveredWithoutAnOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	came, lost := w.offer(event.Platform), w.offer(solar)
	w.pay(came.session)
	w.paidOnce(came)
	w.quiet()
	metrics := []string{w.quotes(200 * time.Millisecond), w.quotes(200 * time.Millisecond)}
	recovered := func() (n float64) {
		for _, at := range metrics {
			n += w.metric(at, "quittance_reconcile_recovered_total")
		}
		return n
	}
	succeeded := func() float64 { return w.metric(metrics[0], "quittance_reconcile_last_success_timestamp_seconds") }
	w.until("a comparison came to its end", func() bool { return succeeded() > 0 })
	if n := recovered(); n != 0 {
		t.Fatalf("%v events are recovered though all came", n)
	}
	w.lose()
	w.pay(lost.session)
	w.paidOnce(lost)
	w.quiet()
	for _, s := range []sale{came, lost} {
		w.paidOnce(s)
	}
	w.same(w.report(time.Hour))
	all := 0
	for _, r := range w.stored() {
		if r.Header.Get(event.HeaderSource) == event.SourceReconcile {
			all++
		}
	}
	// The run counts them at its end; one that begins after that counts nothing any more.
	w.until("the events are counted", func() bool { return recovered() > 0 && int(recovered()) >= all })
	before := succeeded()
	w.until("a further comparison came to its end", func() bool { return succeeded() > before })
	if n := recovered(); int(n) != all {
		t.Errorf("recovered = %v, and %d events came by reconcile", n, all)
	}

	// A difference that nothing makes good is a figure to alert on, of every instance.
	w.enter(event.SourceWebhook, completed("evt_forged", solar, "cs_forged", lost.quote))
	for _, at := range metrics {
		w.until("the gap is told", func() bool { return w.metric(at, "quittance_reconcile_gap") == 1 })
	}
}

// automatic runs one instance until the test ends; ran is told each time it has looked.
func (w *world) automatic(name string, standing func(reconcile.State)) (recovered func() int) {
	w.t.Helper()
	var mu sync.Mutex
	n := 0
	pipelinetest.Run(w.t, func(_ context.Context, a reconcile.Automatic, _ *zap.Logger) (runner, error) {
		return func(ctx context.Context) error { a.Run(ctx); return nil }, nil
	}, reconcile.Automatic{
		Reconciler: reconcile.New(w.config()), Every: 50 * time.Millisecond, Holder: name, Log: zap.NewNop(),
		Recovered: func(events int) { mu.Lock(); n += events; mu.Unlock() }, Standing: standing,
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

type runner func(context.Context) error

func (r runner) Run(ctx context.Context) error { return r(ctx) }

func (w *world) setState(s reconcile.State) {
	w.t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	_, revision, err := w.Log.System(w.t.Context(), reconcile.StateKey)
	if err != nil && revision != 0 {
		w.t.Fatal(err)
	}
	if _, err := w.Log.SetSystem(w.t.Context(), reconcile.StateKey, data, revision); err != nil {
		w.t.Fatal(err)
	}
}

// The short runs do not see it any more, and the figure still says it until the long one does not either.
func TestAGapStaysUntilTheLongRunSeesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	now := w.now()
	w.setState(reconcile.State{Ran: now.Add(-time.Minute), Long: now.Add(-time.Hour), Gap: 2, LongGap: 2})
	looked := make(chan reconcile.State, 1000)
	w.automatic("this", func(s reconcile.State) { looked <- s })
	w.until("a short run is over", func() bool { s := <-looked; return s.Ran.After(now) && s.Holder == "" && s.Gap == 2 })
	w.ahead.Store(int64(30 * time.Hour))
	w.until("a long run is over", func() bool { s := <-looked; return s.Long.After(now) && s.Gap == 0 })
}

func TestOneInstanceReconcilesAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(event.Platform)
	w.lose()
	w.pay(s.session)
	w.setState(reconcile.State{Holder: "another", Until: w.now().Add(time.Hour)})
	looked := make(chan reconcile.State, 1000)
	recovered := w.automatic("this", func(s reconcile.State) { looked <- s })
	for range 5 {
		if state := <-looked; state.Holder != "another" || !state.Ran.IsZero() {
			t.Fatalf("state = %+v", state)
		}
	}
	if n := recovered(); n != 0 || len(w.stored()) != 0 {
		t.Fatalf("%d recovered while another instance is at it", n)
	}
	w.setState(reconcile.State{Holder: "another", Until: w.now().Add(-time.Second)}) // it died
	w.paidOnce(s)
	w.until("the run is over", func() bool {
		state := <-looked
		return !state.Ran.IsZero() && state.Holder == "" && !state.Long.IsZero()
	})
}

// After a standstill the run goes back to an hour before the last one that came to its end; and in any case over 72 hours once a day.
func TestARunReachesBackToTheOneBefore(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]func(now time.Time) reconcile.State{
		"the first ever": func(time.Time) reconcile.State { return reconcile.State{} },
		"once a day": func(now time.Time) reconcile.State {
			return reconcile.State{Ran: now.Add(-time.Minute), Long: now.Add(-25 * time.Hour)}
		},
		"after a standstill": func(now time.Time) reconcile.State {
			return reconcile.State{Ran: now.Add(-47 * time.Hour), Long: now.Add(-time.Hour)}
		},
		"after a longer one": func(now time.Time) reconcile.State {
			return reconcile.State{Ran: now.Add(-400 * time.Hour), Long: now.Add(-400 * time.Hour)}
		},
		"after the clock was set back": func(now time.Time) reconcile.State {
			return reconcile.State{Ran: now.Add(time.Hour), Long: now.Add(time.Hour)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			s := w.offer(solar)
			w.lose()
			w.pay(s.session)
			w.deliver()
			w.advance(48*time.Hour - 30*time.Minute) // it happened half an hour before the last run of the third case
			w.setState(state(w.now()))
			w.automatic("this", func(reconcile.State) {})
			w.paidOnce(s)
			for _, r := range w.stored() {
				if strings.Contains(r.Subject, ".evt_reconciled_") { // the session would have told, too
					t.Errorf("the run did not reach back to the event itself: %s", r.Subject)
				}
			}
		})
	}
}
