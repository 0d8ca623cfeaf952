package natstest

import (
	"context"
	"errors"
	"fmt"

	"quittance.internal/libs/platform/natsstream"
)

// Consumer names a durable consumer.
type Consumer struct{ Stream, Durable string }

// Settled returns nil when the consumers have acknowledged all that is stored for them, and else what is left. They are asked in
// this order: one whose work is stored in another's stream goes before that one.
//
// That nothing is pending does not tell it: the server may not have counted yet what was stored a moment ago. So the last message
// must be acknowledged too.
func Settled(ctx context.Context, log *natsstream.Log, consumers ...Consumer) error {
	for _, c := range consumers {
		consumer, err := log.JetStream().Consumer(ctx, c.Stream, c.Durable)
		if err != nil {
			return fmt.Errorf("look at %s of %s: %w", c.Durable, c.Stream, err)
		}
		info := consumer.CachedInfo()
		if info.NumPending > 0 || info.NumAckPending > 0 {
			return fmt.Errorf("%s of %s: %d pending, %d not acknowledged", c.Durable, c.Stream, info.NumPending, info.NumAckPending)
		}
		filter := info.Config.FilterSubject
		if filter == "" {
			filter = ">"
		}
		last, err := log.Read(ctx, c.Stream, filter)
		if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
			return err
		}
		if info.AckFloor.Stream < last.Sequence {
			return fmt.Errorf("%s of %s: acknowledged up to %d, the last message is %d", c.Durable, c.Stream, info.AckFloor.Stream, last.Sequence)
		}
	}
	return nil
}
