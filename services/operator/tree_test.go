package operator_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"quittance.internal/services/operator"
)

// line is one command line of an example: the command that it calls, such as "quotes list", and all its words.
type line struct {
	command string
	args    []string
}

func (l line) String() string { return "quotectl " + strings.Join(l.args, " ") }

// everyCommand calls f with each command of the tree, the root and those that only hold others included, and its name without
// the program's.
func everyCommand(f func(name string, cmd *cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		f(nameOf(cmd), cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(operator.NewCommandTree())
}

func nameOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "quotectl"), " ")
}

// examples are the command lines in the examples of all commands; words that a shell would make of them are made.
func examples(t *testing.T) []line {
	t.Helper()
	var all []line
	everyCommand(func(_ string, cmd *cobra.Command) { all = append(all, linesOf(t, cmd.Example)...) })
	return all
}

var inner = regexp.MustCompile(`\$\((quotectl [^)]*)\)`)

// linesOf finds the calls of quotectl in a text for a shell: what stands before a pipe or a redirection, and within $(…).
func linesOf(t *testing.T, text string) []line {
	t.Helper()
	var all []line
	for row := range strings.Lines(text) {
		row = strings.TrimSpace(row)
		if m := inner.FindStringSubmatch(row); m != nil {
			row = m[1]
		}
		if row == "" || strings.HasPrefix(row, "#") {
			continue
		}
		words := shellWords(row)
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:] // settings for this one call
		}
		if len(words) == 0 || words[0] != "quotectl" {
			continue
		}
		cmd, _, err := operator.NewCommandTree().Find(words[1:])
		if err != nil {
			t.Errorf("%s: %v", row, err)
			continue
		}
		all = append(all, line{nameOf(cmd), words[1:]})
	}
	return all
}

// shellWords splits a line as a shell does, up to a pipe or a redirection.
func shellWords(row string) []string {
	var words []string
	var word strings.Builder
	begun, quote := false, rune(0)
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range row {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && strings.ContainsRune("|>;&", r):
			end()
			return words
		case quote == 0 && r == ' ':
			end()
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	end()
	return words
}
