package alerts_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quittance.internal/services/operator"
)

var (
	command = regexp.MustCompile("quotectl ([a-z][^`\n|;]*)")
	flag    = regexp.MustCompile(`--?[a-z][a-z-]*`)
	quoted  = regexp.MustCompile(`"[^"]*"`)
)

// help returns what a command line's --help prints.
func help(t *testing.T, words ...string) string {
	t.Helper()
	var out, errs strings.Builder
	operator.Run(t.Context(), append(words, "--help"), func(string) (string, bool) { return "", false }, &out, &errs)
	return out.String()
}

// Each command in a runbook, an alert or the dashboard's folder is one that this version has, with flags that it takes.
func TestTheCommandsOfTheRunbooksExist(t *testing.T) {
	files, err := filepath.Glob(repo + "/deploy/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]bool{"check": true, "dead": true, "parked": true, "mail": true, "subscribers": true, "events": true, "reconcile": true, "stripe": true, "journal": true, "quotes": true, "sellers": true, "policy": true}
	seen := 0
	for _, file := range files {
		for _, m := range command.FindAllStringSubmatch(read(t, file), -1) {
			words := strings.Fields(quoted.ReplaceAllString(m[1], ""))
			path := words[:1]
			if groups[words[0]] {
				path = words[:min(2, len(words))]
			}
			text := help(t, path...)
			if !strings.Contains(text, "quotectl "+strings.Join(path, " ")) || !strings.Contains(text, "Usage:\n  quotectl "+strings.Join(path, " ")) {
				t.Errorf("%s: quotectl %s is no command", filepath.Base(file), strings.Join(path, " "))
				continue
			}
			seen++
			for _, word := range words[1:] {
				if f := flag.FindString(word); f == word && !strings.Contains(text, f) {
					t.Errorf("%s: quotectl %s does not take %s", filepath.Base(file), strings.Join(path, " "), f)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d commands found in the runbooks", seen)
	}
}
