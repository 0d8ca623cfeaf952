package quotes_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

// R33
func TestTheRecordShowsWhenItWasPaid(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, viewerToken)
	id := f.create(t)
	f.publish(t, id)
	f.project(t, id)
	b.open("/seller/quotes/"+id).want(t, http.StatusOK).says(t, "Status: Awaiting payment", "1 185.87 PLN")
	// Paid shortly before midnight in UTC, which is the next day for the owner.
	at := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)
	f.factAt(t, id, event.NamePaid, "1", at, paid(id, 1, at))
	record := b.open("/seller/quotes/"+id).says(t, "Status: Paid: Nov 21, 2026", "Paid 1 185.87 PLN Nov 21, 2026, 00:30 CET", "Revision 1 Paid: Nov 21, 2026")
	record.shows(t, `<time class="soft small" datetime="2026-11-20T23:30:00Z">`).hides(t, "/recall\"", ">Edit<")
	b.send("GET", "/seller/quotes/"+id+"?lang=pl", nil).says(t, "Opłacono: 21 lis 2026", "To tłumaczenie jest udogodnieniem")
	b.send("GET", "/seller/quotes/"+id+"?lang=en", nil).says(t, "Paid: Nov 21, 2026").hides(t, "To tłumaczenie")

	// The list and the deal record read Redis, where payments writes what was paid.
	f.payments(t, id, settled(118587, at))
	for _, path := range []string{"/seller/quotes", "/seller/quotes?status=paid", "/seller/quotes?deal=deal_42", "/seller/deals/deal_42"} {
		b.open(path).want(t, http.StatusOK).says(t, "Website", "Paid: Nov 21, 2026", "1 185.87 PLN", "Relaunch")
	}
}

func TestTheTimelineTellsWhatTheLogTells(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := f.create(t)
	for _, title := range []string{"A", "B"} {
		f.clock.move(time.Minute)
		f.call(t, "PATCH", "/v1/quotes/"+id, `{"title":"`+title+`"}`, "If-Match", "*").want(t, http.StatusOK)
	}
	f.clock.move(time.Minute)
	f.publish(t, id)
	fact := func(name, n string, amount int64, full bool, minutes int) {
		f.factAt(t, id, name, n, noon.Add(time.Duration(minutes)*time.Minute), event.PaymentFact{
			Seller: "main", QuoteID: id, Revision: 1, Amount: amount, Currency: "pln", Account: "platform", Object: n, Full: full,
		})
	}
	fact(event.NamePaymentFailed, "ch_1", 118587, false, 10)
	fact(event.NameRefunded, "pi_1", 1000, false, 30)
	fact(event.NameDisputed, "dp_1", 118587, false, 40)
	f.factAt(t, id, event.NamePaid, "1", noon.Add(20*time.Minute), paid(id, 1, noon.Add(20*time.Minute))) // told late
	f.factAt(t, id, event.NameExpiring, "1", noon.Add(45*time.Minute), event.Expiring{Seller: "main", QuoteID: id, Revision: 1})
	f.factAt(t, id, "something_new", "1", noon.Add(50*time.Minute), map[string]string{"x": "y"})
	plain := b.open("/seller/quotes/"+id).want(t, http.StatusOK).plain()
	_, got, _ := strings.Cut(plain, "Timeline ")
	want := "quote.something_new Nov 20, 2026, 13:50 CET " +
		"Expires soon, and is not paid revision 1 Nov 20, 2026, 13:45 CET " +
		"Payment disputed 1 185.87 PLN Nov 20, 2026, 13:40 CET " +
		"Partly refunded 10.00 PLN Nov 20, 2026, 13:30 CET " +
		"Paid 1 185.87 PLN Nov 20, 2026, 13:20 CET " +
		"An attempt to pay failed 1 185.87 PLN Nov 20, 2026, 13:10 CET " +
		"Published revision 1, 1 185.87 PLN Nov 20, 2026, 13:03 CET " +
		"Draft saved version 3, saved 3 times Nov 20, 2026, 13:02 CET"
	if !strings.HasPrefix(got, want) {
		t.Errorf("timeline = %s\nwant       %s", got, want)
	}
}

func TestAViewerReadsAndChangesNothing(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.project(t, id)
	before := len(f.log(t, id))
	for name, token := range map[string]string{"viewer": viewerToken, "operator": operatorToken} {
		b := f.signedIn(t, token)
		b.open("/seller/quotes").want(t, http.StatusOK).says(t, "Website", "(may read)").hides(t, "New quote")
		b.open("/seller/quotes/"+id).want(t, http.StatusOK).hides(t, ">Edit<", "/review")
		b.open("/seller/deals/deal_42").want(t, http.StatusOK).hides(t, "New quote")
		for _, path := range []string{"/seller/new", "/seller/quotes/" + id + "/details", "/seller/quotes/" + id + "/review", "/seller/quotes/" + id + "/recall"} {
			b.open(path).want(t, http.StatusForbidden).says(t, "You may read only")
			b.post(path, append([]string{"version", "1"}, details...)...).want(t, http.StatusForbidden).says(t, "You may read only")
		}
		if after := len(f.log(t, id)); after != before {
			t.Errorf("%s wrote %d events", name, after-before)
		}
	}
	f.signedIn(t, adminToken).open("/seller/new").want(t, http.StatusOK)
}

