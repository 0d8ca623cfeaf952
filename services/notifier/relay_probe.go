package notifier

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// SubjectRelay is where operators' tools ask whether the relay can be reached: connected to, encrypted, logged in to. No mail
// is sent, and the password stays here.
const SubjectRelay = "op.notifier.relay"

// RelayAnswer tells what came of it; Relay is the address without user and password.
type RelayAnswer struct {
	Relay string `json:"relay"`
	Error string `json:"error,omitempty"`
}

// prober answers requests on SubjectRelay.
type prober struct {
	relay *Relay
	log   *zap.Logger
}

// serve answers until ctx ends, one at a time: the subscription's own goroutine makes the connection.
func (p *prober) serve(ctx context.Context, nc *nats.Conn) error {
	return answerRequests(ctx, nc, p.log, SubjectRelay, func([]byte) any {
		answer := RelayAnswer{Relay: p.relay.String()}
		if c, err := p.relay.dial(ctx); err != nil {
			answer.Error = maskAddresses(err.Error())
		} else {
			c.Quit()
		}
		return answer
	})
}
