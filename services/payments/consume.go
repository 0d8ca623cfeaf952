package payments

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// reopenWait is how long consume waits before it looks for a missing consumer again.
	reopenWait = time.Second
	// retryCap bounds the wait between two tries of a batch while a server is away.
	retryCap = 2 * time.Second
	// heartbeat is how often JetStream is told that a batch is still worked on; a third of the ack wait.
	heartbeat = natsstream.AckWait / 3
	// drainTimeout is how long a batch in hand may take after the worker was told to stop.
	drainTimeout = 15 * time.Second
	// giveBackTimeout is how long a worker that stops waits for what NATS had sent it.
	giveBackTimeout = 2 * time.Second
	// pulledBytes is how much NATS sends ahead of what is in hand, of each stream.
	pulledBytes = 4 << 20
	// inHand and inHandOfEach bound what is in hand of each stream, from the queue to the answer, by the larger of the two: a batch of
	// usual events, some 4 KB each, in each of the three steps and a fourth that waits. Larger events make smaller batches. By
	// number alone a backlog of events as large as ingress takes would need gigabytes.
	inHand, inHandOfEach = 16 << 20, 16 << 10
	// beside is what a message takes beside its body: headers, and what hangs on it.
	beside = 1 << 10
)

// consume works on a stream until ctx ends. A consumer that is missing or lost is waited for: that is an operator's
// mistake to repair, and nothing is lost meanwhile.
func (w *worker) consume(ctx context.Context, stream string) error {
	for ctx.Err() == nil {
		if err := w.consumeOnce(ctx, stream); err != nil {
			w.log.Error("consumer lost, looking for it again", zap.String("stream", stream), zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(reopenWait):
		}
	}
	return nil
}

func (w *worker) consumeOnce(ctx context.Context, stream string) error {
	consumer, err := w.logs.JetStream().Consumer(ctx, stream, natsstream.DurablePayments)
	if err != nil {
		return fmt.Errorf("open consumer %s of %s (declare it with: quotectl declare): %w", natsstream.DurablePayments, stream, err)
	}
	messages := make(chan jetstream.Msg, 2*w.cfg.Batch)
	held := newAllowance(w.cfg.Batch)
	taking, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	take := func(m jetstream.Msg) {
		if held.take(taking, m) != nil {
			_ = m.Nak()
			return
		}
		select {
		case messages <- m:
		case <-taking.Done():
			_ = m.Nak()
		}
	}
	lost := make(chan error, 1)
	subscription, err := consumer.Consume(take, jetstream.PullMaxBytes(pulledBytes),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) {
				select {
				case lost <- err:
				default:
				}
			}
		}))
	if err != nil {
		return fmt.Errorf("consume %s: %w", stream, err)
	}
	line := w.newAssembly(ctx, held)
	defer line.finish()
	defer giveBack(subscription, messages)
	defer stopTaking()
	lag := time.NewTicker(5 * time.Second)
	defer lag.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return fmt.Errorf("consume %s: %w", stream, err)
		case <-subscription.Closed():
			return fmt.Errorf("consume %s: subscription closed", stream)
		case <-lag.C:
			w.reportLag(ctx, consumer, stream)
		case first := <-messages:
			line.take(collect(first, messages, w.cfg.Batch))
		}
	}
}

// giveBack ends a subscription and hands back what it was given and no batch holds, so that another instance has it at once:
// at an upgrade a payment would else be shown only after AckWait.
func giveBack(subscription jetstream.ConsumeContext, held <-chan jetstream.Msg) {
	subscription.Drain()
	patience := time.NewTimer(giveBackTimeout)
	defer patience.Stop()
	for {
		select {
		case m := <-held:
			_ = m.Nak() // what is lost comes again after AckWait
		case <-subscription.Closed():
			for len(held) > 0 {
				_ = (<-held).Nak()
			}
			return
		case <-patience.C: // NATS is away
			return
		}
	}
}

