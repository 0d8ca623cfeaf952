package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/operations/advice"
)

// recordTimeout bounds the writing of an entry about what was already done.
const recordTimeout = 10 * time.Second

// Around carries an action out and records it, whatever came of it: nothing is done where nothing can be recorded, nor with
// an entry that is ErrInvalid. act may complete the entry. The entry is written also when ctx has ended meanwhile.
func (j *Journal) Around(ctx context.Context, e Entry, act func(e *Entry) error) error {
	if _, err := e.encode(); err != nil {
		return advice.Of(advice.Usage, "the same with a shorter --reason", "the journal would not take it, so nothing was done: %w", err)
	}
	if err := j.Ready(ctx); err != nil {
		return advice.New("quotectl declare", "the journal cannot be written, so nothing was done: %w", err)
	}
	actErr := act(&e)
	if actErr != nil {
		e.Detail = map[string]any{"error": actErr.Error(), "detail": e.Detail}
	}
	return errors.Join(actErr, j.Note(ctx, e))
}

// Note records what was already done, also when ctx has ended meanwhile.
func (j *Journal) Note(ctx context.Context, e Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if _, err := j.Append(ctx, e); err != nil {
		return fmt.Errorf("%s was carried out and is not in the journal: %w", e.Action, err)
	}
	return nil
}
