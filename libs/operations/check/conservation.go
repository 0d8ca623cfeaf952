package check

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// blocksAtOnce is how many outcome hashes are read in one pipeline.
const blocksAtOnce = 16

// Range is a run of sequences, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// String is the range as the selection flag --seq takes it.
func (r Range) String() string { return fmt.Sprintf("%d..%d", r.From, r.To) }

// Len is how many sequences there are.
func (r Range) Len() uint64 { return r.To - r.From + 1 }

// Account is the conservation of one stream: Messages = Σ Outcomes + InFlight + what is Unaccounted.
type Account struct {
	Stream   string            `json:"stream"`
	Messages uint64            `json:"messages"`
	Outcomes map[string]uint64 `json:"outcomes"`
	// InFlight are messages without an outcome that payments has not acknowledged.
	InFlight uint64 `json:"in_flight"`
	// Unaccounted are acknowledged and have no outcome: nobody decided about them, or Redis lost the record.
	Unaccounted []Range `json:"unaccounted"`
	// Extra are outcomes of messages that the stream does not hold: it was restored from an older copy, or erased.
	Extra []Range `json:"extra"`
	// Dead are the messages whose outcome is dead.
	Dead []uint64 `json:"-"`

	floor   uint64
	first   uint64
	last    uint64
	deleted map[uint64]bool
}

// Total is the number of messages in ranges.
func Total(ranges []Range) uint64 {
	var n uint64
	for _, r := range ranges {
		n += r.Len()
	}
	return n
}

// Conserved reports whether every message has exactly one outcome or is in flight.
func (a *Account) Conserved() bool { return len(a.Unaccounted) == 0 && len(a.Extra) == 0 }

// Books are the projection and the log that Conservation compares.
type Books struct {
	Log   *natsstream.Log
	Redis redis.UniversalClient
	// Progress is told of each stream how many sequences were looked at; it may be nil.
	Progress func(stream string, done, of uint64)
}

// Conservation accounts for every message of QUOTES and STRIPE. The positions are read before the outcomes, which payments
// records before it acknowledges, so that a busy system shows no gap that is none.
func (b Books) Conservation(ctx context.Context) ([]*Account, error) {
	generation, err := b.Log.LatestGeneration(ctx)
	if err != nil {
		return nil, err
	}
	if generation.Read != generation.Write {
		return nil, advice.New("quotectl check conservation", "a rebuild is handing over from %s to %s at this moment", generation.Read, generation.Write)
	}
	var all []*Account
	for _, stream := range []string{event.StreamQuotes, event.StreamStripe} {
		a, err := b.open(ctx, stream)
		if err != nil {
			return nil, err
		}
		if err := b.count(ctx, a, redisquote.NewKeys(generation.Read)); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (b Books) open(ctx context.Context, stream string) (*Account, error) {
	consumer, err := b.Log.JetStream().Consumer(ctx, stream, natsstream.DurablePayments)
	if err != nil {
		return nil, advice.New("quotectl declare", "look up consumer %s of %s: %w", natsstream.DurablePayments, stream, err)
	}
	a := &Account{
		Stream: stream, Outcomes: map[string]uint64{}, Unaccounted: []Range{}, Extra: []Range{}, floor: consumer.CachedInfo().AckFloor.Stream,
	}
	s, err := b.Log.JetStream().Stream(ctx, stream)
	if err != nil {
		return nil, advice.New("quotectl declare", "look up stream %s: %w", stream, err)
	}
	state := s.CachedInfo().State
	a.Messages, a.first, a.last = state.Msgs, state.FirstSeq, state.LastSeq
	if state.NumDeleted == 0 {
		return a, nil
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return nil, fmt.Errorf("read what was deleted from %s: %w", stream, err)
	}
	a.deleted = make(map[uint64]bool, len(info.State.Deleted))
	for _, sequence := range info.State.Deleted {
		a.deleted[sequence] = true
	}
	return a, nil
}

// count reads the outcomes block by block.
func (b Books) count(ctx context.Context, a *Account, keys redisquote.Keys) error {
	for block := uint64(0); block*redisquote.OutcomeBlock <= a.last; {
		pipe := b.Redis.Pipeline()
		var reads []*redis.MapStringStringCmd
		first := block
		for ; len(reads) < blocksAtOnce && block*redisquote.OutcomeBlock <= a.last; block++ {
			reads = append(reads, pipe.HGetAll(ctx, keys.Outcomes(a.Stream, block*redisquote.OutcomeBlock)))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("read outcomes of %s: %w", a.Stream, err)
		}
		for _, r := range reads {
			a.block(first*redisquote.OutcomeBlock, r.Val())
			first++
		}
		if b.Progress != nil {
			b.Progress(a.Stream, min(block*redisquote.OutcomeBlock, a.last), a.last)
		}
	}
	return nil
}

// block takes in the outcomes of the block that begins at a sequence.
func (a *Account) block(begin uint64, outcomes map[string]string) {
	for sequence := begin; sequence < begin+redisquote.OutcomeBlock; sequence++ {
		field := strconv.FormatUint(sequence, 10)
		value, decided := outcomes[field]
		stored := sequence >= a.first && sequence <= a.last && sequence > 0 && !a.deleted[sequence]
		switch {
		case stored && decided:
			var o struct {
				Outcome string `json:"outcome"`
			}
			if err := json.Unmarshal([]byte(value), &o); err != nil || o.Outcome == "" {
				a.Unaccounted = add(a.Unaccounted, sequence) // a record that says nothing is none
				continue
			}
			a.Outcomes[o.Outcome]++
			if o.Outcome == projection.Dead {
				a.Dead = append(a.Dead, sequence)
			}
		case stored && sequence > a.floor:
			a.InFlight++
		case stored:
			a.Unaccounted = add(a.Unaccounted, sequence)
		case decided && sequence <= a.last: // later ones were stored since the stream was looked at
			a.Extra = add(a.Extra, sequence)
		}
	}
}

// add puts the next sequence into ranges.
func add(ranges []Range, sequence uint64) []Range {
	if n := len(ranges); n > 0 && ranges[n-1].To+1 == sequence {
		ranges[n-1].To = sequence
		return ranges
	}
	return append(ranges, Range{sequence, sequence})
}
