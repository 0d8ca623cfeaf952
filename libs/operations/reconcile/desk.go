package reconcile

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// held is how long a run is its instance's after each sign of life: whoever dies in it holds the others up for no longer.
	held = time.Minute
	// signEvery is how often a sign of life, and the progress, is written.
	signEvery = time.Second
	// longest bounds one run: 100,000 checkouts at 20 calls a second take 84 minutes.
	longest = 3 * time.Hour
)

// Desk takes Orders and carries them out, one at a time over all instances, without anybody who waits for them. What came of
// the last one is its Run; the journal has them all.
type Desk struct {
	// Make returns a Reconciler for one run.
	Make    func() *Reconciler
	Journal *journal.Journal
	Stream  *natsstream.Log
	NATS    *nats.Conn
	Log     *zap.Logger
	Now     func() time.Time
	// Recovered is told how many events a repair has entered that were new.
	Recovered func(events int)
}

// Serve answers until ctx ends; then the run in hand stops between two of its steps, and its end is written down.
func (d *Desk) Serve(ctx context.Context) error {
	var (
		mu    sync.Mutex // an order is taken, or the desk closes
		shut  bool
		hands sync.WaitGroup
	)
	sub, err := d.NATS.QueueSubscribe(Subject, "quotes", func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		answer := Taken{Error: "quotes is being stopped; ask again"}
		if !shut {
			run, revision, err := d.take(ctx, msg.Data)
			if answer = (Taken{ID: run.ID}); err != nil {
				answer = Taken{Error: mask.Text(err.Error())}
			} else {
				hands.Go(func() { d.carryOut(ctx, run, revision) })
			}
		}
		body, err := json.Marshal(answer)
		if err == nil {
			err = msg.Respond(body)
		}
		if err != nil {
			d.Log.Warn("order to reconcile not answered", zap.String("run", answer.ID), zap.Error(err))
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", Subject, err)
	}
	<-ctx.Done()
	err = sub.Unsubscribe()
	mu.Lock()
	shut = true
	mu.Unlock()
	hands.Wait()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("unsubscribe from %s: %w", Subject, err)
	}
	return nil
}

// take makes a run of an order, unless another one is under way.
func (d *Desk) take(ctx context.Context, body []byte) (run Run, revision uint64, err error) {
	var o Order
	now := d.Now().UTC()
	if json.Unmarshal(body, &o) != nil {
		return run, 0, errors.New("the order is not JSON")
	}
	if why := o.check(now); why != "" {
		return run, 0, errors.New("the order cannot be carried out: " + why)
	}
	last, revision, err := readRun(ctx, d.Stream)
	if err != nil && revision == 0 { // one that cannot be decoded makes room
		return run, 0, err
	}
	if last != nil && last.StateAt(now) == Running {
		return run, 0, fmt.Errorf("a comparison by %s is under way since %s", last.Who, last.Begun.Format(time.RFC3339))
	}
	run = Run{ID: rand.Text(), Order: o, State: Running, Begun: now, Until: now.Add(held)}
	revision, err = writeRun(ctx, d.Stream, &run, revision)
	if errors.Is(err, natsstream.ErrConflict) {
		return run, 0, errors.New("somebody else was quicker; their comparison is under way")
	}
	return run, revision, err
}

// carryOut does what the order says, and writes down what came of it.
func (d *Desk) carryOut(ctx context.Context, run Run, revision uint64) {
	work, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	b := &book{desk: d, run: run, revision: revision}
	stop := b.keep(ctx)
	action := ActionReport
	if run.Repair {
		action = ActionRepair
	}
	entry := journal.Entry{Action: action, Who: run.Who, Reason: run.Why, Target: run.Account}
	err := d.Journal.Around(work, entry, func(e *journal.Entry) error { return d.work(work, b, e) })
	stop()
	b.close(ctx, err)
	fields := []zap.Field{zap.String("run", run.ID), zap.String("who", run.Who), zap.Bool("repair", run.Repair), zap.Time("since", run.Since), zap.Duration("took", d.Now().Sub(run.Begun))}
	if r := b.run.Report; r != nil {
		fields = append(fields, zap.Int("differences", r.Differences()), zap.Int("repairable", r.Repairable))
	}
	if r := b.run.Repaired; r != nil {
		fields = append(fields, zap.Int("recovered", r.Stored))
	}
	if err != nil {
		d.Log.Warn("an operator's comparison with Stripe failed", append(fields, zap.String("error", mask.Text(err.Error())))...)
		return
	}
	d.Log.Info("an operator compared with Stripe", fields...)
}

