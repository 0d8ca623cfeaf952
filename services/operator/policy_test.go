package operator_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"quittance.internal/libs/domain/quote"
)

// policyFile writes the built-in policy with a change to a file.
func policyFile(t *testing.T, change func(*quote.Policy)) string {
	t.Helper()
	p := quote.DefaultPolicy()
	change(p)
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutZloty is a policy under which the sample quote could not be paid.
func withoutZloty(p *quote.Policy) {
	p.Date = "2027-01-01"
	p.Excluded[1].Currencies = append(p.Excluded[1].Currencies, "pln")
	p.Minimum.Amounts["usd"] = 75
}

func TestPolicyShowsItsDateListsAndLimits(t *testing.T) { // R2
	w := newWorld(t)
	w.run("policy", "show").want(t, 0, "Policy of 2023-08-31", "starter, professional, enterprise", "18, quotes and Stripe define", "(R49): AFN ALL",
		"19, Stripe does not support", "JPY       50 JPY", "read 2026-11-23")
	r := runWith(t, nil, "policy", "show", "2023-08-31", "-o", "json")
	r.want(t, 0)
	if _, err := quote.DecodePolicy([]byte(r.out)); err != nil {
		t.Errorf("-o json is no policy file: %v", err)
	}
	w.run("policy", "show", "nowhere.json").want(t, 5, "nor a file")
}

func TestPolicyDiffNamesWhatChanges(t *testing.T) { // R2
	w := newWorld(t)
	file := policyFile(t, withoutZloty)
	w.run("policy", "diff", "active", file).want(t, 3, "currency pln", "currency_not_supported", "0.50 USD", "0.75 USD",
		"3 differences from the policy of 2023-08-31 to that of 2027-01-01")
	w.run("policy", "diff", "active", "2023-08-31").want(t, 0)
	w.run("policy", "diff", "active").want(t, 2, "the policy to compare to is missing")
}

func TestPolicyCheckJudgesOneQuoteOrAll(t *testing.T) { // R2, R19
	w := newWorld(t)
	file := policyFile(t, withoutZloty)
	w.run("policy", "check", "q_1042").want(t, 0, "q_1042", "ok")
	w.run("policy", "check", "--all").want(t, 0, "q_1 ", "q_2 ", "q_3 ")
	w.run("policy", "check", "--all", "--policy", file).want(t, 3, "refuses 3 of 3 quotes", "currency_not_supported", "R50")
	r := w.run("policy", "check", "q_1042", "--policy", file, "-o", "jsonl")
	r.want(t, 3)
	if got := jsonLines(t, r.out, "policy"); len(got) != 1 || got[0] != "2027-01-01" {
		t.Errorf("policy = %v in %s", got, r.out)
	}
	w.run("policy", "check").want(t, 2, "name quotes or give --all")
	w.run("policy", "check", "q_1042", "--all").want(t, 2, "name quotes or give --all")
	w.run("policy", "check", "q_9").want(t, 5)
}
