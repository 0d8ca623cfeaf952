//go:build faults

package fault

import (
	"testing"
	"time"
)

// A stepped clock is wrong about the time of day and right about how long something took, as after a step of the system's clock.
func TestAStepMovesTheWallClockAndNoInterval(t *testing.T) {
	for _, by := range []time.Duration{0, 5 * time.Minute, -5 * time.Minute, 26 * time.Hour, -26 * time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		began := time.Now()
		stepped := step(began.Add(time.Second), by)
		if took := stepped.Sub(began); took != time.Second {
			t.Errorf("stepped by %s, a second took %s", by, took)
		}
		if got, want := stepped.Round(0), began.Round(0).Add(time.Second+by); !got.Equal(want) {
			t.Errorf("stepped by %s it is %s, want %s", by, got, want)
		}
	}
}
