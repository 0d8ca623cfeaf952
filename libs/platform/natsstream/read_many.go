package natsstream

import (
	"context"
	"errors"
	"slices"
)

const (
	// scanSpan is how many sequences one Scan of ReadMany spans at most, and sparse how many of them may be read for one that
	// is wanted: a single read costs about as much as that many in a row.
	scanSpan = 1000
	sparse   = 16
)

// ReadMany returns the messages of a stream with these sequences, which ascend. Those that the stream no longer holds are
// left out. Close ones are read together.
func (l *Log) ReadMany(ctx context.Context, stream string, sequences []uint64) ([]Record, error) {
	records := make([]Record, 0, len(sequences))
	for len(sequences) > 0 {
		n := 1
		for n < len(sequences) && sequences[n]-sequences[0] < scanSpan {
			n++
		}
		run := sequences[:n]
		sequences = sequences[n:]
		span := run[n-1] - run[0] + 1
		if span > sparse*uint64(n) {
			for _, sequence := range run {
				r, err := l.ReadSequence(ctx, stream, sequence)
				if errors.Is(err, ErrNotFound) {
					continue
				}
				if err != nil {
					return nil, err
				}
				records = append(records, r)
			}
			continue
		}
		found, err := l.Scan(ctx, stream, run[0], int(span)) //nolint:gosec // at most scanSpan
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if _, wanted := slices.BinarySearch(run, r.Sequence); wanted {
				records = append(records, r)
			}
		}
	}
	return records, nil
}
