package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/operator"
	"quittance.internal/services/operator/scenario"
)

// complete says that Redis holds the whole projection, as payments does after its start.
func (w *world) complete() {
	w.t.Helper()
	if err := w.redis.Set(w.t.Context(), w.keys.Marker("0"), "1", 0).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// settled has the quote paid and quote.paid never emitted. It is simulate without the wait for an end that does not come.
func (w *world) settled() {
	w.t.Helper()
	w.seen["paid.2"] = true
	paid, _ := scenario.Find("paid")
	p := w.published
	burst, err := paid.Run(scenario.Target{
		Quote: p.QuoteID, Seller: p.Seller, Revision: p.Revision, Title: p.Document.Title, Amount: p.Amount, Currency: p.Currency,
	}, 7, p.PublishedAt.Add(time.Second), scenario.V20231016)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range burst.Events {
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: e.Body, Secret: secret, Timestamp: time.Now()})
		r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/webhooks/stripe", bytes.NewReader(e.Body))
		r.Header.Set("Stripe-Signature", signed.Header)
		answer := httptest.NewRecorder()
		if w.ingress(answer, r); answer.Code != http.StatusOK {
			w.t.Fatalf("ingress answers %d to %s", answer.Code, e.Type)
		}
	}
	if got := quote.Derive(p.Account, w.facts).Status; got != quote.StatusPaid {
		w.t.Fatalf("status is %s, want paid", got)
	}
}

