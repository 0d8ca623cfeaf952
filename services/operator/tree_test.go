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

// ofCobra reports whether a command is none of ours: it prints texts and scripts, whatever -o says.
func ofCobra(name string) bool { return name == "help" || strings.HasPrefix(name, "completion") }

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

// leaves are the names of all commands that do something themselves.
func leaves() []string {
	var names []string
	everyCommand(func(name string, cmd *cobra.Command) {
		if cmd.Runnable() && !cmd.HasSubCommands() {
			names = append(names, name)
		}
	})
	return names
}

func TestEveryCommandHasHelpWithAnExampleAndItsExitCodes(t *testing.T) {
	everyCommand(func(name string, cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || len(linesOf(t, cmd.Example)) == 0 {
			t.Errorf("quotectl %s lacks a short text, a long one, or an example that calls quotectl", name)
		}
		help := runWith(t, nil, append(strings.Fields(name), "--help")...)
		help.want(t, 0, "Usage:", "Exit codes: 0 ok, 1 error, 2 wrong usage, 3 a difference was found, 4 refused by a budget,\n5 not found.")
		if ofCobra(name) {
			return
		}
		calls := false
		for _, l := range linesOf(t, cmd.Example) {
			calls = calls || l.command == name || cmd.HasSubCommands()
		}
		if !calls {
			t.Errorf("no example of quotectl %s calls it:\n%s", name, cmd.Example)
		}
	})
}

// Examples and recipes are pasted: they go as far as to want for a server, and no command finds fault with them before.
func TestEveryExampleAndRecipeCanBePasted(t *testing.T) {
	lines := examples(t)
	for _, text := range operator.Recipes {
		lines = append(lines, linesOf(t, text)...)
	}
	if len(lines) < 150 {
		t.Errorf("only %d examples were found", len(lines))
	}
	settings := map[string]string{"QUOTES_URL": "http://" + nobody, "STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRETS": "main=" + secret}
	each(t, settings, lines, func(l line, r result) {
		if r.code == 2 {
			t.Errorf("%s: exit code 2\n%s", l, r.err)
		}
	})
}

// takesMore are the commands that take any number of arguments, and of what.
var takesMore = map[string]string{
	"dead retry": "letters", "dead discard": "letters", "parked release": "messages", "policy check": "quotes", "replay plan": "events",
	"help": "the words of a command",
}

func TestEveryCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	first := map[string]line{}
	for _, l := range examples(t) {
		if _, ok := first[l.command]; !ok {
			first[l.command] = l
		}
	}
	for _, name := range leaves() {
		l, ok := first[name]
		if !ok {
			t.Errorf("quotectl %s has no example", name)
			continue
		}
		refused := func(args []string, text string) {
			t.Helper()
			r := runWith(t, nil, args...)
			r.want(t, 2, text, "\nnext: quotectl "+name+" --help")
			if r.out != "" {
				t.Errorf("%v: stdout is not empty: %q", args, r.out)
			}
		}
		refused(append(l.args[:len(l.args):len(l.args)], "--no-such-flag"), "unknown flag: --no-such-flag")
		if takesMore[name] == "" {
			refused(append(l.args[:len(l.args):len(l.args)], "one", "more", "andmore"), "is one argument too many")
		}
		refused(append(l.args[:len(l.args):len(l.args)], "--limit=-1x"), "--limit")
		if r := runWith(t, nil, append(l.args[:len(l.args):len(l.args)], "-o", "xml")...); r.code != 2 || !strings.Contains(r.err, "next: ") {
			t.Errorf("%s -o xml: exit code %d, %s", l, r.code, r.err)
		}
	}
	for name := range takesMore {
		if _, ok := first[name]; !ok {
			t.Errorf("%q is listed as taking more arguments, and there is no such command", name)
		}
	}
}
