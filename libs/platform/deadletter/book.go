package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// bookPage is how many messages of DEAD are read at a time.
const bookPage = 500

// Book is every dead letter as it stands, without the bodies: about 500 bytes each. It is not safe for concurrent use.
type Book struct {
	log     *natsstream.Log
	next    uint64
	letters map[Key]*Letter
}

// NewBook returns an empty Book; Advance fills it.
func NewBook(log *natsstream.Log) *Book { return &Book{log: log, next: 1, letters: map[Key]*Letter{}} }

// Advance reads on to the end of the stream DEAD.
func (b *Book) Advance(ctx context.Context) error {
	for {
		records, err := b.log.Scan(ctx, event.StreamDead, b.next, bookPage)
		if err != nil {
			return err
		}
		for _, r := range records {
			b.next = r.Sequence + 1
			d, ok := event.ParseDeadSubject(r.Subject)
			if !ok {
				continue
			}
			k := Key{d.Consumer, d.Stream, d.Sequence}
			l := b.letters[k]
			if l == nil {
				l = &Letter{Key: k}
				b.letters[k] = l
			}
			l.add(r, d)
		}
		if len(records) < bookPage {
			return nil
		}
	}
}

// Letters yields all letters, in no order. They belong to the Book.
func (b *Book) Letters() iter.Seq[*Letter] {
	return func(yield func(*Letter) bool) {
		for _, l := range b.letters {
			if l.Rounds > 0 && !yield(l) {
				return
			}
		}
	}
}

// Find reads one letter as it stands and the message that was set aside; natsstream.ErrNotFound where there is none.
func Find(ctx context.Context, log *natsstream.Log, k Key) (Letter, natsstream.Record, error) {
	if !event.ValidToken(k.Consumer) || !event.ValidToken(k.Stream) {
		return Letter{}, natsstream.Record{}, fmt.Errorf("dead letter %s: %w", k, natsstream.ErrNotFound)
	}
	place := fmt.Sprintf(".%s.%s.%d.*", k.Consumer, k.Stream, k.Sequence)
	records, err := log.ReadAll(ctx, event.StreamDead, "dead"+place, "deadstate"+place)
	if err != nil {
		return Letter{}, natsstream.Record{}, err
	}
	slices.SortFunc(records, func(a, b natsstream.Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	l := Letter{Key: k}
	var m natsstream.Record
	for _, r := range records {
		d, ok := event.ParseDeadSubject(r.Subject)
		if !ok {
			continue
		}
		l.add(r, d)
		if !d.Decision {
			m = message(r, d)
		}
	}
	if l.Rounds == 0 {
		return Letter{}, natsstream.Record{}, fmt.Errorf("dead letter %s: %w", k, natsstream.ErrNotFound)
	}
	// The stream still knows when the message was stored, as a rule.
	original, err := log.ReadSequence(ctx, k.Stream, k.Sequence)
	switch {
	case err == nil:
		m.Time = original.Time
	case !errors.Is(err, natsstream.ErrNotFound) && ctx.Err() != nil:
		return Letter{}, natsstream.Record{}, err
	}
	return l, m, nil
}
