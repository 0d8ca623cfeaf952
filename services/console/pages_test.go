package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/reconcile"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

const hostile = `<script>alert(1)</script>`

// What Stripe's events hold may come from anybody: no page lets it be more than
// text, and personal data is masked.
func TestHostileContentIsTextOnEveryPage(t *testing.T) {
	f := start(t)
	body := `{"id":"evt_h","data":{"object":{"billing_details":{"name":"Jan ` + hostile + `","email":"jan@kowalski.example"},"description":"` + hostile + `\"><img src=x onerror=alert(1)>"}}}`
	f.stored("evt_h", "charge.refunded", body, &redisquote.Outcome{Outcome: "refused", Reason: "no " + hostile + " for jan@kowalski.example", At: time.Now()})
	f.buried("evt_d", "panic: "+hostile)
	f.ran(reconcile.Run{
		ID: "run1", Order: reconcile.Order{Who: hostile, Account: hostile, Why: hostile}, State: reconcile.Failed, Progress: hostile,
		Error: hostile + " jan@kowalski.example", Next: hostile, Report: found(),
	})
	b := f.signedIn(viewerToken)
	for _, path := range []string{
		"/doctor", "/reconcile", "/reconcile?class=" + hostile, "/reconcile?class=here",
		"/overview", "/conservation", "/quotes", "/events?outcome=", "/events/evt_h", "/events/evt_h?tab=headers", "/events/STRIPE:1", "/dead", "/dead?state=all&cause=" + hostile,
		"/dead/letter/1", "/mail", "/subscribers", "/subscribers?fact=" + hostile, "/journal", "/journal?who=" + hostile, "/journal/verify", "/search?q=" + hostile,
		"/events?outcome=failed&quote=" + hostile, "/events?outcome=&type=" + hostile + "&since=" + hostile, "/quotes?seller=" + hostile, "/mail?state=" + hostile, "/nothing" + hostile,
	} {
		path = strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22").Replace(path)
		got := b.open(path)
		if got.status >= http.StatusInternalServerError {
			t.Errorf("%s: status %d: %s", path, got.status, got.body)
		}
		got.hides("<script>", "<img src=x", "jan@kowalski.example")
		if policy := got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; style-src 'self'; script-src 'self';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if m := inline.FindString(got.body); m != "" {
			t.Errorf("%s: the page has %s in it", path, m)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s %q, want %q", path, name, got.header.Get(name), want)
			}
		}
	}
	b.open("/events/evt_h").shows("&lt;script&gt;", "j***@kowalski.example", "***")
}