func TestASellerSeesNoOtherSellersQuotes(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.publish(t, id)
	f.project(t, id)
	b := f.signedIn(t, strangeToken)
	b.open("/seller/quotes").want(t, http.StatusOK).says(t, "No quotes yet").hides(t, "Website")
	b.open("/seller/deals/deal_42").want(t, http.StatusOK).says(t, "This deal has no quotes yet").hides(t, "Website", "Relaunch")
	for _, path := range []string{"", "/events", "/details", "/lines", "/payment", "/review", "/recall"} {
		unknown := b.open("/seller/quotes/q_unknown"+path).want(t, http.StatusNotFound)
		foreign := b.open("/seller/quotes/"+id+path).want(t, http.StatusNotFound)
		if unknown.plain() != foreign.plain() {
			t.Errorf("%s: another seller's quote answers %q, an unknown one %q", path, foreign.plain(), unknown.plain())
		}
		if path != "" && path != "/events" {
			b.post("/seller/quotes/"+id+path, append([]string{"version", "1", "key", "k"}, details...)...).want(t, http.StatusNotFound)
		}
	}
	if got := f.log(t, id); len(got) != 2 {
		t.Errorf("log = %v", got)
	}
	b.open("/seller/quotes/a.b*").want(t, http.StatusNotFound)
}

var nextLink = regexp.MustCompile(`<a class="button quiet" href="([^"]+)" rel="next">`)

func TestTheListIsFilteredAndPagedByItsAddress(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	b.open("/seller/quotes").says(t, "No quotes yet", "New quote").hides(t, "<table")
	var ids []string
	for _, title := range []string{"One", "Two", "Three"} {
		ids = append(ids, f.call(t, "POST", "/v1/quotes", strings.Replace(document, `"Website"`, `"<`+title+`>"`, 1)).text(t, "id"))
		f.clock.move(time.Second)
	}
	for _, id := range ids {
		f.project(t, id)
	}
	page := b.open("/seller/quotes?limit=2&status=draft&deal=deal_42").want(t, http.StatusOK).says(t, "<Three>", "<Two>", "Draft", "1 185.87 PLN", "Show all").hides(t, "One", "<Two>")
	page.shows(t, `<option value="draft" selected>`, `name="deal" value="deal_42"`)
	m := nextLink.FindStringSubmatch(string(page.body))
	if m == nil {
		t.Fatalf("no link to older quotes in %s", page.plain())
	}
	next, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
	if err != nil || next.Query().Get("status") != "draft" || next.Query().Get("deal") != "deal_42" {
		t.Errorf("older = %s, %v", m[1], err)
	}
	b.open(next.String()).want(t, http.StatusOK).says(t, "<One>", "Newest").hides(t, "Two", `rel="next"`)
	b.open("/seller/quotes?status=paid&deal=").want(t, http.StatusOK).says(t, "No quote fits this filter", "Show all")
	b.open("/seller/quotes?status=gone").want(t, http.StatusBadRequest).says(t, "status must be one of draft, published")
	b.open("/seller/quotes?status=draft&status=paid").want(t, http.StatusBadRequest).says(t, "given more than once")
	b.open("/seller/quotes?lang=pl&cursor=").want(t, http.StatusOK).says(t, "Oferty", "Szkic")
}

func TestANewQuoteForADealKnowsTheDeal(t *testing.T) {
	f := start(t)
	b := f.signedIn(t, sellerToken)
	id := f.call(t, "POST", "/v1/quotes", strings.Replace(document, `"deal_42"`, `"a/b c"`, 1)).text(t, "id")
	f.project(t, id)
	deal := b.open("/seller/deals/a%2Fb%20c").want(t, http.StatusOK).says(t, "Relaunch", "a/b c", "Website")
	deal.shows(t, `href="/seller/new?deal=a%2Fb&#43;c&amp;deal_name=Relaunch"`)
	b.open("/seller/new?deal=a%2Fb+c&deal_name=Relaunch").shows(t, `value="a/b c"`, `value="Relaunch"`, `value="PLN"`, `value="Europe/Warsaw"`).
		hides(t, "olga@seller.example") // who is in charge is not guessed
	b.open("/seller/quotes/"+id).shows(t, `href="/seller/deals/a%2Fb%20c"`)
}

func TestTheRecordTellsItsReaderOfChanges(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.StreamBeat = 20 * time.Millisecond
	f.run(t)
	b := f.signedIn(t, viewerToken)
	id := f.create(t)
	f.publish(t, id)
	f.project(t, id)
	seen := seenInPage.FindStringSubmatch(string(b.open("/seller/quotes/" + id).body))[1]
	stream := f.followAt(t, "/seller/quotes/"+id+"/events", seen, "Cookie", "session="+b.cookies["session"])
	stream.beat(t)
	f.fact(t, id, event.NamePaid, "1", paid(id, 1, noon))
	told := stream.next(t)
	if now := seenInPage.FindStringSubmatch(string(b.open("/seller/quotes/"+id).says(t, "Paid: Nov 20, 2026").body))[1]; told == seen || told != now {
		t.Errorf("told %s, the page was %s and is %s", told, seen, now)
	}
	stream.leave()
	f.browser(t).open("/seller/quotes/"+id+"/events").leads(t, "/signin?next=%2Fseller%2Fquotes%2F"+id+"%2Fevents")
	// A session that ends while the page is open ends what it is told.
	again := f.followAt(t, "/seller/quotes/"+id+"/events", told, "Cookie", "session="+b.cookies["session"])
	f.clock.move(13 * time.Hour)
	if got := again.next(t); got != "gone" {
		t.Errorf("told %q, want gone", got)
	}
}
