package operator

import (
	"github.com/spf13/cobra"

	"quittance.internal/libs/operations/advice"
)

// The exit codes. exitCodeHelp documents them.
const (
	codeOK         = 0
	codeError      = 1
	codeUsage      = 2
	codeDifference = 3
	codeBudget     = 4
	codeNotFound   = 5
)

const exitCodeHelp = `Exit codes: 0 ok, 1 error, 2 wrong usage, 3 a difference was found, 4 refused by a budget,
5 not found.`

// usage is a fault in the command line itself.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return advice.Of(advice.Usage, cmd.CommandPath()+" --help", format, args...)
}

// notFound says that what was asked for does not exist.
func notFound(next, format string, args ...any) error {
	return advice.Missing(next, format, args...)
}

// advise adds the next command to an error.
func advise(next, format string, args ...any) error {
	return advice.New(next, format, args...)
}

// codeOf is the exit code of a kind of trouble.
func codeOf(kind advice.Kind) int {
	switch kind {
	case advice.Usage:
		return codeUsage
	case advice.Difference:
		return codeDifference
	case advice.Budget:
		return codeBudget
	case advice.NotFound:
		return codeNotFound
	case advice.Failed:
	}
	return codeError
}
