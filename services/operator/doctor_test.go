package operator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/platform/natsstream"
)

// examine runs doctor -o json and returns its lines by check.
func (w *world) examine(code int) map[string][]doctor.Result {
	w.t.Helper()
	r := w.run("doctor", "-o", "json")
	var all []doctor.Result
	if err := json.Unmarshal([]byte(r.out), &all); err != nil {
		w.t.Fatalf("%v in %s%s", err, r.out, r.err)
	}
	// The disk of the machine on which the tests run is not theirs to judge: see TestTheDisksUnderNATSAndRedisAreLookedAt.
	full := slices.ContainsFunc(all, func(x doctor.Result) bool { return strings.HasSuffix(x.Check, " disk") && x.Status == doctor.Fail })
	if r.code != code && (!full || r.code != 3) {
		w.t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	by := map[string][]doctor.Result{}
	for _, x := range all {
		if x.Found == "" || (x.Status != doctor.OK && x.Status != doctor.NotChecked && x.Next == "") {
			w.t.Errorf("%+v says nothing, or not what to do", x)
		}
		by[x.Check] = append(by[x.Check], x)
	}
	return by
}

func want(t *testing.T, by map[string][]doctor.Result, check string, s doctor.Status, text string) {
	t.Helper()
	if !slices.ContainsFunc(by[check], func(r doctor.Result) bool { return r.Status == s && strings.Contains(r.Found+" "+r.Next, text) }) {
		t.Errorf("%s = %+v, want %s with %q", check, by[check], s, text)
	}
}

func TestWhatCannotBeLookedAtIsNeverOK(t *testing.T) {
	w := newWorld(t)
	by := w.examine(0)
	for _, check := range []string{"nats storage", "signatures", "stripe", "mail relay", "certificates", "service ingress", "service payments"} {
		want(t, by, check, doctor.NotChecked, "")
	}
	for _, check := range []string{"nats", "streams and consumers", "clock of nats", "redis policy", "redis role", "clock of redis"} {
		want(t, by, check, doctor.OK, "")
	}
	// The servers of these tests ask nobody who he is.
	want(t, by, "rights on nats", doctor.Warn, "stripe.test.platform.evt_doctor and quote.paid.doctor.doctor")
	want(t, by, "rights on redis", doctor.Warn, "may write Redis")
	for _, subject := range []string{"stripe.test.platform.evt_doctor.probe", "quote.paid.doctor.doctor.1"} {
		stream := event.StreamStripe
		if strings.HasPrefix(subject, "quote") {
			stream = event.StreamQuotes
		}
		if _, err := w.log.Read(t.Context(), stream, subject); err == nil {
			t.Errorf("the probe %s took hold", subject)
		}
	}
}

func TestDriftIsFoundByDoctorAndDeclare(t *testing.T) {
	w := newWorld(t)
	js := w.log.JetStream()
	stream, err := js.Stream(t.Context(), event.StreamStripe)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxAge = 30 * 24 * time.Hour
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		t.Fatal(err)
	}
	changed := consumer.CachedInfo().Config
	changed.MaxDeliver = 5
	if _, err := js.UpdateConsumer(t.Context(), event.StreamQuotes, changed); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), event.StreamQuotes, natsstream.DurablePlanner); err != nil {
		t.Fatal(err)
	}
	by := w.examine(3)
	for _, text := range []string{"STRIPE: forgets messages after 720h", "consumer notifier of QUOTES: max deliver is 5, want -1", "consumer planner of QUOTES is missing"} {
		want(t, by, "streams and consumers", doctor.Fail, text)
		w.run("declare", "--check").want(t, 3, text, "next: quotectl declare")
	}
	w.run("declare", "--reason", "put it back").want(t, 0)
	want(t, w.examine(0), "streams and consumers", doctor.OK, "schema")
}

func TestRedisThatEvictsIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.redis.ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	want(t, w.examine(3), "redis policy", doctor.Fail, "allkeys-lru")
	w.settings["REDIS_URL"] = "redis://127.0.0.1:1/0"
	want(t, w.examine(3), "redis", doctor.Fail, "REDIS_URL")
}

