package quotes_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// get opens a page as a customer does: without a token.
func (f *fixture) get(t *testing.T, token string) answer {
	t.Helper()
	return f.call(t, "GET", "/q/"+token, "", "Authorization", "")
}

func TestThePageShowsTitleTotalAndStatus(t *testing.T) {
	f := start(t)
	id := f.call(t, "POST", "/v1/quotes", strings.Replace(document, "Website", "<b>Website</b> & more", 1)).want(t, 201).text(t, "id")
	token := f.publish(t, id)
	f.project(t, id)
	page := f.get(t, token).want(t, http.StatusOK)
	for _, want := range []string{
		"&lt;b&gt;Website&lt;/b&gt; &amp; more", "1 185.87 PLN", "Awaiting payment", "Dec 31, 2026, 23:59 CET", `<html lang="en">`, "Olga", "Customer &amp; Sons",
	} {
		if !strings.Contains(string(page.body), want) {
			t.Errorf("page lacks %q: %s", want, page.body)
		}
	}
	for _, personal := range []string{"carl@", "olga@", "@customer.example", "<b>"} {
		if strings.Contains(string(page.body), personal) {
			t.Errorf("page has %q in it", personal)
		}
	}
	f.fact(t, id, "paid", "1", paid(id, 1, late))
	if page := f.get(t, token).want(t, http.StatusOK); !strings.Contains(string(page.body), "Paid: Nov 20, 2026") {
		t.Errorf("paid page = %s", page.body)
	}
}

// Everything comes from the service itself: no script or style stands in a page,
// nothing is fetched from elsewhere, nobody may frame it, and a form may lead to
// Checkout only.
func TestThePageLetsNothingElseIn(t *testing.T) {
	f := start(t)
	f.withStripe(t)
	id := f.create(t)
	token := f.publish(t, id)
	f.project(t, id)
	stripe := f.cfg.Stripe.Base
	const most = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'%; base-uri 'none'; frame-ancestors 'none'"
	for _, tt := range []struct {
		page  answer
		leads string
	}{
		{f.get(t, token).want(t, 200), " " + stripe},
		{f.get(t, token+"?lang=pl").want(t, 200), " " + stripe},
		{f.get(t, strings.Repeat("a", 26)).want(t, 404), ""},
	} {
		if got, want := tt.page.header.Get("Content-Security-Policy"), strings.Replace(most, "%", tt.leads, 1); got != want {
			t.Errorf("policy %q\nwant   %q", got, want)
		}
		if h := tt.page.header; h.Get("X-Robots-Tag") != "noindex, nofollow" || h.Get("Referrer-Policy") != "same-origin" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("headers = %v", h)
		}
		for _, foreign := range []string{"://", "<style", " style=", "javascript:", " onclick", " onload"} {
			if strings.Contains(string(tt.page.body), foreign) {
				t.Errorf("page has %q in it: %s", foreign, tt.page.body)
			}
		}
		if scripts := regexp.MustCompile(`<script src="/assets/[0-9a-f]{16}/[a-z]+\.js" defer></script>`).ReplaceAllString(string(tt.page.body), ""); strings.Contains(scripts, "<script") {
			t.Errorf("page has a script in it: %s", tt.page.body)
		}
		f.checkAssets(t, tt.page)
	}
}

