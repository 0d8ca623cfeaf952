package natsstream

import (
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// togetherFrom is how many facts go into one atomic batch at the least: a batch costs some four syncs of its own, and
	// files that are made and removed.
	togetherFrom = 16
	// togetherMost is the server's bound (nats-server 2.15.2 takes 1,000 messages), with room.
	togetherMost = 512

	// codeBatchesOff: the stream was declared before it allowed batches, or a server that has none took the declaration.
	codeBatchesOff jetstream.ErrorCode = 10174
)

// together stores facts by atomic batches, for a server that syncs each message by itself and a batch as one. It only makes it
// faster: whatever goes wrong with a batch, its facts are published one by one, and what it had stored all the same is found
// taken then.
type together struct{ off atomic.Bool }

// facts returns the answers of the messages that a batch has stored; nil where it has not, or nobody knows.
func (t *together) facts(ctx context.Context, js jetstream.JetStream, messages []Message) []Result {
	if t == nil || len(messages) < togetherFrom || t.off.Load() {
		return nil
	}
	msgs := make([]*nats.Msg, len(messages))
	for i, m := range messages {
		msgs[i] = m.fact()
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, msgs)
	if err != nil {
		if code, _ := apiError(err); code == codeBatchesOff {
			t.off.Store(true)
		}
		return nil
	}
	results := make([]Result, len(messages))
	first := ack.Sequence - uint64(len(messages)) + 1
	for i := range results {
		results[i].Stored = Stored{Stream: ack.Stream, Sequence: first + uint64(i)}
	}
	return results
}
