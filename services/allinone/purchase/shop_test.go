package purchase_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/libs/platform/stripegate"
	"quittance.internal/services/ingress"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

const (
	token   = "token-of-the-seller-01"
	secret  = "whsec_purchase"
	account = "acct_1SandboxSolar" // the seller's own
	address = "carl@customer.example"
)

// shop is the system in one process, but for mails: two instances of quotes, so that races are between processes too.
type shop struct {
	tb     testing.TB
	nats   *natstest.Server
	log    *natsstream.Log
	box    string      // the sandbox
	stripe *client.API // as the seller's account
	quotes []string
	ahead  atomic.Int64 // of the wall clock, for all of them
	from   atomic.Uint32
	http   *http.Client
}

// open starts a shop whose seller main has connected an account. gate changes how quotes calls Stripe.
func open(tb testing.TB, gate ...func(*stripegate.Config)) *shop {
	tb.Helper()
	s := &shop{tb: tb, nats: natstest.Start(tb), http: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.log = s.nats.Log("test")
	redis := redistest.Start(tb)
	secrets, err := ingress.ParseSecrets("box=" + secret)
	if err != nil {
		tb.Fatal(err)
	}
	door := run(tb, ingress.New, ingress.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: s.nats.Config("ingress"), Durability: natsstream.DurabilityRelaxed,
		Secrets: secrets,
	})
	hook := "http://" + door.Addr().String() + "/webhooks/stripe"
	box := run(tb, sandbox.New, sandbox.Config{
		Addr: "127.0.0.1:0", Seed: tb.Name(),
		Accounts: []sandbox.Account{{ID: account, Name: "Solar", Country: "PL", Activated: true, Connected: true}},
		Webhooks: []sandbox.Webhook{{URL: hook, Secret: env.NewSecret(secret)}, {URL: hook, Secret: env.NewSecret(secret), Connect: true}},
	})
	s.box = box.URL()
	worker := run(tb, payments.New, payments.Config{
		NATS: s.nats.Config("payments"), Redis: redis.Config(), Addr: "127.0.0.1:0", Mode: event.ModeTest, Batch: 64, ParkedFor: 72 * time.Hour, Version: "test", Now: s.now,
	})
	tokens, err := signin.ParseTokens("sue:seller:" + token)
	if err != nil {
		tb.Fatal(err)
	}
	cfg := quotes.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", NATS: s.nats.Config("quotes"), Redis: redis.Config(), Durability: natsstream.DurabilityRelaxed,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Tokens:         tokens, PublicURL: "https://quotes.example", Stripe: stripegate.Config{Key: env.NewSecret(sandbox.DefaultTestKey), Base: s.box}, Now: s.now,
	}
	for _, change := range gate {
		change(&cfg.Stripe)
	}
	for range 2 {
		s.quotes = append(s.quotes, "http://"+run(tb, quotes.New, cfg).Addr().String())
	}
	s.connect()
	s.stripe = s.sdk(account)
	s.eventually("the worker is ready", func() error { return worker.Ready(tb.Context()) })
	tb.Cleanup(s.http.CloseIdleConnections)
	return s
}

// run starts a service that ends with the test.
func run[C any, S interface{ Run(context.Context) error }](tb testing.TB, build func(context.Context, C, *zap.Logger) (S, error), cfg C) S {
	tb.Helper()
	s, err := build(tb.Context(), cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("%T.Run = %v", s, err)
		}
	})
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

// connect stores that the seller main has connected the account, as the pages of Connect do.
func (s *shop) connect() {
	s.tb.Helper()
	e, err := event.NewSeller(event.NameConnected, "main", 1, s.now(), seller.Connected{Seller: "main", Account: account, Mode: "test", At: s.now().UTC()})
	if err != nil {
		s.tb.Fatal(err)
	}
	if _, err := s.log.Fact(s.tb.Context(), natsstream.Message{Subject: event.SellerSubject(event.NameConnected, "main", "1"), ID: e.ID, Data: e.Encode()}); err != nil {
		s.tb.Fatal(err)
	}
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
	records, err := s.log.ReadAll(s.tb.Context(), event.StreamQuotes, "quote.*.*."+q.id+".*")
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
		if a := s.admin("GET", "/sandbox/deliveries?state=pending", ""); strings.Contains(string(a.body), `"del_`) {
			return fmt.Errorf("pending: %s", a.body)
		}
		for _, c := range []struct{ stream, durable, last string }{
			{event.StreamQuotes, natsstream.DurablePayments, "quote.>"},
			{event.StreamStripe, natsstream.DurablePayments, "stripe.>"},
			{event.StreamQuotes, natsstream.DurableCustomers, "quote.paid.>"},
		} {
			// What was stored a moment ago may not be counted as pending yet, so the last of them must be acknowledged too.
			last, err := s.log.Read(s.tb.Context(), c.stream, c.last)
			if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
				return err
			}
			consumer, err := s.log.JetStream().Consumer(s.tb.Context(), c.stream, c.durable)
			if err != nil {
				return err
			}
			if info := consumer.CachedInfo(); info.NumPending+uint64(info.NumAckPending) > 0 || info.AckFloor.Stream < last.Sequence {
				return fmt.Errorf("%s of %s has %d and %d to do, up to %d", c.durable, c.stream, info.NumPending, info.NumAckPending, last.Sequence)
			}
		}
		return nil
	})
}

// eventually polls until f has no error, at most a minute.
func (s *shop) eventually(what string, f func() error) {
	s.tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.tb.Fatalf("not within a minute: %s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