func (w *world) bucket() jetstream.KeyValue {
	w.t.Helper()
	b, err := w.log.JetStream().KeyValue(w.t.Context(), event.BucketMail)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// webhook puts an event into the log as ingress does.
func (w *world) webhook(id, source string) {
	w.t.Helper()
	s := event.StripeSubject{Mode: "test", Account: event.Platform, EventID: id, Type: "charge.succeeded"}
	_, err := w.log.Fact(w.t.Context(), natsstream.Message{Subject: s.String(), ID: id, Data: []byte(`{}`), Header: nats.Header{
		event.HeaderSource: {source}, event.HeaderSecretName: {"main"},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAConsumerThatIsBehindIsFound(t *testing.T) {
	w := newWorld(t)
	w.webhook("evt_1Behind", event.SourceWebhook)
	// In the world of these tests nobody consumes: the quote's two events wait too.
	w.run("check", "lag").want(t, 0, "LAG OK - no consumer is behind", "STRIPE_payments=1;0;0", "QUOTES_payments=2;0;0")
	w.run("check", "lag", "--warn", "1ns").want(t, 3, "LAG WARNING - ", "payments is behind on STRIPE by 1 messages", "quotectl explain STRIPE:1")
	w.run("check", "lag", "--critical-messages", "2").want(t, 3, "LAG CRITICAL - payments is behind on QUOTES by 2 messages", "next: quotectl explain QUOTES:1")
	w.run("check", "lag", "--warn", "1h", "--critical", "1m").want(t, 2, "critical is not below warn", "next: quotectl check lag --help")

	for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
		w.acknowledge(stream, natsstream.DurablePayments)
	}
	w.acknowledge(event.StreamQuotes, natsstream.DurablePlanner)
	w.run("check", "lag", "--warn", "1ns").want(t, 0, "LAG OK", "STRIPE_payments=0;0;0", "QUOTES_payments=0;0;0")
}

// acknowledge takes everything that waits for a consumer.
func (w *world) acknowledge(stream, consumer string) {
	w.t.Helper()
	c, err := w.log.JetStream().Consumer(w.t.Context(), stream, consumer)
	if err != nil {
		w.t.Fatal(err)
	}
	for c.CachedInfo().NumPending > 0 {
		m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err == nil {
			err = m.DoubleAck(w.t.Context())
		}
		if err == nil {
			_, err = c.Info(w.t.Context())
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// A mail that waits for its next attempt is no lag.
func TestWhatIsHeldBackOnPurposeIsNotBehind(t *testing.T) {
	w := newWorld(t)
	w.emit(event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: "q_1042", N: "2"}, time.Now(), quote.Paid{QuoteID: "q_1042"})
	w.run("check", "lag", "--warn", "1ns").want(t, 3, "notifier is behind on QUOTES by 1 messages")
	c, err := w.log.JetStream().Consumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := w.run("check", "lag", "--warn", "1ns")
	if strings.Contains(r.out, "notifier is behind") || !strings.Contains(r.out, "QUOTES_notifier=0;0;0") {
		t.Errorf("the notifier counts as behind while it holds a mail back:\n%s", r.out)
	}
}

func TestAMissingEmissionIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.complete()
	w.settled()
	w.run("check", "gap").want(t, 3, "GAP CRITICAL - quote.paid of q_1042 (2) is due since", "missing_emissions=1;1;1", "next: quotectl explain q_1042 --why-not-paid")

	p := w.published
	w.emit(event.QuoteSubject{Event: event.NamePaid, Seller: p.Seller, Quote: p.QuoteID, N: "2"}, time.Now(), quote.Paid{Seller: p.Seller, QuoteID: p.QuoteID, Revision: 2})
	w.run("check", "gap").want(t, 0, "GAP OK", "missing_emissions=0;1;1")
}

// What cannot be seen is not well: cron and monitoring hear of it. A fault that is found meanwhile weighs more.
func TestAGapThatCannotBeSeenIsNotOK(t *testing.T) {
	w := newWorld(t)
	w.run("check", "gap").want(t, 1, "GAP UNKNOWN - whether settled payments lack their facts cannot be seen: Redis has lost", "next: quotectl doctor")
	r := w.run("check", "gap", "-o", "json")
	r.want(t, 1, `"level": "unknown"`)
	r.document(t)
	url := w.settings["REDIS_URL"]
	delete(w.settings, "REDIS_URL")
	w.run("check", "gap").want(t, 1, "GAP UNKNOWN", "REDIS_URL is set neither", "next: export REDIS_URL=")
	w.settings["REDIS_URL"] = url
	w.emit(event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: "q_1042", N: "2"}, time.Now(), quote.Paid{QuoteID: "q_1042"})
	w.run("check", "gap", "--warn", "1ns").want(t, 3, "GAP WARNING - q_1042 revision 2 was paid", "unknown", "quotectl doctor")
	w.complete()
	w.run("check", "gap").want(t, 0, "GAP OK")
}

// After a newer publication the older revision's fact is no longer due, whether or not Redis has it already.
func TestASupersededEmissionIsNotMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.complete()
	w.settled()
	newer := w.published
	newer.Revision, newer.Version = 3, 4
	w.emit(event.QuoteSubject{Event: event.NamePublished, Seller: newer.Seller, Quote: newer.QuoteID, N: "3"}, time.Now(), newer)
	w.run("check", "gap").want(t, 0, "GAP OK", "missing_emissions=0;1;1")
}

func TestAMailThatDoesNotGoOutIsFound(t *testing.T) {
	w := newWorld(t)
	w.complete()
	w.emit(event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: "q_1042", N: "2"}, time.Now(), quote.Paid{QuoteID: "q_1042"})
	w.run("check", "gap").want(t, 0, "facts_without_mail=0")
	w.run("check", "gap", "--warn", "1ns").want(t, 3, "GAP WARNING - q_1042 revision 2 was paid", "nobody has begun its mail", "facts_without_mail=1;1;1")

	put := func(key, state string) {
		t.Helper()
		entry, err := json.Marshal(map[string]any{"state": state, "first_at": time.Now(), "updated_at": time.Now(), "reply": "550 no such user maria@seller.example"})
		if err == nil {
			_, err = w.bucket().Put(t.Context(), key, entry)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("main.q_1042.2.paid", "claimed")
	w.run("check", "gap").want(t, 0, "mails_not_sent=0")
	w.run("check", "gap", "--warn", "1ns").want(t, 3, "mail main.q_1042.2.paid is on its way", "mails_not_sent=1")
	put("main.q_1042.2.paid", "rejected")
	r := w.run("check", "gap")
	r.want(t, 3, "mail main.q_1042.2.paid was rejected ", "550 no such user", "next: quotectl explain q_1042 --why-no-email")
	if strings.Contains(r.out+r.err, "maria@") {
		t.Errorf("the address is not masked:\n%s", r.out)
	}
	put("main.q_1042.2.paid.1", "sent") // an operator sent it again
	w.run("check", "gap", "--warn", "1ns").want(t, 0, "GAP OK")
}

// stripeWith answers the list of events as Stripe does, a hundred at a time; events are given the newest first.
func (w *world) stripeWith(events ...map[string]any) {
	w.settings["STRIPE_API_KEY"] = "sk_test_watch"
	w.settings["STRIPE_API_BASE"] = w.serve(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			w.answer(rw, http.StatusNotFound, map[string]any{"error": map[string]string{"type": "invalid_request_error"}})
			return
		}
		var since int64
		_, _ = fmt.Sscan(r.URL.Query().Get("created[gte]"), &since)
		found := []any{}
		for _, e := range events {
			if at, ok := e["created"].(int64); ok && at >= since && strings.Contains(r.URL.RawQuery, fmt.Sprint(e["type"])) {
				found = append(found, e)
			}
		}
		if after := r.URL.Query().Get("starting_after"); after != "" {
			found = found[1+slices.IndexFunc(found, func(e any) bool { return e.(map[string]any)["id"] == after }):]
		}
		w.answer(rw, http.StatusOK, map[string]any{"object": "list", "data": found[:min(len(found), 100)], "has_more": len(found) > 100})
	})
}

func atStripe(id string, ago time.Duration) map[string]any {
	return map[string]any{"id": id, "object": "event", "type": "charge.succeeded", "created": time.Now().Add(-ago).Unix(), "data": map[string]any{"object": map[string]any{}}}
}

// Stripe lists the newest first: the first page of a long outage is its end.
func TestSilenceCountsALongOutageFromItsBeginning(t *testing.T) {
	w := newWorld(t)
	var events []map[string]any
	for i := range 250 {
		events = append(events, atStripe(fmt.Sprintf("evt_1Lost%d", i), 3*time.Minute+time.Duration(i)*time.Minute))
	}
	w.stripeWith(events...)
	w.run("check", "silence").want(t, 3, "SILENCE CRITICAL - Stripe has 250 events that no webhook brought, the oldest 4h12m ago (evt_1Lost249")
}

func TestSilenceTellsNoSalesFromBroken(t *testing.T) {
	w := newWorld(t)
	// Without a key only the clock speaks, and says so.
	w.run("check", "silence").want(t, 3, "SILENCE WARNING - no webhook has ever come; whether Stripe has anything is not known", "not checked: what Stripe has")
	w.run("check", "silence", "--quiet", "0").want(t, 0, "SILENCE OK")

	w.stripeWith()
	w.run("check", "silence").want(t, 0, "SILENCE OK - no webhook has ever come; Stripe has nothing that did not come")

	w.stripeWith(atStripe("evt_1Missed", 30*time.Minute), atStripe("evt_1Young", time.Second))
	w.run("check", "silence").want(t, 3, "SILENCE WARNING - Stripe has 1 events that no webhook brought", "evt_1Missed", "missed_webhooks=1")
	w.run("check", "silence", "--critical", "20m").want(t, 3, "SILENCE CRITICAL")

	// Reconcile fetched it, and the webhook is missed all the same.
	w.webhook("evt_1Missed", event.SourceReconcile)
	w.run("check", "silence").want(t, 3, "evt_1Missed")

	// A webhook that comes ends it.
	w.webhook("evt_1Later", event.SourceWebhook)
	w.run("check", "silence").want(t, 0, "SILENCE OK - the last webhook came", "evt_1Later, secret main", "missed_webhooks=0")
}

func TestFailedSignaturesAreFound(t *testing.T) {
	w := newWorld(t)
	w.webhook("evt_1A", event.SourceWebhook)
	bad := 0
	w.settings["INGRESS_ADMIN_URL"] = w.serve(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, "# HELP x\nquittance_webhooks_received_total{outcome=\"stored\"} 10\nquittance_webhooks_received_total{outcome=\"refused\"} %d\n"+
			"quittance_webhooks_refused_total{reason=\"missing_signature\"} 400\nquittance_webhooks_refused_total{reason=\"no_matching_signature\"} %d\nprocess_start_time_seconds %d\n", bad, bad, time.Now().Add(-3*time.Hour).Unix())
	})
	for n, want := range map[int]string{0: "SILENCE OK", 5: "SILENCE WARNING - 5 of 15 signatures have failed", 30: "SILENCE CRITICAL - 30 of 40 signatures have failed since ingress started 3h0m ago"} {
		bad = n
		code := 3
		if n == 0 {
			code = 0
		}
		w.run("check", "silence").want(t, code, want)
	}
	w.settings["INGRESS_ADMIN_URL"] = "http://127.0.0.1:1"
	w.run("check", "silence").want(t, 1, "SILENCE UNKNOWN - how many signatures have failed cannot be seen: read metrics")
}

func TestChecksThatCannotLookAreErrors(t *testing.T) {
	for _, name := range []string{"lag", "gap", "silence"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var out, errs strings.Builder
		lookup := func(name string) (string, bool) {
			return map[string]string{"NATS_URL": "nats://127.0.0.1:1"}[name], name == "NATS_URL"
		}
		if code := operator.Run(ctx, []string{"check", name}, lookup, &out, &errs); code != 1 || !strings.Contains(errs.String(), "next: ") {
			t.Errorf("check %s: code %d, %s", name, code, errs.String())
		}
	}
}
