package quotes_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// R48-R51: each of the 37 may be quoted, is refused for Stripe with the right one of the two reasons, and can be published to be paid
// otherwise.
func TestExcludedCurrenciesMayBeQuotedAndNotPaidByStripe(t *testing.T) {
	f := start(t)
	s := f.withStripe(t)
	n := 0
	for reason, currencies := range map[[2]string]string{
		{"currency_defined_differently", "R49"}: "AFN ALL AMD COP CRC HUF IDR ISK LBP MMK MRO MUR PKR RSD SOS TZS UZS YER",
		{"currency_not_supported", "R50"}:       "BHD BYR CLF EEK ERN GHS IQD IRR JOD KWD LTL LVL LYD OMR SDG SYP TND VEF ZMK",
	} {
		texts := map[string]bool{}
		for code := range strings.FieldsSeq(currencies) {
			n++
			quoted := strings.Replace(document, `"pln"`, `"`+strings.ToLower(code)+`"`, 1)
			id := f.call(t, "POST", "/v1/quotes", quoted).want(t, http.StatusCreated).text(t, "id")
			refused := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, http.StatusUnprocessableEntity, "invalid")
			if got := fmt.Sprint(refused.codes(t)); got != "["+reason[0]+" currency]" || !strings.Contains(string(refused.body), `"rule":"`+reason[1]+`"`) ||
				!strings.Contains(string(refused.body), "A quote in "+code+" cannot be paid by Stripe") {
				t.Errorf("%s: %s", code, refused.body)
			}
			_, why, _ := strings.Cut(string(refused.body), "cannot be paid by Stripe: ")
			texts[why] = true

			f.call(t, "PATCH", "/v1/quotes/"+id, `{"payment":{"stripe":false}}`, "If-Match", `"1"`).want(t, http.StatusOK)
			token := f.publish(t, id)
			f.project(t, id)
			if got := fmt.Sprint(f.checkOut(t, token).problem(t, http.StatusConflict, "conflict").codes(t)); got != "[not_payable]" {
				t.Errorf("%s: check out = %s", code, got)
			}
		}
		if len(texts) != 1 { // one reason, in one wording
			t.Errorf("%s is told in %d ways", reason[0], len(texts))
		}
	}
	if n != 37 || len(s.calls) > 0 {
		t.Errorf("%d currencies, want 37; Stripe was asked %v", n, s.calls)
	}
}
