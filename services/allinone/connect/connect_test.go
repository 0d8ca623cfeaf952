package connect_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
)

// R4, R6, R8, R9, R10, R11, R14, R21
func TestASellerConnectsHisAccountAndIsPaidOnIt(t *testing.T) {
	w := newWorld(t)
	b := w.signIn(sue)
	b.open("/seller/apps").want(t, http.StatusOK, "Not connected", "Connect Stripe")
	page := b.atStripe()
	q, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	if v := q.Query(); v.Get("scope") != "read_write" || v.Get("redirect_uri") != publicURL+"/seller/apps/stripe/callback" || len(v.Get("state")) < 60 {
		t.Errorf("sent to %s", page)
	}
	if events := w.events("main"); len(events) != 0 {
		t.Errorf("stored before the authorization: %v", events)
	}
	back := b.allow(page, solar)
	b.send(http.MethodGet, back, nil).leads(t, "/seller/apps?done=connected")
	if events := w.events("main"); !slices.Equal(events, []string{event.NameAuthorized, event.NameConnected}) {
		t.Errorf("events = %v", events)
	}
	b.open("/seller/apps").want(t, http.StatusOK, solar, "Activated", "Test: no real money", "Connected since", "Disconnect")
	w.api(vic, http.MethodGet, "/v1/seller", "").want(t, http.StatusOK, `"account":"`+solar+`"`, `"activated":true`, `"mode":"test"`, `"connected_by":"sue"`)

	id, customers := w.offer(sue, "")
	session := w.open(customers)
	w.at(solar, http.MethodGet, "/v1/checkout/sessions/"+session, nil) // it is there and nowhere else
	w.pay(session)
	w.until("the quote is paid", func() bool { return strings.Contains(w.card(sue, id), `"text":"Paid: `) })
}

func TestAnAccountThatIsNotActivatedIsNotConnected(t *testing.T) { // R6
	w := newWorld(t)
	b := w.signIn(sue)
	page := b.atStripe()
	refused := b.send(http.MethodGet, b.allow(page, fresh), nil).want(t, http.StatusForbidden, "is not activated", fresh, "Not connected")
	if !strings.Contains(refused.header.Get("Content-Type"), "text/html") {
		t.Errorf("content type %s", refused.header.Get("Content-Type"))
	}
	if events := w.events("main"); !slices.Equal(events, []string{event.NameAuthorized}) {
		t.Errorf("events = %v", events)
	}
	if got := w.journal(); !slices.Equal(got, []string{"connect_refused sue main [account_inactive]"}) {
		t.Errorf("journal = %v", got)
	}
	if w.access(fresh) {
		t.Error("the access to an account that is not connected is kept")
	}
	// Activated at Stripe, it can be connected.
	page = b.atStripe()
	b.send(http.MethodPost, page, url.Values{"account": {fresh}, "action": {"activate"}}).want(t, http.StatusSeeOther)
	b.send(http.MethodGet, b.allow(page, fresh), nil).leads(t, "/seller/apps?done=connected")
}

func TestADenialStoresNothingAndIsExplained(t *testing.T) { // R10
	w := newWorld(t)
	b := w.signIn(sue)
	back := b.send(http.MethodPost, b.atStripe(), url.Values{"action": {"deny"}}).leads(t, publicURL+"/seller/apps/stripe/callback?")
	if !strings.Contains(back, "error=access_denied") {
		t.Fatalf("back = %s", back)
	}
	done := b.send(http.MethodGet, back, nil).leads(t, "/seller/apps?done=denied")
	b.open(done).want(t, http.StatusOK, "You did not give access at Stripe", "Connect Stripe")
	if events := w.events("main"); len(events) != 0 {
		t.Errorf("stored after a denial: %v", events)
	}
	// The state of a denial may be used still, within its time.
	b.accept = "application/json"
	b.send(http.MethodGet, back, nil).want(t, http.StatusForbidden, "problem:denied")
	// What Stripe does not explain is not shown as it is.
	state := stateOf(t, back)
	b.send(http.MethodGet, publicURL+"/seller/apps/stripe/callback?state="+state+"&error=%3Cscript%3E", nil).want(t, http.StatusBadGateway, "problem:stripe-refused")
}

