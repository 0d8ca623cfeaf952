package connect_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"quittance.internal/services/operator"
)

// quotectl runs the operators' command line with an API token and returns what it printed.
func (w *world) quotectl(token string, code int, args ...string) string {
	w.t.Helper()
	settings := map[string]string{"QUOTES_URL": w.quotes, "API_TOKEN": token, "NATS_URL": w.pipeline.NATS.URL, "TZ": "Europe/Warsaw", "DATA_DIR": w.t.TempDir()}
	var out, errs bytes.Buffer
	got := operator.Run(w.t.Context(), args, func(name string) (string, bool) { v, ok := settings[name]; return v, ok }, &out, &errs)
	if got != code {
		w.t.Fatalf("quotectl %s = %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

func holds(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
}

// R3, R7, R11, R70
func TestOperatorsSeeSellersAndGiveThemPlansAndSeats(t *testing.T) {
	w := newWorld(t)
	holds(t, w.quotectl(ann, 0, "sellers", "show", "main"), "Seller main", "plan      enterprise", "platform, the deployment's own", "payable   yes", "everybody has one")
	w.signIn(sue).connect(solar)
	holds(t, w.quotectl(sue, 0, "sellers", "show", "main"), solar+", test, connected", "by sue")

	// A dry run changes nothing; a change says what it was, and is done once.
	holds(t, w.quotectl(ann, 3, "sellers", "set-plan", "main", "free", "--dry-run"), "would change")
	holds(t, w.quotectl(ann, 0, "sellers", "set-plan", "main", "free", "--reason", "invoice 4711"), "enterprise", "free", "changed")
	holds(t, w.quotectl(ann, 0, "sellers", "set-plan", "main", "free", "--reason", "again"), "unchanged")
	holds(t, w.quotectl(ann, 0, "sellers", "set-plan", "main", "free", "--dry-run"), "unchanged")
	holds(t, w.quotectl(ann, 0, "sellers", "set-seat", "main", "sam", "paid", "--reason", "invoice 4712", "-o", "json"),
		`"before": "sam never said"`, `"after": "sam paid"`, `"changed": true`)
	holds(t, w.quotectl(ann, 0, "sellers", "set-seat", "main", "sam", "unpaid", "--reason", "left"), "sam paid", "sam unpaid")
	holds(t, w.quotectl(ann, 0, "sellers", "show", "main"), "plan      free", "sam", "unpaid")
	if a := w.api(sue, http.MethodPost, "/v1/quotes/"+w.draft(sue, "")+"/publish", ""); codesOf(a) != "[plan_not_entitled]" {
		t.Errorf("publish on the plan free = %d %s", a.status, a.body)
	}

	// Only an admin; who tries anyway changes nothing, and that is on record too.
	holds(t, w.quotectl(sue, 1, "sellers", "set-plan", "main", "starter", "--reason", "why not"), "role admin", "next: set API_TOKEN")
	holds(t, w.quotectl(sue, 1, "sellers", "show", "other"), "refuses the token")
	if w.api(ann, http.MethodGet, "/v1/sellers/main", "").field(t, "plan") != "free" {
		t.Error("a seller put himself on another plan")
	}
	var actions []string
	for _, line := range w.journal() {
		actions = append(actions, strings.Fields(line)[0])
	}
	if !slices.Equal(actions, []string{"seller_plan", "seller_seat", "seller_seat", "seller_plan"}) {
		t.Errorf("journal = %v", w.journal())
	}
	w.quotectl(ann, 0, "journal", "verify")

	holds(t, w.quotectl(ann, 0, "sellers", "history", "main"), "plan_set", "seat_set", "sam unpaid", "connected", solar, "ann")
	if lines := w.quotectl(ann, 0, "sellers", "history", "main", "--limit", "2", "-o", "jsonl"); strings.Count(lines, `"event"`) != 2 {
		t.Errorf("history = %s", lines)
	}
	w.sandbox("/sandbox/accounts/"+solar, `{"connected":false}`)
	w.until("quotectl says that it cannot be paid", func() bool {
		return strings.Contains(w.quotectl(vic, 0, "sellers", "show", "main"), "no: the account gives no access any more")
	})
	holds(t, w.quotectl(ann, 0, "sellers", "history", "main"), "account_deauthorized")
}
