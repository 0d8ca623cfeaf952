package ingress_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/testsize"
	"quittance.internal/services/ingress"
)

// R54, R55
func TestA200MeansThatTheRawBodyIsStored(t *testing.T) {
	r := start(t)
	body := append([]byte(" \n"), eventBody("evt_1", "checkout.session.completed")...)
	r.wantPost(body, ingress.Stored)
	record := r.wantStored("stripe.test.platform.evt_1.checkout.session.completed", body)
	sum := sha256.Sum256(body)
	sha := hex.EncodeToString(sum[:])
	for name, want := range map[string]string{
		event.HeaderSecretName: "main", event.HeaderSource: event.SourceWebhook, event.HeaderAPIVersion: "2023-10-16",
		event.HeaderBodySHA256: sha, event.HeaderTraceParent: "00-" + sha[:32] + "-" + sha[32:48] + "-00", "Nats-Msg-Id": "evt_1",
	} {
		if got := record.Header.Get(name); got != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	at, err := time.Parse(time.RFC3339Nano, record.Header.Get(event.HeaderReceivedAt))
	if err != nil || at.Location() != time.UTC || time.Since(at) > time.Minute {
		t.Errorf("header %s = %q, want now in UTC", event.HeaderReceivedAt, record.Header.Get(event.HeaderReceivedAt))
	}
	lines := r.lines("webhook stored") // R74
	if len(lines) != 1 || lines[0]["event_id"] != "evt_1" || lines[0]["stream_sequence"] != 1.0 || lines[0]["trace_id"] != sha[:32] {
		t.Errorf("log lines = %v, want one with the event's id, sequence and trace", lines)
	}
	r.wantMetric(`quittance_webhooks_received_total{outcome="stored"}`, "1") // R75
	r.wantMetric("quittance_webhooks_publish_seconds_count", "1")
	r.wantMetric("quittance_webhooks_in_flight", "0")
}

// R54, R57: nothing genuine is refused for what it is.
func TestUnknownTypesVersionsAndMediaTypesAreStored(t *testing.T) {
	r := start(t)
	for n, c := range []struct{ body, subject, version string }{
		{`{"id":"evt_a","type":"some.future_thing.happened","livemode":false,"api_version":"2031-01-01.kelp"}`, "stripe.test.platform.evt_a.some.future_thing.happened", "2031-01-01.kelp"},
		{`{"id":"evt_b","type":"charge.succeeded","livemode":true,"account":"acct_1"}`, "stripe.live.acct_1.evt_b.charge.succeeded", ""},
		{`{"id":"evt_c","type":"ping","livemode":true,"account":null,"api_version":null}`, "stripe.live.platform.evt_c.ping", ""},
		{`{"id":"evt_d","type":"v1.billing.meter.error","livemode":false,"object":"v2.core.event","created":"2026-01-01T00:00:00Z"}`, "stripe.test.platform.evt_d.v1.billing.meter.error", ""},
		{`{"id":"evt_e","type":"ping","livemode":false,"api_version":"bad\r\nversion"}`, "stripe.test.platform.evt_e.ping", ""},
	} {
		req := r.request([]byte(c.body))
		req.Header.Set("Content-Type", []string{"application/json", "text/plain", "", "application/octet-stream", "x"}[n])
		if got := r.do(req); got.status != http.StatusOK || got.code != "stored" {
			t.Errorf("POST %s = %+v, want 200 stored", c.body, got)
		}
		if got := r.wantStored(c.subject, []byte(c.body)).Header.Get(event.HeaderAPIVersion); got != c.version {
			t.Errorf("header %s of %s = %q, want %q", event.HeaderAPIVersion, c.body, got, c.version)
		}
	}
}

func TestASignedRequestMayNameItsSource(t *testing.T) {
	r := start(t)
	for n, c := range []struct{ label, want string }{
		{"simulate", "simulate"},
		{"reconcile", "reconcile"},
		{"return", "return"},
		{"webhook", "webhook"},
		{"operator", "webhook"},
		{"", "webhook"},
	} {
		id := fmt.Sprintf("evt_%d", n)
		req := r.request(eventBody(id, "charge.succeeded"))
		req.Header.Set(ingress.SourceHeader, c.label)
		r.do(req)
		if got := r.wantStored("stripe.test.platform."+id+".charge.succeeded", eventBody(id, "charge.succeeded")).Header.Get(event.HeaderSource); got != c.want {
			t.Errorf("Source of a request labelled %q = %q, want %q", c.label, got, c.want)
		}
	}
}

// unsized hides a reader's length, so that the client sends it chunked.
type unsized struct{ io.Reader }

// R56, R57; rows 34, 35, 37, 38 of the fault matrix.
func TestBadRequestsAreRefusedWithTheirReasonAndNotStored(t *testing.T) {
	r := start(t)
	body := eventBody("evt_1", "charge.succeeded")
	signature := func(header string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set("Stripe-Signature", header) }
	}
	v1 := digest(time.Now(), body, mainKey)
	cases := []struct {
		name   string
		alter  func(*http.Request)
		status int
		reason ingress.Reason
	}{
		{"no signature", func(req *http.Request) { req.Header.Del("Stripe-Signature") }, 400, ingress.MissingSignature},
		{"empty signature", signature(""), 400, ingress.MissingSignature},
		{"10 KB signature", signature(strings.Repeat(canary, 1700)), 400, ingress.MalformedSignature},
		{"20 KB signature", signature(strings.Repeat(canary, 3400)), 400, ingress.MalformedSignature},
		{"two signature headers", func(req *http.Request) {
			req.Header.Add("Stripe-Signature", req.Header.Get("Stripe-Signature"))
		}, 400, ingress.MalformedSignature},
		{"old", signature(sign(time.Now().Add(-time.Hour), body, mainKey)), 400, ingress.Stale},
		{"old and forged", signature(sign(time.Now().Add(-time.Hour), body, "whsec_x")), 400, ingress.NoMatchingSignature},
		{"future", signature(sign(time.Now().Add(time.Hour), body, mainKey)), 400, ingress.Future},
		{"other secret", signature(sign(time.Now(), body, "whsec_x")), 400, ingress.NoMatchingSignature},
		{"v0 only", signature(fmt.Sprintf("t=%d,v0=%s", time.Now().Unix(), v1)), 400, ingress.NoMatchingSignature},
		{"altered body", func(req *http.Request) {
			req.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("10000"), []byte("10001"), 1)))
		}, 400, ingress.NoMatchingSignature},
		{"empty body", func(req *http.Request) { req.Body, req.ContentLength = http.NoBody, 0 }, 400, ingress.NoMatchingSignature},
		{"2 MiB", func(req *http.Request) {
			req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 2<<20))), 2<<20
		}, 413, ingress.TooLarge},
		{"2 MiB without a length", func(req *http.Request) {
			req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 2<<20))), -1
		}, 413, ingress.TooLarge},
		{"one byte too many", func(req *http.Request) {
			req.Body, req.ContentLength = io.NopCloser(unsized{bytes.NewReader(make([]byte, ingress.MaxBody+1))}), -1
		}, 413, ingress.TooLarge},
		{"gzip", func(req *http.Request) { req.Header.Set("Content-Encoding", "gzip") }, 415, ingress.UnsupportedEncoding},
		{"br", func(req *http.Request) { req.Header.Set("Content-Encoding", "br") }, 415, ingress.UnsupportedEncoding},
		{"zstd behind identity", func(req *http.Request) {
			req.Header["Content-Encoding"] = []string{"identity", "zstd"}
		}, 415, ingress.UnsupportedEncoding},
		{"GET", func(req *http.Request) { req.Method = http.MethodGet }, 405, ingress.MethodNotAllowed},
		{"PUT", func(req *http.Request) { req.Method = http.MethodPut }, 405, ingress.MethodNotAllowed},
		{"other path", func(req *http.Request) { req.URL.Path = "/webhooks/" + canary }, 404, ingress.NotFound},
		{"path below", func(req *http.Request) { req.URL.Path = ingress.WebhookPath + "/" }, 404, ingress.NotFound},
		{"root", func(req *http.Request) { req.URL.Path = "/" }, 404, ingress.NotFound},
	}
	want := map[ingress.Reason]int{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req := r.request(body)
			c.alter(req)
			got := r.do(req)
			if got.status != c.status || got.code != string(c.reason) {
				t.Errorf("answer = %d %s, want %d %s", got.status, got.code, c.status, c.reason)
			}
			if c.status == http.StatusMethodNotAllowed && got.header.Get("Allow") != http.MethodPost {
				t.Errorf("Allow = %q, want POST", got.header.Get("Allow"))
			}
		})
		want[c.reason]++
	}
	r.wantCount(0)
	for reason, n := range want {
		r.wantMetric(fmt.Sprintf("quittance_webhooks_refused_total{reason=%q}", reason), fmt.Sprint(n))
	}
	for _, reason := range ingress.Reasons() { // when it was last, or 0
		if got := r.metric(fmt.Sprintf("quittance_webhooks_refused_last_timestamp_seconds{reason=%q}", reason)); (got != "0") != (want[reason] > 0) {
			t.Errorf("%s was refused %d times, last at %q", reason, want[reason], got)
		}
	}
	r.wantMetric("quittance_webhooks_verified_last_timestamp_seconds", "0")
	r.wantMetric(`quittance_webhooks_received_total{outcome="refused"}`, fmt.Sprint(len(cases)))
	if alarms := r.lines("webhook refused: valid signature, bad time; check the clocks"); len(alarms) != 2 { // row 41
		t.Errorf("%d clock alarms, want 2: the two genuine signatures with a bad time", len(alarms))
	}
}

