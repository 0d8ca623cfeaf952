package quotes_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/libs/platform/natsstream"
)

func TestOnlyAKnownTokenOfTheRightRoleGetsIn(t *testing.T) {
	f := start(t)
	id := f.create(t)
	for _, tt := range []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", "/v1/quotes/" + id, "", 401},
		{"GET", "/v1/quotes/" + id, "Bearer", 401},
		{"GET", "/v1/quotes/" + id, "Bearer ", 401},
		{"GET", "/v1/quotes/" + id, "Bearer x", 401},
		{"GET", "/v1/quotes/" + id, "Bearer " + sellerToken + "x", 401},
		{"GET", "/v1/quotes/" + id, "Basic " + sellerToken, 401},
		{"POST", "/v1/quotes", "Bearer x", 401},
		{"GET", "/v1/quotes/" + id, "bearer " + sellerToken, 200},
		{"GET", "/v1/quotes/" + id, "Bearer " + viewerToken, 200},
		{"GET", "/v1/quotes/" + id, "Bearer " + adminToken, 200},
		{"GET", "/v1/quotes/" + id + "/card", "Bearer operator-token-012345678", 200},
		{"POST", "/v1/quotes", "Bearer " + viewerToken, 403},
		{"PATCH", "/v1/quotes/" + id, "Bearer " + viewerToken, 403},
		{"POST", "/v1/quotes/" + id + "/publish", "Bearer operator-token-012345678", 403},
		{"POST", "/v1/quotes/" + id + "/recall", "Bearer " + viewerToken, 403},
		// Another seller's quote does not exist for him.
		{"GET", "/v1/quotes/" + id, "Bearer " + strangeToken, 404},
		{"GET", "/v1/quotes/" + id + "/card", "Bearer " + strangeToken, 404},
		{"POST", "/v1/quotes/" + id + "/publish", "Bearer " + strangeToken, 404},
		{"POST", "/v1/quotes/" + id + "/recall", "Bearer " + strangeToken, 404},
		{"POST", "/v1/quotes/" + id + "/publish", "Bearer " + adminToken, 200},
	} {
		got := f.call(t, tt.method, tt.path, "", "Authorization", tt.authorization)
		if got.status != tt.status {
			t.Errorf("%s %s with %q = %d, want %d: %s", tt.method, tt.path, tt.authorization, got.status, tt.status, got.body)
		}
		if challenge := got.header.Get("WWW-Authenticate"); (got.status == 401) != strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("%s %s = %d with challenge %q", tt.method, tt.path, got.status, challenge)
		}
	}
}

func TestWhatIsNotThereIsAProblemDocument(t *testing.T) {
	f := start(t)
	for _, tt := range []struct {
		method, path, kind, allow string
		status                    int
	}{
		{"GET", "/nothing", "not-found", "", 404},
		{"GET", "/v2/quotes", "not-found", "", 404},
		{"GET", "/v1/quotes/", "not-found", "", 404},
		{"POST", "/v1/quotes/q_1/pay", "not-found", "", 404},
		{"GET", "/v1/quotes/q_1", "not-found", "", 404},
		{"GET", "/v1/quotes/q_1/card", "not-found", "", 404},
		{"GET", "/v1/quotes/*", "not-found", "", 404},
		{"GET", "/v1/quotes/%3E", "not-found", "", 404},
		{"GET", "/v1/quotes/a.b", "not-found", "", 404},
		{"GET", "/v1/quotes/" + strings.Repeat("a", 200), "not-found", "", 404},
		{"POST", "/v1/quotes/q_1/publish", "not-found", "", 404},
		{"POST", "/v1/quotes/q_1/recall", "not-found", "", 404},
		{"DELETE", "/v1/quotes", "method-not-allowed", "GET, HEAD, POST", 405},
		{"PUT", "/v1/quotes/q_1", "method-not-allowed", "GET, HEAD, PATCH", 405},
		{"DELETE", "/v1/quotes/q_1", "method-not-allowed", "GET, HEAD, PATCH", 405},
		{"GET", "/v1/quotes/q_1/publish", "method-not-allowed", "POST", 405},
		{"GET", "/v1/quotes/q_1/recall", "method-not-allowed", "POST", 405},
		{"POST", "/v1/quotes/q_1/card", "method-not-allowed", "GET, HEAD", 405},
		{"POST", "/q/x", "method-not-allowed", "GET, HEAD", 405},
	} {
		got := f.call(t, tt.method, tt.path, "").problem(t, tt.status, tt.kind)
		if allow := got.header.Get("Allow"); allow != tt.allow {
			t.Errorf("%s %s allows %q, want %q", tt.method, tt.path, allow, tt.allow)
		}
	}
	f.call(t, "PATCH", "/v1/quotes/q_1", "{}", "If-Match", "*").problem(t, 404, "not-found")
}

