package notifier

import (
	"sync"
	"time"
)

// watch tells for how long an entry that somebody holds has been seen unchanged. It rests on this process's intervals alone, which
// no step of a clock changes. The zero value is ready; safe for concurrent use.
type watch struct {
	mu   sync.Mutex
	seen map[string]sight // by the entry's key
}

type sight struct {
	revision uint64
	since    time.Time
}

// watched bounds the entries in a watch. Beyond it all are forgotten, and seen for the first time again.
const watched = 10_000

// unchanged returns how long ago the line was first seen as it is; 0 where nobody holds it.
func (w *watch) unchanged(l line, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.entry.LeaseUntil.IsZero() {
		delete(w.seen, l.key)
		return 0
	}
	if s, ok := w.seen[l.key]; ok && s.revision == l.revision {
		return now.Sub(s.since)
	}
	if w.seen == nil || len(w.seen) >= watched {
		w.seen = map[string]sight{}
	}
	w.seen[l.key] = sight{revision: l.revision, since: now}
	return 0
}
