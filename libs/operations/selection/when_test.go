package selection_test

import (
	"testing"
	"time"

	"quittance.internal/libs/operations/selection"
)

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	warsaw, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, warsaw)
	for text, want := range map[string]string{
		"2h":                        "2026-11-25T10:00:00+01:00",
		"90s":                       "2026-11-25T11:58:30+01:00",
		"7d":                        "2026-11-18T12:00:00+01:00",
		"1d12h":                     "2026-11-24T00:00:00+01:00",
		"0s":                        "2026-11-25T12:00:00+01:00",
		"2026-11-20":                "2026-11-20T00:00:00+01:00",
		"2026-11-20 10:05":          "2026-11-20T10:05:00+01:00",
		"2026-11-20T10:05:06":       "2026-11-20T10:05:06+01:00",
		"2026-11-20T10:00:00Z":      "2026-11-20T11:00:00+01:00",
		"2026-11-20T10:00:00-05:00": "2026-11-20T16:00:00+01:00",
	} {
		got, err := selection.ParseTime(text, now)
		if err != nil || got.In(warsaw).Format(time.RFC3339) != want {
			t.Errorf("ParseTime(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-2h", "2", "d", "2026-13-01", "2026-11-20T10:00"[:12], "99999999d"} {
		if got, err := selection.ParseTime(text, now); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", text, got)
		}
	}
}
