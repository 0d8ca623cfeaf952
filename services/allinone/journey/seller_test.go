package journey_test

import (
	"net/http"
	"strings"
	"testing"
)

// details are the first step of a quote, but for its currency.
var details = [][2]string{
	{"title", "Heat pump"},
	{"deal.id", "deal_77"},
	{"deal.name", "Nowak, Sopot"},
	{"owner.name", "Ada Owner"},
	{"owner.email", "ada@seller.example"},
	{"owner.time_zone", "Europe/Warsaw"},
	{"contact.email", "ola@nowak.example"},
	{"contact.first_name", "Ola"},
	{"contact.last_name", "Nowak"},
}

// The whole story of a quote, on pages alone: the seller signs in, connects Stripe, makes a mixed quote with a discount and a tax, is
// refused for a zero line and for the currency, repairs both and publishes; the customer pays; everybody's page says so by itself.
// R8 R9 R10 R11 R12 R13 R16 R17 R19 R20 R21 R24 R33 R34 R36 R48 R51
func TestSellerAndCustomerTakeAQuoteFromDraftToPaid(t *testing.T) {
	s := start(t)
	seller := arrive(t)
	seller.open(s.at["QUOTES_URL"])
	seller.sees("API token")
	seller.look("sign-in")
	seller.allow("status of 401")
	seller.enter([2]string{"token", "wrong"})
	seller.press("Sign in")
	seller.sees("This token is not known")
	seller.enter([2]string{"token", s.token})
	seller.press("Sign in")
	seller.sees("New quote")
	seller.look("seller-quotes")

	seller.press("Connected apps")
	seller.sees("Not connected")
	seller.look("apps-before")
	seller.press("Connect Stripe")
	seller.sees("Pick the account to sign in to")
	seller.look("sandbox-authorize")
	seller.press("Authorize access to this account")
	seller.sees("Connected since")
	seller.look("apps-connected")

	quote := s.at["QUOTES_URL"] + "/seller/quotes/" + seller.draft()
	seller.allow("status of 422")
	seller.open(quote + "/payment")
	seller.sees("cannot be turned on yet")
	seller.sees("A quote in HUF cannot be paid by Stripe")
	seller.look("step-payment-locked")
	if !seller.is(buttons("Change the currency") + " == 1 && " + buttons("Go to Connected apps") + " == 0") {
		t.Errorf("the way out is not the one to the currency:\n%s", seller.text())
	}

	currency := func(code string) {
		seller.open(quote + "/details")
		seller.enter([2]string{"currency", code})
		seller.press("Save and continue")
		seller.sees("Prices are in " + code)
	}
	currency("EUR")
	seller.press("Save and continue")
	seller.sees("3-D Secure")
	seller.clickOn(`input[role="switch"]`)
	seller.clickOn(`input[name="payment.three_d_secure"][value="yes"]`)
	seller.look("step-payment")
	seller.press("Save and continue")
	seller.sees("Not ready to be published")
	currency("HUF")
	seller.open(quote + "/review")
	seller.sees("Not ready to be published")
	seller.look("review-refused")
	for _, reason := range []string{"HUF", "Gift"} { // all reasons at once
		if !seller.is(`document.getElementById("summary").innerText.includes("` + reason + `")`) {
			t.Errorf("the refusals do not name %s:\n%s", reason, seller.text())
		}
	}
	if !seller.is(`[...document.querySelectorAll("button")].find(b => b.innerText == "Publish").disabled`) {
		t.Error("what is refused can be published")
	}

	currency("EUR")
	seller.clickOn(`button[value="remove 2"]`)
	seller.until("the line is gone", `!document.querySelector("[name='line_items[2].name']")`)
	seller.press("Save and continue")
	seller.sees("3-D Secure")
	seller.press("Save and continue")
	seller.sees("Publish as revision 1")
	seller.look("review-ready")
	seller.press("Publish")
	seller.sees("The customer's link")
	seller.look("record-published")
	seller.mark()

	q := s.quote(quote[strings.LastIndex(quote, "/")+1:])
	page := s.atPage(q)
	page.sees("then 98.00 EUR every month")
	page.look("quote-mixed")
	checkout := page.pressForWindow("Check out")
	checkout.sees("Solar Roofs")
	checkout.press("Pay by card")
	page.sees("Paid: ")
	page.notReloaded()
	seller.sees("Paid: ")
	seller.notReloaded()
	seller.look("record-paid")
	s.paidWithOneMail(q)

	seller.open(s.at["QUOTES_URL"] + "/seller/deals/deal_77")
	seller.sees("Paid: ")
	seller.look("deal-paid")
	var coupons struct{ Deliveries []any }
	s.sandbox(http.MethodGet, "deliveries?type=checkout.session.completed", "", &coupons)
	if len(coupons.Deliveries) != 1 {
		t.Errorf("%d sessions were completed, want 1", len(coupons.Deliveries))
	}
	if mails := s.mails(); len(mails) != 1 || !strings.Contains(mails[0], "Heat pump") {
		t.Errorf("mails = %q, want one of the heat pump", mails)
	}
}

// draft makes the quote that cannot be published yet, and returns its id.
func (w *tab) draft() string {
	w.t.Helper()
	w.press("Quotes")
	w.press("New quote")
	w.enter(details...)
	w.enter([2]string{"currency", "HUF"})
	w.look("step-details")
	w.press("Save and continue")
	w.sees("Prices are in HUF")
	w.enter([2]string{"line_items[0].name", "Pump"}, [2]string{"line_items[0].unit_amount", "1500.00"})
	w.press("Add a line")
	w.enter([2]string{"line_items[1].name", "Care"}, [2]string{"line_items[1].quantity", "2"}, [2]string{"line_items[1].unit_amount", "49,00"},
		[2]string{"line_items[1].interval", "month"}, [2]string{"line_items[1].interval_count", "1"})
	w.press("Add a line")
	w.enter([2]string{"line_items[2].name", "Gift"}, [2]string{"line_items[2].unit_amount", "0"})
	w.enter([2]string{"discount.kind", "percent"}, [2]string{"discount.value", "10"}, [2]string{"tax.name", "VAT 8%"}, [2]string{"tax.amount", "115.06"})
	w.look("step-lines")
	w.press("Save and continue")
	w.sees("3-D Secure")
	id, _, _ := strings.Cut(strings.TrimPrefix(w.path(), "/seller/quotes/"), "/")
	return id
}
