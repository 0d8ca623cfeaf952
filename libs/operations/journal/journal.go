// Package journal is the record of what operators did: who, when, why, what on, and what changed. It lies in the stream
// JOURNAL, and each entry carries the hash of the one before, so that an entry that is changed, removed or slipped in later
// is found by Verify.
//
// It decides nothing and carries nothing out. quotectl, the console, and services that refuse a person something write to
// it. What it cannot tell by itself is a chain that somebody with access to the server's files wrote anew from some entry
// to the end: note the head's number and hash elsewhere now and then, and give them to Verify.
package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// maxTries bounds how often Append runs after others who append at the same moment.
const maxTries = 50

// Journal appends and reads entries. It is safe for concurrent use, also by several processes.
type Journal struct {
	log *natsstream.Log
	now func() time.Time
}

// New returns a Journal over the log; now is the clock.
func New(log *natsstream.Log, now func() time.Time) *Journal { return &Journal{log: log, now: now} }

// Record is a stored entry.
type Record struct {
	Entry
	// Sequence and Stored are the server's: its place in the stream, and when it was stored.
	Sequence uint64    `json:"seq"`
	Stored   time.Time `json:"stored"`
	// Hash is what the next entry's Previous must be.
	Hash string `json:"hash"`
}

// Head returns the last entry; natsstream.ErrNotFound when there is none.
func (j *Journal) Head(ctx context.Context) (Record, error) {
	r, err := j.log.Read(ctx, event.StreamJournal, event.SubjectsJournal)
	if err != nil {
		return Record{}, fmt.Errorf("read the journal's end (is stream %s declared?): %w", event.StreamJournal, err)
	}
	return recordOf(r)
}

// Ready reports why nothing can be recorded, or nil: who is about to act asks it first.
func (j *Journal) Ready(ctx context.Context) error {
	if err := natsstream.Check(ctx, j.log.JetStream(), event.StreamJournal); err != nil {
		return err
	}
	if _, err := j.Head(ctx); err != nil && !errors.Is(err, natsstream.ErrNotFound) {
		return err
	}
	return nil
}

// Append records an action. It sets Version, Number, ID, At and Previous. An answer that is lost does not double the entry.
// It returns ErrInvalid for what cannot be recorded and natsstream.ErrUnavailable for what may be repeated.
func (j *Journal) Append(ctx context.Context, e Entry) (Record, error) {
	e.Version, e.ID, e.At = Version, rand.Text(), j.now().UTC()
	var lost error
	for range maxTries {
		head, err := j.Head(ctx)
		if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
			return Record{}, err
		}
		if head.ID == e.ID {
			return head, nil // the answer of an earlier try was lost
		}
		e.Number, e.Previous = head.Number+1, head.Hash
		body, err := e.encode()
		if err != nil {
			return Record{}, err
		}
		subject := event.JournalSubject(e.Action)
		stored, err := j.log.Append(ctx, natsstream.Message{Subject: subject, ID: e.ID, Data: body}, head.Sequence)
		switch {
		case err == nil && stored.Taken: // an earlier try stored it, and others have written since
			return j.at(ctx, stored.Sequence)
		case err == nil:
			return Record{Entry: e, Sequence: stored.Sequence, Stored: e.At, Hash: Hash(subject, body)}, nil
		}
		if !errors.Is(err, natsstream.ErrConflict) {
			lost = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if lost == nil {
		lost = natsstream.ErrUnavailable
	}
	return Record{}, fmt.Errorf("write journal entry %s: %w", e.Action, lost)
}

func (j *Journal) at(ctx context.Context, sequence uint64) (Record, error) {
	r, err := j.log.ReadSequence(ctx, event.StreamJournal, sequence)
	if err != nil {
		return Record{}, err
	}
	return recordOf(r)
}

// recordOf reads a stored entry.
func recordOf(r natsstream.Record) (Record, error) {
	e, err := decode(r.Data)
	if err != nil {
		return Record{}, fmt.Errorf("%s %d: %w", event.StreamJournal, r.Sequence, err)
	}
	return Record{Entry: e, Sequence: r.Sequence, Stored: r.Time.UTC(), Hash: Hash(r.Subject, r.Data)}, nil
}
