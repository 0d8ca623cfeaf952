package quotes_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

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

// R3, R4, R11, R14, R21
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
	f.sellerEvent(t, 4, event.NameActivationSet, seller.ActivationSet{Seller: "main", Account: "acct_1"})
	refused("[stripe_not_activated payment.stripe]")
	f.sellerEvent(t, 5, event.NameActivationSet, seller.ActivationSet{Seller: "main", Account: "acct_1", Activated: true})
	f.publish(t, id)
	record, err := f.nats.Log("test").Read(t.Context(), event.StreamQuotes, "quote.published.main."+id+".1")
	if err != nil || !strings.Contains(string(record.Data), `"account":"acct_1"`) {
		t.Errorf("published = %s, %v", record.Data, err)
	}
	f.sellerEvent(t, 6, event.NameDeauthorized, seller.Deauthorized{Seller: "main", Account: "acct_1"})
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