// R19
func TestABadDocumentIsRefusedWithEveryReason(t *testing.T) {
	f := start(t)
	for body, want := range map[string][]string{
		`{`:    {"invalid_json"},
		`{}{}`: {"invalid_json"},
		`[]`:   {"wrong_type"},
		`null`: {"wrong_type"},
		`{"title":"T","price":5,"deal":{"id":"d"},"currency":"PLN","line_items":[{"name":"L","quantity":0,"unit_amount":-1}],
		  "owner":{"email":"o","time_zone":"Mars/Base"},"contact":{},"expires_at":"soon"}`: {
			"invalid_currency currency", "out_of_range line_items[0].quantity", "out_of_range line_items[0].unit_amount", "invalid_email owner.email",
			"invalid_time_zone owner.time_zone", "missing_field contact.email", "invalid_expires_at expires_at", "unknown_field price",
		},
	} {
		status, kind := 422, "invalid"
		if want[0] == "invalid_json" {
			status, kind = 400, "invalid-json"
		}
		got := f.call(t, "POST", "/v1/quotes", body).problem(t, status, kind).codes(t)
		if slices.Sort(got); !slices.Equal(got, sorted(want)) {
			t.Errorf("POST %s = %v, want %v", body, got, want)
		}
	}
	id := f.create(t)
	got := f.call(t, "PATCH", "/v1/quotes/"+id, `{"titel":"x","currency":null,"discount":{"amount":5}}`, "If-Match", `"1"`).problem(t, 422, "invalid").codes(t)
	if want := []string{"invalid_discount discount", "missing_field currency", "unknown_field titel"}; !slices.Equal(sorted(got), want) {
		t.Errorf("PATCH = %v, want %v", got, want)
	}
	for _, command := range []string{"publish", "recall"} {
		f.call(t, "POST", "/v1/quotes/"+id+"/"+command, `{"force":true}`).problem(t, 422, "invalid")
	}
	f.call(t, "POST", "/v1/quotes/"+id+"/publish", ` { } `).want(t, 200)
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestOnlyJSONOfBoundedSizeIsRead(t *testing.T) {
	f := start(t)
	id := f.create(t)
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/merge-patch+json", ";"} {
		f.call(t, "POST", "/v1/quotes", document, "Content-Type", contentType).problem(t, 415, "unsupported-media-type")
	}
	f.call(t, "POST", "/v1/quotes", document, "Content-Type", `application/json; charset="UTF-8"`).want(t, 201)
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"x"}`, "Content-Type", "application/merge-patch+json", "If-Match", "*").want(t, 200)
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"y"}`, "Content-Type", "application/json-patch+json", "If-Match", "*").problem(t, 415, "unsupported-media-type")

	huge := `{"title":"` + strings.Repeat("x", 128<<10) + `"}`
	f.call(t, "POST", "/v1/quotes", huge).problem(t, 413, "too-large")
	f.call(t, "PATCH", "/v1/quotes/"+id, huge, "If-Match", "*").problem(t, 413, "too-large")
	f.call(t, "POST", "/v1/quotes/"+id+"/publish", strings.Repeat(" ", 129<<10)).problem(t, 413, "too-large")
}

