package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// deadServer answers operators who want a dead letter of ours tried again or given up.
func (w *worker) deadServer(nc *nats.Conn) *deadletter.Server {
	return &deadletter.Server{
		Service: "payments", Handlers: map[string]deadletter.Handler{natsstream.DurablePayments: w.retryDead},
		NATS: nc, Log: w.logs, Logger: w.log, Now: w.cfg.Now, Version: w.cfg.Version, Timeout: replayTimeout,
	}
}

// retryDead leads a message that was set aside through the steps of a new one. Its outcome replaces the one on record.
func (w *worker) retryDead(ctx context.Context, m natsstream.Record, round int) (string, error) {
	w.gate.RLock()
	defer w.gate.RUnlock()
	it := &item{record: m, attempt: 1, round: round, again: true}
	if err := w.settleOne(ctx, it); err != nil {
		return "", err
	}
	switch {
	case it.err != nil:
		return "", it.err
	case it.out.Outcome == projection.Dead:
		return "", delivery.Permanent(errors.New(it.out.Reason))
	}
	return it.out.Outcome, nil
}

// serveParked answers operators who want a parked message folded again or given up, until ctx ends.
func (w *worker) serveParked(ctx context.Context, nc *nats.Conn) error {
	requests := make(chan *nats.Msg, 64)
	sub, err := nc.ChanQueueSubscribe(natsstream.ParkedSubject, "payments", requests)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", natsstream.ParkedSubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed already
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			answer := w.parkedAnswer(ctx, m.Data)
			encoded, err := json.Marshal(answer)
			if err == nil {
				err = m.Respond(encoded)
			}
			if err != nil {
				w.log.Warn("request about a parked message not answered", zap.Error(err))
			}
		}
	}
}

func (w *worker) parkedAnswer(ctx context.Context, data []byte) natsstream.ParkedAnswer {
	var request natsstream.ParkedRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return natsstream.ParkedAnswer{Error: "request is not JSON: " + err.Error()}
	}
	if request.Who == "" || request.Why == "" {
		return natsstream.ParkedAnswer{Error: "the request does not say who asks, or why"}
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	answer, err := w.release(ctx, request)
	if err != nil {
		return natsstream.ParkedAnswer{Error: err.Error()}
	}
	w.log.Info("request about a parked message", zap.Uint64("seq", request.Sequence), zap.String("event_id", answer.EventID),
		zap.Bool("give_up", request.GiveUp), zap.String("who", request.Who), zap.String("reason", request.Why), zap.String("outcome", answer.Outcome))
	return answer
}

// release folds a parked message again, or gives it up.
func (w *worker) release(ctx context.Context, request natsstream.ParkedRequest) (natsstream.ParkedAnswer, error) {
	w.gate.RLock()
	defer w.gate.RUnlock()
	reader := redisquote.NewReader(w.redis, &w.active)
	before, err := reader.Outcome(ctx, event.StreamStripe, request.Sequence)
	if err != nil {
		return natsstream.ParkedAnswer{}, err
	}
	if before.Outcome != projection.Parked {
		return natsstream.ParkedAnswer{}, fmt.Errorf("STRIPE:%d is not parked, it is %s", request.Sequence, before.Outcome)
	}
	record, err := w.logs.ReadSequence(ctx, event.StreamStripe, request.Sequence)
	if err != nil {
		return natsstream.ParkedAnswer{}, err
	}
	if request.GiveUp {
		err = w.endWait(ctx, record, before, request)
	} else {
		it := &item{record: record, attempt: 1, again: true}
		if err = w.settleOne(ctx, it); err == nil {
			err = it.err
		}
	}
	if err != nil {
		return natsstream.ParkedAnswer{}, err
	}
	after, err := reader.Outcome(ctx, event.StreamStripe, request.Sequence)
	if err != nil {
		return natsstream.ParkedAnswer{}, err
	}
	return natsstream.ParkedAnswer{
		Before: before.Outcome, Outcome: after.Outcome, Reason: after.Reason, Quote: after.Quote, EventID: after.EventID,
	}, nil
}

// endWait gives a parked message up before its time. Money whose link turns up after all is still counted.
func (w *worker) endWait(ctx context.Context, record natsstream.Record, o redisquote.Outcome, request natsstream.ParkedRequest) error {
	subject, ok := event.ParseStripeSubject(record.Subject)
	if !ok {
		return fmt.Errorf("%s is no Stripe event's subject", record.Subject)
	}
	change, err := stripeevent.Decode(record.Data)
	if err != nil {
		return err
	}
	o.Outcome, o.Reason = projection.Ignored, "unlinked: given up by "+request.Who+": "+request.Why
	o.At, o.Handler = w.cfg.Now().UTC(), w.cfg.Version
	pipe, keys := w.redis.Pipeline(), w.active.Keys()
	pipe.HSet(ctx, keys.Outcomes(event.StreamStripe, record.Sequence), strconv.FormatUint(record.Sequence, 10), encodeOutcome(o))
	for _, name := range change.Names {
		giveUp(ctx, pipe, keys.Link(subject.Account, name), record.Sequence)
		pipe.ZRem(ctx, keys.IndexParked(), redisquote.ParkedMember(subject.Account, name, record.Sequence))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("give up STRIPE:%d: %w", record.Sequence, err)
	}
	return nil
}
