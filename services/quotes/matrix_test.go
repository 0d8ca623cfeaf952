package quotes_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/services/quotes"
)

// Who may use a route. In says that he gets to what it does, whatever that answers to an empty request.
type rights struct {
	in      string // who gets in, of: nobody viewer operator seller admin
	refused int    // what the others get who are signed in
	nobody  int    // what one gets who is not
}

var (
	open    = rights{in: "nobody viewer operator seller admin"}
	reads   = rights{in: "viewer operator seller admin", nobody: 401}
	writes  = rights{in: "seller admin", refused: 403, nobody: 401}
	rules   = rights{in: "admin", refused: 403, nobody: 401}
	shows   = rights{in: "viewer operator seller admin", nobody: 303} // a page; others are led to sign in
	changes = rights{in: "seller admin", refused: 403, nobody: 303}
	knows   = rights{refused: 401, nobody: 401} // needs a token in the form, which these requests do not have
)

// access is the decision about every route: one that is not in it fails the test. Another seller's quote is not there for anybody.
var access = map[string]rights{
	"POST /v1/quotes": writes, "GET /v1/quotes": reads, "GET /v1/quotes/{id}": reads, "PATCH /v1/quotes/{id}": writes,
	"POST /v1/quotes/{id}/publish": writes, "POST /v1/quotes/{id}/recall": writes, "GET /v1/quotes/{id}/card": reads,
	"GET /v1/policy": reads, "GET /v1/seller": reads, "GET /v1/sellers/{seller}": reads, "GET /v1/sellers/{seller}/history": reads,
	"PUT /v1/sellers/{seller}/plan": rules, "PUT /v1/sellers/{seller}/seats/{user}": rules,

	"GET /assets/{hash}/{name}": open, "GET /q/{token}": open, "POST /q/{token}/checkout": open, "GET /q/{token}/events": open,

	"GET /{$}": open, "GET /signin": open, "POST /signin": knows, "POST /signout": shows, "GET /seller/quotes": shows, "GET /seller/deals/{deal}": shows,
	"GET /seller/apps": shows, "GET /seller/apps/stripe/connect": shows, "POST /seller/apps/stripe/connect": changes,
	"GET /seller/apps/stripe/callback": changes, "GET /seller/apps/stripe/disconnect": shows, "POST /seller/apps/stripe/disconnect": changes,
	"GET /seller/new": changes, "POST /seller/new": changes, "GET /seller/quotes/{id}": shows, "GET /seller/quotes/{id}/events": shows,
	"GET /seller/quotes/{id}/details": changes, "POST /seller/quotes/{id}/details": changes, "GET /seller/quotes/{id}/lines": changes,
	"POST /seller/quotes/{id}/lines": changes, "GET /seller/quotes/{id}/payment": changes, "POST /seller/quotes/{id}/payment": changes,
	"GET /seller/quotes/{id}/review": changes, "POST /seller/quotes/{id}/review": changes, "GET /seller/quotes/{id}/recall": changes,
	"POST /seller/quotes/{id}/recall": changes,
}

// caller is one row of the matrix.
type caller struct {
	name, token string
	b           *browser // signed in; nil for nobody
	csrf        string
}

