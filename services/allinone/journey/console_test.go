package journey_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The operator's way through a replay, on pages alone: from a filter of events to a plan that says what would change, to its run with a
// reason, to a result that is what was planned; and the second mail goes because it was asked for, and no other.
// R67 R68 R70
func TestOperatorPlansAndRunsAReplay(t *testing.T) {
	s := start(t)
	q := s.publish(oneTimeQuote)
	page := s.atPage(q)
	checkout := page.pressForWindow("Check out")
	checkout.press("Pay by card")
	checkout.sees("Paid: ")
	s.paidWithOneMail(q)

	op := arrive(t)
	op.open(s.at["CONSOLE_URL"])
	op.sees("Operators' console")
	op.look("console-sign-in")
	op.enter([2]string{"token", s.token})
	op.press("Sign in")
	op.sees("Last word from Stripe")
	op.look("console-overview")

	// Nothing failed, so the list is empty and says what to do; the filter narrows it to the quote.
	op.press("Events")
	op.sees("Nothing failed.")
	op.press("all")
	op.sees("payment_intent.succeeded")
	op.enter([2]string{"quote", q.ID})
	op.press("Show")
	op.until("the filter is in the address", `location.search.includes("quote=`+q.ID+`")`)
	op.look("console-events")

	// The keys: j goes to a row, r plans a replay of what is filtered.
	op.until("j goes to the first row", `(document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "j", bubbles: true})), document.activeElement.closest("[data-row]"))`)
	op.do("press r", evaluate(`document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "r", bubbles: true}))`))
	op.sees("Nothing changes until it is run")
	op.look("console-plan")
	op.enter([2]string{"name", "incident-4711"})
	op.clickOn("#resend")
	op.press("Plan")
	op.sees("goes: sent once more")
	op.sees("0 of 1 change")
	op.look("console-replay-planned")

	// It is not run without a reason.
	op.do("leave the reason out", evaluate(`document.querySelector("#reason").removeAttribute("required")`))
	op.allow("status of 422")
	op.clickOn("form[action$='/run'] button[type=submit]")
	op.sees("Say why")
	op.enter([2]string{"reason", "ticket 4711"})
	op.clickOn("form[action$='/run'] button[type=submit]")
	op.sees("The result is what was planned.")
	op.look("console-replay-done")
	s.settled()
	eventually(t, "the mail went once more, and no other", func() bool { return len(s.mails()) == 2 })
	if got := s.card(q.ID); !strings.HasPrefix(got, "Paid: ") {
		t.Errorf("the card says %q", got)
	}

	op.press("Journal")
	op.sees("ticket 4711")
	op.look("console-journal")
	op.press("Verify the chain")
	op.sees("Every entry carries the hash")
	op.press("Quotes")
	op.sees(q.ID)
	op.clickOn("[data-row] a")
	op.sees("What happened")
	op.look("console-quote")
	for _, area := range []string{"Dead & parked", "Replays", "Mail", "Subscribers"} {
		op.press(area)
		op.until(area+" is there", `[...document.querySelectorAll("h1")].some(h => h.innerText.trim() === "`+area+`")`)
		op.look("console-" + strings.ToLower(strings.Fields(area)[0]))
	}
}

// evaluate runs a script in the page.
func evaluate(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](script)
}