func (d *Desk) work(ctx context.Context, b *book, e *journal.Entry) error {
	r, o := d.Make(), b.run.Order
	report, err := r.Report(ctx, Options{Since: o.Since, Account: o.Account, Progress: b.tell})
	if errors.Is(err, context.Canceled) {
		return advice.New("compare again", "quotes was stopped meanwhile: %w", err)
	}
	if err != nil {
		return Explained(err)
	}
	b.found(report)
	e.Detail = map[string]any{"since": o.Since.UTC(), "gaps": report.Gaps, "repairable": report.Repairable}
	if !o.Repair {
		return nil
	}
	if report.Repairable > o.Most {
		return advice.Of(advice.Budget, "look at the report, and repair again", "%d differences can be made good now, %d when they were looked at: nothing was entered", report.Repairable, o.Most)
	}
	done, err := r.Repair(ctx, report, func(n, all int) { b.tell(fmt.Sprintf("%d of %d made good", n, all)) })
	b.repaired(done)
	d.Recovered(done.Stored)
	e.Detail = done.Detail(o.Since)
	if err != nil {
		return advice.New("look at ingress, and repair again: what was entered is not entered twice", "%w", err)
	}
	return nil
}

// book is a run while it is under way: its one writer.
type book struct {
	desk *Desk

	mu       sync.Mutex
	run      Run
	revision uint64
	changed  bool
}

func (b *book) tell(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run.Progress, b.changed = text, true
}

func (b *book) found(r *Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run.Report = r.cut(RowsKept)
}

func (b *book) repaired(r Repaired) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Events = r.Events[:min(len(r.Events), RowsKept)]
	b.run.Repaired = &r
}

// keep writes signs of life until the returned function is called.
func (b *book) keep(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		for sleep(ctx, signEvery) == nil {
			b.sign(ctx)
		}
	})
	return func() {
		cancel()
		writer.Wait()
	}
}

// sign writes the run where there is something new, or half of its time is over. A write that fails is made up for by the
// next: the run needs none of them.
func (b *book) sign(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.desk.Now().UTC()
	if !b.changed && b.run.Until.Sub(now) > held/2 {
		return
	}
	b.run.Until = now.Add(held)
	if err := b.write(ctx); err != nil {
		b.desk.Log.Warn("progress of a comparison not written", zap.String("run", b.run.ID), zap.Error(err))
	}
}

// write writes the run; where its revision has moved on it is read first, since an answer may have been lost. Another's run is
// left alone.
func (b *book) write(ctx context.Context) error {
	revision, err := writeRun(ctx, b.desk.Stream, &b.run, b.revision)
	if errors.Is(err, natsstream.ErrConflict) {
		last, current, readErr := readRun(ctx, b.desk.Stream)
		if readErr != nil || last == nil || last.ID != b.run.ID {
			return errors.Join(err, readErr)
		}
		revision, err = writeRun(ctx, b.desk.Stream, &b.run, current)
	}
	if err == nil {
		b.revision, b.changed = revision, false
	}
	return err
}

// close writes the end, also when the service is about to end: nobody needs to wait for Until.
func (b *book) close(ctx context.Context, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run.Ended, b.run.Until, b.run.State, b.run.Progress = b.desk.Now().UTC(), time.Time{}, Done, ""
	if err != nil {
		b.run.State, b.run.Error, b.run.Next = Failed, mask.Text(err.Error()), advice.Next(err)
	}
	if err := b.write(context.WithoutCancel(ctx)); err != nil {
		b.desk.Log.Warn("end of a comparison not written", zap.String("run", b.run.ID), zap.Error(err))
	}
}
