package selection

import (
	"context"
	"errors"
	"slices"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// followEvery is how often Follow looks for what is new.
	followEvery = 250 * time.Millisecond
	// followPage is how many messages it takes at a time.
	followPage = 500
	// undecidedAfter is how long it waits for an outcome before it says that there is none.
	undecidedAfter = 30 * time.Second
	// maxUndecided is from how many undecided messages on it takes no further ones: they stay in the log meanwhile.
	maxUndecided = 10_000
)

// Watcher is told what happens. Its methods are called one after the other.
type Watcher interface {
	// Stored tells of a message, in the order of its stream.
	Stored(e Event)
	// Decided tells what became of a message that was told before; Decided is false in e when there was no outcome within 30 s.
	Decided(e Event)
	// Trouble tells that the log or Redis does not answer, once per trouble, and nil when it does again. Nothing is missed.
	Trouble(err error)
}

// Follow tells w of the selected messages of both streams as they are stored, and of their outcomes, until ctx ends. It begins
// at s.Since, or now. Stream, Until, From, To and Limit of s are not looked at.
func (f *Finder) Follow(ctx context.Context, s Selection, now func() time.Time, w Watcher) error {
	fo := &follower{finder: f, selection: s, now: now, watcher: w, next: map[string]uint64{}, well: true}
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		from, err := f.beginning(ctx, stream, s.Since)
		if err != nil {
			return err
		}
		fo.next[stream] = from
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		more, err := fo.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if (err == nil) != fo.well {
			fo.well = err == nil
			w.Trouble(err)
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// beginning is the sequence of the first message that Follow tells.
func (f *Finder) beginning(ctx context.Context, stream string, since time.Time) (uint64, error) {
	if !since.IsZero() {
		first, err := f.Log.SequenceAt(ctx, stream, since)
		if !errors.Is(err, natsstream.ErrNotFound) {
			return first, err
		}
	}
	info, err := f.Log.JetStream().Stream(ctx, stream)
	if err != nil {
		return 0, err
	}
	return info.CachedInfo().State.LastSeq + 1, nil
}

type follower struct {
	finder    *Finder
	selection Selection
	now       func() time.Time
	watcher   Watcher
	next      map[string]uint64
	well      bool
	waiting   []waiting // told as stored, by stream and sequence
}

type waiting struct {
	event Event
	until time.Time
}

// look takes what is new and what was decided; more says that there may be more at once.
func (fo *follower) look(ctx context.Context) (more bool, err error) {
	if len(fo.waiting) >= maxUndecided {
		return false, fo.decide(ctx)
	}
	for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
		records, err := fo.finder.Log.Scan(ctx, stream, fo.next[stream], followPage)
		if err != nil {
			return false, err
		}
		for _, r := range records {
			fo.take(r)
		}
		more = more || len(records) == followPage
	}
	return more, fo.decide(ctx)
}

func (fo *follower) take(r natsstream.Record) {
	fo.next[r.Stream] = r.Sequence + 1
	e := Describe(r)
	s := fo.selection
	s.Until = time.Time{}
	if !s.takesMessage(e) || e.Quote != "" && !among(s.Quotes, e.Quote) {
		return
	}
	// Where a quote or an outcome is asked for, only the decision shows whether the message is meant.
	if fo.finder.Reader == nil || len(s.Outcomes) == 0 && (len(s.Quotes) == 0 || e.Quote != "") {
		fo.watcher.Stored(e)
	}
	if fo.finder.Reader != nil {
		fo.waiting = append(fo.waiting, waiting{e, fo.now().Add(undecidedAfter)})
	}
}

// decide tells the outcomes that are there by now.
func (fo *follower) decide(ctx context.Context) error {
	for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
		var sequences []uint64
		for _, w := range fo.waiting {
			if w.event.Record.Stream == stream {
				sequences = append(sequences, w.event.Record.Sequence)
			}
		}
		if len(sequences) == 0 {
			continue
		}
		outcomes, err := fo.finder.Reader.Outcomes(ctx, stream, sequences)
		if err != nil {
			return err
		}
		fo.waiting = slices.DeleteFunc(fo.waiting, func(w waiting) bool {
			if w.event.Record.Stream != stream {
				return false
			}
			o, ok := outcomes[w.event.Record.Sequence]
			if !ok && fo.now().Before(w.until) {
				return false
			}
			e := w.event
			e.decided(o, ok)
			if fo.selection.takesOutcome(e) && among(fo.selection.Quotes, e.Quote) {
				fo.watcher.Decided(e)
			}
			return true
		})
	}
	return nil
}
