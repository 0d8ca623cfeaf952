package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// compare finds what is not as it was planned: what the messages still would do if they were folded once more, quotes that
// show something else than foretold though nothing new is known of them, and outcomes.
func (w *work) compare(ctx context.Context, before *prediction) error {
	after, err := w.predict(ctx, w.plan.Selection, false)
	if err != nil {
		return fmt.Errorf("compare with the plan: %w", err)
	}
	now, err := w.position(ctx)
	if err != nil {
		return err
	}
	quiet := !w.stood.inFlight && now.stripe == w.stood.stripe && now.quotes <= w.stood.quotes+w.stored
	foretold := map[string]Quote{}
	for _, q := range before.quotes {
		foretold[q.name()] = q
	}
	for _, q := range after.quotes {
		was, ok := foretold[q.name()]
		delete(foretold, q.name())
		switch {
		case q.Acts():
			w.differ("%s: not done: %s", q.name(), q.text())
		case !ok:
			w.differ("%s: was folded into and not planned", q.name())
		case q.After != was.After && (quiet || q.After.Digest == was.After.Digest):
			w.differ("%s: is %s %s, and was to be %s %s", q.name(), q.After.Status, q.After.Flags, was.After.Status, was.After.Flags)
		case q.After != was.After:
			w.run.MovedOn++ // the plan's facts are all there, and others have come since
		}
	}
	for name := range foretold {
		w.differ("%s: was to be folded into, and is not", name)
	}
	for _, subject := range after.accountFacts {
		w.differ("%s: not published", subject)
	}
	keys, _, err := w.rules(ctx)
	if err != nil {
		return err
	}
	l := &live{redis: w.Redis, keys: keys}
	recorded, err := l.recorded(ctx, w.plan.Selection.Stream, w.plan.Selection.Sequences)
	if err != nil {
		return err
	}
	for _, sequence := range w.plan.Selection.Sequences {
		want, ok := before.recorded[sequence]
		if have := classOf(recorded[sequence].Outcome); ok && have != want {
			w.differ("%s:%d is %s, and was to be %s", w.plan.Selection.Stream, sequence, dash(have), want)
		}
	}
	return nil
}

// end stores how the run ended and tells the journal. It returns what the caller is to be told.
func (w *work) end(ctx context.Context, err error) error {
	r := &w.run
	r.Owner = ""
	action, told := "replay_end", err
	resume := "quotectl replay run " + w.plan.ID + " --reason …"
	switch {
	case errors.Is(err, errTaken):
		// Whoever cancelled it has stored that, and told the journal; what was done since the last note is done again.
		now, readErr := w.store.Run(context.WithoutCancel(ctx), w.plan.ID)
		if readErr == nil {
			w.run = now
		}
		return errors.Join(advice.New(resume, "%s was stopped at %d of %d messages: %w", w.plan.ID, r.Done, len(w.plan.Selection.Sequences), err), readErr)
	case err != nil && ctx.Err() != nil:
		action, r.State = "replay_cancel", Cancelled
		told = advice.New(resume, "%s was cancelled at %d of %d messages; the same command goes on from there", w.plan.ID, r.Done, len(w.plan.Selection.Sequences))
	case err != nil:
		r.State, r.Trouble = Interrupted, err.Error()
		told = advice.New(resume, "%s was interrupted at %d of %d messages: %w", w.plan.ID, r.Done, len(w.plan.Selection.Sequences), err)
	case len(r.Differences) > 0:
		r.State, r.Ended = Differs, w.Now().UTC()
		told = advice.Of(advice.Difference, "quotectl replay status "+w.plan.ID, "%s came to something else than planned: %d differences, the first: %s",
			w.plan.ID, len(r.Differences)+r.More, r.Differences[0])
	default:
		r.State, r.Ended = Done, w.Now().UTC()
	}
	saveErr := w.save(ctx)
	return errors.Join(told, saveErr, w.note(ctx, action, r.detail()))
}

// detail is what the journal keeps of a run.
func (r *Run) detail() map[string]any {
	return map[string]any{
		"state": r.State, "done": r.Done, "mailed": r.Mailed, "outcomes": r.Outcomes, "stored": r.Stored, "starts": r.Starts,
		"differences": len(r.Differences) + r.More, "moved_on": r.MovedOn, "trouble": r.Trouble,
	}
}

// Cancel stops a run at its cursor, wherever it is at work, or marks a plan that was not begun. Run goes on with it.
func (r *Runner) Cancel(ctx context.Context, plan *Plan, reason string) (Run, error) {
	store, err := OpenStore(ctx, r.Log)
	if err != nil {
		return Run{}, err
	}
	w := &work{Runner: r, store: store, plan: plan, opts: Options{Reason: reason}}
	if err := r.Journal.Ready(ctx); err != nil {
		return Run{}, advice.New("quotectl declare", "the journal cannot be written, so nothing was done: %w", err)
	}
	for {
		if w.run, err = store.Run(ctx, plan.ID); err != nil {
			return Run{}, err
		}
		if w.run.Over() || w.run.State == Cancelled {
			return w.run, advice.Of(advice.Usage, "quotectl replay status "+plan.ID, "%s is %s already", plan.ID, w.run.State)
		}
		w.run.State, w.run.Owner = Cancelled, ""
		err := store.putRun(ctx, plan.ID, &w.run)
		if errors.Is(err, errTaken) {
			continue // the one at work has stored its cursor meanwhile
		}
		if err != nil {
			return w.run, err
		}
		return w.run, w.note(ctx, "replay_cancel", w.run.detail())
	}
}

// Ask has the payments worker fold messages again.
func Ask(ctx context.Context, nc *nats.Conn, request natsstream.ReplayRequest) (natsstream.ReplayAnswer, error) {
	var answer natsstream.ReplayAnswer
	body, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("encode request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, natsstream.ReplaySubject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return answer, advice.New("start the payments worker, or look at its /readyz", "no payments worker listens")
	}
	if err != nil {
		return answer, advice.New("look at the payments worker's /readyz and log", "no answer of the payments worker: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer, fmt.Errorf("decode the payments worker's answer: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	slices.SortFunc(answer.Failed, func(a, b natsstream.ReplayFailure) int { return int(a.Sequence) - int(b.Sequence) }) //nolint:gosec // far below 2^63
	return answer, nil
}

// position is where the two streams end. inFlight says that payments had not come to the end of both.
type position struct {
	stripe, quotes uint64
	inFlight       bool
}

func (s System) position(ctx context.Context) (position, error) {
	var p position
	for stream, end := range map[string]*uint64{event.StreamStripe: &p.stripe, event.StreamQuotes: &p.quotes} {
		c, err := s.Log.JetStream().Consumer(ctx, stream, natsstream.DurablePayments)
		if err != nil {
			return p, advice.New("quotectl declare", "look up consumer %s of %s: %w", natsstream.DurablePayments, stream, err)
		}
		found, err := s.Log.JetStream().Stream(ctx, stream)
		if err != nil {
			return p, advice.New("quotectl declare", "look up stream %s: %w", stream, err)
		}
		*end = found.CachedInfo().State.LastSeq
		// That nothing is pending would not tell it: NATS may not have counted yet what was stored a moment ago.
		p.inFlight = p.inFlight || c.CachedInfo().AckFloor.Stream < *end
	}
	return p, nil
}
