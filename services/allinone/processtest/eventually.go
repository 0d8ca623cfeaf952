package processtest

import (
	"errors"
	"testing"
	"time"
)

// Eventually tries f until it succeeds or the time is over.
func Eventually(tb testing.TB, within time.Duration, what string, f func() error) {
	tb.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s: %v", within, what, err)
		}
		select {
		case <-tb.Context().Done():
			tb.Fatalf("%s: %v", what, tb.Context().Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Until is Eventually for what is so or not.
func Until(tb testing.TB, within time.Duration, what string, ok func() bool) {
	tb.Helper()
	Eventually(tb, within, what, func() error {
		if !ok() {
			return errors.New("it is not so yet")
		}
		return nil
	})
}