// collect takes what already waits, up to limit: a batch forms from a backlog, never by waiting for it.
func collect(first jetstream.Msg, more <-chan jetstream.Msg, limit int) []jetstream.Msg {
	batch := []jetstream.Msg{first}
	for len(batch) < limit {
		select {
		case m := <-more:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

func (w *worker) reportLag(ctx context.Context, consumer jetstream.Consumer, stream string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := consumer.Info(ctx)
	if err != nil {
		return // the connection's own handler tells why
	}
	w.metrics.lag.WithLabelValues(stream).Set(float64(info.NumPending) + float64(info.NumAckPending))
}

// assembly works on the batches of one stream in three steps that overlap: while one batch waits for the log, the next one
// is applied and a third one decoded. Each step takes the batches in turn, so that a batch loads what the one before it has
// committed, and offers only what that one has not published.
type assembly struct {
	w       *worker
	held    *allowance      // given back when a batch is answered
	ctx     context.Context //nolint:containedctx // of the one call of consumeOnce that the assembly lives in
	decoded chan *attempt
	applied chan *attempt
	steps   sync.WaitGroup
}

// attempt is a batch on its way; err is why it has to be tried again.
type attempt struct {
	batch *batch
	held  int64 // see allowance
	err   error
}

func (w *worker) newAssembly(ctx context.Context, held *allowance) *assembly {
	a := &assembly{w: w, held: held, ctx: ctx, decoded: make(chan *attempt), applied: make(chan *attempt)}
	a.steps.Go(func() {
		defer close(a.applied)
		for at := range a.decoded {
			w.gate.RLock() // until the batch is concluded
			at.err = w.within(ctx, at.batch.apply)
			a.applied <- at
		}
	})
	a.steps.Go(func() {
		for at := range a.applied {
			w.conclude(ctx, at)
			w.gate.RUnlock()
			a.held.giveBack(at.held)
		}
	})
	return a
}

// take decodes a batch and hands it on.
func (a *assembly) take(messages []jetstream.Msg) {
	a.decoded <- &attempt{batch: a.w.decoded(messages), held: a.held.of(messages)}
}

// decoded makes a batch of messages and decodes it.
func (w *worker) decoded(messages []jetstream.Msg) *batch {
	items := make([]*item, 0, len(messages))
	room := make([]item, len(messages))
	for i, m := range messages {
		it, err := newItem(m)
		if err != nil {
			w.log.Error("message without metadata", zap.String("subject", m.Subject()), zap.Error(err))
			continue
		}
		room[i] = it
		items = append(items, &room[i])
	}
	b := w.newBatch(items)
	b.decode()
	return b
}

// finish waits until every batch in hand is answered.
func (a *assembly) finish() {
	close(a.decoded)
	a.steps.Wait()
}

// conclude brings a batch to its end and answers JetStream for each message. While NATS or Redis is away the batch is tried
// again for ever, and JetStream is kept from delivering it again; trouble of a single quote delays that quote's messages only.
func (w *worker) conclude(ctx context.Context, at *attempt) {
	items := at.batch.items
	err := at.err
	if err == nil {
		err = w.finish(ctx, at)
	}
	told := w.cfg.Now()
	for n := uint64(1); err != nil; n++ {
		if errors.Is(err, errSwitched) {
			w.log.Info("batch goes over to another generation", zap.Int("messages", len(items)))
			err = w.finish(ctx, at)
			continue
		}
		w.metrics.stalls.Inc()
		w.log.Warn("batch waits for a server", zap.Int("messages", len(items)), zap.Uint64("attempt", n), zap.Error(err))
		if w.cfg.Now().Sub(told) > heartbeat {
			told = w.cfg.Now()
			for _, it := range items {
				_ = it.msg.InProgress() // lost while NATS is away: the messages then come again, which is harmless
			}
		}
		select {
		case <-ctx.Done():
			for _, it := range items {
				_ = it.msg.Nak()
			}
			return
		case <-time.After(min(delivery.Backoff(n), retryCap)):
		}
		err = w.finish(ctx, at)
	}
}

// finish tries once to bring a batch to its end: to conclude it, or to do all of it again after an earlier try has failed.
// Then, and only then, it answers JetStream for each message.
func (w *worker) finish(ctx context.Context, at *attempt) error {
	items, step := at.batch.items, at.batch.conclude
	if at.err != nil {
		step = func(ctx context.Context) error { return w.settleAgain(ctx, items) }
	}
	if at.err = w.within(ctx, step); at.err != nil {
		return at.err
	}
	for _, it := range items {
		w.answer(it)
	}
	fault.Hit("payments.after-ack")
	return nil
}

// settleAgain is settle for messages that an earlier try has worked on.
func (w *worker) settleAgain(ctx context.Context, items []*item) error {
	for _, it := range items {
		it.reset()
	}
	return w.settle(ctx, items)
}

// within runs a step of a batch. A batch in hand is finished even when the worker was told to stop meanwhile.
func (w *worker) within(ctx context.Context, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return step(ctx)
}

// answer acknowledges a message whose outcome is recorded, and asks for another delivery of one that failed.
func (w *worker) answer(it *item) {
	var err error
	if it.err != nil {
		after := delivery.Backoff(it.attempt)
		w.log.Warn("message delayed", zap.Inline(it), zap.Duration("retry_after", after), zap.Error(it.err))
		err = it.msg.NakWithDelay(after)
	} else if it.out.Outcome == projection.Dead {
		err = it.msg.TermWithReason(it.out.Reason)
	} else {
		err = it.msg.Ack()
	}
	if err != nil {
		w.log.Warn("message not answered, it will come again", zap.Inline(it), zap.Error(err))
	}
}
