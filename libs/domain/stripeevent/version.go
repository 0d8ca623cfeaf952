package stripeevent

import (
	"strings"
	"time"
)

// The versions of Stripe's API between which the shapes of events are known here: the one before the links between payment
// and invoice changed (2025-03-31, basil), and the newest that was looked at.
const (
	OldestVersion = "2023-10-16"
	NewestVersion = "2026-08-26.dahlia"
)

// VersionSupport says what is known of a version of Stripe's API in which events are rendered.
type VersionSupport string

// The kinds of support. Events of every version are stored and read as far as they are understood; what is told here is
// whether all that matters is known to be where it is looked for.
const (
	VersionKnown   VersionSupport = "known"
	VersionOlder   VersionSupport = "older"
	VersionNewer   VersionSupport = "newer"
	VersionUnheard VersionSupport = "unheard of" // previews, and what is no version
)

// Support judges a version such as 2023-10-16 or 2025-03-31.basil.
func Support(version string) VersionSupport {
	date, name, _ := strings.Cut(version, ".")
	oldest, _, _ := strings.Cut(OldestVersion, ".")
	newest, _, _ := strings.Cut(NewestVersion, ".")
	switch _, err := time.Parse(time.DateOnly, date); {
	case err != nil || name == "preview":
		return VersionUnheard
	case date < oldest: // dates of this form sort as text
		return VersionOlder
	case date > newest:
		return VersionNewer
	}
	return VersionKnown
}
