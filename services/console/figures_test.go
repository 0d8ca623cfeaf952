package console_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quittance.internal/libs/operations/check"
	"quittance.internal/services/console"
)

// A page that loads itself again asks for a count while one is under way; that is
// no reason for another one right after it.
func TestTheCountRestsBetweenTwoCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every, took = time.Minute, 30 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var counts []time.Duration // when each began
		look := console.CountInBackground(ctx, func(context.Context) ([]*check.Account, error) {
			counts = append(counts, time.Since(begun))
			time.Sleep(took)
			return nil, nil
		}, time.Now, every)
		for time.Since(begun) < 10*time.Minute {
			look()
			time.Sleep(10 * time.Second)
		}
		cancel()
		synctest.Wait()
		if len(counts) < 5 {
			t.Fatalf("counted %d times in ten minutes of looking", len(counts))
		}
		for i, at := range counts[1:] {
			if rested := at - counts[i] - took; rested < every {
				t.Errorf("count %d began %s after the one before had ended, want %s at least", i+2, rested, every)
			}
		}
	})
}
