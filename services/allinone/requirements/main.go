// Command requirements prints which tests hold which requirement, and runs them.
//
// It reads the requirements from docs/requirements.md and the tests' comments
// (// R44) from the Go files of the repository. It exits with 1 when a
// requirement that is not open has no test, or one that does not pass, and with
// 2 when it cannot tell. `make requirements` runs it; it knows nothing of what
// the requirements mean.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	root := flag.String("root", ".", "the repository's root")
	list := flag.Bool("list", false, "list the tests without running them")
	only := flag.String("only", "", "only these, such as R44 or R1-R53,R76")
	flag.Parse()
	os.Exit(run(*root, *list, *only, os.Stdout, os.Stderr))
}

// run is the command; it returns the exit code.
func run(root string, list bool, only string, out, errs io.Writer) int {
	all, err := readRequirements(root)
	if err == nil {
		err = findTests(root, all)
	}
	if err == nil && only != "" {
		all, err = pick(all, only)
	}
	if err != nil {
		fmt.Fprintln(errs, "requirements:", err)
		return 2
	}
	if !list {
		if err := runTests(root, all, errs); err != nil {
			fmt.Fprintln(errs, "requirements:", err)
			return 2
		}
	}
	return report(all, out)
}

// pick leaves the requirements that only names, in a comment's notation.
func pick(all []*requirement, only string) ([]*requirement, error) {
	numbers := named("// " + strings.ReplaceAll(only, ",", ", "))
	if len(numbers) == 0 {
		return nil, fmt.Errorf("%q names no requirement; say R44 or R1-R53,R76", only)
	}
	picked := slices.DeleteFunc(all, func(r *requirement) bool { return !slices.Contains(numbers, r.number) })
	if len(picked) == 0 {
		return nil, fmt.Errorf("none of %s is in %s", only, listFile)
	}
	return picked, nil
}

// report prints the table and returns the exit code.
func report(all []*requirement, out io.Writer) int {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tOWNER\tRESULT\tTEST")
	count := map[string]int{}
	for _, r := range all {
		result := r.result()
		count[result]++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.id(), r.owner, result, r.name(0))
		for i := 1; i < len(r.tests); i++ {
			fmt.Fprintf(table, "\t\t\t%s\n", r.name(i))
		}
	}
	_ = table.Flush() // to a terminal or a pipe; whoever closed it knows
	var parts []string
	for _, result := range []string{resultPass, resultListed, resultNoTest, resultFail, resultSkip, resultOpen} {
		if count[result] > 0 {
			parts = append(parts, fmt.Sprint(count[result], " ", result))
		}
	}
	fmt.Fprintf(out, "\n%d requirements: %s\n", len(all), strings.Join(parts, ", "))
	if count[resultNoTest]+count[resultFail]+count[resultSkip] > 0 {
		return 1
	}
	return 0
}
