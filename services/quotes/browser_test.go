package quotes_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/services/quotes"
)

// browserAccepts is what browsers send with a navigation.
const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// click is checkOut as a browser does it.
func (f *fixture) click(t *testing.T, token string, headers ...string) answer {
	t.Helper()
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return f.call(t, "POST", "/q/"+token+"/checkout", "", append([]string{
		"Authorization", "", "Accept", browserAccepts, "Content-Type", "application/x-www-form-urlencoded",
	}, headers...)...)
}

// has fails unless the page has each text in it.
func (a answer) has(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(string(a.body), text) {
			t.Errorf("page lacks %q: %s", text, a.body)
		}
	}
	return a
}

// lacks fails where the page has any of the texts in it.
func (a answer) lacks(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(string(a.body), text) {
			t.Errorf("page has %q: %s", text, a.body)
		}
	}
	return a
}

// buttons are the places of Check out on a page: before the lines, after them.
func buttons(token string, page answer) (top, bottom int) {
	form := `<form class="checkout" method="post" action="/q/` + token + `/checkout" target="_blank">`
	before, after, _ := strings.Cut(string(page.body), "<table")
	return strings.Count(before, form), strings.Count(after, form)
}

// R13, R16, R20, R27, R33, R44: a table of what the customer sees, and where Check
// out is.
func TestCheckOutIsAtTheTopAndTheBottomOrNowhere(t *testing.T) {
	once := func(d string) string {
		return strings.Replace(d, `,"recurring":{"interval":"month","interval_count":1}`, "", 1)
	}
	for name, tt := range map[string]struct {
		change    func(string) string
		given     func(t *testing.T, f *fixture, id, token string)
		session   string
		noStripe  bool
		want      int // buttons at the top and at the bottom
		says      []string
		polish    string
		notFollow bool
	}{
		"payable":  {want: 1, says: []string{"Awaiting payment", "Valid until", "Dec 31, 2026, 23:59 CET", "1 185.87 PLN", "then 99.00 PLN every month"}, polish: "Oczekuje na płatność"},
		"one-time": {change: once, want: 1, says: []string{"Awaiting payment"}, polish: "Oczekuje na płatność"},
		"no end":   {change: func(d string) string { return strings.Replace(d, `"expires_at":"2026-12-31",`, "", 1) }, want: 1, says: []string{"Awaiting payment"}, polish: "Oczekuje na płatność"},
		"off":      {change: func(d string) string { return strings.Replace(d, `"stripe":true`, `"stripe":false`, 1) }, says: []string{"This quote is not paid online"}, polish: "nie opłaca się online"},
		"no key":   {noStripe: true, says: []string{"not possible at the moment"}, polish: "nie jest teraz możliwa"},
		"not allowed": {given: func(t *testing.T, f *fixture, _, _ string) {
			t.Helper()
			f.sellerEvent(t, 1, event.NamePlanSet, seller.PlanSet{Seller: "main", Plan: "free", At: noon})
		}, says: []string{"not possible at the moment"}, polish: "nie jest teraz możliwa"},
		"failed": {given: func(t *testing.T, f *fixture, id, _ string) {
			t.Helper()
			failed := settled(1, noon)
			failed.Intents[0].Settled, failed.Intents[0].Failed = nil, quote.Moment(noon.Unix())
			f.payments(t, id, failed)
		}, want: 1, says: []string{"Awaiting payment", "The last attempt to pay did not succeed"}, polish: "Ostatnia próba płatności nie powiodła się"},
		"processing": {
			given: func(t *testing.T, f *fixture, id, _ string) {
				t.Helper()
				f.payments(t, id, processing())
			},
			says: []string{"Payment processing", "data-waiting"}, polish: "Płatność w toku",
		},
		"processing, Redis lags": {given: func(t *testing.T, f *fixture, id, _ string) {
			t.Helper()
			f.fact(t, id, event.NamePaymentProcessing, "cs_1", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: "cs_1"})
		}, says: []string{"Payment processing"}, polish: "Płatność w toku"},
		"paid": {
			given: func(t *testing.T, f *fixture, id, _ string) {
				t.Helper()
				f.payments(t, id, settled(118587, late))
			},
			says: []string{"Paid: Nov 20, 2026"}, polish: "Opłacono: 20 lis 2026",
		},
		"paid, Redis lags": {
			given: func(t *testing.T, f *fixture, id, _ string) {
				t.Helper()
				f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
			},
			says: []string{"Paid: Nov 20, 2026"}, polish: "Opłacono: 20 lis 2026",
		},
		"refunded": {
			given: func(t *testing.T, f *fixture, id, _ string) {
				t.Helper()
				f.payments(t, id, refunded(late))
			},
			says: []string{"Refunded: Nov 22, 2026"}, polish: "Zwrócono: 22 lis 2026", notFollow: true,
		},
		"review": {
			given: func(t *testing.T, f *fixture, id, _ string) {
				t.Helper()
				f.payments(t, id, settled(5000, noon))
			},
			says: []string{"Payment needs review", "you need not pay again"}, polish: "Płatność wymaga sprawdzenia",
		},
		"expired": {
			given: func(_ *testing.T, f *fixture, _, _ string) { f.clock.move(60 * 24 * time.Hour) },
			says:  []string{"Expired", "was valid until Dec 31, 2026, 23:59 CET"}, polish: "Ta oferta była ważna do 31 gru 2026, 23:59 CET",
		},
		"back from paying": {
			given: func(t *testing.T, f *fixture, _, token string) {
				t.Helper()
				f.checkOut(t, token).leadsTo(t, firstSession)
			},
			session: "cs_test_1", says: []string{"Waiting for confirmation", "Thank you", "data-waiting"}, polish: "Dziękujemy",
		},
		"back from paying, paid": {given: func(t *testing.T, f *fixture, id, token string) {
			t.Helper()
			f.checkOut(t, token).leadsTo(t, firstSession)
			f.fact(t, id, event.NamePaid, "1", paid(id, 1, late))
		}, session: "cs_test_1", says: []string{"Paid: Nov 20, 2026", "Thank you for your payment"}, polish: "Dziękujemy za płatność"},
		"back from paying, failed": {given: func(t *testing.T, f *fixture, id, token string) {
			t.Helper()
			f.checkOut(t, token).leadsTo(t, firstSession)
			f.fact(t, id, event.NamePaymentFailed, "cs_test_1", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: "cs_test_1"})
		}, session: "cs_test_1", want: 1, says: []string{"Awaiting payment"}, polish: "Oczekuje na płatność"},
		"somebody else's session": {session: "cs_test_9", want: 1, says: []string{"Awaiting payment"}, polish: "Oczekuje na płatność"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			if !tt.noStripe {
				f.withStripe(t)
			}
			id, token := f.offered(t, tt.change)
			if tt.given != nil {
				tt.given(t, f, id, token)
			}
			path := token + "?session_id=" + tt.session
			page := f.get(t, path).want(t, http.StatusOK).has(t, tt.says...).has(t, "Website", `<html lang="en">`).lacks(t, "Polski</span>")
			if top, bottom := buttons(token, page); top != tt.want || bottom != tt.want {
				t.Errorf("%d and %d buttons, want %d: %s", top, bottom, tt.want, page.body)
			}
			if follows := strings.Contains(string(page.body), `data-events="/q/`+token+`/events"`); follows == tt.notFollow {
				t.Errorf("follows: %t", follows)
			}
			translated := f.get(t, path+"&lang=pl").want(t, http.StatusOK).has(t, tt.polish, `<html lang="pl">`)
			if top, bottom := buttons(token, translated); top != tt.want || bottom != tt.want {
				t.Errorf("%d and %d buttons in Polish, want %d", top, bottom, tt.want)
			}
			if !seenInPage.Match(page.body) || string(seenInPage.Find(page.body)) != string(seenInPage.Find(translated.body)) {
				t.Error("the state depends on the language")
			}
			if !strings.Contains(string(page.body), `data-seen="`+f.seen(t, token)+`"`) {
				t.Error("the state depends on where the reader comes from, of which the stream knows nothing")
			}
		})
	}
}

