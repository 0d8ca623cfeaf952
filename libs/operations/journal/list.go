package journal

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
)

// Filter selects entries. Empty members select all; Action, Who and Target may hold * and ?.
type Filter struct {
	Action, Who, Target string
	Since, Until        time.Time
	// Before is the cursor: only entries with a lower sequence; 0 means from the newest on.
	Before uint64
	// Limit is how many are returned at most; 0 means all.
	Limit int
}

// Check reports a pattern that is none.
func (f Filter) Check() error {
	for _, pattern := range []string{f.Action, f.Who, f.Target} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}

func (f Filter) takes(r Record) bool {
	fits := func(pattern, text string) bool {
		// A slash is a character like any other here.
		ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
		return pattern == "" || err == nil && ok
	}
	return fits(f.Action, r.Action) && fits(f.Who, r.Who) && fits(f.Target, r.Target) &&
		(f.Since.IsZero() || !r.Stored.Before(f.Since)) && (f.Until.IsZero() || r.Stored.Before(f.Until))
}

// List returns the entries that f selects, the newest first.
func (j *Journal) List(ctx context.Context, f Filter) ([]Record, error) {
	stream, err := j.log.JetStream().Stream(ctx, event.StreamJournal)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s (declare it with: quotectl declare): %w", event.StreamJournal, err)
	}
	state := stream.CachedInfo().State
	end := state.LastSeq
	if f.Before > 0 {
		end = min(end, f.Before-1)
	}
	var found []Record
	for end >= max(state.FirstSeq, 1) {
		from := max(state.FirstSeq, 1)
		if end > scanPage {
			from = max(from, end-scanPage+1)
		}
		page, err := j.log.Scan(ctx, event.StreamJournal, from, int(end-from+1)) //nolint:gosec // at most scanPage
		if err != nil {
			return nil, err
		}
		for _, r := range slices.Backward(page) {
			if r.Sequence > end {
				continue // stands beyond a gap
			}
			if !f.Since.IsZero() && r.Time.Before(f.Since) {
				return found, nil
			}
			e, err := recordOf(r)
			if err != nil {
				return nil, err
			}
			if f.takes(e) {
				found = append(found, e)
			}
			if f.Limit > 0 && len(found) == f.Limit {
				return found, nil
			}
		}
		end = from - 1
	}
	return found, nil
}
