package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// delaying are our consumers that hold messages back on purpose: a mail until its next attempt, a timer until a bank debit
// has ended. Of them, only what was never delivered is behind; what became of a mail is Gap's question.
var delaying = []string{natsstream.DurableNotifier, natsstream.DurableReminders, natsstream.DurableTimers}

// Lag is what Run looks for: durable consumers that are behind.
type Lag struct {
	Log *natsstream.Log
	Now time.Time
	// Age judges how long the oldest message has waited; Messages and CriticalMessages how many wait, 0 for no limit.
	Age                        Limits
	Messages, CriticalMessages uint64
}

// Behind is one durable consumer.
type Behind struct {
	Stream, Consumer string
	// Waiting are the messages that count as behind, Oldest the sequence of the first of them, 0 where there is none.
	Waiting uint64
	Oldest  uint64
	Age     time.Duration
}

// Run looks at every durable consumer, other teams' included.
func (l Lag) Run(ctx context.Context) (*Verdict, error) {
	v := newVerdict("lag")
	for _, name := range []string{event.StreamStripe, event.StreamQuotes, event.StreamTimers} {
		stream, err := l.Log.JetStream().Stream(ctx, name)
		if err != nil {
			return nil, advice.New("quotectl declare", "look up stream %s: %w", name, err)
		}
		list := stream.ListConsumers(ctx)
		for info := range list.Info() {
			if info.Config.Durable == "" {
				continue
			}
			b, err := l.behind(ctx, stream, info)
			if err != nil {
				return nil, err
			}
			l.judge(v, b, info.Paused)
		}
		if err := list.Err(); err != nil {
			return nil, fmt.Errorf("list consumers of %s: %w", name, err)
		}
	}
	return v.close(fmt.Sprintf("no consumer is behind (%d looked at)", len(v.Measures)/2)), nil
}

func (l Lag) judge(v *Verdict, b Behind, paused bool) {
	v.Measures = append(v.Measures,
		Measure{Name: b.Stream + "_" + b.Consumer, Value: float64(b.Waiting), Warn: float64(l.Messages), Critical: float64(l.CriticalMessages)},
		l.Age.seconds(b.Stream+"_"+b.Consumer+"_age", b.Age))
	level := l.Age.Level(b.Age)
	switch {
	case l.CriticalMessages > 0 && b.Waiting >= l.CriticalMessages:
		level = Critical
	case l.Messages > 0 && b.Waiting >= l.Messages:
		level = Worst(level, Warning)
	}
	why := ""
	if paused {
		why = "; it is paused"
	}
	if level != OK {
		v.find(level, fmt.Sprintf("quotectl explain %s:%d", b.Stream, b.Oldest), "%s is behind on %s by %d messages, the oldest %s%s",
			b.Consumer, b.Stream, b.Waiting, wait(b.Age), why)
	}
}

// behind reads how far a consumer is behind. What follows the ack floor and is the consumer's is not acknowledged, or the
// floor would be further.
func (l Lag) behind(ctx context.Context, stream jetstream.Stream, info *jetstream.ConsumerInfo) (Behind, error) {
	b := Behind{Stream: info.Stream, Consumer: info.Name, Waiting: info.NumPending + uint64(max(info.NumAckPending, 0))}
	from := info.AckFloor.Stream + 1
	if slices.Contains(delaying, info.Name) {
		b.Waiting, from = info.NumPending, info.Delivered.Stream+1
	}
	if b.Waiting == 0 {
		return b, nil
	}
	filters := slices.Clone(info.Config.FilterSubjects)
	if info.Config.FilterSubject != "" {
		filters = append(filters, info.Config.FilterSubject)
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	for _, filter := range filters {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return b, fmt.Errorf("read the oldest message of %s: %w", info.Name, err)
		}
		if b.Oldest == 0 || m.Sequence < b.Oldest {
			b.Oldest, b.Age = m.Sequence, max(l.Now.Sub(m.Time), 0)
		}
	}
	return b, nil
}