// Every number of the offer, in each currency's own decimals (R53), and what of it
// is charged again (R40, R41).
func TestThePageShowsWhatIsChargedNowAndLater(t *testing.T) {
	f := start(t)
	f.withStripe(t)
	text := func(token string) string {
		page := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(f.get(t, token).want(t, 200).body), " ")
		return strings.Join(strings.Fields(page), " ")
	}
	_, token := f.offered(t, nil)
	all := text(token)
	for _, want := range []string{
		"From Olga", "For Customer &amp; Sons", "Design 2 617.25 PLN −4.50 PLN once 1 230.00 PLN", "Hosting 1 99.00 PLN – none every month 99.00 PLN",
		"Subtotal 1 329.00 PLN", "Quote discount −166.13 PLN Applies to the first payment only.", "VAT 23.00 PLN Charged once, with the first payment.",
		"Total due today 1 185.87 PLN then 99.00 PLN every month Recurring",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("page lacks %q: %s", want, all)
		}
	}
	_, forever := f.offered(t, func(d string) string {
		d = strings.Replace(d, `{"percent":"12.5"}`, `{"amount":900,"duration":"forever"}`, 1)
		return strings.Replace(strings.Replace(d, `"month","interval_count":1`, `"year","interval_count":2`, 1), `"company":"Customer & Sons"`, `"company":""`, 1)
	})
	if got := text(forever); !strings.Contains(got, "then 90.00 PLN every 2 years") || !strings.Contains(got, "Applies to every payment.") || !strings.Contains(got, "For Carl Customer") {
		t.Errorf("page = %s", got)
	}
	for currency, want := range map[string]string{"jpy": "123 900 JPY", "ugx": "1 239.00 UGX", "bhd": "123.900 BHD"} {
		_, token := f.offered(t, func(d string) string {
			d = strings.Replace(d, `"pln"`, `"`+currency+`"`, 1)
			d = strings.Replace(d, `"discount":{"percent":"12.5"},"tax":{"name":"VAT","amount":2300},`, "", 1)
			d = strings.Replace(d, `"unit_amount":61725,"discount_amount":450`, `"unit_amount":57000`, 1)
			if currency == "bhd" { // no quote may ask for it by Stripe (R50)
				d = strings.Replace(d, `"stripe":true`, `"stripe":false`, 1)
			}
			return d
		})
		if got := text(token); !strings.Contains(got, "Total due today") || !strings.Contains(got, want) {
			t.Errorf("%s: page lacks %q: %s", currency, want, got)
		}
	}
}