func TestAnEditNeedsTheNewestVersion(t *testing.T) {
	f := start(t)
	id := f.create(t)
	path, patch := "/v1/quotes/"+id, `{"title":"x"}`
	f.call(t, "PATCH", path, patch).problem(t, 428, "precondition-required")
	for _, tag := range []string{`"2"`, `"01"`, `1`, `W/"1"`, `""`} {
		f.call(t, "PATCH", path, patch, "If-Match", tag).problem(t, 412, "precondition-failed")
	}
	f.call(t, "PATCH", path, patch, "If-Match", `"7", "1"`).want(t, 200)
	f.call(t, "PATCH", path, `{"title":"y"}`, "If-Match", `"1"`).problem(t, 412, "precondition-failed")
	f.call(t, "POST", path+"/publish", "", "If-Match", `"1"`).problem(t, 412, "precondition-failed")

	same := f.call(t, "PATCH", path, patch, "If-Match", `"2"`).want(t, 200)
	if got := same.header.Get("ETag"); got != `"2"` {
		t.Errorf("an edit without a change has version %s, want \"2\"", got)
	}
	f.call(t, "POST", path+"/publish", "", "If-Match", `"2"`).want(t, 200)
}

func TestACreateMayBeRepeatedWithItsKey(t *testing.T) {
	f := start(t)
	first := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "order 77/1").want(t, 201)
	reordered := strings.Replace(strings.Replace(document, `"title":"Website",`, "", 1), `"currency":"pln",`, `"currency":"pln", "title":"Website",`, 1)
	for range 3 {
		again := f.call(t, "POST", "/v1/quotes", reordered, "Idempotency-Key", "order 77/1").want(t, 201)
		if string(again.body) != string(first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("again = %v %s\nwant %s", again.header, again.body, first.body)
		}
	}
	id := first.text(t, "id")
	if got := f.log(t, id); len(got) != 1 {
		t.Errorf("log = %v, want one event", got)
	}
	other := strings.Replace(document, "Website", "Webshop", 1)
	f.call(t, "POST", "/v1/quotes", other, "Idempotency-Key", "order 77/1").problem(t, 422, "idempotency-key-reused")
	if got := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "order 77/2").want(t, 201).text(t, "id"); got == id {
		t.Error("another key found the same quote")
	}
	if got := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "order 77/1", "Authorization", "Bearer "+strangeToken).want(t, 201).text(t, "id"); got == id {
		t.Error("another seller's key found the same quote")
	}
	if a, b := f.create(t), f.create(t); a == b {
		t.Error("two creates without a key made one quote")
	}
	for _, key := range []string{" ", strings.Repeat("k", 256), "ż"} {
		want := 400
		if key == " " { // the header's own space is trimmed: an empty key
			want = 400
		}
		if got := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", key); got.status != want {
			t.Errorf("key %q = %d, want %d", key, got.status, want)
		}
	}

	// After an edit the retry still finds its quote, as it is now.
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"New"}`, "If-Match", `"1"`).want(t, 200)
	if got := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "order 77/1").want(t, 201); got.text(t, "title") != "New" {
		t.Errorf("after an edit = %s", got.body)
	}
}

// R55 for commands: with DURABILITY=barrier the answer "it is done already" waits for a sync, too. Another instance has
// stored it, and may have been stopped before its own.
func TestARepeatedCommandIsAnsweredAfterASync(t *testing.T) {
	f := start(t)
	id := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "a").want(t, 201).text(t, "id")
	f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"starter"}`, as(adminToken)...).want(t, 200)
	var syncs atomic.Int64
	var broken atomic.Bool
	f.cfg.Durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: f.nats.StoreDir(), Sync: func() error {
		syncs.Add(1)
		if broken.Load() {
			return errors.New("input/output error")
		}
		return nil
	}}
	f.run(t)
	f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "a").want(t, 201)
	if syncs.Load() == 0 {
		t.Error("answered without a sync")
	}
	broken.Store(true)
	f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "a").problem(t, 503, "unavailable")
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"Website"}`, "If-Match", "*").problem(t, 503, "unavailable")
	f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"starter"}`, as(adminToken)...).problem(t, 503, "unavailable")
}

