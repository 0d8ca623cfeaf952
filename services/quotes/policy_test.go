package quotes_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/services/quotes"
)

func TestPublishRefusesWithEveryReasonAtOnce(t *testing.T) { // R17, R19, R37, R38, R44, R49, R51
	f := start(t)
	id := f.create(t)
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"currency":"huf","expires_at":"2026-11-01","line_items":[{"name":"Gift","quantity":1,"unit_amount":0},
		{"name":"A","quantity":1,"unit_amount":90000,"recurring":{"interval":"month"}},
		{"name":"B","quantity":1,"unit_amount":90000,"recurring":{"interval":"year","term":"24 months"}}]}`, "If-Match", `"1"`).want(t, http.StatusOK)
	refused := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, http.StatusUnprocessableEntity, "invalid")
	want := "[zero_line line_items[0] currency_defined_differently currency mixed_frequencies line_items[2].recurring " +
		"contract_term line_items[2].recurring.term expires_at_past expires_at]"
	if got := fmt.Sprint(refused.codes(t)); got != want {
		t.Errorf("reasons = %s\nwant      %s", got, want)
	}
	for _, text := range []string{`"rule":"R17"`, `"rule":"R49"`, `"rule":"R37"`, `"rule":"R38"`, `"rule":"R44"`, "HUF"} {
		if !strings.Contains(string(refused.body), text) {
			t.Errorf("no %s in %s", text, refused.body)
		}
	}
	// The same quote may be offered when it is not to be paid by Stripe.
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"payment":{"stripe":false},"expires_at":null}`, "If-Match", `"2"`).want(t, http.StatusOK)
	if a := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK); fmt.Sprint(a.field(t, "warnings")) != "[]" {
		t.Errorf("published = %s", a.body)
	}
}

func TestWarningsDoNotBlock(t *testing.T) { // R15, R41
	f := start(t)
	id := f.create(t)
	f.call(t, "PATCH", "/v1/quotes/"+id, `{"payment":{"three_d_secure":false}}`, "If-Match", `"1"`).want(t, http.StatusOK)
	for range 2 { // a repeated publish says the same
		a := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK)
		for _, code := range []string{"three_d_secure_missing", "tax_on_first_charge", "discount_once_recurring"} {
			if !strings.Contains(a.text(t, "status")+string(a.body), code) {
				t.Errorf("no %s in %s", code, a.body)
			}
		}
	}
}

func TestTheActivePolicyTellsItsDate(t *testing.T) { // R2
	f := start(t)
	a := f.call(t, "GET", "/v1/policy", "", "Authorization", "Bearer "+viewerToken).want(t, http.StatusOK)
	p, err := quote.DecodePolicy(a.body)
	if err != nil || p.Date != "2023-08-31" || len(p.Diff(quote.DefaultPolicy())) != 0 {
		t.Errorf("policy = %s, %v", a.body, err)
	}
}

func TestAnotherPolicyIsAFile(t *testing.T) { // R2
	whole, err := os.ReadFile("../../libs/domain/quote/policies/2023-08-31.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.json")
	set := map[string]string{"API_TOKENS": allTokens, "POLICY_FILE": path}
	lookup := func(name string) (string, bool) { v, ok := set[name]; return v, ok }
	for text, want := range map[string]string{
		strings.Replace(string(whole), "2023-08-31", "2025-01-01", 1): "",
		"{}":                           "POLICY_FILE: policy",
		string(whole) + "{}":           "more than one value",
		strings.ToUpper(string(whole)): "POLICY_FILE",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := quotes.ConfigFromEnv(lookup)
		if want == "" && (err != nil || c.Policy.Date != "2025-01-01") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

// A published event of before the policy stays payable by its own terms: only a
// new publication is judged.
func TestAPublishedQuoteIsNotJudgedAgain(t *testing.T) {
	f := start(t)
	id := f.create(t)
	f.publish(t, id)
	f.stop()
	strict := *quote.DefaultPolicy()
	strict.Excluded = append(strict.Excluded, quote.PolicyExclusion{Code: "not_today", Rule: "R50", Text: "closed", Currencies: []string{"pln"}})
	f.cfg.Policy = &strict
	f.run(t)
	f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").want(t, http.StatusOK)
	f.call(t, "POST", "/v1/quotes/"+id+"/recall", "").want(t, http.StatusOK)
	refused := f.call(t, "POST", "/v1/quotes/"+id+"/publish", "").problem(t, http.StatusUnprocessableEntity, "invalid")
	if got := fmt.Sprint(refused.codes(t)); got != "[not_today currency]" {
		t.Errorf("reasons = %s", got)
	}
	if got := f.log(t, id); len(got) != 3 || !strings.Contains(got[2], event.NameRecalled) {
		t.Errorf("log = %v", got)
	}
}