func stateOf(t *testing.T, back string) string {
	t.Helper()
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}

// Nobody can make another one's browser connect an account: a state is of one session, of one user, of ten minutes.
func TestAStateThatIsNotThisSessionsConnectsNothing(t *testing.T) { // R10
	w := newWorld(t)
	b, again, colleague, stranger := w.signIn(sue), w.signIn(sue), w.signIn(sam), w.signIn(otto)
	back := b.allow(b.atStripe(), solar)
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	state := u.Query().Get("state")
	nonce, rest, _ := strings.Cut(state, ".")
	_, mac, _ := strings.Cut(rest, ".")
	with := func(s string) string {
		q := u.Query()
		q.Set("state", s)
		return publicURL + u.Path + "?" + q.Encode()
	}
	refused := func(name string, b *browser, address string) {
		t.Helper()
		if a := b.send(http.MethodGet, address, nil); a.status != http.StatusForbidden || !strings.Contains(a.body, "does not belong to an authorization") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	refused("another sign-in of the same user", again, back)
	refused("a colleague's session", colleague, back)
	refused("another seller's session", stranger, back)
	for name, forged := range map[string]string{
		"none": "", "no mac": nonce + "." + strings.Split(rest, ".")[0], "another nonce": "a" + state[1:], "another end": nonce + ".9999999999." + mac,
		"a cut mac": state[:len(state)-1], "another mac": strings.Replace(state, mac, strings.Repeat("A", len(mac)), 1), "dots": "..",
	} {
		refused(name, b, with(forged))
	}
	(&browser{w: w, accept: "text/html"}).send(http.MethodGet, back, nil).leads(t, "/signin")
	w.ahead.Store(int64(10*time.Minute + time.Second))
	refused("too old", b, back)
	w.ahead.Store(0)
	if events := append(w.events("main"), w.events("other")...); len(events) != 0 || w.access(solar) {
		t.Fatalf("events %v, access %t", events, w.access(solar))
	}
	// The code is still good, and so is the right state.
	b.send(http.MethodGet, back, nil).leads(t, "/seller/apps?done=connected")
	refused("a colleague, once it was used", colleague, back)
}

// A code that is used twice at Stripe ends the access that it gave; so a state counts once here.
func TestTheSameAnswerTwiceIsOneConnection(t *testing.T) { // R10
	w := newWorld(t)
	b := w.signIn(sue)
	back := b.allow(b.atStripe(), solar)
	const browsers = 6
	answers := make([]answer, browsers)
	var group sync.WaitGroup
	for i := range browsers {
		group.Go(func() { answers[i] = b.send(http.MethodGet, back, nil) })
	}
	group.Wait()
	connected := 0
	for _, a := range answers {
		switch target := a.want(t, http.StatusSeeOther).header.Get("Location"); target {
		case "/seller/apps?done=connected":
			connected++
		case "/seller/apps?done=used":
		default:
			t.Errorf("leads to %s", target)
		}
	}
	if events := w.events("main"); connected != 1 || !slices.Equal(events, []string{event.NameAuthorized, event.NameConnected}) || !w.access(solar) {
		t.Errorf("%d connected, events %v, access %t", connected, events, w.access(solar))
	}
	b.open(b.send(http.MethodGet, back, nil).leads(t, "/seller/apps?done=used")).want(t, http.StatusOK, "has been used already", solar, "Activated")
	if !w.access(solar) {
		t.Error("the third use ended the access")
	}
}

func TestACodeThatStripeDoesNotKnowConnectsNothing(t *testing.T) { // R10
	w := newWorld(t)
	b := w.signIn(sue)
	state := stateOf(t, b.allow(b.atStripe(), solar))
	b.send(http.MethodGet, publicURL+"/seller/apps/stripe/callback?state="+state+"&code=ac_forged", nil).want(t, http.StatusConflict, "counts once and for five minutes")
	b.send(http.MethodGet, publicURL+"/seller/apps/stripe/callback?state="+stateOf(t, b.atStripe()), nil).want(t, http.StatusConflict, "counts once")
	if events := w.events("main"); slices.Contains(events, event.NameConnected) {
		t.Errorf("events = %v", events)
	}
	// Trouble at Stripe is told as such, and the next try works.
	page := b.atStripe()
	back := b.allow(page, solar)
	w.sandbox("/sandbox/faults", `{"kind":"server_error","method":"GET","path":"/v1/accounts/*","times":9}`)
	b.send(http.MethodGet, back, nil).want(t, http.StatusServiceUnavailable, "Stripe did not answer")
	w.do(w.request(http.MethodDelete, w.stripe+"/sandbox/faults", nil)).want(t, http.StatusOK)
	b.connect(solar)
}

// R3, R7
func TestOnlyAPaidSeatOnAnEntitledPlanConnects(t *testing.T) {
	w := newWorld(t)
	w.api(ann, http.MethodPut, "/v1/sellers/main/seats/sam", `{"paid":true}`).want(t, http.StatusOK)
	b := w.signIn(sue)
	b.open("/seller/apps").want(t, http.StatusOK, "Only users with a paid sales seat may connect")
	b.press("/seller/apps/stripe/connect").want(t, http.StatusForbidden, "Only users with a paid sales seat may connect", "<h1>Connected apps</h1>")
	b.press("/seller/apps/stripe/connect").want(t, http.StatusForbidden)
	entry := "connect_refused sue main [no_paid_seat]"
	if got := w.journal(); !slices.Equal(got, []string{entry, entry}) {
		t.Errorf("journal = %v", got)
	}
	if events := w.events("main"); !slices.Equal(events, []string{event.NameSeatSet}) {
		t.Errorf("events = %v", events)
	}

	seated := w.signIn(sam)
	seated.connect(solar)
	// The seat is asked for again when the browser comes back, and to disconnect.
	back := seated.allow(seated.atStripe(), wind)
	w.api(ann, http.MethodPut, "/v1/sellers/main/seats/sam", `{"paid":false}`).want(t, http.StatusOK)
	seated.send(http.MethodGet, back, nil).want(t, http.StatusForbidden, "paid sales seat")
	seated.press("/seller/apps/stripe/disconnect").want(t, http.StatusForbidden, "paid sales seat")
	w.api(sue, http.MethodGet, "/v1/seller", "").want(t, http.StatusOK, `"account":"`+solar+`"`, `"deauthorized":false`)

	w.api(ann, http.MethodPut, "/v1/sellers/main/plan", `{"plan":"free"}`).want(t, http.StatusOK)
	w.api(ann, http.MethodPut, "/v1/sellers/main/seats/sue", `{"paid":true}`).want(t, http.StatusOK)
	refusedSam := "connect_refused sam main [no_paid_seat]"
	if got := w.journal()[2:]; !slices.Equal(got, []string{refusedSam, refusedSam}) {
		t.Errorf("journal = %v", got)
	}
	b.press("/seller/apps/stripe/connect").want(t, http.StatusForbidden, "The plan free does not include Stripe on quotes")
	for _, plan := range []string{"starter", "professional", "enterprise"} {
		w.api(ann, http.MethodPut, "/v1/sellers/main/plan", `{"plan":"`+plan+`"}`).want(t, http.StatusOK)
		b.atStripe()
	}

	viewer := w.signIn(vic)
	viewer.open("/seller/apps").want(t, http.StatusOK, solar, "Your token does not allow changes")
	viewer.press("/seller/apps/stripe/connect").want(t, http.StatusForbidden)
}
