package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// modulePath is what every package's path begins with; the rest is its folder.
const modulePath = "quittance.internal/"

// outcome is a line of go test -json.
type outcome struct {
	Action, Package, Test, Output string
}

// runTests runs the tests of the requirements, in one call of go test, and
// copies what those say that fail. It returns an error only when nothing ran.
func runTests(root string, all []*requirement, errs io.Writer) error {
	tests := map[string]*test{} // by package and name
	dirs, names := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		for _, t := range r.tests {
			tests[modulePath+t.dir+" "+t.name] = t
			dirs["./"+t.dir], names[t.name] = true, true
		}
	}
	args := append([]string{"test", "-json", "-timeout=40m", "-run", "^(" + strings.Join(slices.Sorted(maps.Keys(names)), "|") + ")$"},
		slices.Sorted(maps.Keys(dirs))...)
	cmd := exec.Command("go", args...) //nolint:gosec,noctx // the arguments are folders and functions of this repository, and it ends with the terminal
	var stderr bytes.Buffer            // written to by a goroutine of its own
	cmd.Dir, cmd.Stderr = root, &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	heard, err := follow(json.NewDecoder(pipe), tests, errs)
	waited := cmd.Wait() // it fails where a test fails, which the table says
	fmt.Fprint(errs, stderr.String())
	switch {
	case err != nil:
		return fmt.Errorf("go test: %w", errors.Join(err, waited))
	case heard == 0:
		return fmt.Errorf("go test ran nothing: %w", waited)
	}
	for _, t := range tests {
		if t.result == "" {
			t.result = resultFail // its package does not build, or ended before
		}
	}
	return nil
}

// follow reads go test's lines to their end, and returns how many there were.
func follow(lines *json.Decoder, tests map[string]*test, errs io.Writer) (int, error) {
	heard := 0
	said := map[string]string{}
	for {
		var o outcome
		if err := lines.Decode(&o); errors.Is(err, io.EOF) {
			return heard, nil
		} else if err != nil {
			return heard, err
		}
		heard++
		name, _, _ := strings.Cut(o.Test, "/")
		key := o.Package + " " + name
		switch o.Action {
		case "output", "build-output":
			said[key] += o.Output
		case "fail", "build-fail":
			if o.Test == name { // once for a test and its subtests
				fmt.Fprint(errs, said[key])
			}
		}
		if t := tests[key]; t != nil && o.Test == name {
			if result, ok := map[string]string{"pass": resultPass, "fail": resultFail, "skip": resultSkip}[o.Action]; ok {
				t.result = result
			}
		}
	}
}
