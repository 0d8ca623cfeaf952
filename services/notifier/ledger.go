package notifier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ledgerTimeout bounds one read or write of the ledger.
const ledgerTimeout = 5 * time.Second

var (
	// ErrTaken is a Shelf's answer where somebody else wrote the entry first: whoever holds the old revision must stop.
	ErrTaken = errors.New("ledger entry was taken by somebody else")
	// ErrNoEntry is a Shelf's answer where there is no such key.
	ErrNoEntry = errors.New("no such ledger entry")
)

// Shelf is where the ledger's entries lie: bytes with a revision that every write changes.
type Shelf interface {
	// Read returns the entry's bytes and revision, or ErrNoEntry.
	Read(ctx context.Context, key string) ([]byte, uint64, error)
	// Write stores the bytes if the entry's revision is still that one; 0 means that there must be no entry. It returns
	// the new revision; ErrTaken when the revision is another. Any other error leaves open whether it was stored.
	Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// ledger is the once-only memory of mails: for each key who may send, who did, and what came of it. Every change is a
// compare-and-set on the entry's revision. It is safe for concurrent use, by several processes too.
type ledger struct {
	shelf Shelf
	now   func() time.Time
}

// line is an entry as it was read or written, with the revision that the next write expects.
type line struct {
	key      string
	entry    Entry
	revision uint64
}

// mailKey is the mail's key: <seller>.<quote>.<revision>.<kind>, and for an operator's resends .<n> after it.
func mailKey(seller, quote string, revision int, kind string, resend int) string {
	key := fmt.Sprintf("%s.%s.%d.%s", seller, quote, revision, kind)
	if resend > 0 {
		key = fmt.Sprintf("%s.%d", key, resend)
	}
	return key
}

// read returns the entry, or ErrNoEntry.
func (l *ledger) read(ctx context.Context, key string) (line, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	b, revision, err := l.shelf.Read(ctx, key)
	if err != nil {
		return line{}, fmt.Errorf("read ledger entry %s: %w", key, err)
	}
	e, err := DecodeEntry(b)
	if err != nil {
		return line{}, fmt.Errorf("read ledger entry %s: %w", key, err)
	}
	return line{key: key, entry: e, revision: revision}, nil
}

// write replaces the line's entry and returns the new line. ErrTaken means that somebody else has changed it.
//
// An answer that was lost is no answer: whether the entry was stored is then read back. So is a conflict, since it may
// be with our own earlier write (a replicated stream says "conflict" while a write is in flight).
func (l *ledger) write(ctx context.Context, old line, e Entry) (line, error) {
	e.UpdatedAt = l.now().UTC()
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	short, stop := context.WithTimeout(ctx, ledgerTimeout/2)
	defer stop()
	revision, err := l.shelf.Write(short, old.key, e.encode(), old.revision)
	if err == nil {
		return line{key: old.key, entry: e, revision: revision}, nil
	}
	found, readErr := l.read(ctx, old.key)
	switch {
	case readErr != nil && !errors.Is(readErr, ErrNoEntry):
		return line{}, fmt.Errorf("write ledger entry %s: %w (reading it back: %w)", old.key, err, readErr)
	case readErr == nil && found.revision > old.revision && string(found.entry.encode()) == string(e.encode()):
		return found, nil
	case readErr == nil && found.revision > old.revision:
		return line{}, fmt.Errorf("write ledger entry %s: %w", old.key, ErrTaken)
	default:
		return line{}, fmt.Errorf("write ledger entry %s: %w", old.key, err)
	}
}
