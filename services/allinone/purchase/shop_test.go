package purchase_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

const (
	token   = "token-of-the-seller-01"
	account = "acct_1SandboxSolar" // the seller's own
	address = "carl@customer.example"
)

// shop is the system in one process, but for mails: two instances of quotes, so that races are between processes too.
type shop struct {
	tb       testing.TB
	pipeline *pipelinetest.Pipeline
	box      string      // the sandbox
	stripe   *client.API // as the seller's account
	quotes   []string
	ahead    atomic.Int64 // of the wall clock, for all of them
	from     atomic.Uint32
	http     *http.Client
}

// open starts a shop whose seller main has connected an account. gate changes how quotes calls Stripe.
func open(tb testing.TB, gate ...func(*stripegate.Config)) *shop {
	tb.Helper()
	s := &shop{tb: tb, http: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	tb.Cleanup(s.http.CloseIdleConnections)
	p := pipelinetest.Start(tb, pipelinetest.Config{
		Accounts: []sandbox.Account{{ID: account, Name: "Solar", Country: "PL", Activated: true, Connected: true}}, Now: s.now,
	})
	s.pipeline, s.box = p, p.Stripe
	cfg := p.QuotesConfig("sue:seller:" + token)
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, change := range gate {
		change(&cfg.Stripe)
	}
	for range 2 {
		s.quotes = append(s.quotes, "http://"+pipelinetest.Run(tb, quotes.New, cfg).Addr().String())
	}
	p.Connect(account, 1)
	s.stripe = s.sdk(account)
	return s
}

// now is the clock of all services but the sandbox, which is moved along with it.
func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// advance moves all clocks, the sandbox's first: what falls due there happens.
func (s *shop) advance(d time.Duration) {
	s.tb.Helper()
	s.admin("POST", "/sandbox/clock", `{"advance":"`+d.String()+`"}`)
	s.ahead.Add(int64(d))
}

// sdk is Stripe's own client of the sandbox, on behalf of a connected account ("" for the platform's own).
func (s *shop) sdk(on string) *client.API {
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(s.box), MaxNetworkRetries: stripe.Int64(0), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		HTTPClient: &http.Client{Transport: onBehalf(on)},
	})
	return client.New(sandbox.DefaultTestKey, &stripe.Backends{API: b, Connect: b})
}

type onBehalf string

func (a onBehalf) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	if a != "" {
		q.Header.Set("Stripe-Account", string(a))
	}
	return http.DefaultTransport.RoundTrip(q)
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) location() string { return a.header.Get("Location") }

// text is a member of a JSON answer, "" if it is not there.
func (a answer) text(names ...string) string {
	var v any
	_ = json.Unmarshal(a.body, &v)
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (s *shop) do(method, url, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(s.tb.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	// Each request is from a client of its own: the bound on how much one asks is not what is proved here.
	n := s.from.Add(1)
	req.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String())
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, b}, err
}

