package notifier

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// drainFor is how long mails in hand may go on after the service was told to stop; then they are cut off, and what
	// became of them is written within finalWrite: 20 s together.
	drainFor = 12 * time.Second
	// panicsBeforeDead is how often a message may panic before it is set aside.
	panicsBeforeDead = 3
	// A pull request asks for one message and is renewed after pullExpiry. A server that lost it (restart, new leader,
	// reset of the durable) is found out by two missing heartbeats; by the library's defaults that would take 30 s.
	pullExpiry    = 15 * time.Second
	pullHeartbeat = 3 * time.Second
	// lagEvery is how often the consumer's backlog is read.
	lagEvery = 5 * time.Second
)

// trouble is the wait after failures of NATS or SMTP: at first short, so that a restart is hardly noticed.
var trouble = delivery.Curve{First: 500 * time.Millisecond, Cap: time.Minute}

// errPanicked marks a handler that panicked.
var errPanicked = errors.New("handler panicked")

// consumer takes one kind of event from its durable and hands each message to the sender. Some mails at a time are in hand, one
// per goroutine and nothing read ahead, so that a slow mail holds up no other and no message waits unseen for its turn.
type consumer struct {
	name    string // of the durable
	kind    string
	durable jetstream.Consumer
	lag     backlog
	ackWait time.Duration
	workers int
	dead    deadLetters
	sender  *sender
	metrics *metrics
	log     *zap.Logger
	now     func() time.Time
	version string
}

// on returns the consumer of a durable, otherwise like c.
func (c consumer) on(ctx context.Context, js jetstream.JetStream, durable, kind string, workers int, lag backlog) (*consumer, error) {
	var err error
	if c.durable, err = js.Consumer(ctx, event.StreamQuotes, durable); err != nil {
		return nil, fmt.Errorf("look up consumer %s (declare it with: quotectl declare): %w", durable, err)
	}
	c.name, c.kind, c.workers, c.lag = durable, kind, workers, lag
	c.ackWait = c.durable.CachedInfo().Config.AckWait
	return &c, nil
}

// deadLetters is where messages go that no further delivery can help.
type deadLetters interface {
	SetAside(ctx context.Context, d natsstream.DeadLetter) error
}

// run works until ctx ends and the mails in hand are done or cut off. An error means that the durable is gone.
func (c *consumer) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	hand, release := outlive(ctx)
	defer release()
	for range c.workers {
		group.Go(func() error { return c.work(ctx, hand) })
	}
	group.Go(func() error { return c.watchLag(ctx) })
	return group.Wait()
}

// outlive returns the context of mails in hand, which ends drainFor after ctx does: cutting mails off at once would make
// ambiguous ones. release frees what it holds.
func outlive(ctx context.Context) (hand context.Context, release func()) {
	hand, cut := context.WithCancel(context.WithoutCancel(ctx))
	disarm := context.AfterFunc(ctx, func() { time.AfterFunc(drainFor, cut) })
	return hand, func() { disarm(); cut() }
}

// work takes one message after the other until ctx ends; hand is the context of the message in hand.
func (c *consumer) work(ctx, hand context.Context) error {
	messages, err := c.durable.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return fmt.Errorf("take from consumer %s: %w", c.name, err)
	}
	defer natsstream.GiveBack(messages)
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			c.handle(hand, msg)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			c.log.Warn("consumer is silent", zap.Error(err))
		default:
			return fmt.Errorf("take from consumer %s: %w", c.name, err)
		}
	}
}

// handle carries one delivery out and logs it in one line.
func (c *consumer) handle(ctx context.Context, msg jetstream.Msg) {
	started := c.now()
	meta, err := msg.Metadata()
	if err != nil {
		c.log.Error("message without JetStream metadata", zap.String("subject", msg.Subject()), zap.Error(err))
		return
	}
	stop := c.keepAlive(ctx, msg)
	told, entry, answer, err := c.settle(ctx, msg, meta)
	stop()
	fault.Hit("notifier.before-ack")
	answerErr := tell(msg, answer)
	c.metrics.messages.WithLabelValues(answer.String()).Inc()
	c.logMail(told, entry, answer, err, answerErr,
		zap.Uint64("seq", meta.Sequence.Stream), zap.Uint64("attempt", meta.NumDelivered),
		zap.String("traceparent", msg.Headers().Get(event.HeaderTraceParent)), zap.Duration("took", c.now().Sub(started)))
}

// settle brings the message's mail as far as it gets, and decides the answer.
func (c *consumer) settle(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) (told news, e Entry, answer delivery.Disposition, err error) {
	told, e, err = c.bring(ctx, msg.Subject(), msg.Data(), meta.Sequence.Stream)
	answer = c.dispose(err, meta.NumDelivered)
	if d, ok := answer.(delivery.Dead); ok {
		if deadErr := c.setAside(ctx, msg, meta, d); deadErr != nil {
			answer, err = delivery.Retry{After: trouble.After(meta.NumDelivered)}, errors.Join(err, deadErr)
		}
	}
	return told, e, answer, err
}

