package quotes_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

// sellerEvent stores an event of the seller main.
func (f *fixture) sellerEvent(t *testing.T, n int, name string, data any) {
	t.Helper()
	env, err := event.NewSeller(name, "main", n, noon, data)
	if err != nil {
		t.Fatal(err)
	}
	m := natsstream.Message{Subject: event.SellerSubject(name, "main", strconv.Itoa(n)), ID: env.ID, Data: env.Encode()}
	if _, err := f.nats.Log("test").Fact(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// accountFact stores what Stripe says of an account, so many seconds after noon.
func (f *fixture) accountFact(t *testing.T, name, account, id string, seconds int, activated bool) {
	t.Helper()
	at := noon.Add(time.Duration(seconds) * time.Second)
	var data any = seller.AccountUpdated{Account: account, Activated: activated, At: at, StripeEvent: id}
	if name == event.NameAccountDeauthorized {
		data = seller.AccountDeauthorized{Account: account, At: at, StripeEvent: id}
	}
	env, err := event.NewAccountFact(name, account, id, at, data)
	if err != nil {
		t.Fatal(err)
	}
	m := natsstream.Message{Subject: event.SellerSubject(name, account, id), ID: env.ID, Data: env.Encode()}
	if _, err := f.nats.Log("test").Fact(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// R3, R4, R6, R11, R14, R21
func TestAQuoteIsPaidOnItsSellersAccountWhileThatIsConnected(t *testing.T) {
	f := start(t)
	if a := f.call(t, "GET", "/v1/seller", "").want(t, http.StatusOK); a.text(t, "account") != "platform" || a.text(t, "plan") != "enterprise" ||
		a.field(t, "connection") != nil || a.field(t, "activated") != true {
		t.Errorf("seller = %s", a.body)
	}
	id := f.create(t)
	refused := func(want string) {
		t.Helper()
		got := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, http.StatusUnprocessableEntity, "invalid")
		if codes := fmt.Sprint(got.codes(t)); codes != want {
			t.Errorf("reasons = %s, want %s", codes, want)
		}
	}
	f.sellerEvent(t, 1, event.NamePlanSet, seller.PlanSet{Seller: "main", Plan: "free"})
	refused("[plan_not_entitled payment.stripe]")
	f.sellerEvent(t, 2, event.NamePlanSet, seller.PlanSet{Seller: "main", Plan: "starter"})
	f.sellerEvent(t, 3, event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	f.accountFact(t, event.NameAccountUpdated, "acct_1", "evt_1", 1, false)
	refused("[stripe_not_activated payment.stripe]")
	f.accountFact(t, event.NameAccountUpdated, "acct_1", "evt_3", 3, true)
	f.accountFact(t, event.NameAccountUpdated, "acct_1", "evt_2", 2, false)      // late
	f.accountFact(t, event.NameAccountDeauthorized, "acct_2", "evt_4", 9, false) // another merchant's (R76)
	f.publish(t, id)
	record, err := f.nats.Log("test").Read(t.Context(), event.StreamQuotes, "quote.published.main."+id+".1")
	if err != nil || !strings.Contains(string(record.Data), `"account":"acct_1"`) {
		t.Errorf("published = %s, %v", record.Data, err)
	}
	f.accountFact(t, event.NameAccountDeauthorized, "acct_1", "evt_5", 9, false)
	if a := f.call(t, "GET", "/v1/seller", "").want(t, http.StatusOK); a.field(t, "deauthorized") != true || a.text(t, "connection.account") != "acct_1" {
		t.Errorf("seller = %s", a.body)
	}
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
	refused("[stripe_deauthorized payment.stripe]")

	other := f.call(t, "GET", "/v1/seller", "", "Authorization", "Bearer "+strangeToken).want(t, http.StatusOK)
	if other.text(t, "id") != "other" || other.text(t, "account") != "platform" {
		t.Errorf("another seller = %s", other.body)
	}
}

const operatorToken = "operator-token-012345678"

func as(token string, more ...string) []string {
	return append([]string{"Authorization", "Bearer " + token}, more...)
}

func TestPlansAndSeatsAreGivenByAdminsAlone(t *testing.T) { // R3, R7
	f := start(t)
	for _, tt := range []struct {
		token  string
		status int
	}{{sellerToken, 403}, {viewerToken, 403}, {operatorToken, 403}, {strangeToken, 403}, {"x", 401}, {adminToken, 200}} {
		for _, call := range [][2]string{{"/v1/sellers/main/plan", `{"plan":"free"}`}, {"/v1/sellers/main/seats/sue", `{"paid":true}`}} {
			if got := f.call(t, "PUT", call[0], call[1], as(tt.token)...); got.status != tt.status {
				t.Errorf("PUT %s with %s = %d, want %d: %s", call[0], tt.token, got.status, tt.status, got.body)
			}
		}
	}
	for _, tt := range []struct {
		token, path string
		status      int
	}{
		{sellerToken, "/v1/sellers/main", 200},
		{sellerToken, "/v1/sellers/other", 403},
		{operatorToken, "/v1/sellers/other", 200},
		{adminToken, "/v1/sellers/other/history", 200},
		{strangeToken, "/v1/sellers/main/history", 403},
		{adminToken, "/v1/sellers/acct_1", 404},
		{adminToken, "/v1/sellers/a.b", 404},
		{adminToken, "/v1/sellers/%3E", 404},
	} {
		if got := f.call(t, "GET", tt.path, "", as(tt.token)...); got.status != tt.status {
			t.Errorf("GET %s with %s = %d, want %d: %s", tt.path, tt.token, got.status, tt.status, got.body)
		}
	}
	a := f.call(t, "GET", "/v1/seller", "").want(t, http.StatusOK)
	if a.text(t, "plan") != "free" || !strings.Contains(string(a.body), `"seats":[{"user":"sue","paid":true}]`) || a.header.Get("ETag") != `"2"` {
		t.Errorf("seller = %s, ETag %s", a.body, a.header.Get("ETag"))
	}
}

func TestAPlanThatDoesNotExistIsRefused(t *testing.T) { // R3
	f := start(t)
	for body, code := range map[string]string{
		`{"plan":"gold"}`: "unknown_plan", `{}`: "missing_field", `{"plan":7}`: "unknown_field", `{"plan":"free","x":1}`: "unknown_field",
	} {
		got := f.call(t, "PUT", "/v1/sellers/main/plan", body, as(adminToken)...).problem(t, http.StatusUnprocessableEntity, "invalid")
		if !strings.Contains(fmt.Sprint(got.codes(t)), code) {
			t.Errorf("%s: %s, want %s", body, got.body, code)
		}
	}
	f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"free"`, as(adminToken)...).problem(t, http.StatusBadRequest, "invalid-json")
	f.call(t, "PUT", "/v1/sellers/main/seats/sue", `{}`, as(adminToken)...).problem(t, http.StatusUnprocessableEntity, "invalid")
	f.call(t, "PUT", "/v1/sellers/main/seats/"+strings.Repeat("u", 65), `{"paid":true}`, as(adminToken)...).problem(t, http.StatusUnprocessableEntity, "invalid")
}

func TestTheSameCommandTwiceIsOneEvent(t *testing.T) { // R3, R7
	f := start(t)
	for range 2 {
		f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"starter"}`, as(adminToken)...).want(t, http.StatusOK)
		f.call(t, "PUT", "/v1/sellers/main/seats/sue", `{"paid":false}`, as(adminToken)...).want(t, http.StatusOK)
	}
	h := f.call(t, "GET", "/v1/sellers/main/history", "", as(operatorToken)...).want(t, http.StatusOK)
	if n := strings.Count(string(h.body), `"event"`); n != 2 || !strings.Contains(string(h.body), `"by":"ann"`) {
		t.Errorf("history = %s", h.body)
	}
	stale := as(adminToken, "If-Match", `"1"`)
	f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"free"}`, stale...).problem(t, http.StatusPreconditionFailed, "precondition-failed")
	f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"free"}`, as(adminToken, "If-Match", `"2"`)...).want(t, http.StatusOK)
}

