package journey_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const monthlyQuote = `{
  "title": "Care plan", "deal": {"id": "deal_2", "name": "Care"}, "currency": "eur",
  "line_items": [{"name": "Set up", "quantity": 1, "unit_amount": 15000}, {"name": "Care", "quantity": 2, "unit_amount": 4900, "recurring": {"interval": "month", "interval_count": 1}}],
  "owner": {"name": "Ada Owner", "email": "ada@seller.example", "time_zone": "Europe/Warsaw"},
  "contact": {"email": "mia@home.example", "first_name": "Mia", "last_name": "Home"},
  "payment": {"stripe": true, "three_d_secure": true}
}`

// R23 R45 R46 R47: renewals in later months change nothing: no status, no paid date, no further mail.
func TestRenewalsChangeNothing(t *testing.T) {
	s := start(t)
	q := s.publish(monthlyQuote)
	page := s.atPage(q)
	page.look("quote-recurring")
	checkout := page.pressForWindow("Check out")
	checkout.sees("every month")
	checkout.look("sandbox-pay-recurring")
	checkout.press("Pay by card")
	page.sees("Paid: ")
	s.paidWithOneMail(q)
	first := s.quote(q.ID)

	for month := range 3 {
		s.sandbox(http.MethodPost, "clock", `{"advance":"768h"}`, nil)
		eventually(t, "the renewal is paid", func() bool {
			var list struct{ Deliveries []any }
			s.sandbox(http.MethodGet, "deliveries?type=invoice.paid&state=delivered", "", &list)
			return len(list.Deliveries) == month+2
		})
	}
	s.settled()
	s.sandbox(http.MethodPost, "clock", `{"reset":true}`, nil)
	// What comes after the renewals in the log is worked on after them: when it is, they have been.
	other := s.publish(oneTimeQuote)
	s.atPage(other).pressForWindow("Check out").press("Pay by card")
	eventually(t, "a later quote is paid", func() bool { return strings.HasPrefix(s.card(other.ID), "Paid: ") && len(s.mails()) > 1 })
	again := s.quote(q.ID)
	if again.Status != "paid" || !again.PaidAt.Equal(first.PaidAt) || len(again.Flags) != 0 {
		t.Errorf("after three renewals the quote is %+v, want %+v", again, first)
	}
	if mails := s.mails(); len(mails) != 2 {
		t.Errorf("mails = %q, want one for each quote", mails)
	}
}

// R44: at the end of its time the button goes from the open page, and whoever asks all the same is refused.
func TestExpiryTakesTheButtonFromTheOpenPage(t *testing.T) {
	s := start(t)
	w := arrive(t)
	w.allow("status of 4")
	var q resource
	for life := 8 * time.Second; ; life *= 2 { // on a busy machine the page may open after its end
		end := time.Now().Add(life).UTC().Format(time.RFC3339)
		q = s.publish(strings.Replace(oneTimeQuote, `"payment"`, fmt.Sprintf(`"expires_at": %q, "payment"`, end), 1))
		eventually(t, "the quote's page is there", func() bool { w.open(q.URL); return w.is(says("Garden shed")) })
		w.mark()
		if w.is(buttons("Check out") + " == 2") {
			break
		}
	}
	w.until("Check out is gone", buttons("Check out")+" == 0")
	w.notReloaded()
	w.sees("xpired")
	w.look("quote-expired")
	eventually(t, "the quote is expired", func() bool { return s.quote(q.ID).Status == "expired" })

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, q.URL+"/checkout", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusConflict && res.StatusCode != http.StatusGone {
		t.Errorf("Check out after the end = %s, want a refusal", res.Status)
	}
}

// R26 R27: a recall ends the session that is open; edited and published again, the quote is paid by its new page alone, at the new price.
func TestRecalledQuoteIsPaidByItsNewPageAlone(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	checkout := page.pressForWindow("Check out")
	checkout.sees("Pay 2 598.00 EUR")

	api := s.at["QUOTES_URL"] + "/v1/quotes/" + q.ID
	s.ask(http.MethodPost, api+"/recall", "", nil)
	s.ask(http.MethodPatch, api, `{"discount": {"percent": "10"}}`, nil)
	s.ask(http.MethodPost, api+"/publish", "", nil)
	again := s.quote(q.ID)
	if again.Revision != 2 || again.URL == q.URL {
		t.Fatalf("published again: %+v", again)
	}

	page.until("Check out is gone from the old page", buttons("Check out")+" == 0")
	page.look("quote-recalled")
	page.allow("status of 410") // the old page is gone, and so is the session's
	checkout.press("Pay by card")
	checkout.sees("This payment page has expired")
	checkout.look("sandbox-closed")
	if card := s.card(q.ID); strings.Contains(card, "Paid") {
		t.Errorf("card = %q after a click on a dead session", card)
	}

	fresh := s.atPage(again)
	fresh.sees("2 338.20 EUR")
	fresh.look("quote-discounted")
	fresh.pressForWindow("Check out").press("Pay by card")
	fresh.sees("Paid: ")
	fresh.notReloaded()
	s.paidWithOneMail(again)
}
