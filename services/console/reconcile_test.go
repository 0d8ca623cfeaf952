package console_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/operations/reconcile"
)

// comparer answers in the place of quotes: it stores what run makes of each order.
func (f *fixture) comparer(run func(reconcile.Order) reconcile.Run) <-chan reconcile.Order {
	f.t.Helper()
	asked := make(chan reconcile.Order, 10)
	nc := f.nats.Conn("quotes")
	sub, err := nc.Subscribe(reconcile.Subject, func(m *nats.Msg) {
		var o reconcile.Order
		if err := json.Unmarshal(m.Data, &o); err != nil {
			f.t.Errorf("order %s: %v", m.Data, err)
			return
		}
		asked <- o
		r := run(o)
		r.Order, r.Begun = o, time.Now()
		f.ran(r)
		if err := m.Respond([]byte(`{"id":"` + r.ID + `"}`)); err != nil {
			f.t.Errorf("answer: %v", err)
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sub.Unsubscribe() })
	return asked
}

// ran stores a run as the last one.
func (f *fixture) ran(r reconcile.Run) {
	body, err := json.Marshal(r)
	if err != nil {
		f.t.Error(err)
		return
	}
	_, revision, _ := f.log.System(f.t.Context(), reconcile.RunKey)
	if _, err := f.log.SetSystem(f.t.Context(), reconcile.RunKey, body, revision); err != nil {
		f.t.Error(err)
	}
}

// found is a report with a difference of each of two classes: one of them can be made good.
func found() *reconcile.Report {
	return &reconcile.Report{
		Matched: 7, Gaps: map[reconcile.Class]int{reconcile.AtStripe: 1, reconcile.Here: 1}, Repairable: 1,
		Accounts: []reconcile.Account{{ID: "platform", Listed: 8, Stored: 8}},
		Rows: []reconcile.Row{
			{Class: reconcile.AtStripe, Account: "platform", Event: "evt_lost", Type: "checkout.session.completed", Quote: "q_1", Detail: "it never came", Repairable: true, Created: time.Now()},
			{Class: reconcile.Here, Account: "platform", Event: "evt_forged", Sequence: 4, Detail: "Stripe does not know it " + hostile + " jan@kowalski.example", Next: "quotectl explain evt_forged", Created: time.Now()},
		},
	}
}

// A comparison is asked of quotes, which has Stripe's key; its repair shows its numbers, wants a reason, and goes no further than
// what was shown.
func TestReconcileIsAskedOfQuotes(t *testing.T) {
	f := start(t)
	b := f.signedIn(operatorToken)
	b.open("/reconcile").want(http.StatusOK).shows("Nobody has compared yet", `action="/reconcile"`)
	form := url.Values{"csrf": {b.open("/overview").form().Get("csrf")}, "since": {"72h"}}
	b.send(http.MethodPost, "/reconcile", form).want(http.StatusBadGateway).shows("no quotes service runs that may ask Stripe")

	asked := f.comparer(func(o reconcile.Order) reconcile.Run {
		r := reconcile.Run{ID: "run1", State: reconcile.Done, Report: found()}
		if o.Repair {
			r.ID, r.Repaired = "run2", &reconcile.Repaired{Rows: 1, Stored: 1, Left: 1, Events: []string{"evt_lost"}}
		}
		return r
	})
	form.Set("account", "*")
	b.send(http.MethodPost, "/reconcile", form).want(http.StatusUnprocessableEntity).shows("account:", `value="72h"`)
	form.Set("account", "platform")
	form.Set("since", "someday")
	b.send(http.MethodPost, "/reconcile", form).want(http.StatusUnprocessableEntity).shows("since:")
	if len(asked) != 0 {
		t.Fatal("asked for what cannot be read")
	}
	form.Set("since", "2h")
	b.send(http.MethodPost, "/reconcile", form).leads("/reconcile")
	if o := <-asked; o.Repair || o.Account != "platform" || o.Who != "oscar" || time.Since(o.Since) < 2*time.Hour || time.Since(o.Since) > 3*time.Hour {
		t.Errorf("order = %+v", o)
	}
	b.open("/reconcile").want(http.StatusOK).shows("evt_lost", "evt_forged", "can be made good", "Make good 1…", "At Stripe, not here").hides("jan@kowalski", "<script>")
	b.open("/reconcile?class=here").shows("evt_forged").hides(">evt_lost<")
	v := f.signedIn(viewerToken)
	v.open("/reconcile").want(http.StatusOK).shows("evt_lost").hides("Make good", "<h2>Compare</h2>")

	b.open("/reconcile/repair").want(http.StatusOK).shows("evt_lost", "Make good (1)", "At Stripe, not here")
	b.confirm("/reconcile/repair", " ").want(http.StatusUnprocessableEntity).shows("Say why")
	shown := b.open("/reconcile/repair").form()
	shown.Set("reason", "ticket 4711")
	f.ran(reconcile.Run{ID: "another", State: reconcile.Done, Report: found()})
	b.send(http.MethodPost, "/reconcile/repair", shown).want(http.StatusUnprocessableEntity).shows("has changed since you looked")
	if len(asked) != 0 {
		t.Fatal("asked without a reason, or for what was not shown")
	}
	b.confirm("/reconcile/repair", "ticket 4711").leads("/reconcile")
	if o := <-asked; !o.Repair || o.Most != 1 || o.Why != "ticket 4711" || o.Who != "oscar" {
		t.Errorf("order = %+v", o)
	}
	b.open("/reconcile").shows("Events entered: 1", "no repair makes good: 1").hides("Make good 1…")
	b.open("/reconcile/repair").want(http.StatusConflict).shows("compare first")
}

// A long comparison blocks nobody: the page says how far it is, loads again by itself, and tells when its instance has died.
func TestARunningComparisonTellsHowFarItIs(t *testing.T) {
	f := start(t)
	b := f.signedIn(operatorToken)
	f.ran(reconcile.Run{ID: "run1", Order: reconcile.Order{Who: "ann"}, State: reconcile.Running, Begun: time.Now(), Until: time.Now().Add(time.Hour), Progress: "400 of 12000 checkouts looked up"})
	b.open("/reconcile").want(http.StatusOK).shows("400 of 12000 checkouts looked up", "by ann", `data-live="2"`, " disabled>Compare")
	b.open("/reconcile?live=off").hides("data-live=")
	b.open("/reconcile/repair").want(http.StatusConflict)
	f.ran(reconcile.Run{ID: "run1", Order: reconcile.Order{Who: "ann"}, State: reconcile.Running, Begun: time.Now(), Until: time.Now().Add(-time.Second)})
	b.open("/reconcile").shows("interrupted", "Compare again").hides("data-live=")
	f.ran(reconcile.Run{ID: "run1", State: reconcile.Failed, Error: "Stripe does not know the key", Next: "compare STRIPE_API_KEY"})
	b.open("/reconcile").shows("Stripe does not know the key", "compare STRIPE_API_KEY")
}
