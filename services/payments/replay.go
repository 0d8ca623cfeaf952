package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// ReplaySubject is where an operator asks the worker to work on a stored message once more.
const ReplaySubject = natsstream.ReplaySubject

const replayTimeout = 20 * time.Second

// serveReplay answers replay requests until ctx ends. A replay leads the stored message through exactly the steps of a
// new one, so it changes nothing that is already true.
func (w *worker) serveReplay(ctx context.Context, nc *nats.Conn) error {
	requests := make(chan *nats.Msg, 64)
	sub, err := nc.ChanQueueSubscribe(ReplaySubject, "payments", requests)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", ReplaySubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed already
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			answer := w.replay(ctx, m.Data)
			encoded, err := json.Marshal(answer)
			if err == nil {
				err = m.Respond(encoded)
			}
			if err != nil {
				w.log.Warn("replay not answered", zap.Error(err))
			}
		}
	}
}

func (w *worker) replay(ctx context.Context, data []byte) natsstream.ReplayAnswer {
	var request natsstream.ReplayRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return natsstream.ReplayAnswer{Error: "request is not JSON: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	one := w.replayOne
	if request.Sequence == 0 && len(request.Sequences) > 0 {
		one = w.replayMany
	}
	answer, err := one(ctx, request)
	if err != nil {
		return natsstream.ReplayAnswer{Error: err.Error()}
	}
	return answer
}

func (w *worker) replayOne(ctx context.Context, request natsstream.ReplayRequest) (natsstream.ReplayAnswer, error) {
	if err := foldable(request.Stream); err != nil {
		return natsstream.ReplayAnswer{}, err
	}
	record, err := w.logs.ReadSequence(ctx, request.Stream, request.Sequence)
	if err != nil {
		return natsstream.ReplayAnswer{}, err
	}
	w.gate.RLock()
	defer w.gate.RUnlock()
	it := &item{record: record, attempt: 1}
	if err := w.settleOne(ctx, it); err != nil {
		return natsstream.ReplayAnswer{}, err
	}
	if it.err != nil {
		return natsstream.ReplayAnswer{}, it.err
	}
	reader := redisquote.NewReader(w.redis, &w.active)
	first, err := reader.Outcome(ctx, record.Stream, record.Sequence)
	if err != nil && !errors.Is(err, redisquote.ErrNotFound) {
		return natsstream.ReplayAnswer{}, err
	}
	return natsstream.ReplayAnswer{
		Outcome: it.out.Outcome, Reason: it.out.Reason, Recorded: first.Outcome, EventID: it.out.EventID, Account: it.out.Account,
		Quote: it.out.Quote, Before: it.out.Before, After: it.out.After, Changed: it.out.Outcome == projection.Applied && record.Stream == event.StreamStripe,
	}, nil
}

// settleOne leads one message through all steps, also when a rebuild goes over to another generation meanwhile.
func (w *worker) settleOne(ctx context.Context, it *item) error {
	err := w.settle(ctx, []*item{it})
	if errors.Is(err, errSwitched) {
		err = w.settleAgain(ctx, []*item{it})
	}
	return err
}

func foldable(stream string) error {
	if stream != event.StreamStripe && stream != event.StreamQuotes {
		return fmt.Errorf("stream %q is neither %s nor %s", stream, event.StreamStripe, event.StreamQuotes)
	}
	return nil
}

// replayMany is replayOne for several messages, as one batch.
func (w *worker) replayMany(ctx context.Context, request natsstream.ReplayRequest) (natsstream.ReplayAnswer, error) {
	if err := foldable(request.Stream); err != nil {
		return natsstream.ReplayAnswer{}, err
	}
	if len(request.Sequences) > natsstream.MaxReplay || !slices.IsSorted(request.Sequences) {
		return natsstream.ReplayAnswer{}, fmt.Errorf("%d sequences, want at most %d, ascending", len(request.Sequences), natsstream.MaxReplay)
	}
	records, err := w.logs.ReadMany(ctx, request.Stream, request.Sequences)
	if err != nil {
		return natsstream.ReplayAnswer{}, err
	}
	items := make([]*item, len(records))
	for i, r := range records {
		items[i] = &item{record: r, attempt: 1}
	}
	w.gate.RLock()
	defer w.gate.RUnlock()
	answer := natsstream.ReplayAnswer{Outcomes: map[string]int{}, Gone: len(request.Sequences) - len(records)}
	for again := true; again; {
		b := w.newBatch(items)
		err := b.settle(ctx)
		answer.Stored = append(answer.Stored, b.stored...)
		again = errors.Is(err, errSwitched)
		if err != nil && !again {
			return natsstream.ReplayAnswer{}, err
		}
		for _, it := range items {
			if again {
				it.reset()
			} else if it.err != nil {
				answer.Failed = append(answer.Failed, natsstream.ReplayFailure{Sequence: it.record.Sequence, Error: it.err.Error()})
			} else {
				answer.Outcomes[it.out.Outcome]++
			}
		}
	}
	return answer, nil
}
