package check

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// Lag is what Run looks for: durable consumers that are behind.
type Lag struct {
	Log *natsstream.Log
	Now time.Time
	// Age judges how long the oldest message has waited; Messages and CriticalMessages how many wait, 0 for no limit.
	Age                        Limits
	Messages, CriticalMessages uint64
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
			b, err := natsstream.ReadBehind(ctx, stream, info)
			if err != nil {
				return nil, err
			}
			l.judge(v, info, b)
		}
		if err := list.Err(); err != nil {
			return nil, fmt.Errorf("list consumers of %s: %w", name, err)
		}
	}
	return v.close(fmt.Sprintf("no consumer is behind (%d looked at)", len(v.Measures)/2)), nil
}

func (l Lag) judge(v *Verdict, info *jetstream.ConsumerInfo, b natsstream.Behind) {
	name, age := info.Stream+"_"+info.Name, b.Age(l.Now)
	v.Measures = append(v.Measures,
		Measure{Name: name, Value: float64(b.Waiting), Warn: float64(l.Messages), Critical: float64(l.CriticalMessages)},
		l.Age.seconds(name+"_age", age))
	level := l.Age.Level(age)
	switch {
	case l.CriticalMessages > 0 && b.Waiting >= l.CriticalMessages:
		level = Critical
	case l.Messages > 0 && b.Waiting >= l.Messages:
		level = Worst(level, Warning)
	}
	why := ""
	if info.Paused {
		why = "; it is paused"
	}
	if level != OK {
		v.find(level, fmt.Sprintf("quotectl explain %s:%d", info.Stream, b.Oldest), "%s is behind on %s by %d messages, the oldest %s%s",
			info.Name, info.Stream, b.Waiting, wait(age), why)
	}
}
