package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// overlap is how far back a repair goes when Redis may have lost its last writes: far more than any failover or AOF
	// window that was measured (at most 7 s).
	overlap = 15 * time.Minute
	// noteEvery is how often it is looked whether the floors on record are old enough to be replaced.
	noteEvery = time.Minute
	floorsKey = "redis.floors"
)

// floors are up to where the streams had been acknowledged at some time: what lies there was in Redis by then.
type floors struct {
	At      time.Time         `json:"at,omitzero"`
	Streams map[string]uint64 `json:"streams,omitempty"`
}

// floorRecord is the value of floorsKey. Newer was true when Redis was last seen unharmed, and Older at least overlap before:
// whatever Redis loses later was written after Older. A record that is older than it could be, by a slow instance or a
// wrong clock, only makes a repair fold more.
type floorRecord struct {
	Older floors `json:"older"`
	Newer floors `json:"newer"`
}

// beforeLoss returns the sequence at which a repair of the last writes begins. The time at which a message came into the
// log says nothing about when it was written to Redis: a backlog of hours is worked off within seconds, and lost with them.
// Nor does the time at which the loss is noticed: nobody may have looked for hours.
func (w *worker) beforeLoss(ctx context.Context, stream string) (uint64, error) {
	r, err := w.readFloors(ctx)
	return r.Older.Streams[stream] + 1, err
}

func (w *worker) readFloors(ctx context.Context) (floorRecord, error) {
	var r floorRecord
	entry, err := w.system.Get(ctx, floorsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read floors: %w", err)
	}
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return r, fmt.Errorf("decode floors: %w", err)
	}
	return r, nil
}

// nextFloors returns the floors to be put on record as soon as Redis has been seen unharmed after it, or nil where those on
// record are young enough.
func (w *worker) nextFloors(ctx context.Context) (*floorRecord, error) {
	now := w.cfg.Now()
	if now.Sub(w.noted) < noteEvery {
		return nil, nil
	}
	r, err := w.readFloors(ctx)
	if err != nil {
		return nil, err
	}
	if now.Sub(r.Newer.At) < overlap {
		w.noted = now
		return nil, nil
	}
	next := floorRecord{Older: r.Newer, Newer: floors{Streams: map[string]uint64{}}}
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		if next.Newer.Streams[stream], err = w.events.AckFloor(ctx, stream, natsstream.DurablePayments); err != nil {
			return nil, err
		}
	}
	next.Newer.At = w.cfg.Now().UTC()
	return &next, nil
}

func (w *worker) noteFloors(ctx context.Context, next *floorRecord) error {
	if next == nil {
		return nil
	}
	encoded, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode floors: %w", err)
	}
	if _, err := w.system.Put(ctx, floorsKey, encoded); err != nil {
		return fmt.Errorf("store floors: %w", err)
	}
	w.noted = next.Newer.At
	return nil
}
