package natsstream

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// togetherFrom is how many facts go into one atomic batch at the least: a batch costs some four syncs of its own, and
	// files that are made and removed.
	togetherFrom = 16
	// togetherMost is the server's bound (nats-server 2.15.2 takes 1,000 messages), with room.
	togetherMost = 512
)

// factsTogether stores facts by one atomic batch, for a server that syncs each message by itself and a batch as one. It only
// makes it faster: whatever goes wrong with a batch, its facts are published one by one, and what it had stored all the same
// is found taken then. It returns the answers of the messages that a batch has stored; nil where it has not, or nobody knows.
//
// A stream that allows no batches says so to the first message, at once and each time: nothing is remembered of it.
func (l *Log) factsTogether(ctx context.Context, messages []Message) []Result {
	// The first message's answer is waited for whatever ctx says; with no time left that would be in vain.
	if !l.together || len(messages) < togetherFrom || ctx.Err() != nil {
		return nil
	}
	msgs := make([]*nats.Msg, len(messages))
	for i, m := range messages {
		msgs[i] = m.fact()
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, l.js, msgs)
	if err != nil {
		return nil
	}
	results := make([]Result, len(messages))
	first := ack.Sequence - uint64(len(messages)) + 1
	for i := range results {
		results[i].Stored = Stored{Stream: ack.Stream, Sequence: first + uint64(i)}
	}
	return results
}
