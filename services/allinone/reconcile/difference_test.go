package reconcile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/env"
	"quittance.internal/services/allinone/pipelinetest"
)

// enter signs an event of one's own making as a webhook, or as a simulation.
func (w *world) enter(source, body string) {
	w.t.Helper()
	in := door.Door{URL: w.Ingress, Secret: env.NewSecret(pipelinetest.WebhookSecret), Source: source, Now: time.Now, HTTP: http.DefaultClient}
	if answer, err := in.Enter(w.t.Context(), []byte(body)); err != nil || answer != door.Stored {
		w.t.Fatalf("enter = %s, %v", answer, err)
	}
}

func completed(id, account, session, quoteID string) string {
	text := fmt.Sprintf(`{"id":%q,"object":"event","type":"checkout.session.completed","livemode":false,"created":%d,"api_version":"2023-10-16",`,
		id, time.Now().Add(-time.Minute).Unix())
	if account != event.Platform {
		text += fmt.Sprintf(`"account":%q,`, account)
	}
	return text + fmt.Sprintf(`"data":{"object":{"id":%q,"object":"checkout.session","status":"complete","payment_status":"paid","amount_total":10000,"currency":"eur",`+
		`"metadata":{"seller":"main","quote_id":%q,"quote_revision":"1"}}}}`, session, quoteID)
}

func TestAnEventThatStripeDoesNotKnowIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s, simulated := w.offer(solar), w.offer(event.Platform)
	w.enter(event.SourceWebhook, completed("evt_forged", solar, "cs_forged", s.quote))
	w.enter(event.SourceSimulate, completed("evt_simulated", event.Platform, "cs_simulated", simulated.quote)) // ours, and told as such
	w.enter(event.SourceWebhook, strings.Replace(completed("evt_other", solar, "cs_other", "q"), `"quote_id"`, `"order"`, 1))
	report := w.report(time.Hour)
	if classes(report) != "1 here" || report.Rows[0].Event != "evt_forged" || report.Rows[0].Next != "quotectl explain evt_forged" || report.Rows[0].Quote != s.quote || report.Made != 1 {
		t.Fatalf("%s, %d made, %+v", classes(report), report.Made, report.Rows)
	}
	if done := w.repair(report); done.Left != 1 || done.Stored != 0 {
		t.Errorf("repair = %+v", done)
	}
	holds(t, w.quotectl(3, "reconcile", "repair", "--grace", "0s", "--yes", "--reason", "x"), "1 differences are left", "next: quotectl explain evt_forged")
}

func TestTwoEventsOfOneIdAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(event.Platform)
	w.lose()
	w.pay(s.session)
	missing := w.report(time.Hour).Rows
	at := slices.IndexFunc(missing, func(r reconcile.Row) bool { return r.Type == "checkout.session.completed" })
	w.enter(event.SourceWebhook, completed(missing[at].Event, event.Platform, "cs_of_somebody", s.quote)) // its id was taken first
	row := func() *reconcile.Row {
		for _, r := range w.report(time.Hour).Rows {
			if r.Class == reconcile.Differing {
				return &r
			}
		}
		return nil
	}
	if r := row(); r == nil || r.Event != missing[at].Event || !strings.Contains(r.Detail, "another object") || r.Sequence != 1 || !strings.HasPrefix(r.Next, "quotectl explain") {
		t.Fatalf("row = %+v", r)
	}
	w.deliver()
	w.admin("/sandbox/deliveries", `{"event":"`+missing[at].Event+`"}`) // and ingress lays it aside
	w.quiet()
	w.until("both are told", func() bool {
		n := 0
		for _, r := range w.report(time.Hour).Rows {
			if r.Class == reconcile.Differing {
				n++
			}
		}
		return n == 2
	})
}

// A refund carries no metadata: it is ours by the payment that it names.
func TestWhatCarriesNoMetadataIsOursByWhatItNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	known, unknown := w.offer(solar), w.offer(solar)
	w.pay(known.session)
	w.paidOnce(known)
	w.quiet()
	w.lose()
	w.pay(unknown.session)
	for _, s := range []sale{known, unknown} {
		var session struct {
			Intent string `json:"payment_intent"`
		}
		w.at(solar, "GET", "/v1/checkout/sessions/"+s.session, nil, &session)
		w.at(solar, "POST", "/v1/refunds", map[string][]string{"payment_intent": {session.Intent}}, nil)
	}
	report := w.report(time.Hour)
	types := map[string][]string{}
	for _, row := range report.Rows {
		types[row.Quote] = append(types[row.Quote], row.Type)
	}
	for _, s := range []sale{known, unknown} {
		if !slices.ContainsFunc(types[s.quote], func(typ string) bool { return strings.HasPrefix(typ, "refund.") || typ == "charge.refunded" }) {
			t.Errorf("%s lacks %v", s.quote, types[s.quote])
		}
	}
	w.repair(report)
	for _, s := range []sale{known, unknown} {
		w.stands(s, "refunded")
		w.saidOnce(s)
	}
	w.quiet()
	w.same(w.report(time.Hour))
}

