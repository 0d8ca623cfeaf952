package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/parts"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// scanBatch is how many messages are asked for at a time.
	scanBatch = 1000
)

// Progress is how far a long task is. It is told at most once a second, and at the end of each step.
type Progress struct {
	// Step is, of a verification, "read QUOTES", "read STRIPE", "link" (which messages bear on one another), "compare"; of a
	// rebuild, "fold QUOTES" and "fold STRIPE".
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

// reader reads the log into parts, on and on.
type reader struct {
	log      *natsstream.Log
	parts    *parts.Parts
	reach    projection.Reach
	now      func() time.Time
	progress func(Progress)
	seen     func(natsstream.Record) // may be nil
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

// readTo reads up to a place that end has told, QUOTES first.
func (f *reader) readTo(ctx context.Context, until projection.Reach) error {
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		if err := f.readStream(ctx, stream, *at(&until, stream)); err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
	}
	return nil
}

// readStream asks for the next messages while it takes in the last.
func (f *reader) readStream(ctx context.Context, stream string, until uint64) error {
	reach := at(&f.reach, stream)
	if *reach >= until {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, failed := make(chan []natsstream.Record, 1), make(chan error, 1)
	go func() { // ends with ctx, or after its last batch
		defer close(batches)
		failed <- readOn(ctx, f.log, stream, *reach+1, until, batches)
	}()
	meter := newMeter("read "+stream, until, f.now, f.progress)
	meter.done, meter.first = *reach, *reach
	for records := range batches {
		for _, r := range records {
			if f.seen != nil {
				f.seen(r)
			}
			if err := f.parts.Add(projection.Message{Subject: r.Subject, Sequence: r.Sequence, Time: r.Time, Body: r.Data}); err != nil {
				return err
			}
		}
		*reach = records[len(records)-1].Sequence
		meter.at(*reach)
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
	now         func() time.Time
	progress    func(Progress)
}

func newMeter(step string, of uint64, now func() time.Time, progress func(Progress)) *meter {
	began := now()
	return &meter{step: step, of: of, began: began, told: began, now: now, progress: progress}
}

func (m *meter) at(done uint64) {
	m.done = done
	if now := m.now(); now.Sub(m.told) >= time.Second {
		m.told = now
		m.tell(now)
	}
}

func (m *meter) end() { m.tell(m.now()) }

func (m *meter) tell(now time.Time) {
	p := Progress{Step: m.step, Done: m.done, Of: m.of}
	if took := now.Sub(m.began).Seconds(); took > 0 {
		p.PerSecond = float64(m.done-m.first) / took
	}
	if p.PerSecond > 0 && m.of > m.done {
		p.Left = time.Duration(float64(m.of-m.done) / p.PerSecond * float64(time.Second))
	}
	m.progress(p)
}
