package purchase_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A purchase as it goes when nothing is in the way.
func TestAClickBecomesAPaidQuote(t *testing.T) {
	t.Parallel()
	s := open(t)
	q := s.offer(document)
	id := s.session(s.click(0, q))
	if a := s.act(id, "pay"); a.status != http.StatusOK {
		t.Fatalf("pay = %d %s", a.status, a.body)
	}
	s.stands(q, "paid []")
	s.quiet()
	if got := fmt.Sprint(s.events(q)); got != "[drafted.1 published.1 checkout_requested.1_1 checkout_opened.1_1 paid.1]" {
		t.Errorf("events = %s", got)
	}
	again := s.click(1, q)
	if again.status != http.StatusConflict || !strings.Contains(string(again.body), `"code":"paid"`) {
		t.Errorf("a click on a paid quote = %d %s", again.status, again.body)
	}
	if c := s.customers(address); len(c) != 1 || c[0].Name != "Carl Customer" {
		t.Errorf("customers = %+v", c)
	}
}