// Beyond the 30 days of Stripe's list the checkout's own session tells. R33: the day of the payment, not of the repair.
func TestBeyondStripesListTheSessionTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	paid, partly, free, left := w.offer(event.Platform), w.offer(solar), w.offer(event.Platform), w.offer(solar)
	w.pay(partly.session)
	w.paidOnce(partly)
	w.quiet()
	w.lose()
	w.pay(paid.session)
	day := time.Now()
	var session struct {
		Intent string `json:"payment_intent"`
	}
	w.at(solar, "GET", "/v1/checkout/sessions/"+partly.session, nil, &session)
	w.at(solar, "POST", "/v1/refunds", map[string][]string{"payment_intent": {session.Intent}, "amount": {"4000"}}, nil)
	w.at(event.Platform, "POST", "/v1/checkout/sessions/"+free.session+"/expire", nil, nil)
	w.advance(40 * 24 * time.Hour) // and left's session ends by itself

	w.same(w.report(30 * 24 * time.Hour)) // Stripe's list has nothing of it any more
	report := w.report(50 * 24 * time.Hour)
	details := map[string]string{}
	for _, row := range report.Rows {
		details[row.Quote] = string(row.Class) + " " + row.Detail
	}
	if details[paid.quote] != "beyond pending → paid" || details[partly.quote] != "beyond paid → paid +partially_refunded" ||
		details[free.quote] != "beyond pending → pending" || details[left.quote] != "beyond pending → pending" || len(details) != 4 {
		t.Fatalf("rows = %+v", details)
	}
	done := w.repair(report)
	if done.Stored == 0 || done.Aside+done.Left != 0 {
		t.Errorf("repair = %+v", done)
	}
	if at := w.paidOnce(paid).PaidAt; at.Sub(day).Abs() > time.Hour {
		t.Errorf("paid at %s, it was %s", at, day)
	}
	w.quiet()
	w.same(w.report(50 * 24 * time.Hour))
	if again := w.repair(report); again.Stored != 0 {
		t.Errorf("repair again = %+v", again)
	}
	for _, r := range w.stored()[len(w.stored())-done.Stored:] {
		if !strings.Contains(r.Subject, ".evt_reconciled_") || r.Header.Get(event.HeaderSource) != event.SourceReconcile {
			t.Errorf("%s from %s", r.Subject, r.Header.Get(event.HeaderSource))
		}
	}
}

func TestACheckoutThatStripeDoesNotKnowIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	now := time.Now().UTC()
	w.say(event.NameCheckoutOpened, "q_9", "1_1", now, map[string]any{
		"seller": "main", "quote_id": "q_9", "revision": 1, "attempt": 1, "account": solar, "mode": "test", "checkout_session": "cs_test_gone",
		"opened_at": now.Add(-time.Minute), "expires_at": now.Add(time.Hour),
	})
	report := w.report(time.Hour)
	if classes(report) != "1 here" || report.Rows[0].Object != "cs_test_gone" || report.Rows[0].Next != "quotectl explain q_9" {
		t.Errorf("%+v", report.Rows)
	}
}

// architecture.md §4 "Linking": what waits for a link is looked up once at Stripe.
func TestAChangeThatWaitsForALinkIsLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(solar)
	w.lose("checkout.*", "payment_intent.*", "charge.succeeded", "charge.updated")
	w.pay(s.session)
	w.advance(time.Hour)
	since := w.now().Add(-time.Minute) // what was lost is no longer looked for among the events
	var session struct {
		Intent string `json:"payment_intent"`
	}
	w.at(solar, "GET", "/v1/checkout/sessions/"+s.session, nil, &session)
	w.lose("charge.refunded", "charge.updated") // these carry the metadata of their charge
	w.at(solar, "POST", "/v1/refunds", map[string][]string{"payment_intent": {session.Intent}}, nil)
	w.quiet()
	waiting, err := w.reader().ParkedMessages(t.Context())
	if err != nil || len(waiting) == 0 {
		t.Fatalf("nothing is parked: %v", err)
	}
	w.deliver()
	report := w.reportOf(w.config(), reconcile.Options{Since: since, ParkedUntil: w.now().Add(time.Hour), EndedOnly: true})
	at := slices.IndexFunc(report.Rows, func(r reconcile.Row) bool {
		return r.Class == reconcile.Beyond && r.Quote == s.quote && strings.Contains(r.Detail, "waits for a link")
	})
	if at < 0 {
		t.Fatalf("rows = %+v", report.Rows)
	}
	report.Rows = report.Rows[at : at+1] // this row alone
	w.repair(report)
	w.stands(s, "refunded")
	w.saidOnce(s)
}

func TestTheReportIsReadableByPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	s := w.offer(event.Platform)
	w.lose()
	w.pay(s.session)
	out := w.quotectl(3, "reconcile", "report", "--grace", "0s", "-o", "jsonl")
	for line := range strings.Lines(out) {
		var row reconcile.Row
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &row); err != nil || row.Class != reconcile.AtStripe || row.Next == "" || row.Created.IsZero() {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if n := strings.Count("\n"+out, "\n{"); n < 3 {
		t.Errorf("%d rows: %s", n, out)
	}
}