func TestGoodRequestsInUnusualFormAreTaken(t *testing.T) {
	r := start(t)
	now := time.Now()
	for n, alter := range []func(req *http.Request, body []byte){
		func(req *http.Request, body []byte) { req.Header.Set("Stripe-Signature", sign(now, body, otherKey)) },
		func(req *http.Request, body []byte) {
			req.Header.Set("Stripe-Signature", fmt.Sprintf("v1=%s,v0=x,t=%d", digest(now, body, mainKey), now.Unix()))
		},
		func(req *http.Request, body []byte) {
			req.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s,v1=%s", now.Unix(), strings.Repeat("0", 64), digest(now, body, mainKey)))
		},
		func(req *http.Request, body []byte) {
			req.Body, req.ContentLength = io.NopCloser(unsized{bytes.NewReader(body)}), -1
		},
		func(req *http.Request, _ []byte) { req.Header.Set("Content-Encoding", "Identity") },
		func(req *http.Request, _ []byte) { req.Header.Set("Expect", "100-continue") },
	} {
		body := eventBody(fmt.Sprintf("evt_%d", n), "charge.succeeded")
		req := r.request(body)
		alter(req, body)
		if got := r.do(req); got.status != http.StatusOK || got.code != "stored" {
			t.Errorf("request %d = %+v, want 200 stored", n, got)
		}
	}
	largest := eventBody("evt_large", "charge.succeeded")
	largest = append(largest, bytes.Repeat([]byte(" "), ingress.MaxBody-len(largest))...)
	r.wantPost(largest, ingress.Stored)
	r.wantStored("stripe.test.platform.evt_large.charge.succeeded", largest)
}

