package quotes_test

import (
	"crypto/sha256"
	"encoding/base64"
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
	for _, want := range []string{"&lt;b&gt;Website&lt;/b&gt; &amp; more", "1 185.87 PLN", "Awaiting payment", "Dec 31, 2026, 23:59 CET", `lang="en"`} {
		if !strings.Contains(string(page.body), want) {
			t.Errorf("page lacks %q: %s", want, page.body)
		}
	}
	for _, personal := range []string{"carl", "olga", "<b>"} {
		if strings.Contains(string(page.body), personal) {
			t.Errorf("page has %q in it", personal)
		}
	}
	f.fact(t, id, "paid", "1", paid(id, 1, late))
	if page := f.get(t, token).want(t, http.StatusOK); !strings.Contains(string(page.body), "Paid: Nov 20, 2026") {
		t.Errorf("paid page = %s", page.body)
	}
}

func TestThePageLetsNothingElseIn(t *testing.T) {
	f := start(t)
	id := f.create(t)
	token := f.publish(t, id)
	f.project(t, id)
	for _, page := range []answer{f.get(t, token).want(t, 200), f.get(t, strings.Repeat("a", 26)).want(t, 404)} {
		style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindSubmatch(page.body)
		if style == nil {
			t.Fatalf("no style in %s", page.body)
		}
		sum := sha256.Sum256(style[1])
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("policy %q lacks %q", policy, want)
			}
		}
		if page.header.Get("X-Robots-Tag") != "noindex, nofollow" || page.header.Get("Referrer-Policy") != "no-referrer" ||
			page.header.Get("Cache-Control") != "no-store" || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("headers = %v", page.header)
		}
	}
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

func TestAnAddressThatLeadsNowhereIsNotFound(t *testing.T) {
	f := start(t)
	for _, token := range []string{strings.Repeat("a", 26), "x", strings.Repeat("a", 27), "AAAAAAAAAAAAAAAAAAAAAAAAAA", "%7Btoken%7D", strings.Repeat("1", 26)} {
		if page := f.get(t, token).want(t, http.StatusNotFound); !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
			t.Errorf("page of %q is %s", token, page.header.Get("Content-Type"))
		}
	}
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
