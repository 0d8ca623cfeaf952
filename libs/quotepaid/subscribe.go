package quotepaid

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Where the events are.
const (
	Stream  = "QUOTES"
	Subject = "quote.paid.>" // quote.paid.<seller>.<quote id>.<revision>
)

// Config says who subscribes and how. Only Name is needed.
type Config struct {
	// Name is the durable consumer's name: one per service, shared by all its
	// instances. Letters, digits, - and _.
	Name string
	// Start is where the consumer begins when it is created by this call; an
	// existing one goes on from its own cursor. Default FromBeginning.
	Start Start
	// Concurrency is how many handlers of this process run at one time. Default
	// 1, which keeps the order per quote where there is one instance.
	Concurrency int
	// AckWait is how long the server waits for a dead process before it delivers
	// an event elsewhere. Set when the consumer is created. Default 30 s.
	AckWait time.Duration
	// First and Cap are the delay after the first failed attempt, doubled with
	// each further one, and its limit. Defaults 1 s and 5 min.
	First, Cap time.Duration
	// Observe, if not nil, is told of every delivery once it is settled: for
	// logs and metrics. It is called from several goroutines.
	Observe func(Delivery)
}

// Start is where a new consumer begins.
type Start struct {
	policy jetstream.DeliverPolicy
	at     *time.Time
}

// FromBeginning begins at the first quote.paid there is.
func FromBeginning() Start { return Start{policy: jetstream.DeliverAllPolicy} }

// FromNow begins with the next one.
func FromNow() Start { return Start{policy: jetstream.DeliverNewPolicy} }

// From begins with the first one stored at or after t.
func From(t time.Time) Start {
	return Start{policy: jetstream.DeliverByStartTimePolicy, at: &t}
}

// Disposition is what became of a delivery.
type Disposition string

// The dispositions.
const (
	Acked    Disposition = "ack"   // handled; it does not come again, save after a crash
	Retried  Disposition = "retry" // comes again after Delivery.After
	SetAside Disposition = "dead"  // permanent; it does not come again
)

// Delivery is one delivery of an event, for Config.Observe.
type Delivery struct {
	Disposition Disposition
	// Paid is zero when the event could not be decoded; Subject tells which.
	Paid     Paid
	Subject  string
	Sequence uint64 // in the stream
	Attempt  uint64 // from 1
	// Err is the handler's error, or that of an answer which did not reach the
	// server: then the event comes again.
	Err   error
	After time.Duration // until the next attempt, when Retried
}

// Handler makes the effect of one event, conditional on its ID. Nil means that
// it is made and stored; Permanent(err) that it never can be. A panic is not
// caught: it ends the process, and the event comes again.
type Handler func(ctx context.Context, paid Paid) error

// Subscribe calls handler for every quote.paid until ctx ends; then it waits for
// the handlers that run and returns nil. It creates the durable consumer if
// there is none. It returns an error when that cannot be done, when a consumer
// of that name is not one of quote.paid, or when the consumer is deleted while
// in use; trouble with the server is waited out.
//
// Handlers get a context that ends with ctx. What they have finished is
// acknowledged also after that.
func Subscribe(ctx context.Context, nc *nats.Conn, cfg Config, handler Handler) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("subscribe %s to quote.paid: %w", cfg.Name, err)
	}
	consumer, err := declare(ctx, js, cfg)
	if err != nil {
		return fmt.Errorf("subscribe %s to quote.paid: %w", cfg.Name, err)
	}
	s := &subscription{cfg: cfg, consumer: consumer, handler: handler, wait: consumer.CachedInfo().Config.AckWait}
	// One worker that cannot go on ends the others.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range max(cfg.Concurrency, 1) {
		workers.Go(func() {
			if err := s.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, errLost) {
		return fmt.Errorf("subscribe %s to quote.paid: %w", cfg.Name, cause)
	}
	return nil
}

// errLost means that the consumer is gone. To create it anew would begin at
// Start again, which is for a person to decide.
var errLost = errors.New("the consumer was deleted")