// Row 35, 36: signed, and yet not addressable. Refusing it would make Stripe repeat it for three days.
func TestSignedButUnreadableBodiesAreStoredAside(t *testing.T) {
	r := start(t)
	deep := strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	bodies := []string{
		"", "null", "{}", "[]", `"evt_1"`, "{", `{"id":"evt_1"`, deep, strings.Repeat("[", 300_000),
		`{"type":"charge.succeeded","livemode":false}`,
		`{"id":"evt_1","livemode":false}`,
		`{"id":"evt_1","type":"charge.succeeded"}`,
		`{"id":7,"type":"charge.succeeded","livemode":false}`,
		`{"id":"evt_1","type":"charge.succeeded","livemode":"false"}`,
		`{"id":"evt_1","id":null,"type":"charge.succeeded","livemode":false}`,
		`{"id":"evt_1","type":"charge.succeeded","livemode":false} {}`,
		`{"id":"evt_1","type":"charge.succeeded","livemode":false}` + "\x00",
		`{"id":"evt_1","type":"charge.succeeded","livemode":false,"account":"platform"}`,
		`{"id":"evt_1","type":"charge.succeeded","livemode":false,"account":7}`,
		`{"ID":"evt_1","Type":"charge.succeeded","livemode":false}`,
	}
	for _, odd := range []string{"a.b", "*", ">", "a b", "a\\r\\nb", "", "a\\u0000", "é", strings.Repeat("a", 129)} {
		bodies = append(bodies,
			`{"id":"`+odd+`","type":"charge.succeeded","livemode":false}`,
			`{"id":"evt_1","type":"charge.succeeded","livemode":false,"account":"`+odd+`"}`)
		if odd != "a.b" {
			bodies = append(bodies, `{"id":"evt_1","type":"`+odd+`","livemode":false}`)
		}
	}
	for _, typ := range []string{".a", "a.", "a..b"} {
		bodies = append(bodies, `{"id":"evt_1","type":"`+typ+`","livemode":false}`)
	}
	for _, body := range bodies {
		r.wantPost([]byte(body), ingress.Unreadable)
		sum := sha256.Sum256([]byte(body))
		r.wantStored("stripe.unreadable."+hex.EncodeToString(sum[:]), []byte(body))
		r.wantPost([]byte(body), ingress.Duplicate)
	}
	r.wantCount(uint64(len(bodies)))
	r.wantMetric(`quittance_webhooks_received_total{outcome="unreadable"}`, fmt.Sprint(len(bodies)))
	if lines := r.lines("webhook stored aside"); len(lines) != len(bodies) || lines[0]["level"] != "error" {
		t.Errorf("%d alerts, want one for each of %d bodies", len(lines), len(bodies))
	}
}

