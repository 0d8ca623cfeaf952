package operator_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// notAsked are the commands of which no example comes to a result in the world of these tests, and why.
var notAsked = map[string]string{
	"events tail":        "has no end; prints a line per event",
	"dead retry":         "needs the payments worker: dead_test.go",
	"dead discard":       "needs the payments worker: dead_test.go",
	"parked release":     "needs the payments worker: dead_test.go",
	"mail resend":        "needs the notifier: mail_test.go",
	"mail preview":       "needs the notifier: mail_test.go",
	"replay run":         "needs the payments worker: the drill",
	"replay one":         "needs the payments worker: the drill",
	"reconcile report":   "needs Stripe: the drill",
	"reconcile repair":   "needs Stripe: the drill",
	"subscribers replay": "needs another team's consumer: mail_test.go",
	"check gap":          "needs a Redis that payments has filled: check_watch_test.go",
	"check invariants":   "needs the rules that payments stores: allinone/operating",
	"rebuild":            "needs a Redis that payments has filled: the drill",
	"status":             "needs the rules that payments stores: the drill",
	"replay plan":        "needs the rules that payments stores: the drill",
	"replay show":        "needs a plan: the drill",
	"replay status":      "needs a plan: the drill",
	"replay cancel":      "needs a plan that runs: the drill",
	"help":               "is text for people",
	"completion bash":    "is a script", "completion zsh": "is a script", "completion fish": "is a script", "completion powershell": "is a script",
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
	if n := countDocuments(t, line{}, simulated.out); n != 1 {
		t.Errorf("simulate -o json prints %d documents", n)
	}
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
		if strings.Contains(l.String(), "--raw") || strings.Contains(l.String(), "--comma") {
			continue // the bytes as they are, a line for another program
		}
		for _, format := range []string{"json", "jsonl"} {
			args := append(l.args[:len(l.args):len(l.args)], "-o", format)
			r := w.run(args...)
			failed[l.command] = r.err
			if r.code == 0 || r.code == 3 && r.out != "" {
				seen[l.command] = true
				documents := countDocuments(t, l, r.out)
				if format == "json" && documents != 1 && notAsked[l.command] == "" {
					t.Errorf("%s -o json prints %d documents, want one:\n%s", l, documents, r.out)
				}
				if strings.Contains(r.out, "\x1b") {
					t.Errorf("%s -o %s is coloured", l, format)
				}
			}
		}
	}
	for _, name := range leaves() {
		scenario := strings.HasPrefix(name, "simulate ") && name != "simulate list" // all are made alike
		if !seen[name] && !scenario && notAsked[name] == "" {
			t.Errorf("no example of quotectl %s came to a result: %s", name, failed[name])
		}
	}
}

func countDocuments(t *testing.T, l line, out string) int {
	t.Helper()
	if l.command == "help" || strings.HasPrefix(l.command, "completion") {
		return 1
	}
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