// declare finds the consumer or creates it. Whoever comes second takes what the
// first one made, also where two create at one time.
func declare(ctx context.Context, js jetstream.JetStream, cfg Config) (jetstream.Consumer, error) {
	consumer, err := js.Consumer(ctx, Stream, cfg.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = js.CreateConsumer(ctx, Stream, jetstream.ConsumerConfig{
			Durable: cfg.Name, FilterSubject: Subject, DeliverPolicy: cfg.Start.policy, OptStartTime: cfg.Start.at,
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: defaulted(cfg.AckWait, 30*time.Second), MaxDeliver: -1,
		})
		if errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = js.Consumer(ctx, Stream, cfg.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	have := consumer.CachedInfo().Config
	filters := have.FilterSubjects
	if have.FilterSubject != "" {
		filters = []string{have.FilterSubject}
	}
	for _, filter := range filters {
		if filter == Subject || filter == "quote.paid.*.*.*" {
			continue
		}
		return nil, fmt.Errorf("a consumer of that name takes %q, not quote.paid", filter)
	}
	if len(filters) == 0 || have.AckPolicy != jetstream.AckExplicitPolicy {
		return nil, errors.New("a consumer of that name takes other events than quote.paid, or does not acknowledge each")
	}
	return consumer, nil
}

// subscription is one running Subscribe.
type subscription struct {
	cfg      Config
	consumer jetstream.Consumer
	handler  Handler
	wait     time.Duration // AckWait of the consumer
}

const (
	// pollWait is how long one request for an event waits on the server.
	pollWait = 20 * time.Second
	// pauseAfterTrouble keeps a server that is down from being hammered.
	pauseAfterTrouble = 500 * time.Millisecond
)

// work asks for one event at a time, so that none waits here behind a slow one
// while its AckWait runs out.
func (s *subscription) work(ctx context.Context) error {
	for ctx.Err() == nil {
		poll, cancel := context.WithTimeout(ctx, pollWait)
		msg, err := s.consumer.Next(jetstream.FetchContext(poll))
		cancel()
		switch {
		case err == nil:
			s.deliver(ctx, msg)
		case ctx.Err() != nil, errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		default:
			if err := s.trouble(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// trouble waits a moment; it returns errLost when the server says that the
// consumer is gone.
func (s *subscription) trouble(ctx context.Context, err error) error {
	if errors.Is(err, jetstream.ErrConsumerDeleted) {
		return errLost
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(pauseAfterTrouble):
	}
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := s.consumer.Info(ask); errors.Is(err, jetstream.ErrConsumerNotFound) {
		return errLost
	}
	return nil
}

// deliver handles one event and answers for it.
func (s *subscription) deliver(ctx context.Context, msg jetstream.Msg) {
	d := Delivery{Subject: msg.Subject()}
	if meta, err := msg.Metadata(); err == nil {
		d.Sequence, d.Attempt = meta.Sequence.Stream, meta.NumDelivered
	}
	paid, err := Decode(msg.Data())
	if err != nil {
		err = Permanent(err)
	} else {
		d.Paid = paid
		err = s.handle(ctx, msg, paid)
	}
	switch {
	case err == nil:
		d.Disposition, err = Acked, msg.Ack()
	case isPermanent(err):
		d.Disposition = SetAside
		err = errors.Join(err, msg.TermWithReason(reason(err)))
	default:
		d.Disposition, d.After = Retried, s.backoff(d.Attempt)
		err = errors.Join(err, msg.NakWithDelay(d.After))
	}
	d.Err = err
	if s.cfg.Observe != nil {
		s.cfg.Observe(d)
	}
}

// handle runs the handler and tells the server meanwhile that it still runs.
func (s *subscription) handle(ctx context.Context, msg jetstream.Msg, paid Paid) error {
	done := make(chan struct{})
	var beat sync.WaitGroup
	beat.Go(func() {
		ticker := time.NewTicker(max(s.wait/3, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				// A heartbeat that is lost costs a second delivery, no more.
				_ = msg.InProgress()
			}
		}
	})
	defer beat.Wait()
	defer close(done)
	return s.handler(ctx, paid)
}

// reason is short and on one line, as the server puts it into an advisory.
func reason(err error) string {
	b := []byte(err.Error())
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b[:min(len(b), 200)])
}

// backoff is First, doubled with each attempt after the first, at most Cap.
func (s *subscription) backoff(attempt uint64) time.Duration {
	delay, limit := defaulted(s.cfg.First, time.Second), defaulted(s.cfg.Cap, 5*time.Minute)
	for n := uint64(1); n < attempt && delay < limit; n++ {
		delay *= 2
	}
	return min(delay, limit)
}

func defaulted(d, fallback time.Duration) time.Duration {
	if d <= 0 {
		return fallback
	}
	return d
}