// checkAssets fetches every file that a page refers to.
func (f *fixture) checkAssets(t *testing.T, page answer) {
	t.Helper()
	paths := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllSubmatch(page.body, -1)
	if len(paths) < 2 {
		t.Errorf("no assets in %s", page.body)
	}
	for _, p := range paths {
		path := string(p[1])
		a := f.call(t, "GET", path, "", "Authorization", "").want(t, 200)
		if !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("X-Content-Type-Options") != "nosniff" || len(a.body) == 0 {
			t.Errorf("%s: %v", path, a.header)
		}
		foreign := strings.ReplaceAll(string(a.body), "http://www.w3.org/2000/svg", "")
		if strings.Contains(foreign, "://") || strings.Contains(foreign, "@import") {
			t.Errorf("%s refers to elsewhere", path)
		}
		parts := strings.Split(path, "/")
		other := f.call(t, "GET", "/assets/0000000000000000/"+parts[3], "", "Authorization", "").want(t, 200)
		if string(other.body) != string(a.body) || other.header.Get("Cache-Control") != "no-store" {
			t.Errorf("an older page's %s = %v", path, other.header)
		}
	}
	f.call(t, "GET", "/assets/0000000000000000/nothing.css", "", "Authorization", "").problem(t, 404, "not-found")
	f.call(t, "GET", "/assets/0000000000000000/layout.html", "", "Authorization", "").problem(t, 404, "not-found")
}

// R27
func TestAnOldAddressShowsNothing(t *testing.T) {
	f := start(t)
	id := f.create(t)
	old := f.publish(t, id)
	f.project(t, id)
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, 200)
	gone := func(when string) {
		t.Helper()
		if page := f.get(t, old).want(t, http.StatusGone); strings.Contains(string(page.body), "Website") || strings.Contains(string(page.body), "PLN") {
			t.Errorf("%s the old page = %s", when, page.body)
		}
	}
	gone("recalled:") // Redis has not heard of it
	f.project(t, id)
	gone("recalled, projected:")
	current := f.publish(t, id)
	f.project(t, id)
	gone("published again:")
	f.get(t, current).want(t, http.StatusOK)
}

// Nobody can tell a token that was never given from one that cannot be given.
func TestAnAddressThatLeadsNowhereIsNotFound(t *testing.T) {
	f := start(t)
	first := f.get(t, strings.Repeat("a", 26)).want(t, http.StatusNotFound)
	for _, token := range []string{"x", strings.Repeat("a", 27), "AAAAAAAAAAAAAAAAAAAAAAAAAA", "%7Btoken%7D", strings.Repeat("1", 26)} {
		page := f.get(t, token).want(t, http.StatusNotFound)
		if !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || string(page.body) != string(first.body) {
			t.Errorf("page of %q is %s %s", token, page.header.Get("Content-Type"), page.body)
		}
		first.header.Del("Date")
		page.header.Del("Date")
		if fmt.Sprint(page.header) != fmt.Sprint(first.header) {
			t.Errorf("headers of %q are %v, want %v", token, page.header, first.header)
		}
	}
}

// The log still has what an empty Redis has not, so that no customer is told that
// his quote does not exist.
func TestNoPageIsMissingWhileRedisIsFoldedAgain(t *testing.T) {
	f := start(t)
	id, token := f.offered(t, nil)
	f.redis.Stop()
	f.redis.Start() // and holds nothing
	for _, path := range []string{"", "/events"} {
		eventually(t, "redis again", func() bool { return f.call(t, "GET", "/readyz", "").status == http.StatusOK })
		f.call(t, "GET", "/q/"+token+path, "", "Authorization", "").problem(t, http.StatusServiceUnavailable, "unavailable")
	}
	f.project(t, id)
	f.get(t, token).want(t, http.StatusOK)
	f.get(t, strings.Repeat("a", 26)).want(t, http.StatusServiceUnavailable)
	if err := f.redis.Client().Set(t.Context(), keys.Marker("0"), "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	f.get(t, strings.Repeat("a", 26)).want(t, http.StatusNotFound)
}

// R44
func TestTheExpiredPageSaysSo(t *testing.T) {
	f := start(t)
	id := f.create(t)
	token := f.publish(t, id)
	f.project(t, id)
	f.clock.move(60 * 24 * time.Hour)
	if page := f.get(t, token).want(t, http.StatusOK); !strings.Contains(string(page.body), "Expired") || strings.Contains(string(page.body), "Valid until") {
		t.Errorf("expired page = %s", page.body)
	}
}
