package quotes_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser is a person with cookies who follows no redirect by himself.
type browser struct {
	t       *testing.T
	f       *fixture
	cookies map[string]string
}

func (f *fixture) browser(t *testing.T) *browser {
	t.Helper()
	return &browser{t: t, f: f, cookies: map[string]string{}}
}

// send makes a request as browsers do; headers come in pairs.
func (b *browser) send(method, path string, form url.Values, headers ...string) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.f.service.Addr().String()+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := (&http.Client{Transport: b.f.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		b.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return answer{res.StatusCode, res.Header, content}
}

func (b *browser) open(path string) answer { b.t.Helper(); return b.send("GET", path, nil) }

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token of the forms of any page of the session.
func (b *browser) csrf() string {
	b.t.Helper()
	m := csrfInput.FindSubmatch(b.open("/seller/quotes").want(b.t, http.StatusOK).body)
	if m == nil {
		b.t.Fatal("no CSRF token in the page")
	}
	return string(m[1])
}

// post sends a form with the session's CSRF token; values come in pairs.
func (b *browser) post(path string, values ...string) answer {
	b.t.Helper()
	form := url.Values{"csrf": {b.csrf()}}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return b.send("POST", path, form)
}

// leads fails unless the answer is a redirect to the address.
func (a answer) leads(t *testing.T, to string) {
	t.Helper()
	if got := a.want(t, http.StatusSeeOther).header.Get("Location"); got != to {
		t.Fatalf("leads to %q, want %q", got, to)
	}
}

func (b *browser) signIn(token string) *browser {
	b.t.Helper()
	b.send("POST", "/signin", url.Values{"token": {token}}).leads(b.t, "/seller/quotes")
	return b
}

func (f *fixture) signedIn(t *testing.T, token string) *browser {
	t.Helper()
	return f.browser(t).signIn(token)
}

func (a answer) shows(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("page lacks %q: %s", want, a.body)
		}
	}
	return a
}

func (a answer) hides(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, not := range texts {
		if strings.Contains(string(a.body), not) {
			t.Errorf("page has %q in it: %s", not, a.body)
		}
	}
	return a
}

func TestASellerSignsInAndOut(t *testing.T) {
	f := start(t)
	b := f.browser(t)
	b.open("/").leads(t, "/seller/quotes")
	b.open("/seller/quotes").leads(t, "/signin")
	b.open("/seller/quotes?status=paid&deal=a%20b").leads(t, "/signin?next=%2Fseller%2Fquotes%3Fstatus%3Dpaid%26deal%3Da%2520b")
	b.open("/signin?next=%2Fseller%2Fquotes%3Fstatus%3Dpaid").shows(t, `value="/seller/quotes?status=paid"`, "API token").hides(t, `name="csrf"`)

	refused := b.send("POST", "/signin", url.Values{"token": {"seller-token-012345678"}, "next": {"/seller/quotes?status=paid"}})
	refused.want(t, http.StatusUnauthorized).shows(t, "This token is not known", `value="/seller/quotes?status=paid"`).hides(t, "seller-token")
	if len(b.cookies) != 0 {
		t.Fatalf("a wrong token left cookies: %v", b.cookies)
	}
	in := b.send("POST", "/signin", url.Values{"token": {" " + sellerToken + "\n"}, "next": {"/seller/quotes?status=paid"}})
	in.leads(t, "/seller/quotes?status=paid")
	cookie := in.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=43200"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, sellerToken) {
		t.Error("the cookie holds the API token")
	}
	b.open("/seller/quotes").want(t, http.StatusOK).shows(t, "sue", "Sign out", "New quote")
	b.open("/signin").leads(t, "/seller/quotes")
	b.post("/signout").leads(t, "/signin")
	b.open("/seller/quotes").leads(t, "/signin")
	for _, entry := range f.logs.All() {
		for _, v := range entry.ContextMap() {
			if s, ok := v.(string); ok && (strings.Contains(s, sellerToken) || strings.Contains(s, "seller-token-012345678")) {
				t.Errorf("a token is in the log: %s %v", entry.Message, entry.ContextMap())
			}
		}
	}
}

func TestTheSignInLeadsToNoOtherSite(t *testing.T) {
	f := start(t)
	for _, next := range []string{
		"https://evil.example/seller/deals/x", "//evil.example/seller/deals/x", `/\evil.example`, `/seller/\evil`, "/seller/../signout", "/seller//x", "javascript:alert(1)",
		"/q/token", "seller/quotes", "/seller/quotes\r\nX: y", "%2F%2Fevil.example", "http:///seller/quotes", "",
	} {
		f.browser(t).send("POST", "/signin", url.Values{"token": {sellerToken}, "next": {next}}).leads(t, "/seller/quotes")
	}
	f.browser(t).send("POST", "/signin", url.Values{"token": {sellerToken}, "next": {"/seller/deals/a%2Fb?lang=pl"}}).leads(t, "/seller/deals/a%2Fb?lang=pl")
	// A form of another site signs nobody in.
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "", "Origin", "https://evil.example"}} {
		b := f.browser(t)
		b.send("POST", "/signin", url.Values{"token": {sellerToken}}, headers...).want(t, http.StatusForbidden)
		if len(b.cookies) != 0 {
			t.Errorf("%v: cookies %v", headers, b.cookies)
		}
	}
	// Behind a proxy that rewrites Host the public address is ours too.
	f.browser(t).send("POST", "/signin", url.Values{"token": {sellerToken}}, "Sec-Fetch-Site", "", "Origin", "https://quotes.example").leads(t, "/seller/quotes")
}