// ask makes the route's request with nothing in it but what the caller is known by, and reads at most the beginning of the answer.
func (f *fixture) ask(t *testing.T, who caller, n int, method, path string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	form := url.Values{}
	page := !strings.HasPrefix(path, "/v1/")
	if page && who.csrf != "" {
		form.Set("csrf", who.csrf)
	}
	var body io.Reader = http.NoBody
	if method != http.MethodGet {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.service.Addr().String()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	// A client of its own each time: how much one may ask is not the question here.
	req.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}).String())
	if page {
		req.Header.Set("Accept", "text/html")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		if who.b != nil {
			for name, value := range who.b.cookies {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
		}
	} else if who.token != "" {
		req.Header.Set("Authorization", "Bearer "+who.token)
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := (&http.Client{Transport: f.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatalf("%s %s as %s: %v", method, path, who.name, err)
	}
	defer res.Body.Close()
	b := make([]byte, 64<<10)
	var read int
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		read, _ = res.Body.Read(b)
	} else {
		read, _ = io.ReadFull(res.Body, b)
	}
	return answer{res.StatusCode, res.Header, b[:read]}
}

// written is how many events the log holds.
func (f *fixture) written(t *testing.T) (n uint64) {
	t.Helper()
	for _, name := range []string{event.StreamQuotes, event.StreamSellers} {
		stream, err := f.nats.Log("test").JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		n += stream.CachedInfo().State.LastSeq
	}
	return n
}

func TestEveryRouteLetsInWhomItShould(t *testing.T) {
	f := start(t)
	f.cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	f.withStripe(t)
	callers := []caller{{name: "nobody"}}
	for name, token := range map[string]string{"viewer": viewerToken, "operator": operatorToken, "seller": sellerToken, "admin": adminToken, "stranger": strangeToken} {
		b := f.signedIn(t, token)
		callers = append(callers, caller{name, token, b, b.csrf()})
	}
	slices.SortFunc(callers, func(a, b caller) int { return strings.Compare(a.name, b.name) })
	routes := f.service.Routes()
	n := 0
	for _, route := range routes {
		right, known := access[route]
		if !known {
			t.Errorf("nobody has decided who may use %s: say so in the table of this test", route)
			continue
		}
		method, pattern, _ := strings.Cut(route, " ")
		for _, who := range callers {
			n++
			id, token := f.offered(t, nil) // fresh, since whoever gets in may change it
			path := strings.NewReplacer("{id}", id, "{token}", token, "{seller}", "main", "{user}", "sue", "{deal}", "deal_42", "{$}", "", "{hash}", "0", "{name}", "page.css").Replace(pattern)
			before := f.written(t)
			got := f.ask(t, who, n, method, path)
			want := 0 // in
			role := who.name
			if role == "stranger" {
				role = "seller"
			}
			switch {
			case who.name == "nobody" && right.nobody != 0:
				want = right.nobody
			case !slices.Contains(strings.Fields(right.in), role):
				want = right.refused
			case who.name == "stranger" && strings.Contains(pattern, "{id}"):
				want = 404
			case who.name == "stranger" && strings.Contains(pattern, "{seller}"):
				want = 403
			}
			allowed := !slices.Contains([]int{401, 403, 404, 500, 503}, got.status)
			if strings.Contains(pattern, "{hash}") {
				allowed = true // a style sheet of another version
			}
			if want == 0 && !allowed || want != 0 && got.status != want {
				t.Errorf("%s as %s = %d %.200s, want %d", route, who.name, got.status, got.body, want)
			}
			if want != 0 && f.written(t) != before {
				t.Errorf("%s as %s wrote into the log", route, who.name)
			}
			f.holdsNoSecret(t, route, who, got, id)
		}
	}
	for route := range access {
		if !slices.Contains(routes, route) {
			t.Errorf("%s is no route any more", route)
		}
	}
}

// holdsNoSecret fails where an answer has in it what its reader must not know.
func (f *fixture) holdsNoSecret(t *testing.T, route string, who caller, got answer, id string) {
	t.Helper()
	text := fmt.Sprint(got.header) + string(got.body)
	hidden := []string{"sk_test_1", viewerToken, adminToken, sellerToken, strangeToken, operatorToken, f.nats.URL, f.redis.URL}
	if who.name == "stranger" && !strings.Contains(route, "{token}") {
		hidden = append(hidden, id, "carl@", "Customer & Sons", "olga@", "1 185.87")
	}
	if who.name == "nobody" {
		hidden = append(hidden, "carl@", "olga@")
	}
	for _, secret := range hidden {
		if strings.Contains(text, secret) {
			t.Errorf("%s as %s tells %q: %.300s", route, who.name, secret, text)
		}
	}
}

// What is somebody else's and what was never there look the same, byte for byte.
func TestAnotherSellersQuoteLooksLikeNone(t *testing.T) {
	f := start(t)
	id := f.create(t)
	for _, path := range []string{"", "/card"} {
		there := f.call(t, "GET", "/v1/quotes/"+id+path, "", "Authorization", "Bearer "+strangeToken).want(t, http.StatusNotFound)
		none := f.call(t, "GET", "/v1/quotes/q_aaaaaaaaaaaaaaaaaaaaaaaaaa"+path, "", "Authorization", "Bearer "+strangeToken).want(t, http.StatusNotFound)
		if string(there.body) != string(none.body) {
			t.Errorf("there %s, not there %s", there.body, none.body)
		}
	}
	f.cfg.TrustedProxies = nil
	var first answer
	for i, token := range []string{strings.Repeat("a", 26), strings.Repeat("b", 26), "zzzzzzzzzzzzzzzzzzzzzzzzzz"} {
		page := f.get(t, token).want(t, http.StatusNotFound)
		if i == 0 {
			first = page
		}
		page.header.Del("Date")
		first.header.Del("Date")
		if string(page.body) != string(first.body) || fmt.Sprint(page.header) != fmt.Sprint(first.header) {
			t.Errorf("two pages that are not there differ:\n%v %s\n%v %s", page.header, page.body, first.header, first.body)
		}
	}
}

// A page's address is 128 bits of the system's own randomness.
func TestAPageAddressCannotBeGuessed(t *testing.T) {
	if quotes.DefaultRandom() != rand.Reader {
		t.Errorf("page tokens come from %T", quotes.DefaultRandom())
	}
	f := start(t)
	ones := [26]map[byte]int{}
	seen := map[string]bool{}
	const pages = 64
	for range pages {
		token := f.publish(t, f.create(t))
		if seen[token] {
			t.Fatalf("page %s twice", token)
		}
		seen[token] = true
		for i := range token {
			if ones[i] == nil {
				ones[i] = map[byte]int{}
			}
			ones[i][token[i]]++
		}
	}
	for i, letters := range ones { // no place is fixed: 25 places of 32 letters, the last of 8
		if least := 5; len(letters) < least {
			t.Errorf("place %d has %d different letters in %d pages", i, len(letters), pages)
		}
	}
}

// The amounts are the revision's: nothing that a browser sends changes what is charged.
func TestForgedFieldsChangeNothing(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	_, token := f.offered(t, nil)
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const forged = "amount=1&total=1&currency=jpy&line_items[0][price_data][unit_amount]=1&coupon=free&discounts[0][coupon]=free&seller=other&account=acct_9&quote_id=q_9"
	a := f.call(t, "POST", "/q/"+token+"/checkout?"+forged, forged, "Authorization", "", "Content-Type", "application/x-www-form-urlencoded", "Stripe-Account", "acct_9")
	if a.status == http.StatusSeeOther {
		got := s.session("cs_test_1")
		if got.amount != 118587 || got.account != "" || got.form.Get("metadata[seller]") != "main" || got.form.Get("line_items[0][price_data][currency]") != "pln" {
			t.Errorf("session = %+v", got)
		}
		return
	}
	if s.count() != 0 || a.status >= 500 {
		t.Errorf("forged fields = %d %s, %d sessions", a.status, a.body, s.count())
	}
	f.checkOut(t, token).leadsTo(t, firstSession)
}
