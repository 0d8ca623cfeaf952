package operator_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"quittance.internal/libs/platform/natsstream/natstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// commands are all command lines that have a help text of their own.
var commands = []string{
	"", "quotes", "quotes list", "quotes get", "quotes card",
	"sellers", "sellers show", "sellers history", "sellers set-plan", "sellers set-seat",
	"policy", "policy show", "policy diff", "policy check",
	"simulate", "simulate list", "simulate paid", "simulate bank-debit",
	"explain", "status",
	"events", "events list", "events get", "events tail",
	"dead", "dead list", "dead show", "dead retry", "dead discard",
	"parked", "parked list", "parked release",
	"mail", "mail list", "mail show", "mail preview", "mail resend",
	"subscribers", "subscribers list", "subscribers lag", "subscribers missing", "subscribers replay",
	"replay", "replay plan", "replay run", "replay one", "replay list", "replay show", "replay status", "replay cancel",
	"reconcile", "reconcile report", "reconcile repair",
	"rebuild",
	"check", "check conservation", "check lag", "check gap", "check silence", "check invariants", "doctor",
	"stripe", "stripe events",
	"journal", "journal list", "journal verify",
	"declare", "cheat", "version",
}

func TestHelpIsAsAgreed(t *testing.T) {
	everyCommand(func(name string, _ *cobra.Command) {
		if !slices.Contains(commands, name) && !ofCobra(name) && !strings.HasPrefix(name, "simulate ") { // scenarios have the same text
			t.Errorf("quotectl %s is not in the list of commands above", name)
		}
	})
	var all strings.Builder
	for _, c := range commands {
		r := runWith(t, nil, append(strings.Fields(c), "--help")...)
		r.want(t, 0)
		all.WriteString("===== quotectl " + c + "\n" + r.out + "\n")
	}
	golden(t, "help.golden", all.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if it is meant to, run the test with -update:\n%s", name, diff)
	}
}

func TestMisuseIsExitCodeTwoAndSaysWhatToType(t *testing.T) {
	tests := []struct {
		args  string
		texts []string
	}{
		{"quote", []string{`quotectl has no command "quote"`, `did you mean "quotes"?`, "next: quotectl --help"}},
		{"quotes lst", []string{`did you mean "list"?`, "next: quotectl quotes --help"}},
		{"quotes lst --limit 3", []string{`quotectl quotes has no command "lst"`, `did you mean "list"?`}},
		{"simulate lost-dispute --quote q_1", []string{`quotectl simulate has no command "lost-dispute"`, "next: quotectl simulate --help"}},
		{"quotes --nonsense", []string{"unknown flag", "next: quotectl quotes --help"}},
		{"quotes get", []string{"the quote id is missing", "next: quotectl quotes get --help"}},
		{"quotes get q_1 q_2", []string{`"q_2" is one argument too many`}},
		{"quotes get q/1", []string{"is not a quote id"}},
		{"quotes list --limit -1", []string{"--limit is -1", "0 for all"}},
		{"quotes list --nonsense", []string{"unknown flag", "next: quotectl quotes list --help"}},
		{"quotes list -o xml", []string{`output format "xml" is none of table, wide, json, jsonl`}},
		{"sellers show acct_1", []string{`"acct_1" is not a seller id`}},
		{"sellers set-plan main gold", []string{`"gold" is no plan; plans are free, starter, professional, enterprise`}},
		{"sellers set-plan main starter", []string{"--reason"}},
		{"sellers set-seat main sue", []string{"the word paid or unpaid is missing"}},
		{"sellers set-seat main sue yes", []string{`"yes" is neither paid nor unpaid`}},
		{"sellers history main --limit -1", []string{"--limit is -1", "0 for all"}},
		{"explain", []string{"the id is missing"}},
		{"replay ch_1", []string{"neither an event id"}},
		{"declare --replicas 2", []string{"--replicas is 2"}},
		{"cheat nothing", []string{"there is no topic"}},
		{"version now", []string{"one argument too many"}},
		{"quotes list --env-file /does/not/exist", []string{"read settings", "/does/not/exist"}},
	}
	for _, tt := range tests {
		r := runWith(t, nil, strings.Fields(tt.args)...)
		r.want(t, 2, tt.texts...)
		if r.out != "" {
			t.Errorf("%s: stdout is not empty: %q", tt.args, r.out)
		}
	}
}

