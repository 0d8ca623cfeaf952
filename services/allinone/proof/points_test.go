package proof_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The crash proof enumerates fault points; one that the code has and the list has not would go unproven.
func TestEveryFaultPointIsListed(t *testing.T) {
	hit := regexp.MustCompile(`fault\.Hit\("([a-z-]+\.[a-z-]+)"\)`)
	var found []string
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range hit.FindAllStringSubmatch(string(source), -1) {
			found = append(found, m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	want := slices.Sorted(slices.Values(append(slices.Clone(faultPoints), rebuildPoints...)))
	if !slices.Equal(found, want) {
		t.Errorf("fault points in the code %v, in the proof %v", found, want)
	}
}