func TestAnUnusedSecretIsSafeToRemove(t *testing.T) {
	w := newWorld(t)
	w.settings["STRIPE_WEBHOOK_SECRETS"] = "new=whsec_a,old=whsec_b,spare=whsec_c"
	put := func(id, secret, source string, ago time.Duration) {
		t.Helper()
		s := event.StripeSubject{Mode: "test", Account: event.Platform, EventID: id, Type: "charge.succeeded"}
		_, err := w.log.Fact(t.Context(), natsstream.Message{Subject: s.String(), ID: id, Data: []byte(`{}`), Header: nats.Header{
			event.HeaderSource: {source}, event.HeaderSecretName: {secret}, event.HeaderAPIVersion: {"2022-11-15"}, event.HeaderReceivedAt: {time.Now().Add(-ago).UTC().Format(time.RFC3339Nano)},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("evt_1A", "old", event.SourceWebhook, 100*time.Hour)
	put("evt_1B", "reconcile", event.SourceReconcile, 100*time.Hour)
	put("evt_1C", "new", event.SourceWebhook, 50*time.Hour)
	by := w.examine(0)
	want(t, by, "secret old", doctor.OK, "verified 1 of the last 3 events") // Stripe may still repeat what it signed with it
	want(t, by, "api version", doctor.Warn, "2022-11-15 in 3 of the last 3 events: older than 2023-10-16")
	put("evt_1D", "new", event.SourceWebhook, time.Hour)
	by = w.examine(0)
	want(t, by, "secret old", doctor.Warn, "safe to remove")
	want(t, by, "secret new", doctor.OK, "verified 2 of the last 4 events")
	want(t, by, "secret reconcile", doctor.OK, "(reconcile)")
	want(t, by, "secret spare", doctor.OK, "verified none of the last 4 events")
	if text := fmt.Sprint(by); strings.Contains(text, "whsec_") {
		t.Errorf("a secret is printed: %s", text)
	}
}

func TestEndpointsAtStripeAreCompared(t *testing.T) {
	w := newWorld(t)
	var endpoints []map[string]any
	code := http.StatusOK
	w.settings["STRIPE_API_KEY"], w.settings["STRIPE_API_BASE"] = "sk_test_doctor", w.serve(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case code != http.StatusOK:
			w.answer(rw, code, map[string]any{"error": map[string]string{"type": "invalid_request_error", "message": "no"}})
		case r.URL.Path == "/v1/webhook_endpoints":
			w.answer(rw, http.StatusOK, map[string]any{"object": "list", "data": endpoints, "has_more": false})
		}
	})
	endpoint := func(url, status string, types ...string) map[string]any {
		return map[string]any{"id": "we_1", "object": "webhook_endpoint", "url": url, "status": status, "api_version": "2023-10-16", "enabled_events": types}
	}
	with := func(e map[string]any, field string, v any) map[string]any { e[field] = v; return e }
	ours := "https://pay.example.com/webhooks/stripe"
	own, connect := stripeevent.AccountEndpointTypes(), stripeevent.ConnectEndpointTypes()
	for _, c := range []struct {
		name      string
		endpoints []map[string]any
		check     string
		status    doctor.Status
		text      string
	}{
		{"as it should be", []map[string]any{endpoint(ours, "enabled", own...)}, "stripe endpoint", doctor.OK, "API version 2023-10-16"},
		{"all types", []map[string]any{endpoint(ours, "enabled", "*")}, "stripe endpoint", doctor.OK, "all types"},
		{"disabled", []map[string]any{endpoint(ours, "disabled", "*")}, "stripe endpoint", doctor.Fail, "reconcile repair"},
		{"a type missing", []map[string]any{endpoint(ours, "enabled", own[1:]...)}, "stripe endpoint", doctor.Fail, "lacks " + own[0]},
		{"another address", []map[string]any{endpoint("https://other.example.com/hook", "enabled", "*")}, "stripe endpoint", doctor.Fail, "none of the 1 endpoints"},
		{"of the account's version", []map[string]any{with(endpoint(ours, "enabled", own...), "api_version", nil)}, "stripe endpoint", doctor.OK, "the account's API version"},
		{"basil", []map[string]any{with(endpoint(ours, "enabled", own...), "api_version", "2025-03-31.basil")}, "stripe endpoint", doctor.OK, "2025-03-31.basil"},
		{"too old", []map[string]any{with(endpoint(ours, "enabled", own...), "api_version", "2022-11-15")}, "stripe endpoint", doctor.Warn, "older than 2023-10-16"},
		{"not heard of", []map[string]any{with(endpoint(ours, "enabled", own...), "api_version", "2031-01-01.elm")}, "stripe endpoint", doctor.Warn, "newer than 2026-08-26.dahlia"},
		{"for connected accounts", []map[string]any{endpoint(ours, "enabled", own...), with(endpoint(ours, "enabled", connect...), "application", "ca_1")}, "connect endpoint", doctor.OK, "types"},
		{"of those one type missing", []map[string]any{endpoint(ours, "enabled", own...), with(endpoint(ours, "enabled", own...), "application", "ca_1")}, "connect endpoint", doctor.Fail, "lacks account.application.deauthorized"},
		{"of those the version", []map[string]any{endpoint(ours, "enabled", own...), with(endpoint(ours, "enabled", connect...), "api_version", "2020-08-27")}, "connect endpoint", doctor.Warn, "older than"},
		{"for those alone", []map[string]any{endpoint(ours, "enabled", connect...)}, "stripe endpoint", doctor.Warn, "none is for events of the deployment's own account"},
	} {
		endpoints = c.endpoints
		t.Log(c.name)
		want(t, w.examine(map[doctor.Status]int{doctor.OK: 0, doctor.Warn: 0, doctor.Fail: 3}[c.status]), c.check, c.status, c.text)
	}
	if by := w.examine(0); by["connect endpoint"][0].Status != doctor.OK {
		t.Errorf("connect endpoint = %+v", by["connect endpoint"])
	}

	// Once a seller has connected an account, its events need an endpoint.
	w.connect("acct_1Shop", 1)
	endpoints = []map[string]any{endpoint(ours, "enabled", own...)}
	want(t, w.examine(3), "connect endpoint", doctor.Fail, "1 accounts are connected, and none")
	endpoints = []map[string]any{endpoint(ours, "enabled", "*")}
	want(t, w.examine(0), "connect endpoint", doctor.Warn, "no endpoint at Stripe says")
	endpoints = append(endpoints, with(endpoint(ours, "disabled", connect...), "application", "ca_1"))
	want(t, w.examine(3), "connect endpoint", doctor.Fail, "it is disabled")
	code = http.StatusUnauthorized
	want(t, w.examine(3), "stripe key", doctor.Fail, "does not know the key")
	code = http.StatusForbidden
	want(t, w.examine(0), "stripe endpoints", doctor.NotChecked, "the key may not read them")
}

func TestServicesAndTheirVersionsAreTold(t *testing.T) {
	w := newWorld(t)
	ready := true
	for setting, version := range map[string]string{"INGRESS_ADMIN_URL": "aaa", "PAYMENTS_URL": "aaa", "NOTIFIER_URL": "bbb"} {
		w.settings[setting] = w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/metrics":
				fmt.Fprintf(rw, "quittance_build_info{go=\"go1.26\",version=%q} 1\nquittance_webhooks_refused_total{reason=\"future\"} 3\n", version)
			case !ready:
				w.answer(rw, http.StatusServiceUnavailable, map[string]string{"reason": "redis is away"})
			}
		})
	}
	by := w.examine(0)
	want(t, by, "service payments", doctor.OK, "ready, aaa")
	want(t, by, "versions", doctor.Warn, "aaa (ingress, payments), bbb (notifier)")
	want(t, by, "signatures", doctor.Warn, "3 failed since ingress started: future (genuine and dated ahead: this machine's clock is behind)")
	ready = false
	want(t, w.examine(3), "service payments", doctor.Fail, "redis is away")
	w.settings["PAYMENTS_URL"] = "http://127.0.0.1:1"
	want(t, w.examine(3), "service payments", doctor.Fail, "runbooks/service-down.md")
}

