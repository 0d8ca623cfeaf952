package stripeevent_test

import (
	"testing"

	"quittance.internal/libs/domain/stripeevent"
)

func TestAVersionIsJudgedByTheShapesThatAreKnown(t *testing.T) {
	for version, want := range map[string]stripeevent.VersionSupport{
		stripeevent.OldestVersion: stripeevent.VersionKnown,
		stripeevent.NewestVersion: stripeevent.VersionKnown,
		"2023-10-15":              stripeevent.VersionOlder,
		"2011-01-01":              stripeevent.VersionOlder,
		"2024-06-20":              stripeevent.VersionKnown,
		"2025-03-31.basil":        stripeevent.VersionKnown,
		"2025-03-31.preview":      stripeevent.VersionUnheard,
		"2026-08-27.dahlia":       stripeevent.VersionNewer,
		"2031-01-01.elm":          stripeevent.VersionNewer,
		"":                        stripeevent.VersionUnheard,
		"2023-13-16":              stripeevent.VersionUnheard,
		"unversioned":             stripeevent.VersionUnheard,
	} {
		if got := stripeevent.Support(version); got != want {
			t.Errorf("Support(%q) = %q, want %q", version, got, want)
		}
	}
}
