package redisquote

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Outcomes returns what became of the named messages of a stream; one without an outcome is left out. Many of one block are
// read as cheaply as one.
func (r *Reader) Outcomes(ctx context.Context, stream string, sequences []uint64) (map[uint64]Outcome, error) {
	pipe, keys := r.client.Pipeline(), r.source.Keys()
	type read struct {
		sequences []uint64
		cmd       *redis.SliceCmd
	}
	var reads []read
	for rest := sequences; len(rest) > 0; {
		n, key := 0, keys.Outcomes(stream, rest[0])
		var fields []string
		for n < len(rest) && keys.Outcomes(stream, rest[n]) == key {
			fields = append(fields, strconv.FormatUint(rest[n], 10))
			n++
		}
		reads = append(reads, read{rest[:n], pipe.HMGet(ctx, key, fields...)})
		rest = rest[n:]
	}
	if len(reads) == 0 {
		return map[uint64]Outcome{}, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read outcomes of %s from %d: %w", stream, sequences[0], err)
	}
	found := make(map[uint64]Outcome, len(sequences))
	for _, rd := range reads {
		for i, value := range rd.cmd.Val() {
			text, ok := value.(string)
			if !ok {
				continue
			}
			var o Outcome
			if err := json.Unmarshal([]byte(text), &o); err != nil {
				return nil, fmt.Errorf("decode outcome of %s %d: %w", stream, rd.sequences[i], err)
			}
			found[rd.sequences[i]] = o
		}
	}
	return found, nil
}
