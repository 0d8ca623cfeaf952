package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A promise is worth what holds it: every test and every make target that the documents name is there.
func TestEveryGuaranteeNamesTestsAndTargetsThatExist(t *testing.T) {
	const root = "../../.."
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(|^([a-z][a-z-]*):`)
	add := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			there[m[1]+m[2]] = true
		}
	}
	add(filepath.Join(root, "Makefile"))
	for _, folder := range []string{"libs", "services"} {
		if err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			if err == nil && strings.HasSuffix(path, "_test.go") {
				add(path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}

	named := 0
	mention := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*|make [a-z-]+)")
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mention.FindAllStringSubmatch(string(text), -1) {
			named++
			if name := strings.TrimPrefix(m[1], "make "); !there[name] {
				t.Errorf("%s names %s, which does not exist", filepath.Base(document), m[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("%d names were found, which cannot be all", named)
	}
}
