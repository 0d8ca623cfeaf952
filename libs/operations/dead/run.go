package dead

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
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

// journalLetters is how many letters an entry of the journal names; of the others it has the number.
const journalLetters = 500

// Carry is Run with an entry in the journal. The results are those until it ended; failed counts the letters that are as they
// were, or set aside again.
func (d Desk) Carry(ctx context.Context, j *journal.Journal, letters []deadletter.Letter, o Order, told func(Result)) (results []Result, failed int, err error) {
	results = []Result{}
	entry := journal.Entry{Action: "dead_" + o.Verb, Who: o.Who, Reason: o.Why, Target: letters[0].String()}
	if len(letters) > 1 {
		entry.Target = fmt.Sprintf("%d letters", len(letters))
	}
	err = j.Around(ctx, entry, func(e *journal.Entry) error {
		err := d.Run(ctx, letters, o, func(r Result) {
			results = append(results, r)
			if r.Error != "" {
				failed++
			}
			told(r)
		})
		named := make([]string, 0, min(len(results), journalLetters))
		for _, r := range results[:cap(named)] {
			named = append(named, strings.TrimSpace(r.Letter.String()+" "+r.Outcome))
		}
		e.Detail = map[string]any{"selected": len(letters), "done": len(results) - failed, "failed": failed, "letters": named}
		if len(letters) == 1 && len(results) == 1 {
			e.Before, e.After = string(letters[0].State), string(results[0].Letter.State)
		}
		return err
	})
	return results, failed, err
}