// bring decodes the message and brings its mail out.
func (c *consumer) bring(ctx context.Context, subject string, body []byte, sequence uint64) (told news, e Entry, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanicked, p, debug.Stack())
		}
	}()
	if told, err = decodeNews(subject, body); err != nil {
		return told, Entry{}, err
	}
	e, err = c.sender.sendReceipt(ctx, job{key: told.key(0), news: told, sequence: sequence, rules: c.sender.rules})
	return told, e, err
}

// again carries out an operator's retry of a message that was set aside. A mail that has to wait for its next attempt is no
// success: asking again later goes on with it.
func (c *consumer) again(ctx context.Context, m natsstream.Record, _ int) (string, error) {
	_, e, err := c.bring(ctx, m.Subject, m.Data, m.Sequence)
	if errors.Is(err, errPanicked) {
		return "", delivery.Permanent(errPanicked)
	}
	if delivery.IsPermanent(err) {
		return "", delivery.Permanent(errors.New(maskAddresses(err.Error())))
	}
	if err != nil {
		return "", errors.New(maskAddresses(err.Error()))
	}
	return string(e.State), nil
}

// dispose decides what becomes of the delivery.
func (c *consumer) dispose(err error, attempt uint64) delivery.Disposition {
	if wait, ok := errors.AsType[errLater](err); ok {
		return delivery.Retry{After: wait.after}
	}
	if errors.Is(err, errPanicked) && attempt >= panicsBeforeDead {
		return delivery.Dead{Reason: errPanicked.Error()}
	}
	return delivery.Of(err, attempt, trouble)
}

func (c *consumer) setAside(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, d delivery.Dead) error {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	return c.dead.SetAside(ctx, natsstream.DeadLetter{
		Consumer: c.name,
		Record: natsstream.Record{
			Stream: meta.Stream, Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp,
			Header: msg.Headers(), Data: msg.Data(),
		},
		Reason: maskAddresses(d.Reason), Attempts: meta.NumDelivered, Handler: c.version,
	})
}

// tell gives JetStream the answer. One that gets lost means a redelivery, which the ledger answers.
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

// keepAlive tells JetStream that the message is being worked on, three times per ack wait, until the returned function
// is called.
func (c *consumer) keepAlive(ctx context.Context, msg jetstream.Msg) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(c.ackWait / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				// Without a connection it cannot be said; the ledger's lease holds all the same.
				_ = msg.InProgress()
			}
		}
	}()
	return func() { cancel(); <-done }
}

// logMail writes the one line of a delivery. Addresses in texts from outside are masked.
func (c *consumer) logMail(told news, e Entry, answer delivery.Disposition, err, answerErr error, fields ...zap.Field) {
	fields = append(fields,
		zap.String("quote_id", told.quote), zap.String("seller", told.seller), zap.Int("revision", told.revision),
		zap.String("state", string(e.State)), zap.Stringer("disposition", answer))
	if told.quote != "" {
		fields = append(fields, zap.String("event_id", event.ID(told.kind, told.seller, told.quote, strconv.Itoa(told.revision))))
	}
	if e.State != "" {
		fields = append(fields, zap.Int("mail_attempts", e.Attempts), zap.Int("ambiguous", e.Ambiguous), zap.Int("smtp_code", e.Code),
			zap.String("reply", e.Reply), zap.String("message_id", e.MessageID), zap.String("reason", e.Reason))
	}
	if retry, ok := answer.(delivery.Retry); ok {
		fields = append(fields, zap.Duration("after", retry.After))
	}
	_, waits := errors.AsType[errLater](err)
	if err != nil {
		fields = append(fields, zap.String("error", maskAddresses(err.Error())))
	}
	if answerErr != nil {
		fields = append(fields, zap.String("answer_error", answerErr.Error()))
	}
	switch {
	case answer == delivery.Disposition(delivery.Ack{}) && (e.State == StateRejected || e.State == StateParked):
		c.log.Warn("mail needs an operator", fields...)
	case err == nil || waits:
		c.log.Info("quote."+c.kind+" handled", fields...)
	case errors.Is(err, errPanicked) || delivery.IsPermanent(err):
		c.log.Error("quote."+c.kind+" not handled", fields...)
	default:
		c.log.Warn("quote."+c.kind+" not handled", fields...)
	}
}

// watchLag keeps the metrics of the backlog current until ctx ends.
func (c *consumer) watchLag(ctx context.Context) error {
	ticker := time.NewTicker(lagEvery)
	defer ticker.Stop()
	for {
		read, cancel := context.WithTimeout(ctx, ledgerTimeout)
		info, err := c.durable.Info(read)
		cancel()
		if err == nil {
			c.lag.pending.Set(float64(info.NumPending))
			c.lag.unacked.Set(float64(info.NumAckPending))
		}
		// A consumer that cannot be asked is either gone, which work notices, or out of reach, which readiness says.
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// ready reports why its events cannot be taken, or nil. Trouble with SMTP is none: mails wait, and restarting the
// notifier would not help them.
func (c *consumer) ready(ctx context.Context) error {
	if _, err := c.durable.Info(ctx); err != nil {
		return fmt.Errorf("look up consumer %s: %w", c.name, err)
	}
	return nil
}