// Message ids of bodies set aside cannot be those of events.
func TestAnEventCannotPassForABodySetAside(t *testing.T) {
	r := start(t)
	r.wantPost([]byte("{}"), ingress.Unreadable)
	sum := sha256.Sum256([]byte("{}"))
	r.wantPost(eventBody(hex.EncodeToString(sum[:]), "charge.succeeded"), ingress.Stored)
}

func TestOfADuplicateKeyTheLastCounts(t *testing.T) {
	r := start(t)
	body := []byte(`{"id":"evt_0","type":"a","id":"evt_1","livemode":true,"type":"charge.succeeded","livemode":false}`)
	r.wantPost(body, ingress.Stored)
	r.wantStored("stripe.test.platform.evt_1.charge.succeeded", body)
}

// raw opens a connection and writes the beginning of a request to it.
func (r *rig) raw(head string) net.Conn {
	r.tb.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(r.tb.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, head); err != nil {
		r.tb.Fatal(err)
	}
	return conn
}

// R57: the security table's slow bodies.
func TestASlowClientIsCutOffAndDisturbsNobody(t *testing.T) {
	cutOff, slowClients := 8*time.Second, testsize.Of(t, 300, 5_000, 5_000)
	if slowClients > 1000 {
		cutOff = time.Minute // opening them takes long, and those that were first must still be there
	}
	r := start(t, func(c *ingress.Config) { c.ReadTimeout = cutOff })
	head := "POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: 4000\r\n\r\n{"
	var slow []net.Conn
	for range slowClients {
		slow = append(slow, r.raw(head))
	}
	good := make([]time.Duration, testsize.Of(t, 50, 1_000, 1_000))
	for n := range good {
		began := time.Now()
		r.wantPost(eventBody(fmt.Sprintf("evt_%d", n), "charge.succeeded"), ingress.Stored)
		took := time.Since(began)
		if good[n] = took; took >= cutOff { // as long as one that waits for a slow one to be cut off
			t.Errorf("a good request took %v beside %d slow ones", took, slowClients)
		}
	}
	slices.Sort(good)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("beside %d slow clients %d good requests took %v in the middle, %v at the 99th percentile; clients and server hold %d MiB",
		slowClients, len(good), good[len(good)/2], good[len(good)*99/100], memory.Sys>>20)
	for _, conn := range slow {
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("a slow client got no answer: %v", err)
		}
		if got := r.read(res); got.status != http.StatusRequestTimeout || got.code != "incomplete_body" || !res.Close {
			t.Errorf("a slow client got %d %s, want 408 incomplete_body and the end of the connection", got.status, got.code)
		}
	}
}

func TestABodyAnnouncedTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	r := start(t)
	conn := r.raw("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=00\r\nContent-Length: 2097152\r\n\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.read(res); got.status != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("answer = %+v, want 413 and the end of the connection", got)
	}
}

func TestABrokenBodyIsNotStored(t *testing.T) {
	r := start(t)
	conn := r.raw("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=00\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + canary)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.read(res); got.status != http.StatusRequestTimeout || got.code != "incomplete_body" {
		t.Errorf("answer = %+v, want 408 incomplete_body", got)
	}
	r.wantCount(0)
}

func TestHeadersBeyondTheLimitAreRefused(t *testing.T) {
	r := start(t)
	conn := r.raw("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX-Filler: " + strings.Repeat("a", 40<<10) + "\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answer = %d, want 431", res.StatusCode)
	}
}

// What our own senders sign with our own secrets says nothing of Stripe's.
func TestOnlyAWebhookOfStripesIsTheLastGoodOne(t *testing.T) {
	noon := time.Now().Truncate(time.Second)
	r := start(t, func(c *ingress.Config) { c.Now = func() time.Time { return noon } })
	own := r.request(eventBody("evt_1", "charge.succeeded"))
	own.Header.Set(ingress.SourceHeader, event.SourceReconcile)
	if got := r.do(own); got.status != http.StatusOK {
		t.Fatalf("answer = %d %s", got.status, got.code)
	}
	r.wantMetric("quittance_webhooks_verified_last_timestamp_seconds", "0")
	r.wantPost(eventBody("evt_2", "charge.succeeded"), ingress.Stored)
	if got, err := strconv.ParseFloat(r.metric("quittance_webhooks_verified_last_timestamp_seconds"), 64); err != nil || int64(got) != noon.Unix() {
		t.Errorf("the last good webhook was at %v, %v; want %d", got, err, noon.Unix())
	}
}
