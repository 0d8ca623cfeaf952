package quotes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/services/quotes"
)

// The tokens of every test.
const (
	sellerToken  = "seller-token-0123456789"
	viewerToken  = "viewer-token-0123456789"
	adminToken   = "admin-token-01234567890"
	strangeToken = "other-seller-0123456789"
	allTokens    = "sue:seller:" + sellerToken + ",vic:viewer:" + viewerToken + ",ann:admin:" + adminToken + ",oscar:operator:operator-token-012345678,otto:seller@other:" + strangeToken
)

// noon is the clock's first reading.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a running service over real servers.
type fixture struct {
	nats    *natstest.Server
	redis   *redistest.Server
	cfg     quotes.Config
	service *quotes.Service
	clock   *clock
	logs    *observer.ObservedLogs
	client  *http.Client
	stop    func()
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{nats: natstest.Start(t), redis: redistest.Start(t), clock: &clock{now: noon}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if err := f.redis.Client().Set(t.Context(), keys.Marker("0"), "1", 0).Err(); err != nil { // payments has been here
		t.Fatal(err)
	}
	list, err := signin.ParseTokens(allTokens)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg = quotes.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: f.nats.Config("quotes"), Redis: f.redis.Config(),
		Durability: natsstream.Durability{Mode: natsstream.DurabilityRelaxed}, Tokens: list, PublicURL: "https://quotes.example", Now: f.clock.Now,
		FollowEvery: 5 * time.Millisecond, PageRate: 1e4, // the clock stands, and so would what a client has left
	}
	f.run(t)
	return f
}

// run starts the service; another one with the same settings may run already.
func (f *fixture) run(t *testing.T) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	service, err := quotes.New(t.Context(), f.cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	f.service, f.logs = service, logs
	f.stop = sync.OnceFunc(func() {
		cancel()
		f.client.CloseIdleConnections() // else the server waits for those that were dialled and not used
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(f.stop)
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) field(t *testing.T, path string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("body %s: %v", a.body, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %s", path, a.body)
		}
		v = m[name]
	}
	return v
}

func (a answer) text(t *testing.T, path string) string {
	t.Helper()
	s, ok := a.field(t, path).(string)
	if !ok {
		t.Fatalf("%s of %s is no string", path, a.body)
	}
	return s
}

// codes lists "code field" of every reason.
func (a answer) codes(t *testing.T) []string {
	t.Helper()
	var p struct{ Reasons []quote.Reason }
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("body %s: %v", a.body, err)
	}
	var codes []string
	for _, r := range p.Reasons {
		codes = append(codes, strings.TrimSpace(r.Code+" "+r.Field))
	}
	return codes
}

// call makes a request as sue, the seller; headers come in pairs.
func (f *fixture) call(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := f.try(t.Context(), method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *fixture) try(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.service.Addr().String()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+sellerToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Del(headers[i]); headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := f.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, err
}

// want fails unless the answer has the status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// problem fails unless the answer is a problem document of the status and kind.
func (a answer) problem(t *testing.T, status int, kind string) answer {
	t.Helper()
	a.want(t, status)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q of %s, want a problem document", got, a.body)
	}
	if got := a.text(t, "type"); got != "urn:quittance:problem:"+kind {
		t.Errorf("type %q, want %s: %s", got, kind, a.body)
	}
	if got := a.field(t, "status"); got != float64(status) {
		t.Errorf("status in the document is %v, want %d", got, status)
	}
	return a
}

const document = `{"title":"Website","deal":{"id":"deal_42","name":"Relaunch"},"currency":"pln",
 "line_items":[{"name":"Design","quantity":2,"unit_amount":61725,"discount_amount":450},
  {"name":"Hosting","quantity":1,"unit_amount":9900,"recurring":{"interval":"month","interval_count":1}}],
 "discount":{"percent":"12.5"},"tax":{"name":"VAT","amount":2300},"expires_at":"2026-12-31",
 "owner":{"name":"Olga","email":"olga@seller.example","time_zone":"Europe/Warsaw"},
 "contact":{"email":"carl@customer.example","first_name":"Carl","last_name":"Customer","company":"Customer & Sons"},
 "payment":{"stripe":true}}`

