package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// scanBatch is how many messages are asked for at a time.
	scanBatch = 1000
	// renewalsFor is how long before the newest message renewals are remembered; payments does as long (PARKED_FOR).
	renewalsFor = 72 * time.Hour
)

// Progress is how far a long task is. It is told at most once a second, and at the end of each step.
type Progress struct {
	// Step is "fold QUOTES", "fold STRIPE" or "compare".
	Step string `json:"step"`
	Done uint64 `json:"done"`
	// Of is how many there are, as far as that is known.
	Of uint64 `json:"of"`
	// PerSecond is the rate of this step so far; Left what that makes of the rest.
	PerSecond float64       `json:"per_second"`
	Left      time.Duration `json:"left"`
}

// Rules returns what payments decides by: it has stored that in bucket SYSTEM.
func Rules(ctx context.Context, log *natsstream.Log) (projection.Rules, error) {
	r, err := log.Rules(ctx)
	if errors.Is(err, natsstream.ErrNotFound) {
		return r, advice.New("start payments of this version, and look at its /readyz", "nobody knows by which rules payments decides: it has not stored them yet")
	}
	return r, err
}

// folder folds the log into a projection, on and on.
type folder struct {
	log        *natsstream.Log
	projection *projection.Projection
	reach      projection.Reach
	now        func() time.Time
	progress   func(Progress)
}

// at is the place of a stream in a Reach.
func at(r *projection.Reach, stream string) *uint64 {
	if stream == event.StreamQuotes {
		return &r.Quotes
	}
	return &r.Stripe
}

// end is how far the log reaches now.
func end(ctx context.Context, log *natsstream.Log) (projection.Reach, error) {
	var r projection.Reach
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		s, err := log.JetStream().Stream(ctx, stream)
		if err != nil {
			return r, advice.New("quotectl declare", "look up stream %s: %w", stream, err)
		}
		*at(&r, stream) = s.CachedInfo().State.LastSeq
	}
	return r, nil
}

// settled is up to where payments has acknowledged everything.
func settled(ctx context.Context, log *natsstream.Log) (projection.Reach, error) {
	var r projection.Reach
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		c, err := log.JetStream().Consumer(ctx, stream, natsstream.DurablePayments)
		if err != nil {
			return r, advice.New("quotectl declare", "look up consumer %s of %s: %w", natsstream.DurablePayments, stream, err)
		}
		info := c.CachedInfo()
		*at(&r, stream) = info.AckFloor.Stream
		if info.NumPending == 0 && info.NumAckPending == 0 {
			*at(&r, stream) = max(info.AckFloor.Stream, info.Delivered.Stream)
		}
	}
	return r, nil
}

// foldTo folds up to a place that end has told, QUOTES first.
func (f *folder) foldTo(ctx context.Context, until projection.Reach) error {
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		if err := f.foldStream(ctx, stream, *at(&until, stream)); err != nil {
			return fmt.Errorf("fold %s: %w", stream, err)
		}
	}
	return nil
}

// foldStream reads ahead while it folds.
func (f *folder) foldStream(ctx context.Context, stream string, until uint64) error {
	reach := at(&f.reach, stream)
	if *reach >= until {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, failed := make(chan []natsstream.Record, 4), make(chan error, 1)
	go func() { // ends with ctx, or after its last batch
		defer close(batches)
		failed <- readOn(ctx, f.log, stream, *reach+1, until, batches)
	}()
	meter := newMeter("fold "+stream, until, f)
	meter.done, meter.first = *reach, *reach
	for records := range batches {
		for _, r := range records {
			f.projection.Fold(projection.Message{Subject: r.Subject, Sequence: r.Sequence, Time: r.Time, Body: r.Data})
		}
		last := records[len(records)-1]
		*reach = last.Sequence
		if stream == event.StreamStripe {
			f.projection.Trim(last.Time.Add(-renewalsFor))
		}
		meter.at(last.Sequence)
	}
	if err := <-failed; err != nil {
		return err
	}
	*reach = max(*reach, until) // what lies at the end may have been erased
	meter.end()
	return nil
}

// readOn reads a stream's messages up to a sequence that is known to have been stored. A message that NATS cannot read ends
// it: what is said of the whole log may not leave one out.
func readOn(ctx context.Context, log *natsstream.Log, stream string, from, until uint64, into chan<- []natsstream.Record) error {
	for last := false; from <= until && !last; {
		page, err := log.ScanWhole(ctx, stream, from, scanBatch)
		if err != nil {
			return err
		}
		if len(page.Damaged) > 0 {
			return fmt.Errorf("nats cannot read %d messages of %s, the first is %d: see the runbook messages-unaccounted", len(page.Damaged), stream, page.Damaged[0])
		}
		from, last = page.Next, page.Last
		if len(page.Records) == 0 {
			continue
		}
		select {
		case into <- page.Records:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// meter tells the progress of one step.
type meter struct {
	step        string
	done, of    uint64
	first       uint64
	began, told time.Time
	f           *folder
}

func newMeter(step string, of uint64, f *folder) *meter {
	now := f.now()
	return &meter{step: step, of: of, began: now, told: now, f: f}
}

func (m *meter) at(done uint64) {
	m.done = done
	if now := m.f.now(); now.Sub(m.told) >= time.Second {
		m.told = now
		m.tell(now)
	}
}

func (m *meter) end() { m.tell(m.f.now()) }

func (m *meter) tell(now time.Time) {
	p := Progress{Step: m.step, Done: m.done, Of: m.of}
	if took := now.Sub(m.began).Seconds(); took > 0 {
		p.PerSecond = float64(m.done-m.first) / took
	}
	if p.PerSecond > 0 && m.of > m.done {
		p.Left = time.Duration(float64(m.of-m.done) / p.PerSecond * float64(time.Second))
	}
	m.f.progress(p)
}
