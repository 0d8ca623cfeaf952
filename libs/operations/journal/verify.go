package journal

import (
	"context"
	"errors"
	"fmt"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// scanPage is how many entries are read at a time.
const scanPage = 500

// Report is what Verify found.
type Report struct {
	// Entries is how many entries are whole, from the first on.
	Entries uint64 `json:"entries"`
	// Head is the last whole entry; noted elsewhere, it proves later that the chain up to it was not written anew.
	Head Mark `json:"head"`
	// Broken is the first fault, nil when there is none.
	Broken *Fault `json:"broken,omitempty"`
}

// Mark names an entry by number and hash.
type Mark struct {
	Number   uint64 `json:"n"`
	Sequence uint64 `json:"seq"`
	Hash     string `json:"hash"`
}

// Fault is where the chain breaks.
type Fault struct {
	// Sequence is that of the first entry that does not fit; Why says what about it.
	Sequence uint64 `json:"seq"`
	Why      string `json:"why"`
}

// Verify reads the whole journal and recomputes the chain from the first entry. known are marks of earlier heads that must
// still be in it. told, which may be nil, is called with the number of entries read so far. An error means that the journal
// could not be read; a broken chain is in the report.
func (j *Journal) Verify(ctx context.Context, known []Mark, told func(entries uint64)) (Report, error) {
	stream, err := j.log.JetStream().Stream(ctx, event.StreamJournal)
	if err != nil {
		return Report{}, fmt.Errorf("look up stream %s (declare it with: quotectl declare): %w", event.StreamJournal, err)
	}
	end := stream.CachedInfo().State.LastSeq // entries written from now on belong to the next verification
	c := chain{known: map[uint64]string{}}
	for _, m := range known {
		c.known[m.Number] = m.Hash
	}
	for c.last < end && c.report.Broken == nil {
		records, err := j.page(ctx, c.last+1, end)
		if err != nil {
			return Report{}, err
		}
		for _, r := range records {
			if c.report.Broken == nil && r.Sequence <= end {
				c.add(r)
			}
		}
		if told != nil {
			told(c.report.Entries)
		}
		if len(records) == 0 {
			break
		}
	}
	c.finish(end)
	return c.report, nil
}

// page reads the next entries. An entry whose bytes no longer fit their checksum breaks a scan off (nats-server 2.15.2); read
// one by one, it is not found and the others are.
func (j *Journal) page(ctx context.Context, from, end uint64) ([]natsstream.Record, error) {
	records, scanErr := j.log.Scan(ctx, event.StreamJournal, from, scanPage)
	if scanErr == nil {
		return records, nil
	}
	for seq := from; seq <= min(end, from+scanPage-1); seq++ {
		r, err := j.log.ReadSequence(ctx, event.StreamJournal, seq)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, scanErr
		}
		records = append(records, r)
	}
	return records, nil
}

// chain is the state of a verification.
type chain struct {
	report Report
	last   uint64 // sequence
	known  map[uint64]string
}

func (c *chain) broken(sequence uint64, format string, args ...any) {
	c.report.Broken = &Fault{Sequence: sequence, Why: fmt.Sprintf(format, args...)}
}

// add takes the next entry.
func (c *chain) add(r natsstream.Record) {
	if r.Sequence != c.last+1 {
		c.broken(c.last+1, "removed: sequences %d to %d are missing", c.last+1, r.Sequence-1)
		return
	}
	c.last = r.Sequence
	e, err := recordOf(r)
	if err != nil {
		c.broken(r.Sequence, "%v", err)
		return
	}
	head := c.report.Head
	switch {
	case r.Subject != event.JournalSubject(e.Action):
		c.broken(r.Sequence, "says action %q and lies under %s", e.Action, r.Subject)
	case e.Number != head.Number+1:
		c.broken(r.Sequence, "is entry %d where entry %d must follow", e.Number, head.Number+1)
	case e.Previous != head.Hash:
		c.broken(r.Sequence, "carries another hash of entry %d than that entry has: one of the two was changed", head.Number)
	case c.known[e.Number] != "" && c.known[e.Number] != e.Hash:
		c.broken(r.Sequence, "entry %d is not the one that was noted: the chain was written anew", e.Number)
	default:
		c.report.Entries++
		c.report.Head = Mark{Number: e.Number, Sequence: r.Sequence, Hash: e.Hash}
	}
}

// finish looks for entries that are missing at the end.
func (c *chain) finish(end uint64) {
	if c.report.Broken != nil {
		return
	}
	if c.last < end {
		c.broken(c.last+1, "removed: sequences %d to %d are missing at the end", c.last+1, end)
		return
	}
	for number := range c.known {
		if number > c.report.Head.Number {
			c.broken(end+1, "entry %d, which was noted, is not there: the end was cut off", number)
		}
	}
}
