package quotes

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

// stored is what a chore reads of a message.
type stored interface {
	Subject() string
	Data() []byte
}

// setAside is a message out of its dead letter.
type setAside struct{ record natsstream.Record }

func (m setAside) Subject() string { return m.record.Subject }

func (m setAside) Data() []byte { return m.record.Data }

// deadServer answers operators who want a dead letter of a chore tried again or
// given up.
func (s *Service) deadServer() *deadletter.Server {
	handlers := map[string]deadletter.Handler{}
	for _, c := range s.chores {
		handlers[c.durable] = func(ctx context.Context, m natsstream.Record, _ int) (string, error) {
			return guarded(ctx, c, setAside{m}, panicsBeforeDead)
		}
	}
	return &deadletter.Server{
		Service: "quotes", Handlers: handlers, NATS: s.nc, Log: s.stream, Logger: s.log, Now: s.cfg.Now, Version: "quotes", Timeout: choreTimeout,
	}
}

// choreTimeout bounds the work on one message; it is below the ack wait.
const choreTimeout = 25 * time.Second

// chore is work that messages of a durable consumer ask for, beside the calls of
// people. Any number of instances share it.
type chore struct {
	name            string // of the metric and the log line
	stream, durable string
	// workers is how many messages are in hand at a time.
	workers int
	// trouble is the wait after a failure.
	trouble delivery.Curve
	// do must be safe to repeat: the message is acknowledged after it. The answer
	// is a word for log and metrics. A permanent error sets the message aside, a
	// quote.EarlyError waits for its time, any other is tried again for ever.
	do func(ctx context.Context, msg stored) (string, error)

	consumer jetstream.Consumer // of durable
}

// openChores looks the consumers of the chores up.
func (s *Service) openChores(ctx context.Context) error {
	s.chores = []chore{s.planning(), s.timers()}
	if s.stripe != nil {
		s.chores = append(s.chores, s.customers())
	}
	for i := range s.chores {
		c := &s.chores[i]
		var err error
		if c.consumer, err = s.stream.JetStream().Consumer(ctx, c.stream, c.durable); err != nil {
			return fmt.Errorf("look up consumer %s on %s (declare it with: quotectl declare): %w", c.durable, c.stream, err)
		}
	}
	return nil
}

// runChore works until ctx ends; messages in hand are finished, within choreTimeout.
func (s *Service) runChore(ctx context.Context, c chore) error {
	group, ctx := errgroup.WithContext(ctx)
	for range c.workers {
		group.Go(func() error { return s.work(ctx, c) })
	}
	return group.Wait()
}

func (s *Service) work(ctx context.Context, c chore) error {
	messages, err := c.consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(15*time.Second), jetstream.PullHeartbeat(3*time.Second))
	if err != nil {
		return fmt.Errorf("take from consumer %s: %w", c.durable, err)
	}
	defer natsstream.GiveBack(messages)
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			s.handle(context.WithoutCancel(ctx), c, msg) // the one in hand is finished, within choreTimeout
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			s.log.Warn("consumer is silent", zap.String("consumer", c.durable), zap.Error(err))
		default:
			return fmt.Errorf("take from consumer %s: %w", c.durable, err)
		}
	}
}

// handle carries one delivery out, answers it and logs it in one line.
func (s *Service) handle(ctx context.Context, c chore, msg jetstream.Msg) {
	ctx, cancel := context.WithTimeout(ctx, choreTimeout)
	defer cancel()
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error("message without JetStream metadata", zap.String("subject", msg.Subject()), zap.Error(err))
		return
	}
	result, err := guarded(ctx, c, msg, meta.NumDelivered)
	answer := s.dispose(c, err, meta.NumDelivered)
	if dead, ok := answer.(delivery.Dead); ok {
		result = "dead"
		if asideErr := s.stream.SetAside(ctx, natsstream.DeadLetter{
			Consumer: c.durable, Reason: dead.Reason, Attempts: meta.NumDelivered, Handler: "quotes",
			Record: natsstream.Record{
				Stream: meta.Stream, Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Header: msg.Headers(), Data: msg.Data(),
			},
		}); asideErr != nil {
			answer, err = delivery.Retry{After: c.trouble.After(meta.NumDelivered)}, errors.Join(err, asideErr)
		}
	}
	if _, ok := answer.(delivery.Retry); ok {
		result = "retry"
	}
	answerErr := tell(msg, answer)
	s.metrics.command(c.name, result)
	fields := []zap.Field{
		zap.String("chore", c.name), zap.String("subject", msg.Subject()), zap.Uint64("seq", meta.Sequence.Stream), zap.Uint64("attempt", meta.NumDelivered),
		zap.String("result", result), zap.NamedError("answer_error", answerErr), zap.Error(err),
	}
	switch {
	case waits(err):
		s.log.Info("chore waits", fields...)
	case err != nil:
		s.log.Warn("chore not done", fields...)
	default:
		s.log.Info("chore done", fields...)
	}
}

// panicsBeforeDead is how often a message may panic before it is set aside.
const panicsBeforeDead = 3

// guarded turns a panic into an error, so that one message holds up no other.
func guarded(ctx context.Context, c chore, msg stored, n uint64) (result string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v\n%s", c.name, p, debug.Stack())
			if n >= panicsBeforeDead {
				err = delivery.Permanent(err)
			}
		}
	}()
	return c.do(ctx, msg)
}

// waits reports whether the message has come before its time, or before a payment
// in flight has ended: no trouble, and it must come again.
func waits(err error) bool {
	_, early := quote.Early(err)
	_, refused := errors.AsType[*quote.Refusal](err)
	return early || refused
}

// dispose decides what becomes of a delivery. What is early comes again when it
// is time, and before that at the pace of trouble: our clock or the server's may
// be set right meanwhile.
func (s *Service) dispose(c chore, err error, n uint64) delivery.Disposition {
	if due, early := quote.Early(err); early {
		return delivery.Retry{After: min(due.Sub(s.cfg.Now()), c.trouble.After(n))}
	}
	return delivery.Of(err, n, c.trouble)
}

// tell gives JetStream the answer. One that gets lost means another delivery.
func tell(msg jetstream.Msg, answer delivery.Disposition) error {
	switch a := answer.(type) {
	case delivery.Ack:
		return msg.Ack()
	case delivery.Dead:
		return msg.TermWithReason("set aside in " + event.StreamDead)
	case delivery.Retry:
		return msg.NakWithDelay(max(a.After, time.Millisecond))
	default:
		return fmt.Errorf("answer message: unknown disposition %v", answer)
	}
}
