package journey_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/sandbox"
)

// lostPayment opens a checkout and pays it at Stripe, which has no webhook endpoint to tell it to; the customer does not come back.
func (s *system) lostPayment(q resource) {
	s.t.Helper()
	page, err := url.Parse(q.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var session string
	eventually(s.t, "the checkout opens", func() bool {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, page.JoinPath("checkout").String(), http.NoBody)
		if err != nil {
			s.t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = res.Body.Close()
		to, err := url.Parse(res.Header.Get("Location"))
		if res.StatusCode != http.StatusSeeOther || err != nil {
			return false
		}
		session = path.Base(to.Path)
		return strings.HasPrefix(session, "cs_")
	})
	s.sandbox(http.MethodPost, "sessions/"+session, `{"action":"pay","email":"pat@acme.example","name":"Pat Customer"}`, nil)
}

// The operator finds a payment of which no webhook came, makes it good with a reason, reads the mail that went out for it, and asks the
// doctor; all of it on pages. What can only be looked at needs no script. R67 R70
func TestOperatorMakesGoodWhatNeverCame(t *testing.T) {
	// Stripe's clock lies behind, so that what happened there is old enough to be missed.
	stripe := pipelinetest.Run(t, sandbox.New, sandbox.Config{Addr: "127.0.0.1:0", Seed: "lost", ClockOffset: -10 * time.Minute}).URL()
	s := start(t, "STRIPE_API_KEY", sandbox.DefaultTestKey, "STRIPE_API_BASE", stripe, "RECONCILE_EVERY", "0")
	s.at["SANDBOX_URL"] = stripe
	// An end before Stripe's longest, 24 hours by its own clock, is the session's end.
	q := s.publish(strings.Replace(oneTimeQuote, `"payment":`, `"expires_at": "`+time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339)+`", "payment":`, 1))
	s.lostPayment(q)
	if got := s.card(q.ID); strings.HasPrefix(got, "Paid: ") {
		t.Fatalf("the card says %q before anybody told us", got)
	}

	op := arrive(t)
	op.open(s.at["CONSOLE_URL"])
	op.enter([2]string{"token", s.token})
	op.press("Sign in")
	op.press("Reconcile")
	op.sees("Nobody has compared yet")
	op.look("console-reconcile-empty")
	op.enter([2]string{"since", "2h"})
	op.clickOn("form[action='/reconcile'] button")
	op.sees("can be made good")
	op.sees("checkout.session.completed")
	op.look("console-reconcile-found")
	op.press("Make good")
	op.sees("nothing is counted, paid or mailed twice")
	op.look("console-reconcile-confirm")
	op.enter([2]string{"reason", "ingress was away, ticket 4711"})
	op.clickOn("form[action='/reconcile/repair'] button")
	op.sees("Events entered: ")
	op.look("console-reconcile-repaired")
	s.paidWithOneMail(q)

	// The mail that went out for it.
	op.press("Mail")
	op.sees(q.ID)
	op.clickOn("[data-row] a")
	op.press("What it says")
	op.sees("recorded in the journal")
	op.enter([2]string{"reason", "the owner asks what he was told"})
	op.clickOn("form[action$='/preview'] button")
	op.sees("Byte for byte as it was handed to the mail server.")
	op.sees("ada@seller.example")
	op.sees("Garden shed")
	op.click("open the HTML part", `document.querySelector("#html summary")`)
	op.sees("<h1 style=")
	if !op.is(`!document.querySelector("iframe, #html h1, #html [style]") && document.querySelector("#html pre").innerText.includes("<h1 style=")`) {
		t.Error("the mail's HTML is more than text on the page")
	}
	op.look("console-mail-says")

	op.press("Doctor")
	op.sees("not checked")
	op.sees("quotectl doctor")
	op.look("console-doctor")
	op.press("Journal")
	for _, action := range []string{"reconcile_report", "reconcile_repair", "mail_opened"} {
		op.sees(action)
	}

	// Without a script the pages say the same.
	op.do("switch scripts off", call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	for _, page := range []struct{ path, says string }{{"/reconcile", "Events entered: "}, {"/doctor", "not checked"}, {"/mail", q.ID}} {
		op.open(s.at["CONSOLE_URL"] + page.path)
		op.sees(page.says)
	}
}
