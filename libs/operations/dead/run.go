package dead

import (
	"context"
	"errors"
	"time"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/deadletter"
)

// askTimeout bounds the answer about one letter. A notifier that sends a mail may take longer: it goes on without us.
const askTimeout = time.Minute

// Order is what to do about letters, for whom and why.
type Order struct {
	Verb     string // deadletter.VerbRetry or VerbDiscard
	Who, Why string
}

// Result is what came of one letter.
type Result struct {
	Letter deadletter.Letter `json:"letter"`
	// Outcome is what a retry came to; Error is why nothing was decided.
	Outcome string `json:"outcome,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Run asks the owners about the letters, one after the other, the oldest first, and tells each result. It ends early when ctx
// does, between two letters, and when an owner does not run.
func (d Desk) Run(ctx context.Context, letters []deadletter.Letter, o Order, told func(Result)) error {
	for i := len(letters) - 1; i >= 0; i-- {
		if ctx.Err() != nil {
			return advice.New("the same command goes on with what is left", "interrupted with %d letters left: %w", i+1, ctx.Err())
		}
		r, err := d.one(ctx, letters[i], o)
		if errors.Is(err, deadletter.ErrNobody) {
			return advice.New("start "+deadletter.Owner(letters[i].Consumer)+", or look at its /readyz", "%w; %d letters are left", err, i+1)
		}
		if err != nil {
			r.Error = err.Error()
		}
		told(r)
	}
	return nil
}

func (d Desk) one(ctx context.Context, l deadletter.Letter, o Order) (Result, error) {
	// The letter in hand is waited for even when the operator interrupts: what came of it belongs in the journal.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	a, err := deadletter.Ask(ctx, d.NATS, deadletter.Request{Verb: o.Verb, Key: l.Key, Who: o.Who, Why: o.Why})
	if err != nil {
		return Result{Letter: l}, err
	}
	r := Result{Letter: a.Letter, Outcome: a.Outcome, Error: a.Error}
	if a.Letter.Rounds == 0 { // the owner could not even read it
		r.Letter = l
	}
	return r, nil
}
