package operator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

// connect says that a seller has connected an account in test mode.
func (w *world) connect(account string, n int) {
	w.t.Helper()
	e, err := event.NewSeller(event.NameConnected, "main", n, time.Now(), seller.Connected{Seller: "main", Account: account, Mode: event.ModeTest, At: time.Now()})
	if err == nil {
		_, err = w.log.Fact(w.t.Context(), natsstream.Message{Subject: event.SellerSubject(event.NameConnected, "main", fmt.Sprint(n)), ID: e.ID, Data: e.Encode()})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// webhookOf puts an event of an account into the log.
func (w *world) webhookOf(account, id, source string) {
	w.t.Helper()
	s := event.StripeSubject{Mode: event.ModeTest, Account: account, EventID: id, Type: "charge.succeeded"}
	_, err := w.log.Fact(w.t.Context(), natsstream.Message{Subject: s.String(), ID: id, Data: []byte(`{}`), Header: nats.Header{
		event.HeaderSource: {source}, event.HeaderSecretName: {"connect"},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// stripeOf answers the list of events of each account; one that is not named there has withdrawn its access.
func (w *world) stripeOf(events map[string][]map[string]any) {
	w.settings["STRIPE_API_KEY"] = "sk_test_watch"
	w.settings["STRIPE_API_BASE"] = w.serve(func(rw http.ResponseWriter, r *http.Request) {
		account := r.Header.Get("Stripe-Account")
		if account == "" {
			account = event.Platform
		}
		listed, known := events[account]
		if !known {
			w.answer(rw, http.StatusForbidden, map[string]any{"error": map[string]string{"type": "invalid_request_error", "code": "account_invalid", "message": "no access to " + account}})
			return
		}
		var since int64
		_, _ = fmt.Sscan(r.URL.Query().Get("created[gte]"), &since)
		found := []any{}
		for _, e := range listed {
			if at, ok := e["created"].(int64); ok && at >= since && strings.Contains(r.URL.RawQuery, fmt.Sprint(e["type"])) {
				found = append(found, e)
			}
		}
		w.answer(rw, http.StatusOK, map[string]any{"object": "list", "data": found, "has_more": false})
	})
}

// The events of connected accounts come by an endpoint of their own: it may be broken while the other one works.
func TestSilenceAsksAboutConnectedAccountsWithTraffic(t *testing.T) {
	w := newWorld(t)
	w.connect("acct_1Busy", 1)
	w.connect("acct_1Idle", 2) // never had an event: nobody asks Stripe about it
	w.connect("acct_1Gone", 3)
	w.webhook("evt_1Own", event.SourceWebhook)
	w.webhookOf("acct_1Busy", "evt_1Heard", event.SourceWebhook)
	w.webhookOf("acct_1Gone", "evt_1Gone", event.SourceWebhook)
	ours := map[string][]map[string]any{event.Platform: nil, "acct_1Busy": {atStripe("evt_1Heard", 3*time.Hour)}}
	w.stripeOf(ours)
	w.run("check", "silence").want(t, 0, "SILENCE OK - the last webhook came", "ago (evt_1Own, secret main); of 2 connected accounts the last webhook came",
		"last_webhook_connected=", "missed_webhooks=0", "not checked: what Stripe has of acct_1Gone: the account gives no access")
}

// What the newest event says is not enough where another way than a webhook brought it: the last webhook is looked for
// behind it, of each account.
func TestTheLastWebhookOfEachAccountIsReadFromTheLog(t *testing.T) {
	w := newWorld(t)
	w.connect("acct_1Busy", 1)
	for i := range 3 {
		w.webhookOf("acct_1Busy", fmt.Sprintf("evt_1Fetched%d", i), event.SourceReconcile)
	}
	w.webhook("evt_1Own", event.SourceWebhook)
	w.webhook("evt_1Returned", event.SourceReturn)
	ours := map[string][]map[string]any{event.Platform: nil, "acct_1Busy": {atStripe("evt_1Fetched0", 20*time.Minute), atStripe("evt_1Fetched1", 26*time.Hour)}}
	w.stripeOf(ours)
	w.run("check", "silence").want(t, 3, "SILENCE CRITICAL - Stripe has 2 events of acct_1Busy that no webhook brought, the oldest 26h0m ago (evt_1Fetched1, charge.succeeded)",
		"missed_webhooks=2")
	delete(w.settings, "STRIPE_API_KEY")
	w.run("check", "silence").want(t, 3, "SILENCE WARNING - of one connected account no webhook has ever come; whether Stripe has anything is not known")
	w.webhookOf("acct_1Busy", "evt_1Heard", event.SourceWebhook)
	w.webhookOf("acct_1Busy", "evt_1FetchedLast", event.SourceReconcile)
	w.run("check", "silence").want(t, 0, "SILENCE OK - the last webhook came", "ago (evt_1Own, secret main); of one connected account the last webhook came", "ago (evt_1Heard, secret connect)")
}
