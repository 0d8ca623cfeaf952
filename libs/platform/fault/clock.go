//go:build !faults

package fault

import "time"

// Now is the clock of a service that was given no other: time.Now. Built with -tags faults it can be stepped.
func Now() time.Time { return time.Now() } //nolint:forbidigo // the one place where the clock is given
