package selection

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// layouts of a time of day, besides RFC 3339; they are read in the zone of ParseTime's now.
var layouts = []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"}

// ParseTime reads a moment: a span before now (90s, 15m, 2h, 7d, 1d12h), RFC 3339, or a date with or without a time in the
// zone of now.
func ParseTime(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && writable(at) {
		return at, nil
	}
	for _, layout := range layouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil && writable(at) {
			return at, nil
		}
	}
	if d, ok := parseSpan(text); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: give a span such as 2h or 7d, a date such as 2026-11-20, or RFC 3339 such as 2026-11-20T10:00:00Z", text)
}

// writable reports whether RFC 3339 has a year for the time in UTC, so that it can be read again from a link or a plan.
func writable(at time.Time) bool {
	year := at.UTC().Year()
	return year >= 0 && year <= 9999
}

// parseSpan is time.ParseDuration with days in front.
func parseSpan(text string) (time.Duration, bool) {
	var days time.Duration
	if before, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, false
		}
		days, text = time.Duration(n)*24*time.Hour, after
		if text == "" {
			return days, true
		}
	}
	d, err := time.ParseDuration(text)
	return days + d, err == nil && d >= 0 && days+d >= 0 // more than 292 years do not fit
}