// api calls the first instance of quotes as the seller.
func (s *shop) api(method, path, body string) answer {
	s.tb.Helper()
	a, err := s.do(method, s.quotes[0]+path, body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	if err != nil {
		s.tb.Fatal(err)
	}
	return a
}

// admin calls the sandbox's admin API; a refusal fails the test.
func (s *shop) admin(method, path, body string) answer {
	s.tb.Helper()
	a, err := s.do(method, s.box+path, body)
	if err != nil || a.status != http.StatusOK {
		s.tb.Fatalf("%s %s %s = %d %s, %v", method, path, body, a.status, a.body, err)
	}
	return a
}

// sale is a published quote.
type sale struct{ id, token string }

// document is a quote of one line of 120.00 EUR less 10 %.
const document = `{"title":"Roof","deal":{"id":"deal_1"},"currency":"eur","line_items":[{"name":"Design","quantity":1,"unit_amount":12000}],
 "discount":{"percent":"10"},"owner":{"name":"Olga","email":"olga@seller.example","time_zone":"Europe/Warsaw"},
 "contact":{"email":"` + address + `","first_name":"Carl","last_name":"Customer"},"payment":{"stripe":true}}`

const due = 10800

// offer publishes a quote and waits until its page can be found.
func (s *shop) offer(text string) sale {
	s.tb.Helper()
	created := s.api("POST", "/v1/quotes", text)
	id := created.text("id")
	published := s.api("POST", "/v1/quotes/"+id+"/publish", "")
	at, ok := strings.CutPrefix(published.text("url"), "https://quotes.example/q/")
	if !ok {
		s.tb.Fatalf("publish: %s\n%s", created.body, published.body)
	}
	q := sale{id, at}
	s.found(q)
	return q
}

func (s *shop) found(q sale) {
	s.tb.Helper()
	for _, at := range s.quotes {
		s.eventually("the page is found", func() error {
			a, err := s.do("GET", at+"/q/"+q.token, "")
			if err == nil && a.status != http.StatusOK {
				err = fmt.Errorf("page = %d %s", a.status, a.body)
			}
			return err
		})
	}
}

// click clicks Check out at an instance of quotes.
func (s *shop) click(instance int, q sale) answer {
	a, err := s.do("POST", s.quotes[instance]+"/q/"+q.token+"/checkout", "")
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	return a
}

// session is the id of the session that a click led to.
func (s *shop) session(a answer) string {
	s.tb.Helper()
	id, ok := strings.CutPrefix(a.location(), s.box+"/pay/")
	if a.status != http.StatusSeeOther || !ok {
		s.tb.Fatalf("click = %d %q %s", a.status, a.location(), a.body)
	}
	return id
}

// act presses a button of the sandbox's pay page; the answer is its status.
func (s *shop) act(session, action string) answer {
	a, err := s.do("POST", s.box+"/sandbox/sessions/"+session, `{"action":"`+action+`","email":"`+address+`"}`)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	return a
}

// sessions are those that Stripe has of a quote, newest first.
func (s *shop) sessions(q sale) []*stripe.CheckoutSession {
	s.tb.Helper()
	var all []*stripe.CheckoutSession
	p := &stripe.CheckoutSessionListParams{}
	p.Limit = stripe.Int64(100)
	i := s.stripe.CheckoutSessions.List(p)
	for i.Next() {
		if i.CheckoutSession().ClientReferenceID == q.id {
			all = append(all, i.CheckoutSession())
		}
	}
	if i.Err() != nil {
		s.tb.Fatal(i.Err())
	}
	return all
}

func (s *shop) customers(email string) []*stripe.Customer {
	s.tb.Helper()
	var all []*stripe.Customer
	i := s.stripe.Customers.List(&stripe.CustomerListParams{Email: &email})
	for i.Next() {
		all = append(all, i.Customer())
	}
	if i.Err() != nil {
		s.tb.Fatal(i.Err())
	}
	return all
}

func (s *shop) coupons() int {
	s.tb.Helper()
	n := 0
	i := s.stripe.Coupons.List(&stripe.CouponListParams{})
	for i.Next() {
		n++
	}
	if i.Err() != nil {
		s.tb.Fatal(i.Err())
	}
	return n
}

// standing is the card in short: "paid [late]".
func (s *shop) standing(q sale) string {
	s.tb.Helper()
	a := s.api("GET", "/v1/quotes/"+q.id+"/card", "")
	return a.text("status") + " " + a.text("flags")
}

// stands waits until the card says so.
func (s *shop) stands(q sale, want string) {
	s.tb.Helper()
	s.eventually("the card says "+want, func() error {
		if got := s.standing(q); got != want {
			return fmt.Errorf("it says %s", got)
		}
		return nil
	})
}

// events are the subjects of a quote's events, without seller and quote: "paid.1".
func (s *shop) events(q sale) []string {
	s.tb.Helper()
	records, err := s.pipeline.Log.ReadAll(s.tb.Context(), event.StreamQuotes, "quote.*.*."+q.id+".*")
	if err != nil {
		s.tb.Fatal(err)
	}
	var all []string
	for _, r := range records {
		subject, _ := event.ParseQuoteSubject(r.Subject)
		all = append(all, subject.Event+"."+subject.N)
	}
	return all
}

// quiet waits until every webhook is delivered and every event worked on.
func (s *shop) quiet() {
	s.tb.Helper()
	s.eventually("everything is delivered", func() error {
		return s.pipeline.Quiet(s.tb.Context(), natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableCustomers})
	})
}

func (s *shop) eventually(what string, f func() error) {
	s.tb.Helper()
	processtest.Eventually(s.tb, 3*time.Minute, what, f)
}
