package selection

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Frozen is a selection as it was at one moment: what is stored or decided later does not change it. Replay plans keep it as
// JSON.
type Frozen struct {
	// Query is what was asked for, as Selection.String has it; for people.
	Query  string `json:"query"`
	Stream string `json:"stream"`
	// Sequences are the places of the selected messages, ascending.
	Sequences []uint64  `json:"sequences"`
	TakenAt   time.Time `json:"taken_at"`
	// Hash is over stream and sequences; see Check.
	Hash string `json:"hash"`
}

// ErrChanged means that a frozen selection is not what was frozen.
var ErrChanged = errors.New("the frozen selection was changed")

// Freeze finds what s means now and keeps it.
func (f *Finder) Freeze(ctx context.Context, s Selection, now time.Time, progress func(looked, all uint64)) (Frozen, error) {
	z := Frozen{Query: s.String(), Stream: s.Stream, Sequences: []uint64{}, TakenAt: now.UTC()}
	for e, err := range f.Find(ctx, s, Options{Order: OldestFirst, Progress: progress}) {
		if err != nil {
			return Frozen{}, err
		}
		z.Sequences = append(z.Sequences, e.Record.Sequence)
	}
	z.Hash = z.sum()
	return z, nil
}

// FrozenOf keeps messages that were named one by one, ascending; query says how, for people.
func FrozenOf(query, stream string, sequences []uint64, now time.Time) Frozen {
	z := Frozen{Query: query, Stream: stream, Sequences: sequences, TakenAt: now.UTC()}
	z.Hash = z.sum()
	return z
}

// Check reports whether the selection is still the one that was frozen.
func (z Frozen) Check() error {
	if z.Hash != z.sum() {
		return fmt.Errorf("%w: its hash is %.12s, of its %d sequences it is %.12s", ErrChanged, z.Hash, len(z.Sequences), z.sum())
	}
	return nil
}

func (z Frozen) sum() string {
	h := sha256.New()
	h.Write([]byte(z.Stream + "\n"))
	for _, seq := range z.Sequences {
		h.Write(append(strconv.AppendUint(nil, seq, 10), '\n'))
	}
	return hex.EncodeToString(h.Sum(nil))
}
