package connect_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
)

// R6, R11, R14, R76
func TestAWithdrawnAuthorizationEndsPaymentAndTouchesNobodyElse(t *testing.T) {
	w := newWorld(t)
	b, other := w.signIn(sue), w.signIn(otto)
	b.connect(solar)
	other.connect(wind)
	paid, paidPage := w.offer(sue, "")
	w.pay(w.open(paidPage))
	w.until("a quote is paid", func() bool { return strings.Contains(w.card(sue, paid), `"text":"Paid: `) })
	w.quiet()
	before := w.card(sue, paid)
	_, page := w.offer(sue, "")
	draft := w.draft(sue, "")
	_, othersPage := w.offer(otto, "")

	w.sandbox("/sandbox/accounts/"+solar, `{"connected":false}`) // in the seller's own dashboard at Stripe
	w.refusedFor(page, "stripe_deauthorized")
	if a := w.api(sue, http.MethodPost, "/v1/quotes/"+draft+"/publish", ""); codesOf(a) != "[stripe_deauthorized]" {
		t.Errorf("publish = %d %s", a.status, a.body)
	}
	b.open("/seller/apps").want(t, http.StatusOK, "Disconnected", "gives us no access any more", "Connect again")
	w.api(sue, http.MethodGet, "/v1/seller", "").want(t, http.StatusOK, `"deauthorized":true`)
	if after := w.card(sue, paid); after != before {
		t.Errorf("the card of a paid quote was %s, is %s", before, after)
	}
	w.open(othersPage) // the other merchant's quotes are as payable as ever
	other.open("/seller/apps").want(t, http.StatusOK, wind, "Activated")

	b.connect(solar)
	w.open(page)
	w.publish(sue, draft)
}

func TestAnAccountThatIsSwitchedOffCannotBePaidUntilItIsOn(t *testing.T) { // R6, R11
	w := newWorld(t)
	b := w.signIn(sue)
	b.connect(solar)
	_, page := w.offer(sue, "")
	w.sandbox("/sandbox/accounts/"+solar, `{"activated":false}`)
	w.refusedFor(page, "stripe_not_activated")
	b.open("/seller/apps").want(t, http.StatusOK, "Not activated", "so its quotes cannot be paid")
	// Stripe's times are whole seconds, and a tie goes to not activated: the next word must be a later one.
	w.sandbox("/sandbox/clock", `{"advance":"2s"}`)
	w.sandbox("/sandbox/accounts/"+solar, `{"activated":true}`)
	w.until("the quote can be paid", func() bool { return w.checkOut(page).status == http.StatusSeeOther })
	b.open("/seller/apps").want(t, http.StatusOK, "Activated")
}

