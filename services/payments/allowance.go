package payments

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// allowance is how many bytes of messages a stream's batches, and those that wait for one, may hold. It is safe for
// concurrent use.
type allowance struct {
	bytes *semaphore.Weighted
	most  int64
}

func newAllowance(batch int) *allowance {
	most := int64(max(inHand, batch*inHandOfEach))
	return &allowance{semaphore.NewWeighted(most), most}
}

// take waits until there is room for the message. It returns ctx's error if there is none before ctx ends.
func (a *allowance) take(ctx context.Context, m jetstream.Msg) error {
	return a.bytes.Acquire(ctx, a.weight(m))
}

// weight is what a message takes; one that is larger than everything waits until nothing else is held.
func (a *allowance) weight(m jetstream.Msg) int64 { return min(int64(len(m.Data())+beside), a.most) }

// of is what the messages take together.
func (a *allowance) of(messages []jetstream.Msg) int64 {
	var sum int64
	for _, m := range messages {
		sum += a.weight(m)
	}
	return sum
}

func (a *allowance) giveBack(bytes int64) { a.bytes.Release(bytes) }
