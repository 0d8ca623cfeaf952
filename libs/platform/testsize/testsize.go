// Package testsize says how much a test does: one test at three sizes instead of three tests. It decides nothing else, and
// only tests import it.
//
// TEST_SIZE is check (the default: seconds), nightly (what `make nightly` runs, about an hour in all) or soak (hours).
package testsize

import (
	"os"
	"testing"
)

// Of returns how much of something to do in a run of the size that TEST_SIZE names. Another word fails the test.
func Of(tb testing.TB, check, nightly, soak int) int {
	tb.Helper()
	switch size := os.Getenv("TEST_SIZE"); size {
	case "", "check":
		return check
	case "nightly":
		return nightly
	case "soak":
		return soak
	default:
		tb.Fatalf("TEST_SIZE=%q: it must be check, nightly or soak", size)
		return 0
	}
}
