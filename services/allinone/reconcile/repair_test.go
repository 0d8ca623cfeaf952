package reconcile_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/services/sandbox"
)

// Fault 47 of the fault table. R34, R58, R62, R70
func TestAnEventThatNeverCameIsFoundAndEnteredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(event.Platform)
	holds(t, w.quotectl(0, "reconcile", "report", "--grace", "0s"), "no difference", "platform: 0 at Stripe")
	w.lose()
	w.pay(s.session)

	// What is young is on its way; what is not is told, with what to type.
	holds(t, w.quotectl(0, "reconcile", "report"), "no difference", "on their way")
	out := w.quotectl(3, "reconcile", "report", "--grace", "0s")
	holds(t, out, "at_stripe", "checkout.session.completed", "charge.succeeded", s.quote, "it never came here", "quotectl reconcile repair --since", "next: quotectl reconcile repair")
	out = w.quotectl(3, "reconcile", "report", "--grace", "0s", "-o", "json")
	holds(t, out, `"gaps": {`, `"at_stripe": `, `"event": "evt_1`, `"next": "quotectl reconcile repair`)
	w.document(out)

	// A dry run changes nothing, and nothing is done without a reason.
	holds(t, w.quotectl(3, "reconcile", "repair", "--grace", "0s"), "nothing was changed", "next: the same with --yes")
	holds(t, w.quotectl(2, "reconcile", "repair", "--grace", "0s", "--yes"), "--reason is missing")
	if n := len(w.stored()); n != 0 {
		t.Fatalf("%d events are stored without a repair", n)
	}

	holds(t, w.quotectl(0, "reconcile", "repair", "--grace", "0s", "--yes", "--reason", "ticket 4711"), "STORED")
	w.paidOnce(s)
	w.same(w.report(time.Hour))
	out = w.quotectl(0, "reconcile", "repair", "--grace", "0s", "--yes", "--reason", "again", "-o", "json")
	holds(t, out, `"stored": 0`)
	w.document(out)
	w.quiet()
	w.paidOnce(s)

	for _, r := range w.stored() {
		if r.Header.Get(event.HeaderSource) != event.SourceReconcile || r.Header.Get(event.HeaderSecretName) != "reconcile" {
			t.Errorf("%s came from %s, signed by %s", r.Subject, r.Header.Get(event.HeaderSource), r.Header.Get(event.HeaderSecretName))
		}
	}
	entries, err := journal.New(w.Log, time.Now).List(t.Context(), journal.Filter{})
	if err != nil || len(entries) != 1 || entries[0].Action != "reconcile_repair" || entries[0].Reason != "ticket 4711" {
		t.Fatalf("journal = %+v, %v", entries, err)
	}
	holds(t, fmt.Sprint(entries[0].Detail), "stored:"+fmt.Sprint(len(w.stored())), "evt_1")
	w.quotectl(0, "journal", "verify")
}

// Fault 12 and 48: ingress was away for so long that Stripe switched the endpoint off and delivers nothing of it any more. R61, R62
func TestEveryPaymentOfAnOutageIsRecovered(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t, "")
	var endpoints struct{ Data []struct{ ID string } }
	w.at(event.Platform, "GET", "/v1/webhook_endpoints", nil, &endpoints)
	for _, e := range endpoints.Data {
		w.at(event.Platform, "POST", "/v1/webhook_endpoints/"+e.ID, url.Values{"disabled": {"true"}}, nil)
	}
	sales := make([]sale, n)
	for i := range sales {
		sales[i] = w.offer([]string{event.Platform, solar, wind}[i%3])
		w.pay(sales[i].session)
	}
	report := w.report(time.Hour)
	if report.Gaps[reconcile.AtStripe] < 3*n || report.Accounts[0].Listed <= 200 { // several pages of 100
		t.Fatalf("%s, %+v", classes(report), report.Accounts)
	}
	done := w.repair(report)
	if done.Stored != len(report.Rows) || done.Known+done.Aside+done.Left != 0 {
		t.Errorf("repair = %+v of %d", done, len(report.Rows))
	}
	w.quiet()
	for _, s := range sales {
		w.paidOnce(s)
	}
	w.same(w.report(time.Hour))
	if again := w.repair(report); again.Stored != 0 || again.Known != done.Stored { // the same report once more
		t.Errorf("repair again = %+v", again)
	}
}

// R58
func TestAnEventThatComesAfterItsRepairIsTheSameEvent(t *testing.T) {
	t.Parallel()
	for _, version := range []string{sandbox.Version20231016, sandbox.VersionBasil} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, version)
			s := w.offer(solar)
			w.lose()
			w.pay(s.session)
			done := w.repair(w.report(time.Hour))
			w.paidOnce(s)
			before := len(w.stored())
			w.deliver()
			for _, id := range done.Events {
				w.admin("/sandbox/deliveries", `{"event":"`+id+`"}`)
			}
			w.quiet()
			if now := w.stored(); len(now) != before {
				t.Errorf("%d events are stored, %d before Stripe delivered them: %s", len(now), before, now[len(now)-1].Subject)
			}
			w.paidOnce(s)
			w.same(w.report(time.Hour))
		})
	}
}

func TestAnotherEndpointsRenderingIsNoDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.VersionBasil)
	s := w.offer(event.Platform)
	w.pay(s.session)
	w.paidOnce(s)
	w.quiet()
	report := w.report(time.Hour)
	w.same(report)
	if report.Renderings == 0 || report.Matched != report.Renderings {
		t.Errorf("%d of %d are in another form", report.Renderings, report.Matched)
	}
}

// R5
func TestEventsOfOtherIntegrationsAreNotOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.lose()
	w.pay(w.session(event.Platform, nil))
	w.pay(w.session(solar, url.Values{"order": {"17"}}))
	report := w.report(time.Hour)
	w.same(report)
	if report.NotOurs == 0 || report.Matched != 0 {
		t.Errorf("report = %+v", report)
	}
	holds(t, w.quotectl(0, "reconcile", "report", "--grace", "0s"), fmt.Sprint(report.NotOurs)+" not ours", "no difference")
}

// R76
func TestAnotherAccountsOrModesEventIsNeverEntered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(solar)
	w.lose()
	w.pay(w.session(wind, claim("main", s.quote))) // the merchant of wind writes solar's quote on his own payment
	w.same(w.report(time.Hour))

	live := w.config()
	live.Mode = event.ModeLive // a service of live mode with a key of test mode
	w.pay(s.session)
	report := w.reportOf(live, reconcile.Options{Since: w.now().Add(-time.Hour), Account: solar})
	if w.same(report); report.Refused == 0 {
		t.Errorf("report = %+v", report)
	}
	if done := w.repair(report); done.Stored != 0 || len(w.stored()) != 0 {
		t.Errorf("repair = %+v", done)
	}
	holds(t, w.quotectlWith(map[string]string{"MODE": "live"}, 2, "reconcile", "report"), "not a key of live mode", "next: give the key of the mode")
}

// R21
func TestConnectedAccountsAreComparedEachOnItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	first, second, third := w.offer(event.Platform), w.offer(solar), w.offer(wind)
	w.lose()
	for _, s := range []sale{first, second, third} {
		w.pay(s.session)
	}
	report := w.reportOf(w.config(), reconcile.Options{Since: w.now().Add(-time.Hour), Account: wind})
	for _, row := range report.Rows {
		if row.Account != wind || row.Quote != third.quote {
			t.Errorf("row %+v", row)
		}
	}
	w.repair(report)
	if w.paidOnce(third); w.status(first) == "paid" || w.status(second) == "paid" {
		t.Error("the other accounts' payments were entered too")
	}
	w.deliver()
	w.admin("/sandbox/accounts/"+solar, `{"connected":false}`)
	report = w.report(time.Hour) // one account without access keeps nobody else from being compared
	if note := report.Accounts[1].Note; report.Accounts[1].ID != solar || !strings.Contains(note, "no access any more") {
		t.Errorf("accounts = %+v", report.Accounts)
	}
	w.repair(report)
	w.paidOnce(first)
	holds(t, w.quotectl(1, "reconcile", "report", "--account", solar), "account "+solar) // who asks for it is not told that all is well
}

// Fault 46.
func TestTroubleAtStripeIsWaitedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(event.Platform)
	w.lose()
	w.pay(s.session)
	for _, fault := range []string{`"kind":"rate_limit","times":2`, `"kind":"server_error","times":4`, `"kind":"unavailable","times":4`, `"kind":"html_502","times":1`, `"kind":"reset","times":1`} {
		w.admin("/sandbox/faults", `{`+fault+`,"method":"GET","path":"/v1/events"}`)
	}
	w.admin("/sandbox/faults", `{"kind":"rate_limit","times":1,"method":"GET","path":"/v1/checkout/sessions/*"}`)
	w.repair(w.report(time.Hour))
	w.paidOnce(s)
	var faults struct{ Faults []any }
	w.call("GET", w.Stripe+"/sandbox/faults", "", &faults)
	if len(faults.Faults) > 1 { // the session needs no call: its events were found
		t.Errorf("%d faults did not strike", len(faults.Faults))
	}
}

// No half of a comparison is taken for a whole one.
func TestStripeAwayIsAnErrorAndNotNoDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.admin("/sandbox/faults", `{"kind":"rate_limit","times":1000,"method":"GET","path":"/v1/events"}`)
	holds(t, w.quotectl(1, "reconcile", "report", "--account", "platform"), "stripe unavailable", "next: compare again")
	holds(t, w.quotectlWith(map[string]string{"STRIPE_API_KEY": "sk_test_another"}, 1, "reconcile", "report"), "does not know the key", "next: compare STRIPE_API_KEY")
}

func TestWithoutAKeyThereIsAClearRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	holds(t, w.quotectlWith(map[string]string{"STRIPE_API_KEY": ""}, 1, "reconcile", "report"), "STRIPE_API_KEY is set neither", "next: export STRIPE_API_KEY_FILE")
	holds(t, w.quotectlWith(map[string]string{"STRIPE_WEBHOOK_SECRETS": ""}, 1, "reconcile", "repair", "--yes", "--reason", "x"), "STRIPE_WEBHOOK_SECRETS is set neither")
	holds(t, w.quotectl(2, "reconcile", "report", "--since", "soon"), "--since", "next: quotectl reconcile report --help")
	holds(t, w.quotectl(2, "reconcile", "report", "--account", "main"), "--account is \"main\"")
	holds(t, w.quotectl(2, "reconcile", "report", "--since", "2199-01-01"), "in the future")
}
