package notifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// answerRequests answers operators' tools on a subject until ctx ends, one request at a time; the one in hand then gets its
// answer first. One notifier of all answers a request. answer must return what can be written as JSON.
func answerRequests(ctx context.Context, nc *nats.Conn, log *zap.Logger, subject string, answer func(body []byte) any) error {
	var one sync.Mutex
	sub, err := nc.QueueSubscribe(subject, "notifier", func(msg *nats.Msg) {
		one.Lock()
		defer one.Unlock()
		body, err := json.Marshal(answer(msg.Data))
		if err == nil {
			err = msg.Respond(body)
		}
		if err != nil {
			log.Warn("request not answered", zap.String("subject", subject), zap.Error(err))
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	<-ctx.Done()
	err = sub.Unsubscribe()
	one.Lock() // wait for the request in hand
	defer one.Unlock()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("unsubscribe from %s: %w", subject, err)
	}
	return nil
}