// inline is what the policy would refuse: scripts, styles and handlers in a page.
var inline = regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+="|\sstyle="`)

// The stored bytes are opened by operators alone, with a reason, and the journal
// has it before they are shown.
func TestWhoOpensTheStoredBytesIsInTheJournal(t *testing.T) {
	f := start(t)
	f.stored("evt_p", "charge.refunded", `{"email":"jan@kowalski.example"}`, nil)
	b := f.signedIn(operatorToken)
	b.confirm("/events/STRIPE:1/raw", "  ").want(http.StatusUnprocessableEntity).shows("Say why").hides("jan@kowalski.example")
	if all := f.entries(); len(all) != 0 {
		t.Fatalf("without a reason: %+v", all)
	}
	b.confirm("/events/STRIPE:1/raw", "ticket 4711").want(http.StatusOK).shows("jan@kowalski.example")
	all := f.entries()
	if len(all) != 1 || all[0].Action != "event_opened" || all[0].Who != "oscar" || all[0].Reason != "ticket 4711" || all[0].Target != "STRIPE:1" {
		t.Errorf("journal = %+v", all)
	}
	b.open("/journal").shows("event_opened", "ticket 4711", "oscar")
	b.open("/journal/verify").shows("whole")
}

// A retry of a group shows its numbers, wants a reason, asks the owner of each
// letter under the operator's name, and is one entry of the journal.
func TestRetryingAGroupTakesAReasonAndIsJournaled(t *testing.T) {
	f := start(t)
	asked := make(chan deadletter.Request, 10)
	f.owner(asked)
	for _, id := range []string{"evt_a", "evt_b", "evt_c"} {
		f.buried(id, "cannot decode "+id)
	}
	f.buried("evt_other", "another trouble")
	b := f.signedIn(operatorToken)
	page := b.open("/dead").want(http.StatusOK).shows("Retry 3…", "Discard 1…")
	link := html.UnescapeString(regexp.MustCompile(`href="(/dead/retry\?[^"]*)">Retry 3`).FindStringSubmatch(page.body)[1])
	b.open(link).want(http.StatusOK).shows("Try again: 3 dead letters", "payments/STRIPE:1", "Try again (3)").hides("evt_other")
	b.confirm(link, "").want(http.StatusUnprocessableEntity).shows("Say why")
	if len(asked) != 0 {
		t.Fatal("asked without a reason")
	}
	done := b.confirm(link, "fixed in 1.4.1").want(http.StatusSeeOther).header.Get("Location")
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(b.open(done).want(http.StatusOK).body, "3 of 3") {
		if time.Now().After(deadline) {
			t.Fatalf("not done: %s", b.open(done).body)
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.open(done).shows("payments/STRIPE:1", "applied", "fixed in 1.4.1")
	if len(asked) != 3 {
		t.Fatalf("%d letters asked about, want 3", len(asked))
	}
	if r := <-asked; r.Verb != "retry" || r.Who != "oscar" || r.Why != "fixed in 1.4.1" {
		t.Errorf("request = %+v", r)
	}
	for len(f.entries()) == 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	all := f.entries()
	if len(all) != 1 || all[0].Action != "dead_retry" || all[0].Who != "oscar" || all[0].Target != "3 letters" || all[0].Reason != "fixed in 1.4.1" {
		t.Errorf("journal = %+v", all)
	}
	f.signedIn(viewerToken).open("/dead").hides("Retry", "Discard")
}

// Nothing is acted on that was not shown: a letter that came in between is shown
// first.
func TestWhatHasChangedSinceItWasShownIsShownAgain(t *testing.T) {
	f := start(t)
	asked := make(chan deadletter.Request, 10)
	f.owner(asked)
	f.buried("evt_a", "trouble 1")
	b := f.signedIn(adminToken)
	path := "/dead/discard?consumer=payments"
	form := b.open(path).want(http.StatusOK).shows("Discard (1)").form()
	f.buried("evt_b", "trouble 2")
	form.Set("reason", "old")
	again := b.send(http.MethodPost, path, form).want(http.StatusUnprocessableEntity).shows("has changed since you looked", "Discard (2)", `value="old"`)
	if len(asked) != 0 {
		t.Fatal("acted on what was not shown")
	}
	form = again.form()
	form.Set("reason", "old")
	b.send(http.MethodPost, path, form).want(http.StatusSeeOther)
	b.open("/dead/discard").want(http.StatusBadRequest) // never everything by accident
}

// A list has no end at 10,000: every failed event of 10,500 is on exactly one
// page, and the way from page to page keeps the filter.
func TestEventsArePagedWithoutACap(t *testing.T) {
	f := start(t)
	const n = 10_500
	f.many(n)
	b := f.signedIn(viewerToken)
	b.open("/events").leads("/events?outcome=failed")
	older := regexp.MustCompile(`rel="next" href="([^"]*)"`)
	place := regexp.MustCompile(`<span class="mono place">(STRIPE:\d+)</span>`)
	seen := map[string]int{}
	path, pages := "/events?outcome=failed&type=charge.*", 0
	for path != "" {
		got := b.open(path).want(http.StatusOK)
		for _, m := range place.FindAllStringSubmatch(got.body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := older.FindStringSubmatch(got.body); m != nil {
			path = html.UnescapeString(m[1])
			if q, err := url.ParseQuery(path[strings.Index(path, "?")+1:]); err != nil || q.Get("type") != "charge.*" || q.Get("outcome") != "failed" {
				t.Fatalf("the next page is %s", path)
			}
		}
		if pages++; pages > 20 {
			t.Fatal("no end")
		}
	}
	if len(seen) != n/100 || pages != 3 {
		t.Errorf("%d events on %d pages, want %d on 3", len(seen), pages, n/100)
	}
	for place, times := range seen {
		if times != 1 {
			t.Errorf("%s stands on %d pages", place, times)
		}
	}
	// Far back in the list.
	b.open("/events?outcome=&after=101").shows("STRIPE:100<", "STRIPE:51<").hides("STRIPE:50<", "STRIPE:101<")
}

// What is typed into the filter is in the address, and comes back into the form.
func TestFiltersStandInTheAddress(t *testing.T) {
	f := start(t)
	f.many(300)
	b := f.signedIn(viewerToken)
	path := "/events?outcome=refused&type=charge.updated&since=7d&seq=..250&account=platform"
	got := b.open(path).want(http.StatusOK).shows(`name="type" value="charge.updated"`, `name="since" value="7d"`, `name="seq" value="..250"`, `name="account" value="platform"`,
		`<input type="hidden" name="outcome" value="refused">`, "STRIPE:100<", "STRIPE:200<", "quotectl events list --stream STRIPE --type charge.updated --outcome refused").hides("STRIPE:300<")
	chip := regexp.MustCompile(`<a href="([^"]*)">applied</a>`).FindStringSubmatch(got.body)
	q, err := url.ParseQuery(html.UnescapeString(chip[1])[len("/events?"):])
	if err != nil || q.Get("outcome") != "applied" || q.Get("type") != "charge.updated" || q.Get("seq") != "..250" {
		t.Errorf("the chip leads to %v, %v", q, err)
	}
	b.open("/events?outcome=never&since=someday&seq=9..1").want(http.StatusBadRequest).shows("outcome:", "since:", "seq:", `value="someday"`)
	b.open("/journal?since=never").want(http.StatusBadRequest).shows("since:")
	b.open("/mail?state=lost").want(http.StatusBadRequest).shows("state:")
	b.open("/quotes?status=paid").want(http.StatusBadRequest).shows("seller:")
}

// A page that updates itself says so, and can be told not to; without scripts too.
func TestLiveUpdatesCanBePaused(t *testing.T) {
	f := start(t)
	b := f.signedIn(viewerToken)
	b.open("/overview").shows(`<noscript><meta http-equiv="refresh" content="10"></noscript>`, `data-live="10"`, "Pause updates", `href="/overview?live=off"`)
	b.open("/overview?live=off").shows("Update live", `href="/overview?live=on"`).hides("http-equiv", "data-live=")
	b.open("/events?outcome=dead").shows("Update live").hides("http-equiv")
}

// Whatever id is typed leads to its page.
func TestTheSearchLeadsToEveryId(t *testing.T) {
	f := start(t)
	f.buried("evt_a", "trouble")
	b := f.signedIn(viewerToken)
	for id, want := range map[string]string{
		"evt_a": "/events/evt_a", " STRIPE:1 ": "/events/STRIPE:1", "DEAD:1": "/dead/letter/1", "": "/quotes",
	} {
		b.open("/search?q=" + url.QueryEscape(id)).leads(want)
	}
	b.open("/search?q=q_nothing").want(http.StatusNotFound).shows("quotectl quotes list")
	b.open("/events/evt_nothing").want(http.StatusNotFound).shows("evt_nothing")
	b.open("/quotes/q_nothing").want(http.StatusNotFound)
	b.open("/dead/letter/99").want(http.StatusNotFound)
	b.open("/tasks/none").want(http.StatusNotFound).shows("journal")
	b.open("/dead/letter/1").shows("trouble", "STRIPE:1")
}

// What somebody looks for may be a person's name or address: the answer may repeat
// it, the log must not.
func TestWhatIsLookedForIsNotInTheLog(t *testing.T) {
	f := start(t)
	b := f.signedIn(operatorToken)
	asked := 0
	for _, who := range []string{"jan@kowalski.example", "Jan Kowalski", "kowalski"} {
		for _, path := range []string{"/search?q=", "/events/", "/quotes/", "/mail/", "/mail?quote=", "/subscribers?fact=", "/dead/retry?letter=", "/parked/release?place="} {
			if got := b.open(path + url.PathEscape(who)); got.status >= http.StatusInternalServerError {
				t.Errorf("%s%s: status %d", path, who, got.status)
			}
			asked++
		}
	}
	lines := f.logs.FilterMessage("request").All()
	if len(lines) < asked {
		t.Fatalf("%d lines about %d requests", len(lines), asked)
	}
	for _, line := range lines {
		if text := strings.ToLower(fmt.Sprint(line.ContextMap())); strings.Contains(text, "kowalski") {
			t.Errorf("the log has %s", text)
		}
	}
}

// A quote's page tells its story, and the mail's address is masked.
func TestAQuotesPageTellsItsStory(t *testing.T) {
	f := start(t)
	at := time.Now().UTC().Truncate(time.Second)
	s := event.QuoteSubject{Event: event.NameDrafted, Seller: "main", Quote: "q_1", N: "1"}
	envelope, err := event.New(s, "test", at, event.Drafted{Version: 1, DraftedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.Command(t.Context(), natsstream.Message{Subject: s.String(), ID: s.String(), Data: envelope.Encode()}, s.String(), 0); err != nil {
		t.Fatal(err)
	}
	b := f.signedIn(viewerToken)
	b.open("/quotes").want(http.StatusOK).shows("q_1", "main")
	b.open("/quotes/q_1").want(http.StatusOK).shows("What happened", "drafted version 1", "/search?q=QUOTES%3a1")
	b.open("/search?q=q_1").leads("/quotes/q_1")
	b.open("/events/QUOTES:1").want(http.StatusOK).shows("quote.drafted")
}

// The gap is what the last comparison with Stripe left, and how old that is.
func TestTheOverviewTellsTheGapWithStripe(t *testing.T) {
	f := start(t)
	b := f.signedIn(viewerToken)
	b.open("/overview").want(http.StatusOK).shows("never compared").hides("Not known just now: decode")
	bucket, err := f.log.JetStream().KeyValue(t.Context(), event.BucketSystem)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{
		`{"ran":"` + time.Now().UTC().Format(time.RFC3339) + `","gap":3}`: "Look at what differs. Compared",
		`{"ran":"2026-01-01T00:00:00Z","gap":0}`:                          "The last comparison was",
	} {
		if _, err := bucket.Put(t.Context(), "reconcile", []byte(state)); err != nil {
			t.Fatal(err)
		}
		b.open("/overview").want(http.StatusOK).shows(want)
	}
}
