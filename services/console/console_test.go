package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/services/console"
)

// The tokens of every test.
const (
	viewerToken   = "viewer-token-0123456789"
	operatorToken = "operator-token-0123456"
	adminToken    = "admin-token-01234567890"
	sellerToken   = "seller-token-0123456789"
	boundToken    = "bound-admin-01234567890"

	boundViewerToken = "bound-viewer-0123456789"
	allTokens        = "vic:viewer:" + viewerToken + ",oscar:operator:" + operatorToken + ",ann:admin:" + adminToken + ",sue:seller:" + sellerToken + ",ben:admin@shop:" + boundToken + ",bea:viewer@shop:" + boundViewerToken
)

var keys = redisquote.NewKeys("g1")

// fixture is a running console over real servers.
type fixture struct {
	t       *testing.T
	nats    *natstest.Server
	redis   *redistest.Server
	log     *natsstream.Log
	service *console.Service
	logs    *observer.ObservedLogs
}

// start starts one; adjust changes its settings.
func start(t *testing.T, adjust ...func(*console.Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, nats: natstest.Start(t), redis: redistest.Start(t)}
	f.log = f.nats.Log("test")
	list, err := signin.ParseTokens(allTokens)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	f.logs = logs
	cfg := console.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: f.nats.Config("console"), Redis: f.redis.Config(),
		Tokens: list, PublicURL: "https://console.example",
	}
	for _, change := range adjust {
		change(&cfg)
	}
	f.service, err = console.New(t.Context(), cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.service.Run(ctx) }()
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}))
	return f
}

// stored puts a Stripe event into the log, and its outcome into Redis where one
// is given.
func (f *fixture) stored(id, typ, body string, outcome *redisquote.Outcome) uint64 {
	f.t.Helper()
	s := event.StripeSubject{Mode: "test", Account: "platform", EventID: id, Type: typ}
	got, err := f.log.Fact(f.t.Context(), natsstream.Message{Subject: s.String(), ID: id, Data: []byte(body), Header: nats.Header{event.HeaderSource: {event.SourceWebhook}}})
	if err != nil || got.Taken {
		f.t.Fatalf("Fact(%s) = %+v, %v", id, got, err)
	}
	if outcome != nil {
		o := *outcome
		o.EventID, o.Type = id, typ
		text, err := json.Marshal(o)
		if err != nil {
			f.t.Fatal(err)
		}
		if err := f.redis.Client().HSet(f.t.Context(), keys.Outcomes(event.StreamStripe, got.Sequence), strconv.FormatUint(got.Sequence, 10), text).Err(); err != nil {
			f.t.Fatal(err)
		}
	}
	return got.Sequence
}

// buried sets an event aside, as payments does.
func (f *fixture) buried(id, reason string) natsstream.DeadLetter {
	f.t.Helper()
	seq := f.stored(id, "charge.refunded", `{"id":"`+id+`"}`, &redisquote.Outcome{Outcome: "dead", Reason: reason, At: time.Now()})
	r, err := f.log.ReadSequence(f.t.Context(), event.StreamStripe, seq)
	if err != nil {
		f.t.Fatal(err)
	}
	d := natsstream.DeadLetter{Consumer: natsstream.DurablePayments, Record: r, Reason: reason, Attempts: 3, Handler: "test"}
	if err := f.log.SetAside(f.t.Context(), d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// owner answers for letters as payments does, with success.
func (f *fixture) owner(asked chan<- deadletter.Request) {
	f.t.Helper()
	nc := f.nats.Conn("payments")
	sub, err := nc.Subscribe(deadletter.Subject("payments"), func(m *nats.Msg) {
		var r deadletter.Request
		if err := json.Unmarshal(m.Data, &r); err != nil {
			f.t.Errorf("request %s: %v", m.Data, err)
			return
		}
		asked <- r
		body, err := json.Marshal(deadletter.Answer{Letter: deadletter.Letter{Key: r.Key, Rounds: 1, State: deadletter.Resolved}, Before: deadletter.Open, Outcome: "applied"})
		if err == nil {
			err = m.Respond(body)
		}
		if err != nil {
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
}

// entries are the journal's, the newest first.
func (f *fixture) entries() []journal.Record {
	f.t.Helper()
	all, err := journal.New(f.log, time.Now).List(f.t.Context(), journal.Filter{})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// browser is a person with cookies who follows no redirect by himself.
type browser struct {
	*fixture
	cookie string
}

// answer is a response that was read to its end.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// send makes a request as browsers do; headers come in pairs.
func (b *browser) send(method, path string, form url.Values, headers ...string) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.service.Addr().String()+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if b.cookie != "" {
		req.AddCookie(&http.Cookie{Name: "console_session", Value: b.cookie})
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		if b.cookie = c.Value; c.MaxAge < 0 {
			b.cookie = ""
		}
	}
	return answer{b.t, res.StatusCode, res.Header, string(content)}
}

func (b *browser) open(path string) answer { b.t.Helper(); return b.send(http.MethodGet, path, nil) }

// signedIn is a browser of the person with the token.
func (f *fixture) signedIn(token string) *browser {
	f.t.Helper()
	b := &browser{fixture: f}
	b.send(http.MethodPost, "/signin", url.Values{"token": {token}}).leads("/overview")
	return b
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// form are the hidden fields of the form on a page.
func (a answer) form() url.Values {
	v := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(a.body, -1) {
		v.Set(m[1], html.UnescapeString(m[2]))
	}
	return v
}

// post confirms the form that a page asks to confirm.
func (b *browser) confirm(path, reason string) answer {
	b.t.Helper()
	form := b.open(path).want(http.StatusOK).form()
	form.Set("reason", reason)
	return b.send(http.MethodPost, path, form)
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

func (a answer) leads(to string) {
	a.t.Helper()
	if got := a.want(http.StatusSeeOther).header.Get("Location"); got != to {
		a.t.Fatalf("leads to %q, want %q", got, to)
	}
}

func (a answer) shows(texts ...string) answer {
	a.t.Helper()
	for _, want := range texts {
		if !strings.Contains(a.body, want) {
			a.t.Errorf("page lacks %q: %s", want, a.body)
		}
	}
	return a
}

func (a answer) hides(texts ...string) answer {
	a.t.Helper()
	for _, not := range texts {
		if strings.Contains(a.body, not) {
			a.t.Errorf("page has %q in it: %s", not, a.body)
		}
	}
	return a
}

// many stores n events of two types, every hundredth of them refused.
func (f *fixture) many(n int) {
	f.t.Helper()
	client := f.redis.Client()
	for from := 1; from <= n; from += 1000 {
		var batch []natsstream.Message
		pipe := client.Pipeline()
		for i := from; i < from+1000 && i <= n; i++ {
			s := event.StripeSubject{Mode: "test", Account: "platform", EventID: "evt_" + strconv.Itoa(i), Type: []string{"charge.updated", "charge.refunded"}[i%2]}
			batch = append(batch, natsstream.Message{Subject: s.String(), Data: []byte("{}")})
			outcome := "applied"
			if i%100 == 0 {
				outcome = "refused"
			}
			pipe.HSet(f.t.Context(), keys.Outcomes(event.StreamStripe, uint64(i)), strconv.Itoa(i), fmt.Sprintf(`{"outcome":%q,"at":"2026-11-20T12:00:00Z"}`, outcome))
		}
		for _, r := range f.log.Facts(f.t.Context(), batch) {
			if r.Err != nil || r.Stored.Taken {
				f.t.Fatalf("Facts = %+v", r)
			}
		}
		if _, err := pipe.Exec(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
}
