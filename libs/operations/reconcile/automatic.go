package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// How the automatic runs are spaced.
const (
	// longEvery is how often a run goes back over LongSpan instead of Overlap.
	longEvery = 24 * time.Hour
	// LongSpan is what the long run, and the first one ever, goes back over.
	LongSpan = 72 * time.Hour
	// lease bounds one run; whoever dies in it holds the others up for no longer.
	lease = 15 * time.Minute
	// lookEvery is how often an instance looks whether a run is due.
	lookEvery = 30 * time.Second
	// afterTrouble is the pause after a run that failed, which may have listed everything once more.
	afterTrouble = 3 * time.Minute
	// parkedAfter is how long a change has waited for a link when Stripe is asked: payments gives it up after 72 h.
	parkedAfter = 48 * time.Hour
)

// State is what the instances tell each other, in bucket SYSTEM under StateKey. Who loses it compares 72 hours again.
type State struct {
	// Holder runs until Until at the latest; empty while nobody does.
	Holder string    `json:"holder,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// Ran is when the last run that came to its end began, Long when the last long one did.
	Ran  time.Time `json:"ran,omitzero"`
	Long time.Time `json:"long,omitzero"`
	// Parked is up to when parked changes were looked up.
	Parked time.Time `json:"parked,omitzero"`
	// Gap is what could not be made good: of that run, or of the last long one if that is more, since a short run no longer
	// sees it. LongGap is the long one's.
	Gap     int `json:"gap"`
	LongGap int `json:"long_gap,omitempty"`
}

// StateKey is the key of State in bucket SYSTEM.
const StateKey = "reconcile"

// Automatic reconciles from time to time: over the last hour and what came since the run before, and once a day over 72
// hours. Of several instances one runs at a time; two at once would do no harm.
type Automatic struct {
	Reconciler *Reconciler
	// Every is the least time between the beginnings of two runs.
	Every time.Duration
	// Holder names this instance.
	Holder string
	Log    *zap.Logger
	// Recovered is told how many events a run has entered that were new, Standing the state after each look: also of runs
	// of other instances.
	Recovered func(events int)
	Standing  func(State)
}

// Run works until ctx ends. Trouble is logged and tried again: it never ends the service.
func (a *Automatic) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := min(lookEvery, a.Every)
		switch err := a.look(ctx); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, ErrIncomplete): // at every start of a system whose Redis keeps nothing
			a.Log.Info("reconciliation waits until payments has folded the log", zap.Error(err))
		default:
			a.Log.Warn("not reconciled with Stripe", zap.Error(err), zap.String("next", "quotectl reconcile report"))
			pause = min(afterTrouble, a.Every)
		}
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// look runs if a run is due and nobody else is at it.
func (a *Automatic) look(ctx context.Context) error {
	log, now := a.Reconciler.cfg.Log, a.Reconciler.cfg.Now()
	state, revision, err := readState(ctx, log)
	if err != nil {
		return err
	}
	a.Standing(state)
	if state.Holder != "" && state.Until.After(now) || now.Sub(state.Ran) < a.Every && !state.Ran.After(now) {
		return nil
	}
	held := state
	held.Holder, held.Until = a.Holder, now.Add(lease).UTC()
	revision, err = writeState(ctx, log, held, revision)
	if errors.Is(err, natsstream.ErrConflict) {
		return nil // another instance was quicker
	}
	if err != nil {
		return err
	}
	ran, runErr := a.run(ctx, state, now)
	ran.Holder, ran.Until = "", time.Time{}
	// The lease goes back even when the service is about to end: the others need not wait for it.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	if _, err := writeState(back, log, ran, revision); err != nil && !errors.Is(err, natsstream.ErrConflict) {
		return errors.Join(runErr, err)
	}
	if runErr == nil {
		a.Standing(ran)
	}
	return runErr
}

// run is one run; it returns the state after it, which is the one before it where it did not come to its end.
func (a *Automatic) run(ctx context.Context, before State, now time.Time) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	long := now.Sub(before.Long) >= longEvery || before.Long.After(now)
	o := Options{Since: now.Add(-LongSpan), EndedOnly: !long, ParkedFrom: before.Parked, ParkedUntil: now.Add(-parkedAfter)}
	if last := before.Ran.Add(-Overlap); !before.Ran.IsZero() && (!long || last.Before(o.Since)) {
		o.Since = last
	}
	// After a standstill of months the sessions of that time are an operator's to ask for.
	if oldest := now.Add(-stripegate.EventsKept); o.Since.Before(oldest) {
		o.Since = oldest
	}
	report, err := a.Reconciler.Report(ctx, o)
	if err != nil {
		return before, err
	}
	repaired, err := a.Reconciler.Repair(ctx, report, nil)
	a.Recovered(repaired.Stored)
	if err != nil {
		return before, err
	}
	after := before
	after.Ran, after.Parked, after.Gap = now.UTC(), o.ParkedUntil.UTC(), repaired.Left+repaired.Aside
	if long {
		after.Long, after.LongGap = now.UTC(), after.Gap
	}
	after.Gap = max(after.Gap, after.LongGap)
	a.tell(report, repaired, after.Gap > before.Gap)
	return after, nil
}

// tell writes a run's one line; a warning where something had not come, or the gap has grown.
func (a *Automatic) tell(report *Report, repaired Repaired, grown bool) {
	listed, without := 0, 0
	for _, account := range report.Accounts {
		listed += account.Listed
		if account.Note != "" {
			without++
		}
	}
	fields := []zap.Field{
		zap.Time("since", report.Since), zap.Int("accounts", len(report.Accounts)), zap.Int("without_access", without), zap.Int("listed", listed), zap.Int("matched", report.Matched),
		zap.Int("not_ours", report.NotOurs), zap.Int("sessions", report.Sessions), zap.Int("recovered", repaired.Stored),
		zap.Int("gap", repaired.Left+repaired.Aside), zap.Duration("took", a.Reconciler.cfg.Now().Sub(report.Until)),
	}
	switch {
	case repaired.Stored > 0:
		fields = append(fields, zap.Strings("events", repaired.Events[:min(len(repaired.Events), 20)]), zap.String("next", "quotectl events list --source reconcile"))
		a.Log.Warn("reconciled with Stripe: what had not come was entered", fields...)
	case grown:
		a.Log.Warn("reconciled with Stripe: a difference stays", append(fields, zap.String("next", "quotectl reconcile report"))...)
	default:
		a.Log.Info("reconciled with Stripe", fields...)
	}
}

// stateTimeout bounds one read or write of the state.
const stateTimeout = 5 * time.Second

func readState(ctx context.Context, log *natsstream.Log) (s State, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	data, revision, err := log.System(ctx, StateKey)
	if errors.Is(err, natsstream.ErrNotFound) {
		return State{}, 0, nil
	}
	if err != nil {
		return State{}, 0, err
	}
	if json.Unmarshal(data, &s) != nil { // whatever it is, a run over 72 hours makes it good
		return State{}, revision, nil
	}
	return s, revision, nil
}

func writeState(ctx context.Context, log *natsstream.Log, s State, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	data, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("encode state: %w", err)
	}
	return log.SetSystem(ctx, StateKey, data, revision)
}