func TestASessionEndsByItselfAndCannotBeForged(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	good := b.cookies["session"]
	b.open("/seller/quotes").want(t, http.StatusOK)
	other := f.signedIn(t, viewerToken).cookies["session"]
	parts, otherParts := strings.Split(good, "."), strings.Split(other, ".")
	later := append([]string{}, parts...)
	later[2] = "9999999999"
	admin := append([]string{}, parts...)
	admin[1] = otherParts[1]
	for name, forged := range map[string]string{
		"empty": "", "no mac": strings.Join(parts[:4], "."), "empty mac": strings.Join(parts[:4], ".") + ".", "a letter": "w" + good[1:],
		"another end": strings.Join(later, "."), "another token": strings.Join(admin, "."), "another version": "v2" + good[2:],
		"the mac of another": strings.Join(append(append([]string{}, parts[:4]...), otherParts[4]), "."), "more parts": "x." + good, "the token": sellerToken,
	} {
		b.cookies["session"] = forged
		if a := b.open("/seller/quotes"); a.status != http.StatusSeeOther {
			t.Errorf("%s: session %q was taken: %d", name, forged, a.status)
		}
	}
	b.cookies["session"] = good
	f.clock.move(12*time.Hour - time.Second)
	b.open("/seller/quotes").want(t, http.StatusOK)
	f.clock.move(time.Second)
	b.open("/seller/quotes").leads(t, "/signin")
}

// A token that is withdrawn takes its sessions with it; a new role counts at once;
// another instance takes the session too.
func TestASessionFollowsItsToken(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.TokensFile = filepath.Join(t.TempDir(), "tokens")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(f.cfg.TokensFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(allTokens)
	f.run(t)
	b := f.signedIn(t, sellerToken)
	first := f.service
	f.run(t) // a second instance
	b.open("/seller/quotes").want(t, http.StatusOK).shows(t, "New quote")
	f.service = first
	write(strings.Replace(allTokens, "sue:seller", "sue:viewer", 1))
	eventually(t, "the session may only read", func() bool { return !strings.Contains(string(b.open("/seller/quotes").body), "New quote") })
	write(strings.Replace(allTokens, sellerToken, "another-token-0123456789", 1))
	eventually(t, "the session ends", func() bool { return b.open("/seller/quotes").status == http.StatusSeeOther })
}

func TestAFormOfAnotherSessionOrSiteIsRefused(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	token := b.csrf()
	foreign := f.signedIn(t, sellerToken).csrf() // the same person, another sign-in
	if foreign == token {
		t.Fatal("two sessions share a CSRF token")
	}
	for name, form := range map[string]url.Values{"none": {}, "empty": {"csrf": {""}}, "wrong": {"csrf": {token + "x"}}, "of another session": {"csrf": {foreign}}} {
		b.send("POST", "/signout", form).want(t, http.StatusForbidden).shows(t, "This form was not accepted")
		if b.open("/seller/quotes").status != http.StatusOK {
			t.Errorf("%s: the form was taken", name)
		}
	}
	right := url.Values{"csrf": {token}}
	b.send("POST", "/signout?csrf="+token, url.Values{"x": {"y"}}).want(t, http.StatusForbidden) // an address is no form
	b.send("POST", "/signout", right, "Sec-Fetch-Site", "cross-site").want(t, http.StatusForbidden)
	b.send("POST", "/signout", right, "Sec-Fetch-Site", "", "Origin", "https://evil.example").want(t, http.StatusForbidden)
	b.send("POST", "/signout", right).leads(t, "/signin")
}

// The pages have no other way in: an API token opens none, a session no API.
func TestPagesAndAPIAreSignedInToApart(t *testing.T) {
	f := start(t)
	f.call(t, "GET", "/seller/quotes", "").problem(t, http.StatusUnauthorized, "signed-out")
	b := f.signedIn(t, sellerToken)
	if a := b.send("GET", "/v1/quotes", nil); a.status != http.StatusUnauthorized {
		t.Errorf("a session opened the API: %d", a.status)
	}
	page := b.open("/seller/quotes").want(t, http.StatusOK)
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := page.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, want := range []string{"default-src 'none'", "form-action 'self';", "frame-ancestors 'none'"} {
		if got := page.header.Get("Content-Security-Policy"); !strings.Contains(got, want) {
			t.Errorf("policy %q lacks %q", got, want)
		}
	}
	b.open("/seller/nothing").want(t, http.StatusNotFound).shows(t, "There is no such page")
	b.open("/seller/quotes?state=paid").want(t, http.StatusBadRequest).shows(t, "There is no such filter")
}