func TestATranslatedPageSaysSoAndLeadsToTheEnglishOne(t *testing.T) { // R1
	f := start(t)
	_, token := f.offered(t, nil)
	page := f.call(t, "GET", "/q/"+token+"?session_id=cs_1", "", "Authorization", "", "Accept-Language", "pl").want(t, 200)
	page.has(t, `<html lang="pl">`, "To tłumaczenie jest udogodnieniem; wiążąca jest wersja angielska.", `<a href="?lang=en&amp;session_id=cs_1" hreflang="en" lang="en">`)
	if page.header.Get("Content-Language") != "pl" || len(page.header.Values("Set-Cookie")) != 0 {
		t.Errorf("headers = %v", page.header)
	}
	english := f.call(t, "GET", "/q/"+token+"?lang=en", "", "Authorization", "", "Accept-Language", "pl").want(t, 200)
	english.has(t, `<html lang="en">`, `<a href="?lang=pl" hreflang="pl" lang="pl">Polski</a>`).lacks(t, "udogodnieniem", "convenience")
	if got := english.header.Get("Set-Cookie"); got != "lang=en; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax" {
		t.Errorf("cookie = %s", got)
	}
	f.call(t, "GET", "/q/"+token, "", "Authorization", "", "Accept-Language", "pl", "Cookie", "lang=en").want(t, 200).has(t, `<html lang="en">`)
	// The 404 has no address to give away, in either language.
	f.call(t, "GET", "/q/"+strings.Repeat("a", 26)+"?lang=pl", "", "Authorization", "").want(t, 404).has(t, "Ta strona jest niedostępna", `href="?lang=en"`)
	// The API is English whatever is asked for.
	api := f.call(t, "GET", "/v1/quotes/q_none?lang=pl", "", "Accept-Language", "pl", "Accept", browserAccepts).problem(t, 404, "not-found")
	if api.text(t, "detail") != "There is no such quote." {
		t.Errorf("API = %s", api.body)
	}
}

