package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// askTimeout bounds one batch; the worker gives up after 20 s. mailTimeout bounds one mail.
	askTimeout  = 25 * time.Second
	mailTimeout = 2 * time.Minute
	// saveEvery is how often the cursor is stored, and goneAfter how long nobody may have stored it before another may take
	// the run over: longer than a batch or a mail can take, as the cursor is stored between any two.
	saveEvery = time.Second
	goneAfter = mailTimeout + 30*time.Second
	// saveTimeout bounds the storing, also after the run was cancelled.
	saveTimeout = 10 * time.Second
	// maxTries bounds how often a batch is asked for while the worker, or its servers, are away.
	maxTries = 8
	// maxDifferences is how many differences a run lists.
	maxDifferences = 100
)

// Defaults of Options.
const (
	DefaultRate      = 200
	DefaultMaxQuotes = 100
	// DefaultMaxMails is for plans with --resend-email; without it no mail at all is allowed.
	DefaultMaxMails = 20
)

// Runner carries plans out.
type Runner struct {
	System
	Conn    *nats.Conn
	Journal *journal.Journal
	Who     string
	// Confirm is asked before anything is done, and may be nil. Its error ends the run.
	Confirm func(p *Plan, r Run) error
}

// Options of a run. There are no defaults here: 0 quotes and 0 mails allow none.
type Options struct {
	Reason string
	// Rate is how many messages a second are replayed at most; 0 means as fast as the worker can.
	Rate int
	// MaxQuotes and MaxMails are how many quotes may change and how many mails may be sent by the whole plan.
	MaxQuotes, MaxMails int
}

// work is one run at work.
type work struct {
	*Runner
	store *Store
	plan  *Plan
	opts  Options
	run   Run
	saved time.Time
	began int // where this start began
	// stood is where the log ended when this start foretold what it would do, and stored how many facts it has published.
	stood  position
	stored uint64
}

// Run carries a plan out, or goes on with it, and returns how it ended. It refuses, as advice of kind Budget, what goes beyond
// the budgets and what would not do any more what was planned. When ctx ends it stops, and the cursor is kept.
func (r *Runner) Run(ctx context.Context, plan *Plan, opts Options) (Run, error) {
	store, err := OpenStore(ctx, r.Log)
	if err != nil {
		return Run{}, err
	}
	w := &work{Runner: r, store: store, plan: plan, opts: opts}
	if w.run, err = store.Run(ctx, plan.ID); err != nil {
		return Run{}, err
	}
	switch {
	case w.run.Over():
		return w.run, nil
	case w.run.State == Running && r.Now().Sub(w.run.Beat) < goneAfter:
		return w.run, advice.New("quotectl replay status "+plan.ID+"; quotectl replay cancel "+plan.ID, "%s is at work on %s, the last time %s ago",
			w.run.By, plan.ID, r.Now().Sub(w.run.Beat).Round(time.Second))
	}
	if err := w.withinBudget(); err != nil {
		return w.run, err
	}
	if w.stood, err = r.position(ctx); err != nil {
		return w.run, err
	}
	begun := w.run.Starts > 0 // then the entries of the mails tell which were sent
	before, err := r.predict(ctx, plan.Selection, plan.ResendEmail && !begun)
	if err != nil {
		return w.run, err
	}
	if drift := plan.drift(before, begun); len(drift) > 0 {
		return w.run, w.movedOn(drift)
	}
	if r.Confirm != nil {
		if err := r.Confirm(plan, w.run); err != nil {
			return w.run, err
		}
	}
	if err := w.start(ctx); err != nil {
		return w.run, err
	}
	err = w.messages(ctx)
	if err == nil {
		err = w.mails(ctx)
	}
	if err == nil {
		err = w.compare(ctx, before)
	}
	return w.run, w.end(ctx, err)
}

func (w *work) withinBudget() error {
	t, again := w.plan.Totals, "quotectl replay run "+w.plan.ID
	switch {
	case t.Changed > w.opts.MaxQuotes:
		return advice.Of(advice.Budget, fmt.Sprintf("quotectl replay show %s; %s --max-quotes %d", w.plan.ID, again, t.Changed),
			"%s would change %d quotes, and %d are allowed", w.plan.ID, t.Changed, w.opts.MaxQuotes)
	case t.Mails > w.opts.MaxMails:
		return advice.Of(advice.Budget, fmt.Sprintf("quotectl replay show %s; %s --max-mails %d", w.plan.ID, again, t.Mails),
			"%s would send %d mails, and %d are allowed", w.plan.ID, t.Mails, w.opts.MaxMails)
	}
	return nil
}

// shownDrifts is how many reasons are named when a plan does not hold.
const shownDrifts = 3

func (w *work) movedOn(drift []string) error {
	shown, more := drift, ""
	if len(drift) > shownDrifts {
		shown, more = drift[:shownDrifts], fmt.Sprintf("; and %d more", len(drift)-shownDrifts)
	}
	return advice.Of(advice.Budget, "plan again: quotectl replay plan --like "+w.plan.ID, "%s does not hold any more, since things have moved: %s%s",
		w.plan.ID, strings.Join(shown, "; "), more)
}

