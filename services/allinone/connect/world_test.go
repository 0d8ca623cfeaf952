package connect_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

// The people: sue and sam sell for main, vic may only look, otto sells for another seller, ann administers.
const (
	sue   = "seller-token-0123456789"
	sam   = "second-token-0123456789"
	vic   = "viewer-token-0123456789"
	otto  = "other-seller-0123456789"
	ann   = "admin-token-01234567890"
	roles = "sue:seller:" + sue + ",sam:seller:" + sam + ",vic:viewer:" + vic + ",otto:seller@other:" + otto + ",ann:admin:" + ann
)

// The accounts at Stripe.
const (
	solar = "acct_1Solar"
	wind  = "acct_1Wind"
	fresh = "acct_1Fresh" // not activated
)

// publicURL is the name by which browsers know the quotes service; the world leads it to where that listens.
const publicURL = "http://quotes.example"

// world is the product, and Stripe.
type world struct {
	t        *testing.T
	pipeline *pipelinetest.Pipeline
	log      *natsstream.Log
	stripe   string // the sandbox's address
	quotes   string // where quotes listens
	ahead    atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p := pipelinetest.Start(t, pipelinetest.Config{Accounts: []sandbox.Account{
		{ID: solar, Name: "Solar Roofs", Country: "PL", Activated: true},
		{ID: wind, Name: "Wind Farms", Country: "PL", Activated: true},
		{ID: fresh, Name: "Fresh Start", Country: "PL"},
	}})
	w := &world{t: t, pipeline: p, log: p.Log, stripe: p.Stripe}
	cfg := p.QuotesConfig(roles)
	cfg.PublicURL, cfg.Now = publicURL, func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	cfg.Stripe.ClientID, cfg.Stripe.ConnectURL = sandbox.DefaultClientID, p.Stripe
	w.quotes = "http://" + pipelinetest.Run(t, quotes.New, cfg).Addr().String()
	return w
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	processtest.Until(w.t, 3*time.Minute, what, ok)
}

// quiet waits until all that Stripe delivers is delivered and worked on.
func (w *world) quiet() {
	w.t.Helper()
	processtest.Eventually(w.t, 3*time.Minute, "everything is delivered and worked on", func() error { return w.pipeline.Quiet(w.t.Context()) })
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *world) do(req *http.Request) answer {
	w.t.Helper()
	res, err := (&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

func (w *world) request(method, address string, body io.Reader) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, strings.Replace(address, publicURL, w.quotes, 1), body)
	if err != nil {
		w.t.Fatal(err)
	}
	return req
}

// api calls the quotes service as a program.
func (w *world) api(token, method, path, body string) answer {
	w.t.Helper()
	req := w.request(method, w.quotes+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return w.do(req)
}

// want fails unless the answer has the status and its body holds every text.
func (a answer) want(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s %s", a.status, status, a.header.Get("Location"), a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("answer lacks %q: %s", text, a.body)
		}
	}
	return a
}

// leads fails unless the answer leads to an address that begins so, and returns it.
func (a answer) leads(t *testing.T, want string) string {
	t.Helper()
	got := a.want(t, http.StatusSeeOther).header.Get("Location")
	if !strings.HasPrefix(got, want) {
		t.Fatalf("leads to %s, want %s", got, want)
	}
	return got
}

func (a answer) field(t *testing.T, name string) any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("body %s: %v", a.body, err)
	}
	return m[name]
}

// at calls the sandbox's API as the platform, or as it does for an account.
func (w *world) at(account, method, path string, form url.Values) answer {
	w.t.Helper()
	req := w.request(method, w.stripe+path, strings.NewReader(form.Encode()))
	req.Header.Set("Authorization", "Bearer "+sandbox.DefaultTestKey)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if account != "" {
		req.Header.Set("Stripe-Account", account)
	}
	return w.do(req).want(w.t, http.StatusOK)
}

// sandbox turns a knob of the sandbox.
func (w *world) sandbox(path, body string) answer {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, w.stripe+path, strings.NewReader(body))).want(w.t, http.StatusOK)
}

// access is whether an account lets us in at Stripe.
func (w *world) access(account string) bool {
	w.t.Helper()
	var all struct {
		Accounts []struct {
			ID        string `json:"id"`
			Connected bool   `json:"connected_test"`
		} `json:"accounts"`
	}
	a := w.do(w.request(http.MethodGet, w.stripe+"/sandbox/accounts", nil)).want(w.t, http.StatusOK)
	if err := json.Unmarshal([]byte(a.body), &all); err != nil {
		w.t.Fatal(err)
	}
	for _, found := range all.Accounts {
		if found.ID == account {
			return found.Connected
		}
	}
	w.t.Fatalf("no account %s in %s", account, a.body)
	return false
}

// events are the seller's own events in the log, by name, in order.
func (w *world) events(seller string) []string {
	w.t.Helper()
	records, err := w.log.ReadAll(w.t.Context(), event.StreamSellers, event.SellerFilter(seller))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, r := range records {
		names = append(names, strings.Split(r.Subject, ".")[1])
	}
	return names
}