// A refused check out comes back to a browser as a page with the way back, and to
// a program as before.
func TestARefusedCheckOutIsAPageForABrowser(t *testing.T) { // R18, R19, R44
	f := start(t)
	f.cfg.CheckoutOrigins = []string{"https://checkout.stripe.example"}
	s := f.withStripe(t)
	id, token := f.offered(t, nil)
	back := `<a class="button quiet" href="/q/` + token + `">`
	refuse := func(code string) {
		s.with(func() {
			s.refuse = func(method, path string, _ url.Values) (int, string, string) {
				if code != "" && method == "POST" && path == "/v1/checkout/sessions" {
					return 400, code, ""
				}
				return 0, "", ""
			}
		})
	}
	refuse("amount_too_small")
	f.click(t, token).want(t, 409).has(t, "Payment is not possible at the moment", "The total is below the least that Stripe charges: no: amount_too_small", back)
	f.click(t, token, "Accept", "application/json").problem(t, 409, "refused-by-stripe")
	f.click(t, token, "Accept", "*/*").problem(t, 409, "refused-by-stripe")
	f.click(t, token, "Accept", "text/html;q=0, */*").problem(t, 409, "refused-by-stripe")
	refuse("")
	f.click(t, token).leadsTo(t, firstSession)

	f.fact(t, id, event.NamePaymentProcessing, "cs_test_1", event.PaymentFact{Seller: "main", QuoteID: id, Revision: 1, Object: "cs_test_1"})
	f.click(t, token).want(t, 409).has(t, "You need not pay again", "A payment of this quote is on its way.", back)
	f.click(t, token, "Accept-Language", "pl").want(t, 409).has(t, "Płatność za tę ofertę jest w drodze.", "To tłumaczenie jest udogodnieniem", `href="/q/`+token+`?lang=en"`).lacks(t, `href="?lang`)
	f.fact(t, id, event.NamePaid, "1", paid(id, 1, noon))
	f.click(t, token).want(t, 409).has(t, "This quote is already paid.", back)

	_, soon := f.offered(t, func(d string) string { return strings.Replace(d, "2026-12-31", "2026-11-20T12:20:00Z", 1) })
	f.click(t, soon).want(t, 409).has(t, "expires in less than half an hour")
	f.clock.move(time.Hour)
	f.click(t, soon).want(t, 409).has(t, "This quote has expired.")
	f.click(t, strings.Repeat("a", 26)).want(t, 404).has(t, "This page is not available").lacks(t, "Back to the quote")
	f.redis.Stop()
	down := f.click(t, token).want(t, 503).has(t, "Nothing is lost.", back)
	if down.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}

