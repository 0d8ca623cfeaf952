package operator

import (
	"io"
	"time"

	"github.com/spf13/cobra"
)

// NewCommandTree is the tree of commands as Run makes it, with nobody behind it: to walk through, not to run.
func NewCommandTree() *cobra.Command {
	a := &app{
		lookup: func(string) (string, bool) { return "", false },
		now:    time.Now,
		out:    io.Discard, err: io.Discard, zone: time.UTC,
	}
	return a.rootCommand()
}

// Recipes are those of the command cheat, by topic.
var Recipes = recipes