// Many who change one seller at a time lose nothing of one another.
func TestSeatsGivenAtOneTimeAreAllKept(t *testing.T) { // R7
	f := start(t)
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			path := fmt.Sprintf("/v1/sellers/main/seats/u%d", i)
			if a, err := f.try(t.Context(), "PUT", path, `{"paid":true}`, as(adminToken)...); err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d, %v, %s", path, a.status, err, a.body)
			}
		})
	}
	group.Wait()
	a := f.call(t, "GET", "/v1/sellers/main", "", as(adminToken)...).want(t, http.StatusOK)
	if n := strings.Count(string(a.body), `"paid":true`); n != 6 || a.header.Get("ETag") != `"6"` {
		t.Errorf("seller = %s", a.body)
	}
}

func TestTheHistoryIsReadPageByPage(t *testing.T) {
	f := start(t)
	for _, plan := range []string{"free", "starter", "professional"} {
		f.call(t, "PUT", "/v1/sellers/main/plan", `{"plan":"`+plan+`"}`, as(adminToken)...).want(t, http.StatusOK)
	}
	first := f.call(t, "GET", "/v1/sellers/main/history?limit=2", "").want(t, http.StatusOK)
	if text := string(first.body); strings.Index(text, "professional") > strings.Index(text, "starter") || strings.Contains(text, "free") {
		t.Errorf("first page = %s", text)
	}
	second := f.call(t, "GET", "/v1/sellers/main/history?limit=2&cursor="+first.text(t, "next_cursor"), "").want(t, http.StatusOK)
	if !strings.Contains(string(second.body), "free") || second.field(t, "next_cursor") != nil {
		t.Errorf("second page = %s", second.body)
	}
	f.call(t, "GET", "/v1/sellers/main/history?limit=0", "").problem(t, http.StatusUnprocessableEntity, "invalid")
	f.call(t, "GET", "/v1/sellers/main/history?cursor=x", "").problem(t, http.StatusUnprocessableEntity, "invalid")
}

// More facts than one answer of the server holds: Stripe sends account.updated often.
func TestAnAccountWithManyFactsIsRead(t *testing.T) { // R11
	f := start(t)
	f.sellerEvent(t, 1, event.NameConnected, seller.Connected{Seller: "main", Account: "acct_1", Mode: "test", At: noon})
	var many []natsstream.Message
	for i := range 1100 {
		id := "evt_" + strconv.Itoa(i)
		at := noon.Add(time.Duration(i) * time.Second)
		env, err := event.NewAccountFact(event.NameAccountUpdated, "acct_1", id, at, seller.AccountUpdated{Account: "acct_1", Activated: i < 1099, At: at})
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, natsstream.Message{Subject: event.SellerSubject(event.NameAccountUpdated, "acct_1", id), ID: env.ID, Data: env.Encode()})
	}
	for _, r := range f.nats.Log("test").Facts(t.Context(), many) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if a := f.call(t, "GET", "/v1/seller", "").want(t, http.StatusOK); a.field(t, "activated") != false {
		t.Errorf("seller = %s", a.body)
	}
}