// A browser does not follow a form to an origin that the page's policy leaves out:
// there the customer gets a link.
func TestAnUnnamedCheckoutOriginBecomesALink(t *testing.T) { // R20
	f := start(t)
	f.withStripe(t)
	_, token := f.offered(t, nil)
	f.checkOut(t, token).leadsTo(t, firstSession) // a program needs no page
	f.click(t, token).want(t, 200).has(t, "Your payment page is ready", `<a class="button" href="`+firstSession+`" rel="noreferrer">`)
	if f.logs.FilterMessageSnippet("CHECKOUT_ORIGINS").Len() != 1 {
		t.Error("the operator is not told")
	}
	f.stop()
	f.cfg.CheckoutOrigins = []string{"https://checkout.stripe.example"}
	f.run(t)
	f.click(t, token).leadsTo(t, firstSession)
	if policy := f.get(t, token).header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://checkout.stripe.example;") {
		t.Errorf("policy = %s", policy)
	}
}

func TestWhereCheckoutIsCanBeSaid(t *testing.T) {
	for _, tt := range []struct{ set, want string }{
		{"", "[] <nil>"},
		{"https://pay.example.com, http://127.0.0.1:8083/", "[https://pay.example.com http://127.0.0.1:8083] <nil>"},
		{"https://pay.example.com/x", `[] CHECKOUT_ORIGINS: "https://pay.example.com/x" is not an origin such as https://checkout.stripe.com`},
		{"https://*.example.com", `[] CHECKOUT_ORIGINS: "https://*.example.com" is not an origin such as https://checkout.stripe.com`},
		{"javascript:x", `[] CHECKOUT_ORIGINS: "javascript:x" is not an origin such as https://checkout.stripe.com`},
	} {
		set := map[string]string{"API_TOKENS": allTokens, "CHECKOUT_ORIGINS": tt.set}
		c, err := quotes.ConfigFromEnv(func(name string) (string, bool) { v, ok := set[name]; return v, ok })
		if got := fmt.Sprint(c.CheckoutOrigins, " ", err); got != tt.want {
			t.Errorf("%q: %s", tt.set, got)
		}
	}
}

// One client cannot keep the others from their pages.
func TestAClientThatAsksTooMuchHasToWait(t *testing.T) {
	f := start(t)
	f.stop()
	f.cfg.PageRate = 5
	trusted, err := quotes.ParseProxies("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.TrustedProxies = trusted
	f.run(t)
	_, token := f.offered(t, nil)
	ask := func(client, method, path, accept string) answer {
		return f.call(t, method, path, "", "Authorization", "", "X-Forwarded-For", client, "Accept", accept)
	}
	for range 30 {
		ask("198.51.100.1", "GET", "/q/"+token, browserAccepts).want(t, 200)
	}
	refused := ask("198.51.100.1", "GET", "/q/"+token, browserAccepts).want(t, http.StatusTooManyRequests).has(t, "Too many requests", "Wait a moment")
	if got := refused.header.Get("Retry-After"); got != "1" || !strings.HasPrefix(refused.header.Get("Content-Type"), "text/html") {
		t.Errorf("Retry-After %q, %s", got, refused.header.Get("Content-Type"))
	}
	for _, path := range []string{"/q/" + token + "/events", "/q/" + strings.Repeat("a", 26), "/nothing"} {
		ask("198.51.100.1", "GET", path, "*/*").problem(t, http.StatusTooManyRequests, "too-many-requests")
	}
	click := ask("198.51.100.1", "POST", "/q/"+token+"/checkout", "*/*").problem(t, http.StatusTooManyRequests, "too-many-requests")
	if got := click.header.Get("Retry-After"); got != "2" { // ten at five a second
		t.Errorf("Retry-After of a check out is %q", got)
	}
	ask("198.51.100.2", "GET", "/q/"+token, browserAccepts).want(t, 200)
	f.call(t, "GET", "/v1/quotes", "", "X-Forwarded-For", "198.51.100.1").want(t, 200) // a token is known to us
	f.call(t, "GET", "/readyz", "", "X-Forwarded-For", "198.51.100.1").want(t, 200)
	f.clock.move(time.Second)
	ask("198.51.100.1", "GET", "/q/"+token, browserAccepts).want(t, 200)
}
