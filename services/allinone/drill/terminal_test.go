package drill_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Of an output longer than shownLines lines the transcript has the first cutLines.
const (
	shownLines = 26
	cutLines   = 9
)

// terminal is the operator's: it runs quotectl and writes down what is seen.
type terminal struct {
	t       *testing.T
	path    string // of the transcript; empty for none
	binary  string
	env     []string
	text    strings.Builder
	aliases map[string]string
	counts  map[string]int
}

// newTerminal returns a terminal whose transcript is written at the end of a test that has passed.
func newTerminal(t *testing.T, transcript, binary string, env []string) *terminal {
	t.Helper()
	dir := t.TempDir()
	m := &terminal{
		t: t, path: transcript, binary: binary, aliases: map[string]string{}, counts: map[string]int{},
		env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DATA_DIR=" + dir, "TZ=Europe/Warsaw", "NO_COLOR=1"}, env...),
	}
	t.Cleanup(func() {
		if m.path == "" || t.Failed() {
			return
		}
		if err := os.WriteFile(m.path, []byte(strings.TrimRight(m.text.String(), "\n")+"\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
	return m
}

// say adds a paragraph to the transcript.
func (m *terminal) say(format string, args ...any) {
	fmt.Fprintf(&m.text, format+"\n\n", args...)
}

// run runs quotectl and returns its exit code and what it printed.
func (m *terminal) run(args ...string) (code int, out, errs string) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), m.binary, args...)
	cmd.Env = m.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatalf("quotectl %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// must runs quotectl without a trace in the transcript; the exit code must be that. It returns what it printed on its output.
func (m *terminal) must(code int, args ...string) string {
	m.t.Helper()
	got, out, errs := m.run(args...)
	if got != code {
		m.t.Fatalf("quotectl %s = %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	return out
}

// read runs quotectl -o json into v, without a trace.
func (m *terminal) read(v any, code int, args ...string) {
	m.t.Helper()
	out := m.must(code, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		m.t.Fatalf("quotectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// enter runs quotectl for everybody to see; the exit code must be that and both outputs together must hold each of want.
func (m *terminal) enter(code int, args []string, want ...string) {
	m.t.Helper()
	m.enterForOneOf([]int{code}, args, want...)
}

// enterForOneOf is enter where several exit codes are right.
func (m *terminal) enterForOneOf(codes []int, args []string, want ...string) {
	m.t.Helper()
	code, out, errs := m.run(args...)
	if !slices.Contains(codes, code) {
		m.t.Fatalf("quotectl %s = %d, want one of %d\n%s%s", strings.Join(args, " "), code, codes, out, errs)
	}
	for _, text := range want {
		if !strings.Contains(out+errs, text) {
			m.t.Errorf("quotectl %s lacks %q:\n%s%s", strings.Join(args, " "), text, out, errs)
		}
	}
	line := "quotectl"
	for _, a := range args {
		if strings.ContainsAny(a, " '*") {
			a = `"` + a + `"`
		}
		line += " " + a
	}
	fmt.Fprintf(&m.text, "```console\n$ %s\n", m.plain(line, names...))
	m.quote(out)
	m.quote(errs)
	if code != 0 {
		fmt.Fprintf(&m.text, "exit code %d\n", code)
	}
	m.text.WriteString("```\n\n")
}

// quote adds the beginning of an output to the transcript.
func (m *terminal) quote(out string) {
	lines := strings.Split(strings.TrimRight(m.plain(m.plain(out, names...), figures...), "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return
	}
	if len(lines) > shownLines {
		lines = append(lines[:cutLines:cutLines], fmt.Sprintf("… %d more lines", len(lines)-cutLines))
	}
	for _, line := range lines {
		m.text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// replacement is what stands in the transcript for what differs from run to run.
type replacement struct {
	pattern *regexp.Regexp
	by      string // %d is a number, so that one can follow a thing through the transcript
}

// names are the ids; one may be typed.
var names = []replacement{
	{regexp.MustCompile(`\bq_[A-Za-z0-9]{8,}`), "q_%d"},
	{regexp.MustCompile(`\b(evt|cs|pi|ch|cus|re|rp|we)_[A-Za-z0-9_]{8,}`), "${1}_%d"},
	{regexp.MustCompile(`\b[a-z2-7]{32}@`), "mail_%d@"},
	{regexp.MustCompile(`\bN[A-Z2-7]{55}\b`), "server_%d"},
	{regexp.MustCompile(`\b[0-9a-f]{16,64}\b`), "hash_%d"},
	{regexp.MustCompile(`\b[0-9a-f]{12}…`), "hash_%d"},
}

// figures are those of the moment and of the machine.
var figures = []replacement{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| ?[+-]\d\d:?\d\d)?`), "‹time›"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`), "‹date›"},
	{regexp.MustCompile(`\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{1,2}, \d{4}`), "‹date›"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d)?`), "‹time›"},
	{regexp.MustCompile(`\b[\d,]+(\.\d+)?(/s| messages/s| a second| per second)`), "‹rate›"},
	{regexp.MustCompile(`[+-]?\b(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|s)\b`), "‹span›"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (ms|µs|s)\b`), "‹span›"},
	{regexp.MustCompile(`\b\d+h(\d+m)?\b|\b\d+m\b`), "‹span›"},
	{regexp.MustCompile(`\b\d+(\.\d+)? [KMG]iB( of \d+(\.\d+)? [KMG]iB)?`), "‹size›"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:port"},
	{regexp.MustCompile(`\b\S+@` + hostname() + `\b`), "ada@ops"},
	{regexp.MustCompile(`(/[A-Za-z0-9_.-]+){3,}`), "‹file›"},
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return regexp.QuoteMeta(name)
}

// plain replaces what varies.
func (m *terminal) plain(text string, all ...replacement) string {
	for _, r := range all {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString(m.replace(line, r))
		}
		text = b.String()
	}
	return text
}

// replace replaces in one line. The columns of a table stay where they are: the next gap between two of them grows or shrinks
// by what a name is shorter or longer than what it stands for.
func (m *terminal) replace(line string, r replacement) string {
	var b strings.Builder
	last, owed := 0, 0
	write := func(text string) {
		if gap := strings.Index(text, "  "); gap >= 0 && owed != 0 {
			rest := strings.TrimLeft(text[gap:], " ")
			spaces := len(text) - gap - len(rest)
			text, owed = text[:gap]+strings.Repeat(" ", max(2, spaces+owed))+rest, min(0, spaces+owed-2)
		}
		b.WriteString(text)
	}
	for _, at := range r.pattern.FindAllStringSubmatchIndex(line, -1) {
		found := line[at[0]:at[1]]
		name := string(r.pattern.ExpandString(nil, r.by, line, at))
		if strings.Contains(name, "%d") {
			name = m.number(name, found)
		}
		write(line[last:at[0]])
		b.WriteString(name)
		owed += utf8.RuneCountInString(found) - utf8.RuneCountInString(name)
		last = at[1]
	}
	write(line[last:])
	return b.String()
}

func (m *terminal) number(alias, found string) string {
	if name, ok := m.aliases[found]; ok {
		return name
	}
	m.counts[alias]++
	m.aliases[found] = fmt.Sprintf(alias, m.counts[alias])
	return m.aliases[found]
}
