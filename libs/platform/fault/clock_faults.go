//go:build faults

package fault

import (
	"os"
	"strings"
	"time"
	"unsafe"
)

// clockFile names a file with a time.Duration in whole seconds, such as -26h: by so much the clock goes wrong. It is read at every
// look at the clock, so that a clock can be stepped while the process runs; whoever writes it renames it into its place.
var clockFile = os.Getenv("FAULT_CLOCK") //nolint:forbidigo // a build of its own, for the fault proofs alone

// Now is the clock, stepped by what the file of FAULT_CLOCK says.
func Now() time.Time {
	now := time.Now() //nolint:forbidigo // the clock that is stepped
	if clockFile == "" {
		return now
	}
	text, err := os.ReadFile(clockFile) //nolint:gosec // the proof names its own file
	if err != nil {
		panic("read FAULT_CLOCK: " + err.Error())
	}
	by, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic("read FAULT_CLOCK: " + err.Error())
	}
	return step(now, by)
}

// step sets t's wall clock off by whole seconds, and leaves its monotonic reading, as a step of the system's clock does: intervals
// within the process are right all the same. Time.Add would move both. The layout is package time's; a test holds that this fits it.
func step(t time.Time, by time.Duration) time.Time {
	const nanoseconds = 30                         // the bits below the seconds since 1885 in the first word of a Time with a monotonic reading
	wall := (*uint64)(unsafe.Pointer(&t))          //nolint:gosec // see above
	*wall += uint64(by/time.Second) << nanoseconds //nolint:gosec // a negative one wraps around to the difference
	return t
}