// start takes the run and tells the journal, in that order: whoever is second is refused without an entry.
func (w *work) start(ctx context.Context) error {
	if err := w.Journal.Ready(ctx); err != nil {
		return advice.New("quotectl declare", "the journal cannot be written, so nothing was done: %w", err)
	}
	r := &w.run
	r.State, r.By, r.Reason, r.Owner, r.Trouble = Running, w.Who, w.opts.Reason, rand.Text(), ""
	r.Starts++
	if r.Began.IsZero() {
		r.Began, r.Outcomes, r.Stored = w.Now().UTC(), map[string]int{}, map[string]int{}
	}
	w.began = r.Done
	if err := w.save(ctx); err != nil {
		return err
	}
	detail := map[string]any{"totals": w.plan.Totals, "resend_email": w.plan.ResendEmail, "from": r.Done, "rate": w.opts.Rate}
	err := w.note(ctx, "replay_start", detail)
	if err != nil {
		r.State, r.Trouble = Interrupted, err.Error()
		err = errors.Join(err, w.save(ctx))
	}
	return err
}

// note writes a journal entry, also after the run was cancelled.
func (w *work) note(ctx context.Context, action string, detail any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	e := journal.Entry{Action: action, Who: w.Who, Reason: w.opts.Reason, Target: w.plan.ID, Detail: detail}
	if _, err := w.Journal.Append(ctx, e); err != nil {
		return fmt.Errorf("%s of %s is not in the journal: %w", action, w.plan.ID, err)
	}
	return nil
}

// save stores the cursor. It fails with errTaken when the run was cancelled by somebody else.
func (w *work) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	w.saved = w.Now()
	w.run.Beat = w.saved.UTC()
	return w.store.putRun(ctx, w.plan.ID, &w.run)
}

// messages has the messages from the cursor on folded again.
func (w *work) messages(ctx context.Context) error {
	all := w.plan.Selection.Sequences
	meter := w.meter("replay", len(all))
	meter.done, meter.first = w.run.Done, w.run.Done
	began := w.Now()
	for w.run.Done < len(all) {
		if err := w.pace(ctx, began); err != nil {
			return err
		}
		part := all[w.run.Done:min(w.run.Done+w.batch(), len(all))]
		if err := w.fold(ctx, part); err != nil {
			return err
		}
		w.run.Done += len(part)
		if w.Now().Sub(w.saved) >= saveEvery {
			if err := w.save(ctx); err != nil {
				return err
			}
		}
		meter.add(len(part))
	}
	return w.save(ctx)
}

// batch is how many messages are asked for at a time: a quarter of a second's, so that the rate is even.
func (w *work) batch() int {
	if w.opts.Rate <= 0 {
		return natsstream.MaxReplay / 2
	}
	return min(max(w.opts.Rate/4, 1), natsstream.MaxReplay/2)
}

// pace waits until the next batch may go.
func (w *work) pace(ctx context.Context, began time.Time) error {
	if w.opts.Rate <= 0 {
		return ctx.Err()
	}
	due := began.Add(time.Duration(float64(w.run.Done-w.began) / float64(w.opts.Rate) * float64(time.Second)))
	return wait(ctx, due.Sub(w.Now()))
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// fold asks the worker for a batch, until every message of it is folded. A batch that was folded without an answer is asked
// for again, which is harmless.
func (w *work) fold(ctx context.Context, sequences []uint64) error {
	for try := uint64(1); ; try++ {
		answer, err := w.ask(ctx, sequences)
		if err == nil {
			for kind, n := range answer.Outcomes {
				w.run.Outcomes[kind] += n
			}
			w.stored += uint64(len(answer.Stored))
			for _, subject := range answer.Stored {
				w.run.Stored[eventOf(subject)]++
				w.mustBePlanned(subject)
			}
			if len(answer.Failed) == 0 {
				return nil
			}
			sequences = sequences[:0:0]
			for _, f := range answer.Failed {
				sequences = append(sequences, f.Sequence)
				err = fmt.Errorf("%s:%d: %s", w.plan.Selection.Stream, f.Sequence, f.Error)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if try == maxTries {
			return err
		}
		if err := wait(ctx, delivery.Curve{Cap: 5 * time.Second}.After(try)); err != nil {
			return err
		}
	}
}

// mustBePlanned notes a fact that the plan did not foretell.
func (w *work) mustBePlanned(subject string) {
	planned := slices.Contains(w.plan.AccountFacts, subject)
	for _, q := range w.plan.Quotes {
		planned = planned || slices.Contains(q.Facts, subject)
	}
	if !planned {
		w.differ("%s was published and not planned", subject)
	}
}

func (w *work) differ(format string, args ...any) {
	if len(w.run.Differences) == maxDifferences {
		w.run.More++
		return
	}
	w.run.Differences = append(w.run.Differences, fmt.Sprintf(format, args...))
}

func (w *work) ask(ctx context.Context, sequences []uint64) (natsstream.ReplayAnswer, error) {
	request := natsstream.ReplayRequest{Stream: w.plan.Selection.Stream, Sequences: sequences, Reason: w.plan.ID + ": " + w.opts.Reason}
	return Ask(ctx, w.Conn, request)
}

// mails has the mails sent that the plan says are to be sent once more.
func (w *work) mails(ctx context.Context) error {
	var keys []string
	for _, q := range w.plan.Quotes {
		for _, m := range q.Mails {
			if m.What == MailAgain {
				keys = append(keys, m.Key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	meter := w.meter("mail", len(keys))
	meter.done, meter.first = w.run.Mailed, w.run.Mailed
	for w.run.Mailed < len(keys) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key := keys[w.run.Mailed]
		state, err := w.send(ctx, key, w.opts.Reason)
		if err != nil {
			return err
		}
		if state != "sent" {
			w.differ("mail %s is %s", key, dash(state))
		}
		w.run.Mailed++
		if err := w.save(ctx); err != nil {
			return err
		}
		meter.add(1)
	}
	return nil
}