// create makes a quote and returns its id.
func (f *fixture) create(t *testing.T) string {
	t.Helper()
	return f.call(t, "POST", "/v1/quotes", document).want(t, http.StatusCreated).text(t, "id")
}

// publish publishes a quote and returns its page's token.
func (f *fixture) publish(t *testing.T, id string) string {
	t.Helper()
	url := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK).text(t, "url")
	token, ok := strings.CutPrefix(url, "https://quotes.example/q/")
	if !ok || len(token) != 26 {
		t.Fatalf("url = %q", url)
	}
	return token
}

// log returns the subjects of a quote's events.
func (f *fixture) log(t *testing.T, id string) []string {
	t.Helper()
	records, err := f.nats.Log("test").ReadAll(t.Context(), event.StreamQuotes, "quote.*.*."+id+".*")
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, r := range records {
		subjects = append(subjects, r.Subject)
	}
	return subjects
}

// fact stores a payment fact of a quote as the payments worker would.
func (f *fixture) fact(t *testing.T, id, name, n string, data any) {
	t.Helper()
	f.factAt(t, id, name, n, noon, data)
}

// factAt is fact for one that happened at another time.
func (f *fixture) factAt(t *testing.T, id, name, n string, at time.Time, data any) {
	t.Helper()
	s := event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: n}
	env, err := event.New(s, event.SourcePayments, at, data)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.nats.Log("test").Fact(t.Context(), natsstream.Message{Subject: s.String(), ID: env.ID, Data: env.Encode()})
	if err != nil || stored.Taken {
		t.Fatalf("store %s: %+v, %v", s, stored, err)
	}
}

func paid(id string, revision int, at time.Time) event.Paid {
	return event.Paid{
		Seller: "main", QuoteID: id, Revision: revision, DealID: "deal_42", Amount: 118587, Currency: "pln", PaidAt: at,
		Mode: "test", Account: "platform", PaymentIntent: "pi_1",
	}
}