// journal is what stands in the journal, oldest first: action, who, target, codes.
func (w *world) journal() []string {
	w.t.Helper()
	records, err := journal.New(w.log, time.Now).List(w.t.Context(), journal.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, r := range slices.Backward(records) {
		detail, _ := r.Detail.(map[string]any)
		lines = append(lines, fmt.Sprint(r.Action, " ", r.Who, " ", r.Target, " ", detail["codes"]))
	}
	return lines
}

// browser is a person at the screen.
type browser struct {
	w       *world
	session string
	accept  string
}

func (w *world) signIn(token string) *browser {
	w.t.Helper()
	b := &browser{w: w, accept: "text/html"}
	a := b.send(http.MethodPost, publicURL+"/signin", url.Values{"token": {token}})
	a.leads(w.t, "/seller/")
	b.session, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Set-Cookie"), "session="), ";")
	return b
}

func (b *browser) send(method, address string, form url.Values) answer {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req := b.w.request(method, address, body)
	req.Header.Set("Accept", b.accept)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if b.session != "" && !strings.HasPrefix(address, b.w.stripe) {
		req.AddCookie(&http.Cookie{Name: "session", Value: b.session})
	}
	return b.w.do(req)
}

func (b *browser) open(path string) answer {
	b.w.t.Helper()
	return b.send(http.MethodGet, publicURL+path, nil)
}

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// press presses a button of the page of the connected apps.
func (b *browser) press(path string) answer {
	b.w.t.Helper()
	m := csrfInput.FindStringSubmatch(b.open("/seller/apps").want(b.w.t, http.StatusOK).body)
	if m == nil {
		b.w.t.Fatal("the page has no form")
	}
	return b.send(http.MethodPost, publicURL+path, url.Values{"csrf": {m[1]}})
}

// atStripe goes to Stripe to connect an account and returns Stripe's page.
func (b *browser) atStripe() string {
	b.w.t.Helper()
	page := b.press("/seller/apps/stripe/connect").leads(b.w.t, b.w.stripe+"/oauth/authorize?")
	b.send(http.MethodGet, page, nil).want(b.w.t, http.StatusOK, "Solar Roofs")
	return page
}

// allow gives access to an account on Stripe's page and returns the address that Stripe leads back to.
func (b *browser) allow(page, account string) string {
	b.w.t.Helper()
	return b.send(http.MethodPost, page, url.Values{"account": {account}, "action": {"authorize"}}).leads(b.w.t, publicURL+"/seller/apps/stripe/callback?")
}

// connect connects an account, all the way.
func (b *browser) connect(account string) {
	b.w.t.Helper()
	back := b.allow(b.atStripe(), account)
	done := b.send(http.MethodGet, back, nil).leads(b.w.t, "/seller/apps?done=connected")
	b.open(done).want(b.w.t, http.StatusOK, account, "Activated", "The Stripe account is connected.")
}

// offer creates and publishes a quote; its page's token is the last element of the path.
func (w *world) offer(token, discount string) (id, page string) {
	w.t.Helper()
	id = w.draft(token, discount)
	return id, w.publish(token, id)
}

func (w *world) draft(token, discount string) string {
	w.t.Helper()
	a := w.api(token, http.MethodPost, "/v1/quotes", `{"title":"Solar roof","deal":{"id":"d1","name":"Nowak"},"currency":"pln",
		"line_items":[{"name":"Roof","quantity":1,"unit_amount":123000}],`+discount+`"owner":{"name":"Ola","email":"ola@seller.example","time_zone":"Europe/Warsaw"},
		"contact":{"email":"anna@customer.example","first_name":"Anna","last_name":"Nowak"},"payment":{"stripe":true}}`).want(w.t, http.StatusCreated)
	id, _ := a.field(w.t, "id").(string)
	return id
}

func (w *world) publish(token, id string) string {
	w.t.Helper()
	address, _ := w.api(token, http.MethodPost, "/v1/quotes/"+id+"/publish", "").want(w.t, http.StatusOK).field(w.t, "url").(string)
	page := strings.TrimPrefix(address, publicURL)
	w.until("the quote has its page", func() bool { return w.do(w.request(http.MethodGet, w.quotes+page, nil)).status == http.StatusOK })
	return page
}

// checkOut clicks Check out as a program does, so that a refusal comes with its reasons.
func (w *world) checkOut(page string) answer {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, w.quotes+page+"/checkout", nil))
}

// open checks out and returns the id of the session.
func (w *world) open(page string) string {
	w.t.Helper()
	target := w.checkOut(page).want(w.t, http.StatusSeeOther).header.Get("Location")
	id := regexp.MustCompile(`cs_test_[A-Za-z0-9]+`).FindString(target)
	if id == "" {
		w.t.Fatalf("no session in %s", target)
	}
	return id
}

func (w *world) pay(session string) {
	w.t.Helper()
	w.sandbox("/sandbox/sessions/"+session, `{"action":"pay","name":"Anna Nowak"}`)
}

// refusedFor waits until Check out is refused for exactly these reasons.
func (w *world) refusedFor(page string, codes ...string) {
	w.t.Helper()
	want, got := fmt.Sprint(codes), ""
	defer func() {
		if w.t.Failed() {
			w.t.Logf("last: %s", got)
		}
	}()
	w.until("check out is refused for "+want, func() bool { got = codesOf(w.checkOut(page)); return got == want })
}

func codesOf(a answer) string {
	var p struct {
		Reasons []struct{ Code string } `json:"reasons"`
	}
	if json.Unmarshal([]byte(a.body), &p) != nil {
		return fmt.Sprint(a.status)
	}
	var codes []string
	for _, r := range p.Reasons {
		codes = append(codes, r.Code)
	}
	return fmt.Sprint(codes)
}

func (w *world) card(token, id string) string {
	w.t.Helper()
	return w.api(token, http.MethodGet, "/v1/quotes/"+id+"/card", "").want(w.t, http.StatusOK).body
}
