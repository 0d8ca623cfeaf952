package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// repository is a small one: a list and a package with tests.
func repository(t *testing.T, list, tests string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"docs/requirements.md": list,
		"libs/a/a_test.go":     "package a\n\nimport \"testing\"\n\n" + tests,
		"go.mod":               "module quittance.internal\n\ngo 1.26.0\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	two    = "| R1 | QUO | | One. |\n| R2 | PAY | open | Two. |\n"
	passes = "// R1\nfunc TestOne(t *testing.T) {}\n"
	fails  = "func TestOneMore(t *testing.T) { // R1, R2\n\tt.Run(\"row\", func(t *testing.T) { t.Error(\"the reason\") })\n}\n"
)

func TestTheTableTellsWhatHoldsARequirement(t *testing.T) {
	for _, tt := range []struct {
		name, list, tests string
		listOnly          bool
		only              string
		code              int
		want              string
	}{
		{"passes", two, passes, false, "", 0, "R1 QUO pass libs/a TestOne R2 PAY open 2 requirements: 1 pass, 1 open"},
		{"fails", two, passes + fails, false, "", 1, "R1 QUO FAIL libs/a TestOne libs/a TestOneMore FAIL R2 PAY FAIL libs/a TestOneMore FAIL 2 requirements: 2 FAIL the reason"},
		{"is skipped", two, "// R1\nfunc TestOne(t *testing.T) { t.Skip() }\n", false, "", 1, "R1 QUO SKIPPED libs/a TestOne SKIPPED R2 PAY open 2 requirements: 1 SKIPPED, 1 open"},
		{"does not build", two, passes + "var _ int = \"x\"\n", false, "", 1, "R1 QUO FAIL libs/a TestOne FAIL R2 PAY open 2 requirements: 1 FAIL, 1 open"},
		{"has no test", two, "// R1 is not at a test.\n\nfunc TestOne(t *testing.T) {}\n", true, "", 1, "R1 QUO NO TEST R2 PAY open 2 requirements: 1 NO TEST, 1 open"},
		{"is listed", two, passes, true, "", 0, "R1 QUO listed libs/a TestOne R2 PAY open 2 requirements: 1 listed, 1 open"},
		{"names what is not there", two, "// R3\nfunc TestOne(t *testing.T) {}\n", true, "", 2, "TestOne names R3, which is not in docs/requirements.md"},
		{"is named by a helper", two, "// R1\nfunc helper(t *testing.T) {}\n", true, "", 2, "helper names a requirement and is no test"},
		{"is out of order", "| R2 | QUO | | One. |\n| R2 | QUO | | Two. |\n", passes, true, "", 2, "docs/requirements.md:2: R2 is out of order"},
		{"is misspelt", "| R1 | QUO | done | One. |\n", passes, true, "", 2, "docs/requirements.md:1 is not a row"},
		{"is asked for", two, passes + fails, false, "R1", 1, "R1 QUO FAIL libs/a TestOne libs/a TestOneMore FAIL 1 requirements: 1 FAIL"},
		{"is asked for without a name", two, passes, true, "44", 2, "names no requirement"},
		{"is asked for and not there", two, passes, true, "R44", 2, "none of R44 is in"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(repository(t, tt.list, tt.tests), tt.listOnly, tt.only, &out, &errs)
			got := strings.TrimPrefix(strings.Join(strings.Fields(out.String()), " "), "ID OWNER RESULT TEST ")
			said := strings.Fields(got + " " + errs.String())
			for _, word := range strings.Fields(tt.want) {
				if i := index(said, word); i >= 0 {
					said = said[i+1:]
					continue
				}
				t.Fatalf("at %q: code %d\n%s\n%s\nwant %s", word, code, got, errs.String(), tt.want)
			}
			if code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
		})
	}
}

func index(words []string, word string) int {
	for i, w := range words {
		if strings.Contains(w, word) {
			return i
		}
	}
	return -1
}

func TestACommentBeginsWithTheRequirementsItProves(t *testing.T) {
	for comment, want := range map[string][]int{
		"// R44": {44}, "// R48, R49, R50": {48, 49, 50}, "// R34 R46 R47, seen from outside.": {34, 46, 47}, "// R30-R32": {30, 31, 32},
		"// R76, row 22: of another account": {76}, "// R27: after R26": {27}, "// see R44": nil, "// R": nil, "// R44x": nil, "//nolint:gosec // R1": nil,
	} {
		if got := named(comment); !reflect.DeepEqual(got, want) {
			t.Errorf("%s names %v, want %v", comment, got, want)
		}
	}
}

// The list is whole: every number but the two withdrawn ones, and no business rule is open.
func TestTheListIsWhole(t *testing.T) {
	all, err := readRequirements("../../..")
	if err != nil {
		t.Fatal(err)
	}
	want := 1
	for _, r := range all {
		if want == 71 {
			want = 73
		}
		if r.number != want || r.open && r.number <= 53 {
			t.Fatalf("%s is listed (open: %v), want R%d", r.id(), r.open, want)
		}
		want++
	}
	if want != 78 {
		t.Errorf("the list ends before R%d", want)
	}
}

// Every requirement that is not open has a test; whether they pass is for the command, which runs them.
func TestEveryRequirementHasATest(t *testing.T) {
	const root = "../../.."
	all, err := readRequirements(root)
	if err == nil {
		err = findTests(root, all)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if len(r.tests) == 0 && !r.open {
			t.Errorf("no test names %s: %s", r.id(), r.text)
		}
	}
}
