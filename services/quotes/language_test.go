package quotes

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// textsInGo finds every constant of the type text. The package is type-checked
// without its imports: what they would say of other types is not needed here.
func textsInGo(t *testing.T) map[string]bool {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	cfg := types.Config{Error: func(error) {}, Importer: noImports{}}
	pkg, _ := cfg.Check("quotes", files, parsed, info) // errors: the imports
	key := pkg.Scope().Lookup("text").Type()
	found := map[string]bool{}
	for _, tv := range info.Types {
		if tv.Value != nil && types.Identical(tv.Type, key) {
			found[constant.StringVal(tv.Value)] = true
		}
	}
	for _, f := range parsed { // in literals of a type that needs an import nothing is checked
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 {
				name, isName := call.Fun.(*ast.Ident)
				literal, isLiteral := call.Args[0].(*ast.BasicLit)
				if isName && isLiteral && name.Name == "text" {
					found[constant.StringVal(constant.MakeFromLiteral(literal.Value, token.STRING, 0))] = true
				}
			}
			return true
		})
	}
	return found
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

var textInTemplate = regexp.MustCompile(`[.$]T "((?:[^"\\]|\\.)*)"`)

func TestEveryTextIsTranslatedAndEveryTranslationUsed(t *testing.T) { // R1
	used := textsInGo(t)
	if len(used) < 20 || !used["Paid: %s"] {
		t.Fatalf("the texts of the Go files were not found: %v", used)
	}
	templates, err := filepath.Glob("pages/*.html")
	if err != nil || len(templates) < 3 {
		t.Fatalf("templates %v, %v", templates, err)
	}
	for _, name := range templates {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range textInTemplate.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
	}
	delete(used, "")
	for key := range used {
		w, ok := polish[text(key)]
		if !ok || w.One == "" && (w.Few == "" || w.Many == "") {
			t.Errorf("no Polish for %q", key)
		}
		for _, form := range []string{w.One, w.Few, w.Many} {
			if form != "" && strings.Count(form, "%") != strings.Count(key, "%") {
				t.Errorf("%q has other arguments than %q", form, key)
			}
		}
	}
	for key := range polish {
		if !used[string(key)] {
			t.Errorf("nothing uses %q", key)
		}
	}
}

func TestNoTextIsTranslatedTwice(t *testing.T) {
	in := map[string]string{}
	files, err := filepath.Glob("pages/pl/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		words := map[string]any{}
		if err := json.Unmarshal(b, &words); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The decoder passes over a name that comes twice.
		if lines := strings.Count(string(b), "\n  \""); lines != len(words) {
			t.Errorf("%s has %d lines and %d texts", name, lines, len(words))
		}
		for key := range maps.Keys(words) {
			if other := in[key]; other != "" {
				t.Errorf("%q is in %s and in %s", key, other, name)
			}
			in[key] = name
		}
	}
}

func TestTheLanguageIsTheReadersChoice(t *testing.T) {
	for _, tt := range []struct{ query, cookie, accept, want string }{
		{"", "", "", "en"},
		{"", "", "pl", "pl"},
		{"", "", "pl-PL,pl;q=0.9,en;q=0.8", "pl"},
		{"", "", "en-GB,en;q=0.9,pl;q=0.8", "en"},
		{"", "", "de,pl;q=0.3,en;q=0.7", "en"},
		{"", "", "pl;q=0, en;q=0.1", "en"},
		{"", "", "pl;q=x", "en"},
		{"", "", "*", "en"},
		{"", "en", "pl", "en"},
		{"", "xx", "pl", "pl"},
		{"?lang=pl", "en", "en", "pl"},
		{"?lang=xx", "en", "pl", "en"},
	} {
		r := httptest.NewRequest("GET", "/"+tt.query, nil)
		if tt.cookie != "" {
			r.Header.Set("Cookie", "lang="+tt.cookie)
		}
		r.Header.Set("Accept-Language", tt.accept)
		if got := language(r); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestPolishCountsInThreeForms(t *testing.T) {
	v := view{Lang: langPolish}
	for n, want := range map[int64]string{
		1: "co miesiąc", 2: "co 2 miesiące", 4: "co 4 miesiące", 5: "co 5 miesięcy", 12: "co 12 miesięcy", 14: "co 14 miesięcy", 22: "co 22 miesiące", 112: "co 112 miesięcy",
	} {
		if got := v.Every(&quote.Recurring{Interval: "month", IntervalCount: n}); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	v.Lang = langEnglish
	for interval, want := range map[string]string{"day": "every 3 days", "week": "every 3 weeks", "year": "every 3 years", "aeon": "3 × aeon"} {
		if got := v.Every(&quote.Recurring{Interval: interval, IntervalCount: 3}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The page and the card on the deal record say the same, in the canonical
// language.
func TestAnEnglishDateIsThatOfTheCard(t *testing.T) { // R33
	at := time.Date(2026, 3, 7, 23, 15, 0, 0, time.UTC)
	zone := time.FixedZone("x", 3600)
	for name, status := range map[string]string{atPaid: "paid", atRefunded: "refunded", atChargedBack: "charged_back", atProcessing: "processing", atReview: "review", atExpired: "expired", atPayable: "published"} {
		p := quotePage{view: view{Lang: langEnglish}}
		p.describe(situation{name: name, at: at}, at, zone)
		if want := event.CardText(status, at, zone); p.Status != want {
			t.Errorf("page says %q, card says %q", p.Status, want)
		}
	}
	if got := date(langPolish, at.In(zone)); got != "8 mar 2026" {
		t.Errorf("date = %s", got)
	}
}