func TestQuotesAreReadThroughTheAPI(t *testing.T) {
	w := newWorld(t)
	r := w.run("quotes", "list")
	r.want(t, 0, "ID", "q_3", "q_2", "q_1", "1 234.50 PLN", "Solar roof", "d_17")
	if strings.Contains(r.out, "CREATED") || strings.Contains(r.out, "\x1b") {
		t.Errorf("a table that is not wide shows all columns, or colours:\n%s", r.out)
	}
	w.run("quotes", "list", "-o", "wide").want(t, 0, "VERSION", "CREATED", "2026-11-20 10:00 +01:00")
	w.run("quotes", "list", "--status", "draft").want(t, 0, "no quotes match")

	r = w.run("quotes", "list", "--limit", "2", "-o", "jsonl")
	r.want(t, 0)
	if got := jsonLines(t, r.out, "id"); !slices.Equal(got, []any{"q_3", "q_2"}) {
		t.Errorf("ids = %v", got)
	}
	r = w.run("quotes", "list", "-o", "json")
	var all []map[string]any
	if err := json.Unmarshal([]byte(r.out), &all); err != nil || len(all) != 3 || all[2]["amount"] != 123450.0 {
		t.Errorf("json list = %v, error %v", all, err)
	}

	w.run("quotes", "get", "q_1042").want(t, 0, "Quote q_1042  Solar roof", "published, revision 2, version 3", "1 234.50 PLN due at checkout",
		"Roof", "once", "2026-11-20 10:00 +01:00")
	w.run("quotes", "get", "q_9").want(t, 5, "read quote q_9", "next: quotectl quotes list")
	w.run("quotes", "card", "q_1042").want(t, 0, "CARD", "published", "1 234.50 PLN")
	r = w.run("quotes", "card", "q_1042", "-o", "json")
	r.want(t, 0, `"status": "published"`, `"amount": 123450`)

	w.settings["QUOTES_URL"] = "http://127.0.0.1:1"
	w.run("quotes", "list").want(t, 1, "read list of quotes", "next: check that the quotes service runs")
}

func jsonLines(t *testing.T, out, field string) []any {
	t.Helper()
	var values []any
	for line := range strings.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		values = append(values, m[field])
	}
	return values
}

func TestDeclareSaysWhatItDid(t *testing.T) {
	server := natstest.StartEmpty(t)
	settings := map[string]string{"NATS_URL": server.URL}
	runWith(t, settings, "declare", "--check").want(t, 3, "stream STRIPE is missing", "next: quotectl declare")

	r := runWith(t, settings, "declare", "-o", "jsonl")
	r.want(t, 0)
	if got := jsonLines(t, r.out, "result"); slices.ContainsFunc(got, func(v any) bool { return v != "created" }) || len(got) < 8 {
		t.Errorf("first declare: %v, want everything created", got)
	}
	r = runWith(t, settings, "declare")
	r.want(t, 0, "stream", "STRIPE", "bucket", "MAIL", "consumer", "QUOTES/notifier")
	if strings.Contains(r.out, "created") || strings.Contains(r.out, "changed ") && !strings.Contains(r.out, "unchanged") {
		t.Errorf("second declare did something:\n%s", r.out)
	}
	runWith(t, settings, "declare", "--check").want(t, 0)

	js := server.Log("test").JetStream()
	stream, err := js.Stream(t.Context(), "STRIPE")
	if err != nil {
		t.Fatal(err)
	}
	spoilt := stream.CachedInfo().Config
	spoilt.MaxAge = 1e15
	if _, err := js.UpdateStream(t.Context(), spoilt); err != nil {
		t.Fatal(err)
	}
	runWith(t, settings, "declare", "--check").want(t, 3, "stream STRIPE: forgets messages after")
	r = runWith(t, settings, "declare")
	r.want(t, 0)
	if !regexp.MustCompile(`(?m)^stream +STRIPE +changed +max_age$`).MatchString(r.out) {
		t.Errorf("declare does not say that it changed max_age:\n%s", r.out)
	}
}

// What declare reports on is what natsstream declares: nothing is left out of the report when a stream is added there.
func TestDeclareKnowsEveryStream(t *testing.T) {
	server := natstest.Start(t)
	r := runWith(t, map[string]string{"NATS_URL": server.URL}, "declare", "-o", "jsonl")
	names := jsonLines(t, r.out, "name")
	js := server.Log("test").JetStream()
	listed := js.ListStreams(t.Context())
	for info := range listed.Info() {
		assertReported(t, names, info)
	}
	if err := listed.Err(); err != nil {
		t.Fatal(err)
	}
}

func assertReported(t *testing.T, names []any, info *jetstream.StreamInfo) {
	t.Helper()
	if name := strings.TrimPrefix(info.Config.Name, "KV_"); !slices.Contains(names, any(name)) {
		t.Errorf("declare does not report %s", name)
	}
}

func TestDeclareWithoutServerSaysWhatToDo(t *testing.T) {
	runWith(t, nil, "declare").want(t, 1, "NATS_URL is set neither", "next: export NATS_URL=")
}

func TestVersionAndCheat(t *testing.T) {
	runWith(t, nil, "version").want(t, 0, "VERSION", "go1.")
	runWith(t, nil, "version", "-o", "json").want(t, 0, `"schema": 1`)
	runWith(t, nil, "cheat").want(t, 0, "## simulate", "quotectl simulate list")
	runWith(t, nil, "cheat", "replay").want(t, 0, "quotectl replay evt_")
	runWith(t, nil, "completion", "bash").want(t, 0, "__start_quotectl")
	runWith(t, nil, "__complete", "cheat", "si").want(t, 0, "simulate")
	runWith(t, nil, "__complete", "quotes", "list", "-o", "").want(t, 0, "jsonl")
}
