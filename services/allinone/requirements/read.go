package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// listFile is where the requirements stand, below the root.
const listFile = "docs/requirements.md"

// Results of a requirement, in the words of the table.
const (
	resultPass   = "pass"
	resultFail   = "FAIL"
	resultSkip   = "SKIPPED"
	resultNoTest = "NO TEST"
	resultListed = "listed"
	resultOpen   = "open" // a part of it is still to be built, whatever its tests say
)

// requirement is one row of the list.
type requirement struct {
	number int
	owner  string
	open   bool
	text   string
	tests  []*test
}

// test is one test function.
type test struct {
	dir, name string // dir is below the root, with slashes
	result    string // empty while it has not run
}

func (r *requirement) id() string { return "R" + strconv.Itoa(r.number) }

// name is the i-th test for the table.
func (r *requirement) name(i int) string {
	if i >= len(r.tests) {
		return ""
	}
	t := r.tests[i]
	s := t.dir + " " + t.name
	if t.result != "" && t.result != resultPass {
		s += "  " + t.result
	}
	return s
}

// result is the worst of the tests'.
func (r *requirement) result() string {
	results := map[string]bool{}
	for _, t := range r.tests {
		results[t.result] = true
	}
	switch {
	case r.open && !results[resultFail]:
		return resultOpen
	case len(r.tests) == 0:
		return resultNoTest
	case results[resultFail]:
		return resultFail
	case results[resultSkip]:
		return resultSkip
	case results[""]:
		return resultListed
	}
	return resultPass
}

// row is one of the tables' rows: number, owner, state, text.
var row = regexp.MustCompile(`^\| R(\d+) \| ([A-Z ]+) \| ?(open)? ?\| (.+) \|$`)

// readRequirements reads the list, which must be in order and free of doubles.
func readRequirements(root string) ([]*requirement, error) {
	b, err := os.ReadFile(filepath.Join(root, listFile)) //nolint:gosec // the root is the caller's own repository
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	var all []*requirement
	for i, line := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(line, "| R") {
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%s:%d is not a row of number, owner, state (empty or open) and text", listFile, i+1)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || len(all) > 0 && n <= all[len(all)-1].number {
			return nil, fmt.Errorf("%s:%d: R%s is out of order", listFile, i+1, m[1])
		}
		all = append(all, &requirement{number: n, owner: m[2], open: m[3] != "", text: m[4]})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no requirement", listFile)
	}
	return all, nil
}

// findTests gives each requirement the tests that name it.
func findTests(root string, all []*requirement) error {
	byNumber := map[int]*requirement{}
	for _, r := range all {
		byNumber[r.number] = r
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "data") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		if match, err := build.Default.MatchFile(filepath.Dir(path), d.Name()); err != nil || !match {
			return err // it is built under tags that an ordinary run does not have
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		return testsOf(path, filepath.ToSlash(dir), byNumber)
	})
}

// testsOf reads one file.
func testsOf(path, dir string, byNumber map[int]*requirement) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	line := func(p token.Pos) int { return files.Position(p).Line }
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Body == nil {
			continue
		}
		var numbers []int
		for _, group := range file.Comments {
			for _, c := range group.List {
				if group == f.Doc || line(c.Pos()) == line(f.Body.Lbrace) {
					numbers = append(numbers, named(c.Text)...)
				}
			}
		}
		if len(numbers) > 0 && !isTest(f.Name.Name) {
			return fmt.Errorf("%s:%d: %s names a requirement and is no test", path, line(f.Pos()), f.Name.Name)
		}
		t := &test{dir: dir, name: f.Name.Name}
		for _, n := range numbers {
			r := byNumber[n]
			if r == nil {
				return fmt.Errorf("%s:%d: %s names R%d, which is not in %s", path, line(f.Pos()), f.Name.Name, n, listFile)
			}
			if !slices.Contains(r.tests, t) {
				r.tests = append(r.tests, t)
			}
		}
	}
	return nil
}

func isTest(name string) bool {
	return strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Example")
}

// heading is the list of requirements that a comment begins with: "R48, R49-R51: why".
var (
	heading = regexp.MustCompile(`^// (R\d+(?:[-–]R\d+)?(?:,? R\d+(?:[-–]R\d+)?)*)(?:$|[,;:. ])`)
	span    = regexp.MustCompile(`R(\d+)(?:[-–]R(\d+))?`)
)

// named are the requirements that a comment line begins with.
func named(comment string) []int {
	m := heading.FindStringSubmatch(comment)
	if m == nil {
		return nil
	}
	var numbers []int
	for _, s := range span.FindAllStringSubmatch(m[1], -1) {
		from, _ := strconv.Atoi(s[1]) // digits, by the pattern
		to := from
		if s[2] != "" {
			to, _ = strconv.Atoi(s[2])
		}
		for n := from; n <= to; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
