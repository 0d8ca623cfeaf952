package reconcile_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/reconcile"
)

// ordered hands an order to quotes and waits for its end.
func (w *world) ordered(nc *nats.Conn, o reconcile.Order) *reconcile.Run {
	w.t.Helper()
	var id string
	w.until("quotes takes the order", func() bool {
		var err error
		id, err = reconcile.Ask(w.t.Context(), nc, o)
		return err == nil
	})
	return w.ended(id)
}

func (w *world) ended(id string) (run *reconcile.Run) {
	w.t.Helper()
	w.until("the run "+id+" came to its end", func() bool {
		var err error
		run, err = reconcile.LastRun(w.t.Context(), w.Log)
		return err == nil && run.ID == id && run.State != reconcile.Running
	})
	return run
}

func (w *world) reconciled() (n int) {
	for _, r := range w.stored() {
		if r.Header.Get(event.HeaderSource) == event.SourceReconcile {
			n++
		}
	}
	return n
}

// What operators ask for is carried out by quotes, which has the key, while nobody waits for it: a report changes nothing; a
// repair makes good what was seen, and no more; the journal has both, and the last run says how it stands.
func TestAnOrderIsCarriedOutByQuotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	lost := w.offer(solar)
	w.lose()
	w.pay(lost.session)
	w.quotes(0) // by itself it compares never
	nc := w.NATS.Conn("console")
	order := reconcile.Order{Since: time.Now().Add(-time.Hour), Who: "oscar"}

	report := w.ordered(nc, order)
	if report.State != reconcile.Done || report.Who != "oscar" || report.Report == nil || report.Report.Gaps[reconcile.AtStripe] == 0 || report.Report.Repairable == 0 || len(report.Report.Rows) != report.Report.Differences() {
		t.Fatalf("report = %+v %+v", report, report.Report)
	}
	if n := w.reconciled(); n != 0 || report.Repaired != nil {
		t.Fatalf("a report entered %d events, %+v", n, report.Repaired)
	}

	order.Repair, order.Why, order.Most = true, "ticket 4711", report.Report.Repairable-1
	if order.Most == 0 {
		t.Fatal("one difference is too few for what follows")
	}
	if over := w.ordered(nc, order); over.State != reconcile.Failed || !strings.Contains(over.Error, "nothing was entered") || over.Next == "" || w.reconciled() != 0 {
		t.Fatalf("a repair beyond what was seen = %+v, %d events entered", over, w.reconciled())
	}
	order.Most++
	done := w.ordered(nc, order)
	if done.State != reconcile.Done || done.Repaired == nil || done.Repaired.Stored == 0 || done.Repaired.Stored != w.reconciled() {
		t.Fatalf("repair = %+v %+v, %d events entered", done, done.Repaired, w.reconciled())
	}
	w.paidOnce(lost)
	w.quiet()
	order.Repair, order.Why = false, ""
	if after := w.ordered(nc, order); after.State != reconcile.Done || after.Report.Differences() != 0 {
		t.Errorf("after the repair: %+v", after.Report)
	}

	all, err := journal.New(w.Log, time.Now).List(t.Context(), journal.Filter{Action: "reconcile_*"})
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range all {
		if e.Who != "oscar" || (e.Action == reconcile.ActionRepair) != (e.Reason == "ticket 4711") {
			t.Errorf("entry %+v", e)
		}
		actions = append(actions, e.Action)
	}
	if got := strings.Join(actions, " "); got != "reconcile_report reconcile_repair reconcile_repair reconcile_report" {
		t.Errorf("the journal has %s", got)
	}
}

// One order at a time, over all instances; one whose instance died holds nobody up for longer than a minute.
func TestOneOrderAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.quotes(0)
	nc := w.NATS.Conn("console")
	order := reconcile.Order{Since: time.Now().Add(-time.Hour), Who: "oscar"}
	w.ordered(nc, order)
	put := func(until time.Time) {
		t.Helper()
		body, err := json.Marshal(reconcile.Run{ID: "another", Order: reconcile.Order{Who: "ann", Since: order.Since}, State: reconcile.Running, Begun: time.Now(), Until: until})
		if err != nil {
			t.Fatal(err)
		}
		_, revision, err := w.Log.System(t.Context(), reconcile.RunKey)
		if err == nil {
			_, err = w.Log.SetSystem(t.Context(), reconcile.RunKey, body, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(time.Now().Add(time.Hour))
	if _, err := reconcile.Ask(t.Context(), nc, order); err == nil || !strings.Contains(err.Error(), "by ann is under way") {
		t.Errorf("a second order: %v", err)
	}
	put(time.Now().Add(-time.Second))
	if last, err := reconcile.LastRun(t.Context(), w.Log); err != nil || last.StateAt(time.Now()) != reconcile.Interrupted {
		t.Errorf("a run whose instance died = %+v, %v", last, err)
	}
	if run := w.ordered(nc, order); run.State != reconcile.Done {
		t.Errorf("after it: %+v", run)
	}

	for name, o := range map[string]reconcile.Order{
		"no since":               {Who: "oscar"},
		"since in the future":    {Who: "oscar", Since: time.Now().Add(time.Hour)},
		"nobody":                 {Since: order.Since},
		"an account of no kind":  {Who: "oscar", Since: order.Since, Account: "*"},
		"repair, no reason":      {Who: "oscar", Since: order.Since, Repair: true, Most: 1},
		"repair of nothing seen": {Who: "oscar", Since: order.Since, Repair: true, Why: "ticket"},
	} {
		if id, err := reconcile.Ask(t.Context(), nc, o); err == nil || !strings.Contains(err.Error(), "cannot be carried out") {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}
