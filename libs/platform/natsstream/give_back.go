package natsstream

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// giveBackTimeout is how long GiveBack waits for what NATS had sent.
const giveBackTimeout = 2 * time.Second

// GiveBack ends a subscription and hands back what it was given and nobody took, so that another instance has it at once and
// not after AckWait. Whoever stops taking calls it, from the goroutine that took. What gets lost comes again after AckWait.
func GiveBack(messages jetstream.MessagesContext) {
	messages.Drain()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(giveBackTimeout))
		if err != nil {
			return
		}
		_ = m.Nak()
	}
}
