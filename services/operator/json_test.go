package operator_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// notAsked are the commands of which no example comes to a result in the world of these tests, why, and the tests that read
// their JSON.
var notAsked = map[string]string{
	"events tail":        "has no end, and prints a line per event: events_test.go",
	"dead retry":         "needs the payments worker: dead_test.go",
	"dead discard":       "needs the payments worker: dead_test.go",
	"parked release":     "needs the payments worker: dead_test.go",
	"mail resend":        "needs the notifier: mail_test.go",
	"mail preview":       "needs the notifier: mail_test.go",
	"replay run":         "needs the payments worker: allinone/operating",
	"replay one":         "needs the payments worker: explain_test.go",
	"reconcile report":   "needs Stripe: allinone/reconcile",
	"reconcile repair":   "needs Stripe: allinone/reconcile",
	"subscribers replay": "needs another team's consumer: mail_test.go",
	"check gap":          "needs a Redis that payments has filled: check_watch_test.go",
	"check invariants":   "needs the rules that payments stores: allinone/operating",
	"rebuild":            "needs a Redis that payments has filled: allinone/operating",
	"status":             "needs the rules that payments stores: allinone/operating",
	"replay plan":        "needs the rules that payments stores: allinone/operating",
	"replay show":        "needs a plan: allinone/operating",
	"replay status":      "needs a plan: allinone/operating",
	"replay cancel":      "needs a plan: allinone/operating",
}

// instead are lines for commands whose examples name what this world does not have.
var instead = []string{
	"quotectl dead show DEAD:1", "quotectl events get STRIPE:1", "quotectl explain STRIPE:1", "quotectl subscribers missing QUOTES:1",
	"quotectl sellers set-seat main sue paid --dry-run", "quotectl policy diff 2023-08-31 active",
}

// Every command that prints data prints with -o json one document and with -o jsonl one document per line, those of
// tomorrow included: a new command's example has to come to a result here, or a line above says why it cannot.
func TestEveryCommandPrintsJSON(t *testing.T) {
	w := newWorld(t)
	simulated := w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "-o", "json")
	simulated.want(t, 0)
	simulated.document(t)
	w.setAside()
	var lines []line
	for _, row := range instead {
		lines = append(lines, linesOf(t, row)...)
	}
	for _, l := range examples(t) {
		if l.command != "events tail" && (!strings.HasPrefix(l.command, "simulate ") || l.command == "simulate list") {
			lines = append(lines, l)
		}
	}
	seen, failed := map[string]bool{}, map[string]string{}
	for _, l := range lines {
		if ofCobra(l.command) || strings.Contains(l.String(), "--raw") || strings.Contains(l.String(), "--comma") {
			continue // text for people, a script, the bytes as they are, a line for another program
		}
		for _, format := range []string{"json", "jsonl"} {
			args := append(l.args[:len(l.args):len(l.args)], "-o", format)
			r := w.run(args...)
			failed[l.command] = r.err
			if r.code == 0 || r.code == 3 && r.out != "" {
				seen[l.command] = true
				documents := countDocuments(t, l, r.out)
				if want := map[string]int{"json": 1, "jsonl": strings.Count(r.out, "\n")}[format]; documents != want {
					t.Errorf("%s -o %s prints %d documents, want %d:\n%s", l, format, documents, want, r.out)
				}
				if strings.Contains(r.out, "\x1b") {
					t.Errorf("%s -o %s is coloured", l, format)
				}
			}
		}
	}
	all := leaves()
	for name, why := range notAsked {
		if !slices.Contains(all, name) || seen[name] {
			t.Errorf("quotectl %s is listed as not asked (%s), and was asked, or is no command", name, why)
		}
	}
	for _, name := range all {
		scenario := strings.HasPrefix(name, "simulate ") && name != "simulate list" // all are made alike
		if !seen[name] && !scenario && !ofCobra(name) && notAsked[name] == "" {
			t.Errorf("no example of quotectl %s came to a result: %s", name, failed[name])
		}
	}
}

// document checks that a result, of a command with -o json, is one document.
func (r result) document(t *testing.T) {
	t.Helper()
	if n := countDocuments(t, line{}, r.out); n != 1 {
		t.Errorf("-o json prints %d documents:\n%s", n, r.out)
	}
}

func countDocuments(t *testing.T, l line, out string) int {
	t.Helper()
	n := 0
	for d := json.NewDecoder(strings.NewReader(out)); ; n++ {
		var v any
		if err := d.Decode(&v); err == io.EOF {
			return n
		} else if err != nil {
			t.Errorf("%s prints no JSON: %v\n%s", l, err, out)
			return n
		}
	}
}

// setAside puts a message of the log aside, as a consumer does.
func (w *world) setAside() {
	w.t.Helper()
	r, err := w.log.ReadSequence(w.t.Context(), event.StreamStripe, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	letter := natsstream.DeadLetter{Consumer: "payments", Record: r, Reason: "handler panics", Attempts: 1, Handler: "test"}
	if err := w.log.SetAside(w.t.Context(), letter); err != nil {
		w.t.Fatal(err)
	}
}
