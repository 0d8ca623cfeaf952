package natsstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
)

// GenerationKey is the key in SYSTEM that holds the Generation. Only payments writes it.
const GenerationKey = "redis.generation"

// Generation says which generation of Redis keys is read and which one is written. They differ for the moment in which a
// rebuild hands over: then what is written is complete up to what is being folded right now, and what is read is not
// written any more.
type Generation struct {
	Read  string `json:"read"`
	Write string `json:"write"`
	// Previous is the one that was read before Read; its keys are being removed, or gone.
	Previous string    `json:"previous,omitempty"`
	At       time.Time `json:"at,omitzero"`
	// Revision is the key's in the bucket, 0 while it does not exist.
	Revision uint64 `json:"-"`
}

func firstGeneration() Generation {
	return Generation{Read: event.FirstGeneration, Write: event.FirstGeneration}
}

// NextGeneration names a generation that was never used: one more than the greatest of g.
func (g Generation) NextGeneration() string {
	greatest := 0
	for _, name := range []string{g.Read, g.Write, g.Previous} {
		if n, ok := GenerationNumber(name); ok {
			greatest = max(greatest, n)
		}
	}
	return "g" + strconv.Itoa(greatest+1)
}

// GenerationNumber is n of "g<n>"; false for everything else.
func GenerationNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "g")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && strconv.Itoa(n) == digits
}

// generationTimeout bounds one look: a user without the right to it is never answered.
const generationTimeout = 5 * time.Second

const (
	systemStream      = "KV_" + event.BucketSystem
	generationSubject = "$KV." + event.BucketSystem + "." + GenerationKey
)

// Generation reads which generation of Redis keys is in use, by a direct get. On a replicated bucket the answer may lag
// behind the newest write.
func (l *Log) Generation(ctx context.Context) (Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, generationTimeout)
	defer cancel()
	r, err := l.Read(ctx, systemStream, generationSubject)
	if errors.Is(err, ErrNotFound) {
		return firstGeneration(), nil
	}
	if err != nil {
		return Generation{}, err
	}
	return decodeGeneration(r.Data, r.Sequence)
}

// LatestGeneration is Generation without the lag: the bucket's leader answers. Who is about to acknowledge what was written
// into a generation asks this.
func (l *Log) LatestGeneration(ctx context.Context) (Generation, error) {
	r, err := l.atLeader(ctx, systemStream, map[string]any{"last_by_subj": generationSubject})
	if errors.Is(err, ErrNotFound) {
		return firstGeneration(), nil
	}
	if err != nil {
		return Generation{}, fmt.Errorf("read generation: %w", err)
	}
	return decodeGeneration(r.Data, r.Sequence)
}

func decodeGeneration(data []byte, revision uint64) (Generation, error) {
	var g Generation
	if err := json.Unmarshal(data, &g); err != nil {
		return Generation{}, fmt.Errorf("decode generation: %w", err)
	}
	for _, name := range []string{g.Read, g.Write} {
		if _, ok := GenerationNumber(name); !ok {
			return Generation{}, fmt.Errorf("decode generation: %q is none", name)
		}
	}
	g.Revision = revision
	return g, nil
}

// FollowGeneration tells changed of the generation at once and then of each change, which it looks for every so often,
// until ctx ends. While NATS is away the last one stands. It looks instead of watching, because a watch needs the right to
// create consumers.
func (l *Log) FollowGeneration(ctx context.Context, every time.Duration, changed func(Generation)) {
	first, last := true, uint64(0)
	for {
		g, err := l.Generation(ctx)
		if err == nil && (first || g.Revision > last) {
			first, last = false, g.Revision
			changed(g)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}
