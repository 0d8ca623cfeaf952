package allinone_test

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/barrier"
)

// R55: with DURABILITY=barrier the embedded server leaves the syncing to those who write, and each of them does it, with the
// rights that a deployment gives it.
func TestWithABarrierEveryServiceSyncsWhatItWrites(t *testing.T) {
	if b, err := barrier.Open(barrier.Config{Dir: t.TempDir(), Log: zap.NewNop()}); err != nil {
		t.Skipf("temporary folders cannot be synced (set TMPDIR to one on a disk): %v", err)
	} else if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	values := settings(t, filepath.Join(t.TempDir(), "data"), map[string]string{"DURABILITY": "barrier"})
	s := start(t, values)
	quote := s.publish()
	s.mustQuotectl("simulate", "paid", "--quote", quote, "--seed", "7")
	if card := s.card(quote); !strings.HasPrefix(card, "Paid: ") || s.mails() != 1 {
		t.Errorf("card %q, %d mails, want Paid and 1", card, s.mails())
	}
	for _, name := range []string{"INGRESS_ADMIN_ADDR", "PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADMIN_ADDR"} {
		metrics := page(t, s.URL(name)+"/metrics")
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

func page(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
