package natsstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// holdingBack are our consumers that keep messages unacknowledged on purpose: a mail until its next attempt, a timer until a
// bank debit has ended. Of them, only what was never delivered is behind; what became of a mail, its ledger tells.
var holdingBack = []string{DurableNotifier, DurableReminders, DurableTimers}

// Behind is how far a durable consumer is behind.
type Behind struct {
	// Waiting are the messages that it has yet to acknowledge, or to be given where it holds back; at least 1 where there is
	// an Oldest.
	Waiting uint64
	// Oldest is the sequence of the first of them, 0 where there is none, and Since when it was stored.
	Oldest uint64
	Since  time.Time
}

// Age is how long the oldest message has waited, 0 when there is none.
func (b Behind) Age(now time.Time) time.Duration {
	if b.Oldest == 0 {
		return 0
	}
	return max(now.Sub(b.Since), 0)
}

// ReadBehind works out of a consumer's state how far it is behind on its stream. What follows the ack floor and is the
// consumer's is not acknowledged, or the floor would be further. The floor decides, and not the numbers of what is pending:
// the server counts a message a moment after it has stored it. Only a consumer that did not begin at the beginning has
// no floor before its first message; without numbers it is not behind.
func ReadBehind(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (Behind, error) {
	b := Behind{Waiting: info.NumPending + uint64(max(info.NumAckPending, 0))}
	from := info.AckFloor.Stream + 1
	if slices.Contains(holdingBack, info.Name) {
		b.Waiting, from = info.NumPending, info.Delivered.Stream+1
	}
	if b.Waiting == 0 && info.Config.DeliverPolicy != jetstream.DeliverAllPolicy {
		return b, nil
	}
	for _, filter := range Filters(info) {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return b, fmt.Errorf("read the oldest message of %s: %w", info.Name, err)
		}
		if b.Oldest == 0 || m.Sequence < b.Oldest {
			b.Oldest, b.Since = m.Sequence, m.Time.UTC()
		}
	}
	if b.Oldest > 0 {
		b.Waiting = max(b.Waiting, 1)
	}
	return b, nil
}

// Filters are the subjects that a consumer takes; > where it takes all.
func Filters(info *jetstream.ConsumerInfo) []string {
	filters := slices.Clone(info.Config.FilterSubjects)
	if info.Config.FilterSubject != "" {
		filters = append(filters, info.Config.FilterSubject)
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	return filters
}