func TestAQuoteOfTheAccountBeforeIsNotPaidOnTheNextOne(t *testing.T) { // R11, R21
	w := newWorld(t)
	b := w.signIn(sue)
	b.connect(solar)
	id, page := w.offer(sue, "")
	b.connect(wind)
	w.refusedFor(page, "account_changed")
	w.api(sue, http.MethodPost, "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
	page = w.publish(sue, id)
	w.at(wind, http.MethodGet, "/v1/checkout/sessions/"+w.open(page), nil)
	// What happens to the account before says nothing of the one now.
	w.sandbox("/sandbox/accounts/"+solar, `{"connected":false}`)
	w.until("the event is noted", func() bool {
		_, err := w.log.Read(t.Context(), event.StreamSellers, "seller.account_deauthorized."+solar+".*")
		return err == nil
	})
	w.open(page)
}

func TestDisconnectingEndsOpenCheckoutsAndTheAccess(t *testing.T) { // R11
	w := newWorld(t)
	b := w.signIn(sue)
	b.connect(solar)
	_, page := w.offer(sue, "")
	session := w.open(page)
	foreign := w.at(solar, http.MethodPost, "/v1/checkout/sessions", url.Values{ // another integration's (R5)
		"mode": {"payment"}, "success_url": {"https://shop.example/"}, "line_items[0][quantity]": {"1"}, "line_items[0][price_data][currency]": {"pln"},
		"line_items[0][price_data][unit_amount]": {"5000"}, "line_items[0][price_data][product_data][name]": {"Lamp"},
	}).field(t, "id").(string)
	done := b.press("/seller/apps/stripe/disconnect").leads(t, "/seller/apps?done=disconnected")
	b.open(done).want(t, http.StatusOK, "The Stripe account is disconnected", "Connect again")
	if w.access(solar) {
		t.Error("the access at Stripe is kept")
	}
	w.refusedFor(page, "stripe_deauthorized")
	w.sandbox("/sandbox/accounts/"+solar, `{"connected":true}`) // so that the test may look
	for id, want := range map[string]string{session: "expired", foreign: "open"} {
		if got := w.at(solar, http.MethodGet, "/v1/checkout/sessions/"+id, nil).field(t, "status"); got != want {
			t.Errorf("session %s is %v, want %s", id, got, want)
		}
	}
	b.press("/seller/apps/stripe/disconnect").leads(t, "/seller/apps?done=disconnected")
	if events := w.events("main"); !slices.Equal(events, []string{event.NameAuthorized, event.NameConnected, event.NameDeauthorized}) {
		t.Errorf("events = %v", events)
	}
	b.connect(solar)
	w.open(page)
}

// Two sellers on one account: the one who leaves does not take the other's access with him.
func TestASharedAccountStaysTheOthers(t *testing.T) { // R11, R76
	w := newWorld(t)
	b, other := w.signIn(sue), w.signIn(otto)
	b.connect(solar)
	other.connect(solar)
	_, page := w.offer(otto, "")
	session := w.open(page)
	b.press("/seller/apps/stripe/disconnect").leads(t, "/seller/apps?done=disconnected")
	if !w.access(solar) {
		t.Fatal("the access of the other seller is gone")
	}
	if got := w.at(solar, http.MethodGet, "/v1/checkout/sessions/"+session, nil).field(t, "status"); got != "open" {
		t.Errorf("the other seller's session is %v", got)
	}
	other.open("/seller/apps").want(t, http.StatusOK, solar, "Activated")
	other.press("/seller/apps/stripe/disconnect").leads(t, "/seller/apps?done=disconnected")
	if w.access(solar) {
		t.Error("the access is kept when the last one left")
	}
}

// R24, R25
func TestAChangedCouponRaisesAWarningOnItsQuote(t *testing.T) {
	for name, change := range map[string]func(w *world, coupon string){
		"edited": func(w *world, c string) {
			w.at(solar, http.MethodPost, "/v1/coupons/"+c, url.Values{"name": {"Half price"}})
		},
		"deleted":                  func(w *world, c string) { w.at(solar, http.MethodDelete, "/v1/coupons/"+c, nil) },
		"without its metadata now": func(w *world, c string) { w.at(solar, http.MethodPost, "/v1/coupons/"+c, url.Values{"metadata": {""}}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn(sue).connect(solar)
			id, page := w.offer(sue, `"discount":{"percent":"10"},`)
			bystander, bystandersPage := w.offer(sue, `"discount":{"percent":"10"},`)
			w.open(page)
			w.open(bystandersPage)
			coupon := "quittance_" + id + "_1"
			if got := w.at(solar, http.MethodGet, "/v1/coupons/"+coupon, nil); !strings.Contains(got.body, `"managed_by": "quittance"`) {
				t.Errorf("coupon = %s", got.body)
			}
			before := w.at(solar, http.MethodGet, "/v1/coupons", nil).body
			change(w, coupon)
			w.until("the card warns", func() bool { return strings.Contains(w.card(sue, id), `"coupon_changed"`) })
			if card := w.card(sue, id); !strings.Contains(card, `"rule":"R25"`) || !strings.Contains(card, "was changed or deleted in Stripe") {
				t.Errorf("the card has no words for it: %s", card)
			}
			w.api(sue, http.MethodGet, "/v1/quotes/"+id, "").want(t, http.StatusOK, `"coupon_changed"`)
			w.signIn(sue).open("/seller/quotes/"+id).want(t, http.StatusOK, "The coupon of this quote was changed or deleted in Stripe")
			after := w.at(solar, http.MethodGet, "/v1/coupons", nil).body
			if before == after {
				t.Error("the coupon is as it was")
			}
			// We put nothing right by ourselves; what does is a new revision with a coupon of its own.
			w.until("recalled", func() bool {
				return w.api(sue, http.MethodPost, "/v1/quotes/"+id+"/recall", "").status == http.StatusOK
			})
			if now := w.at(solar, http.MethodGet, "/v1/coupons", nil).body; now != after {
				t.Errorf("we changed a coupon:\n%s\n%s", after, now)
			}
			w.open(w.publish(sue, id))
			w.at(solar, http.MethodGet, "/v1/coupons/quittance_"+id+"_2", nil)
			w.until("the warning is gone with the revision", func() bool { return !strings.Contains(w.card(sue, id), `"coupon_changed"`) })
			if card := w.card(sue, bystander); strings.Contains(card, "coupon_changed") {
				t.Errorf("another quote's card warns too: %s", card)
			}
		})
	}
}
