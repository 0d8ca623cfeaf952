package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

// ownEvent stores an event of quote q_1 of main, with its own time.
func (f *fixture) ownEvent(name, n string, at time.Time, data any) {
	f.t.Helper()
	s := event.QuoteSubject{Event: name, Seller: "main", Quote: "q_1", N: n}
	envelope, err := event.New(s, event.SourceQuotes, at, data)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.log.Fact(f.t.Context(), natsstream.Message{Subject: s.String(), ID: envelope.ID, Data: envelope.Encode()}); err != nil {
		f.t.Fatal(err)
	}
}

// known stores by which rules payments decides, as payments does.
func (f *fixture) known() {
	f.t.Helper()
	rules, err := natsstream.EncodeRules(projection.Rules{Mode: "test"})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.log.SetSystem(f.t.Context(), natsstream.RulesKey, rules, 0); err != nil {
		f.t.Fatal(err)
	}
}

// A quote as of a time: what was true then is told apart from what was known here, the question stands in the address, and
// every message leads to the moment in which it came.
func TestAQuoteIsShownAsOfATime(t *testing.T) {
	f := start(t)
	f.known()
	drafted := time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Second)
	published := drafted.Add(time.Hour)
	document := quote.Document{Title: "Desk", Currency: "eur", Owner: quote.Owner{Name: "Ola", Email: "ola@seller.example", TimeZone: "Europe/Warsaw"}}
	f.ownEvent(event.NameDrafted, "1", drafted, event.Drafted{Seller: "main", QuoteID: "q_1", Version: 1, DraftedAt: drafted, Document: document})
	f.ownEvent(event.NamePublished, "1", published, event.Published{
		Seller: "main", QuoteID: "q_1", Revision: 1, Mode: "test", Account: event.Platform, Amount: 123000, Currency: "eur", PublishedAt: published, Document: document,
	})
	b := f.signedIn(viewerToken)
	b.open("/quotes/q_1").want(http.StatusOK).shows(`href="/quotes/q_1/past"`)
	address := func(axis string, at time.Time) string {
		return "/quotes/q_1/past?" + url.Values{"axis": {axis}, "at": {at.Format(time.RFC3339Nano)}}.Encode()
	}
	then := func(a answer) string {
		t.Helper()
		m := regexp.MustCompile(`<td data-label="Then"><span class="[^"]*">([^<]*)</span>`).FindStringSubmatch(a.want(http.StatusOK).body)
		if m == nil {
			t.Fatalf("no status in %s", a.body)
		}
		return m[1]
	}
	for _, c := range []struct {
		axis string
		at   time.Time
		want string
	}{
		{"as_of", drafted.Add(-time.Second), "not there yet"},
		{"as_of", published.Add(-time.Second), "draft"},
		{"as_of", published, "published"},
		{"as_known_at", published, "not there yet"}, // it was stored only now
	} {
		if got := then(b.open(address(c.axis, c.at))); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.axis, c.at, got, c.want)
		}
	}
	page := b.open(address("as_of", drafted)).shows("came later", "QUOTES:2", "EUR", `value="as_of" selected`, "quotectl status q_1 --as-of "+drafted.Format(time.RFC3339))
	links := regexp.MustCompile(`<td data-label="Time"><a href="([^"]*)">`).FindAllStringSubmatch(page.body, -1)
	if len(links) != 2 {
		t.Fatalf("%d moments, want 2: %s", len(links), page.body)
	}
	if got := then(b.open(html.UnescapeString(links[0][1]))); got != "published" {
		t.Errorf("the newest moment shows %q", got)
	}
	b.open("/quotes/q_1/past?axis=as_of&at=150m").shows(`value="150m"`, ">draft<")
	b.open("/quotes/q_1/past?axis=never&at=someday").want(http.StatusBadRequest).shows("axis:", "at:", `value="someday"`)
	b.open("/quotes/q_1/past?at=2100-01-01").want(http.StatusBadRequest).shows("still to come")
	b.open("/quotes/q_2/past").want(http.StatusNotFound)
	b.open("/quotes/%2A/past").want(http.StatusBadRequest).hides("Desk", "QUOTES:1")
}
