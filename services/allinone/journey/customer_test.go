package journey_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

const oneTimeQuote = `{
  "title": "Garden shed", "deal": {"id": "deal_1", "name": "Shed"}, "currency": "eur",
  "line_items": [{"name": "Shed, 3 by 4 m", "quantity": 1, "unit_amount": 249900}, {"name": "Delivery", "quantity": 1, "unit_amount": 9900}],
  "owner": {"name": "Ada Owner", "email": "ada@seller.example", "time_zone": "Europe/Warsaw"},
  "contact": {"email": "pat@acme.example", "first_name": "Pat", "last_name": "Customer", "company": "Acme"},
  "payment": {"stripe": true, "three_d_secure": true}
}`

// atPage opens the quote's page as the customer.
func (s *system) atPage(q resource) *tab {
	s.t.Helper()
	w := arrive(s.t)
	w.allow("status of 404") // a page that was published this very moment
	eventually(s.t, "the quote's page is there", func() bool {
		w.open(q.URL)
		return w.is(buttons("Check out") + " == 2")
	})
	w.mark()
	return w
}

// paidWithOneMail waits until the card says so, and makes sure of the mail.
func (s *system) paidWithOneMail(q resource) {
	s.t.Helper()
	eventually(s.t, "the card says Paid", func() bool { return strings.HasPrefix(s.card(q.ID), "Paid: ") })
	eventually(s.t, "there is a mail", func() bool { return len(s.mails()) > 0 })
	s.settled()
	if mails := s.mails(); len(mails) != 1 {
		s.t.Errorf("mails = %q, want one", mails)
	}
}

// R20 R22 R28 R33 R34: the customer pays by card in a new window; the page that he came from turns to Paid by itself.
func TestCustomerPaysInANewWindowAndThePageTurnsToPaid(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	page.look("quote-payable")
	checkout := page.pressForWindow("Check out")
	checkout.sees("Pay by card")
	checkout.look("sandbox-pay")
	checkout.press("Pay by card")
	checkout.sees("Paid: ") // he is led back to the quote's page
	checkout.look("quote-come-back")
	page.sees("Paid: ")
	page.notReloaded()
	page.until("Check out is gone", buttons("Check out")+" == 0")
	page.look("quote-paid")
	s.paidWithOneMail(q)
}

// R29: a declined card changes nothing; the next one pays.
func TestDeclinedCardCanBeTriedAgain(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	checkout := page.pressForWindow("Check out")
	checkout.press("a card that is declined")
	checkout.sees("Your card was declined")
	checkout.look("sandbox-declined")
	s.settled()
	if card := s.card(q.ID); strings.Contains(card, "Paid") {
		t.Errorf("card = %q after a declined payment", card)
	}
	if !page.is(buttons("Check out") + " == 2") {
		t.Errorf("the customer cannot try again:\n%s", page.text())
	}
	checkout.press("a card with 3-D Secure")
	checkout.press("Complete authentication")
	page.sees("Paid: ")
	page.notReloaded()
	s.paidWithOneMail(q)
}

// A bank debit is under way until the bank says so: no second check out meanwhile, and one mail at its end.
func TestBankDebitSucceedsLater(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	page.pressForWindow("Check out").press("a bank debit that succeeds later")
	page.until("Check out is gone while the debit is under way", buttons("Check out")+" == 0")
	page.notReloaded()
	page.look("quote-processing")
	if card, mails := s.card(q.ID), s.mails(); strings.Contains(card, "Paid") || len(mails) != 0 {
		t.Errorf("card = %q, mails = %q while the debit is under way", card, mails)
	}
	s.sandbox(http.MethodPost, "clock", `{"advance":"3m"}`, nil)
	page.sees("Paid: ")
	page.notReloaded()
	s.paidWithOneMail(q)
}

// A bank debit that fails gives the customer another try.
func TestBankDebitThatFailsCanBeTriedAgain(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	page.pressForWindow("Check out").press("a bank debit that fails later")
	page.until("Check out is gone while the debit is under way", buttons("Check out")+" == 0")
	s.sandbox(http.MethodPost, "clock", `{"advance":"3m"}`, nil)
	page.until("Check out is back", buttons("Check out")+" == 2")
	page.notReloaded()
	page.look("quote-debit-failed")
	page.pressForWindow("Check out").press("Pay by card")
	page.sees("Paid: ")
	s.paidWithOneMail(q)
}

// Whoever has no scripts pays all the same; he sees what has changed when he loads the page anew.
func TestCustomerWithoutScriptsPays(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := arrive(t)
	page.allow("status of 404") // a page that was published this very moment
	page.do("switch scripts off", call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	eventually(t, "the quote's page is there", func() bool {
		page.open(q.URL)
		return page.is(buttons("Check out") + " == 2")
	})
	page.sees("Refresh this page to see its current status") // which only those read who have no scripts
	page.pressForWindow("Check out").press("Pay by card")
	eventually(t, "the page says Paid when it is loaded anew", func() bool {
		page.open(q.URL)
		return page.is(says("Paid: ") + " && " + buttons("Check out") + " == 0")
	})
	s.paidWithOneMail(q)
}
