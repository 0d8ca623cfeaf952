package allinone_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quittance.internal/libs/platform/barrier/barriertest"
)

// R55: with DURABILITY=barrier the embedded server leaves the syncing to those who write, and each of them does it, with the
// rights that a deployment gives it.
func TestWithABarrierEveryServiceSyncsWhatItWrites(t *testing.T) {
	values := settings(t, filepath.Join(barriertest.Dir(t), "data"), map[string]string{"DURABILITY": "barrier"})
	s := start(t, values)
	quote := s.publish()
	s.mustQuotectl("simulate", "paid", "--quote", quote, "--seed", "7")
	if card := s.card(quote); !strings.HasPrefix(card, "Paid: ") || s.mails() != 1 {
		t.Errorf("card %q, %d mails, want Paid and 1", card, s.mails())
	}
	for _, name := range []string{"INGRESS_ADMIN_ADDR", "PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADMIN_ADDR"} {
		metrics := fetch(t, s.URL(name)+"/metrics")
		if n := regexp.MustCompile(`(?m)^quittance_barrier_syncs_total (\d+)$`).FindStringSubmatch(metrics); n == nil || n[1] == "0" {
			t.Errorf("%s: no sync", name)
		}
	}
	if out := s.mustQuotectl("doctor"); !strings.Contains(out, "DURABILITY=barrier") {
		t.Errorf("quotectl doctor does not tell who syncs:\n%s", out)
	}
	if err := s.stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}
	delete(values, "DURABILITY") // and back: the store is the same
	again := start(t, values)
	eventually(t, "the card is there without the barrier, too", func() bool { return strings.HasPrefix(again.card(quote), "Paid: ") })
}