// relay answers in the notifier's place.
func TestTheRelayIsTriedByTheNotifier(t *testing.T) {
	w := newWorld(t)
	answer := `{"relay":"mail.example:587, encryption starttls"}`
	sub, err := w.nc.Subscribe(doctor.SubjectRelay, func(m *nats.Msg) { _ = m.Respond([]byte(answer)) })
	if err == nil {
		err = w.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	want(t, w.examine(0), "mail relay", doctor.OK, "mail.example:587")
	answer = `{"relay":"mail.example:587","error":"dial: x509: certificate has expired"}`
	want(t, w.examine(3), "mail relay", doctor.Fail, "certificate has expired")
}

func TestTheTokenIsTriedAtQuotes(t *testing.T) {
	w := newWorld(t)
	want(t, w.examine(0), "api token", doctor.OK, "quotes takes it, and answers nobody without one")
	w.settings["API_TOKEN"] = "another"
	by := w.examine(3)
	want(t, by, "api token", doctor.Fail, "quotes does not take it: 401")
	if strings.Contains(fmt.Sprint(by), "another") {
		t.Errorf("the token is shown: %v", by["api token"])
	}
	delete(w.settings, "API_TOKEN")
	want(t, w.examine(0), "api token", doctor.NotChecked, "API_TOKEN is not set")
	w.settings["QUOTES_URL"] = w.serve(func(http.ResponseWriter, *http.Request) {}) // 200 to everybody
	want(t, w.examine(3), "api token", doctor.Fail, "answers without a token")
	w.settings["QUOTES_URL"] = "http://127.0.0.1:1"
	want(t, w.examine(0), "api token", doctor.NotChecked, "ask quotes")
}

// Which files hold secrets is known from the settings that name them, in the environment or in the file of settings itself.
func TestTheModesOfSecretFilesAreLookedAt(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	delete(w.settings, "API_TOKEN")
	w.settings["API_TOKEN_FILE"] = file("api_token", token, 0o400)
	w.settings["QUITTANCE_ENV_FILE"] = file("client.env", "X=y\n", 0o600)
	want(t, w.examine(0), "secret files", doctor.OK, "2 looked at")
	file("client.env", "X=y\n", 0o644)
	want(t, w.examine(0), "secret files", doctor.Warn, "client.env (client.env) has mode 0644")
}

func TestClocksAreCompared(t *testing.T) {
	w := newWorld(t)
	for off, status := range map[time.Duration]doctor.Status{0: doctor.OK, 10 * time.Second: doctor.Warn, -10 * time.Minute: doctor.Fail} {
		patient := doctor.Patient{Now: func() time.Time { return time.Now().Add(off) }, Log: w.log, Redis: w.redis}
		by := map[string][]doctor.Result{}
		for _, r := range patient.Examine(t.Context()) {
			by[r.Check] = append(by[r.Check], r)
		}
		for _, clock := range []string{"clock of nats", "clock of redis"} {
			want(t, by, clock, status, "away from this machine's clock")
		}
	}
}