func TestPublishAndRecallMayBeRepeated(t *testing.T) {
	f := start(t)
	id := f.create(t)
	path := "/v1/quotes/" + id
	first := f.call(t, "POST", path+"/publish", "", "Idempotency-Key", "p1").want(t, 200)
	for _, headers := range [][]string{nil, {"Idempotency-Key", "p1"}, {"Idempotency-Key", "p2"}} {
		again := f.call(t, "POST", path+"/publish", "", headers...).want(t, 200)
		if string(again.body) != string(first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("publish again with %v = %s, want %s", headers, again.body, first.body)
		}
	}
	recalled := f.call(t, "POST", path+"/recall", "", "Idempotency-Key", "r1").want(t, 200)
	f.clock.move(time.Hour)
	if again := f.call(t, "POST", path+"/recall", "").want(t, 200); string(again.body) != string(recalled.body) {
		t.Errorf("recall again = %s, want %s", again.body, recalled.body)
	}
	// Late retries of what was undone since change nothing.
	if late := f.call(t, "POST", path+"/publish", "", "Idempotency-Key", "p1").want(t, 200); string(late.body) != string(first.body) {
		t.Errorf("late publish = %s, want %s", late.body, first.body)
	}
	f.call(t, "POST", path+"/publish", "", "Idempotency-Key", "p3").want(t, 200)
	f.call(t, "POST", path+"/recall", "", "Idempotency-Key", "r1").want(t, 200)
	if got := f.call(t, "GET", path, "").text(t, "status"); got != "published" {
		t.Errorf("status = %s, want published", got)
	}
	if got := len(f.log(t, id)); got != 4 {
		t.Errorf("log = %v, want 4 events", f.log(t, id))
	}
	f.call(t, "POST", "/v1/quotes/"+f.create(t)+"/recall", "").problem(t, 409, "conflict")
}

// R44
func TestAQuoteThatHasExpiredIsNotPublished(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.publish(t, id)
	f.clock.move(60 * 24 * time.Hour)
	if got := f.call(t, "GET", "/v1/quotes/"+id, "").text(t, "status"); got != "expired" {
		t.Errorf("status = %s, want expired", got)
	}
	refused := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, 422, "invalid")
	if got := fmt.Sprint(refused.codes(t)); got != "[expires_at_past expires_at]" {
		t.Errorf("reasons = %s", got)
	}
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"expires_at":"2027-06-30"}`, "If-Match", `"1"`).want(t, 200)
	if got := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, 200); got.field(t, "revision") != 2.0 {
		t.Errorf("published = %s", got.body)
	}
}

// R74: neither tokens nor people are in the log, and there is one line a request.
func TestARequestLeavesOneLineWithoutPeople(t *testing.T) {
	f := start(t)
	id := f.call(t, "POST", "/v1/quotes", document, "Idempotency-Key", "customer carl").want(t, 201).text(t, "id")
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"contact":{"email":"not an address"}}`, "If-Match", `"1"`).want(t, 422)
	token := f.publish(t, id)
	f.call(t, "GET", "/v1/quotes/"+id, "", "Authorization", "Bearer wrong-token").want(t, 401)
	f.call(t, "GET", "/q/"+token, "")
	f.call(t, "GET", "/v1/quotes/carl@customer.example", "").want(t, 404)

	var lines []string
	for _, entry := range f.logs.All() {
		line := entry.Message + " " + fmt.Sprint(entry.ContextMap())
		for _, secret := range []string{"carl", "olga", "Customer", sellerToken, "wrong-token", token, "not an address"} {
			if strings.Contains(line, secret) {
				t.Errorf("line %q has %q in it", line, secret)
			}
		}
		if entry.Message == "request" {
			m := entry.ContextMap()
			lines = append(lines, fmt.Sprint(m["method"], " ", m["route"], " ", m["status"], " ", m["quote_id"] == id, " ", m["result"], " ", len(fmt.Sprint(m["trace_id"]))))
		}
	}
	want := []string{
		"POST /v1/quotes 201 true created 32", "PATCH /v1/quotes/{id} 422 true <nil> 32", "POST /v1/quotes/{id}/publish 200 true published 32",
		"GET /v1/quotes/{id} 401 true <nil> 32", "GET /q/{token} 404 false <nil> 32", "GET /v1/quotes/{id} 404 false <nil> 32",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("lines =\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}

	res, err := http.Get("http://" + f.service.AdminAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`quittance_http_requests_total{method="POST",route="/v1/quotes",status="201"} 1`,
		`quittance_quote_commands_total{command="published",result="stored"} 1`,
		`quittance_quote_commands_total{command="edited",result="refused"} 1`,
	} {
		if !strings.Contains(string(b), line) {
			t.Errorf("metrics lack %s", line)
		}
	}
}