// eventually polls until ok, at most a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// R12
func TestAQuoteIsCreatedReadEditedAndPublished(t *testing.T) {
	f := start(t)
	created := f.call(t, "POST", "/v1/quotes", document).want(t, http.StatusCreated)
	id := created.text(t, "id")
	if len(id) != 28 || !strings.HasPrefix(id, "q_") || created.text(t, "status") != "draft" || created.header.Get("ETag") != `"1"` ||
		created.header.Get("Location") != "/v1/quotes/"+id || created.field(t, "total.due") != float64(118587) {
		t.Errorf("created = %v %s", created.header, created.body)
	}

	read := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK)
	if !bytes.Equal(read.body, created.body) {
		t.Errorf("read = %s\nwant %s", read.body, created.body)
	}
	f.clock.move(time.Minute)
	edited := f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"Shop","tax":null}`, "If-Match", `"1"`).want(t, http.StatusOK)
	if edited.header.Get("ETag") != `"2"` || edited.text(t, "title") != "Shop" || edited.field(t, "total.tax") != float64(0) ||
		edited.text(t, "created_at") != "2026-11-20T12:00:00Z" || edited.text(t, "updated_at") != "2026-11-20T12:01:00Z" {
		t.Errorf("edited = %v %s", edited.header, edited.body)
	}

	published := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK)
	if published.text(t, "status") != "published" || published.field(t, "revision") != 1.0 || published.field(t, "amount") != 116287.0 ||
		published.text(t, "expires_at") != "2026-12-31T22:59:59Z" || !strings.Contains(string(published.body), `"warnings":[{"code":"discount_once_recurring"`) {
		t.Errorf("published = %s", published.body)
	}
	now := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK)
	if now.text(t, "status") != "published" || now.text(t, "url") != published.text(t, "url") || now.field(t, "revision") != 1.0 {
		t.Errorf("after publishing = %s", now.body)
	}
	if got := fmt.Sprint(f.log(t, id)); got != fmt.Sprintf("[quote.drafted.main.%s.1 quote.drafted.main.%[1]s.2 quote.published.main.%[1]s.1]", id) {
		t.Errorf("log = %s", got)
	}
}

// The published event is what payments, notifier and page work from.
func TestThePublishedEventHoldsTheWholeDocument(t *testing.T) {
	f := start(t)
	id := f.create(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	url := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "", "traceparent", parent, "Idempotency-Key", "k").want(t, http.StatusOK).text(t, "url")
	record, err := f.nats.Log("test").Read(t.Context(), event.StreamQuotes, "quote.published.main."+id+".1")
	if err != nil {
		t.Fatal(err)
	}
	env, err := event.Decode(record.Data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := event.Data[event.Published](env)
	if err != nil {
		t.Fatal(err)
	}
	if env.ID != event.ID("published", "main", id, "1") || record.Header.Get("Nats-Msg-Id") != env.ID || env.TraceParent != parent ||
		record.Header.Get("traceparent") != parent || record.Header.Get("Content-Type") != event.ContentType || env.Source != event.SourceQuotes {
		t.Errorf("envelope = %+v, headers %v", env, record.Header)
	}
	if p.Seller != "main" || p.QuoteID != id || p.Revision != 1 || p.Version != 1 || p.Amount != 118587 || p.Currency != "pln" || p.Account != "platform" ||
		p.Mode != "test" || !p.PublishedAt.Equal(noon) || p.ExpiresAt.Format(time.RFC3339) != "2026-12-31T22:59:59Z" ||
		url != "https://quotes.example/q/"+p.URLToken || p.Document.Owner.Email != "olga@seller.example" || p.Document.Contact.Company != "Customer & Sons" ||
		len(p.RequestKey) != 64 {
		t.Errorf("published = %+v", p)
	}
}

// R26
func TestAPublishedQuoteIsEditedAfterARecallOnly(t *testing.T) {
	f := start(t)
	id := f.create(t)
	first := f.publish(t, id)
	refused := f.call(t, "PATCH", "/v1/quotes/"+id, `{"discount":{"percent":"20"}}`, "If-Match", `"1"`).problem(t, http.StatusConflict, "conflict")
	if got := fmt.Sprint(refused.codes(t)); got != "[published]" || !strings.Contains(refused.text(t, "detail"), "Recall") {
		t.Errorf("refused = %s", refused.body)
	}
	recalled := f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
	if recalled.text(t, "status") != "recalled" || recalled.field(t, "revision") != 1.0 {
		t.Errorf("recalled = %s", recalled.body)
	}
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"discount":{"percent":"20"}}`, "If-Match", `"1"`).want(t, http.StatusOK)
	again := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK)
	if again.field(t, "revision") != 2.0 || again.field(t, "amount") != 108620.0 || strings.HasSuffix(again.text(t, "url"), first) {
		t.Errorf("published again = %s", again.body)
	}
	if got := f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK); got.field(t, "revision") != 2.0 {
		t.Errorf("recalled again = %s", got.body)
	}
}

func TestARestartForgetsNothing(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.publish(t, id)
	before := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK)
	f.stop()
	f.nats.Stop()
	f.nats.Restart()
	f.redis.Stop()
	f.redis.Start()
	f.run(t)
	after := f.call(t, "GET", "/v1/quotes/"+id, "").want(t, http.StatusOK)
	if !bytes.Equal(before.body, after.body) {
		t.Errorf("after the restart = %s\nwant %s", after.body, before.body)
	}
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
}
