package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/hibiken/asynq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

// handlers is how many messages the peers work on at one time.
const handlers = 64

// headerSubject is where Watermill's messages carry the subject: its messages know topics only.
const headerSubject = "subject"

// runWatermillWorker drains the stream with Watermill's router: as many handlers as the peers have, each on the same durable,
// each doing what the naive worker does.
func runWatermillWorker(ctx context.Context) error {
	log, _, err := openConsumer(ctx)
	if err != nil {
		return err
	}
	naive, err := openNaive(ctx, log)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	subscriber, err := watermillnats.NewSubscriber(watermillnats.SubscriberConfig{
		Conn: nc, Logger: watermill.NopLogger{}, AckAsync: true, Unmarshaler: withSubject{},
		ConsumeOptions: []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(16)}, // 500 for each handler would leave most of them idle
		ResourceInitializer: watermillnats.ExistingConsumer(func(string, string) jetstream.ConsumerConfig {
			return jetstream.ConsumerConfig{Name: natsstream.DurablePayments}
		}, ""),
	})
	if err != nil {
		return fmt.Errorf("make subscriber: %w", err)
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	for i := range handlers {
		router.AddConsumerHandler(fmt.Sprintf("settle-%d", i), event.StreamStripe, subscriber, func(m *message.Message) error {
			return naive.settle(ctx, m.Metadata.Get(headerSubject), m.Payload)
		})
	}
	go func() {
		<-router.Running()
		fmt.Fprintln(os.Stdout, "consuming")
	}()
	return router.Run(ctx)
}

// withSubject hands a message to Watermill together with its subject.
type withSubject struct {
	watermillnats.DefaultUnmarshaler
}

func (u withSubject) Unmarshal(m jetstream.Msg) (*message.Message, error) {
	made, err := u.DefaultUnmarshaler.Unmarshal(m)
	if err == nil {
		made.Metadata.Set(headerSubject, m.Subject())
	}
	return made, err
}

// runAsynqWorker drains asynq's queue in Redis, doing with each event what the naive worker does. quote.paid goes to the same
// log, so that the same check holds.
func runAsynqWorker(ctx context.Context) error {
	nc, err := natsstream.Connect(ctx, natsstream.Config{URL: env.NewSecret(os.Getenv("NATS_URL")), Name: "payments"}, zap.NewNop())
	if err != nil {
		return err
	}
	log, err := natsstream.NewLog(nc)
	if err != nil {
		return err
	}
	naive, err := openNaive(ctx, log)
	if err != nil {
		return err
	}
	server := asynq.NewServer(asynqOption(os.Getenv("REDIS_URL")), asynq.Config{
		Concurrency: handlers, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 5 * time.Millisecond, // a second by default, which would be most of a short backlog's time
	})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		return naive.settle(ctx, t.Type(), t.Payload()) // the type is the subject
	})); err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	fmt.Fprintln(os.Stdout, "consuming")
	<-ctx.Done()
	server.Shutdown()
	return nil
}

// queue is asynq's, as the harness sees it.
type queue struct {
	client    *asynq.Client
	inspector *asynq.Inspector
}

const queueName = "default"

// fill enqueues the messages, one task for each.
func (q queue) fill(ctx context.Context, messages []natsstream.Message) error {
	const together = 32
	errs := make(chan error, together)
	for first := range together {
		go func() {
			var err error
			for i := first; i < len(messages) && err == nil; i += together {
				m := messages[i]
				_, err = q.client.EnqueueContext(ctx, asynq.NewTask(m.Subject, m.Data), asynq.TaskID(m.ID))
			}
			errs <- err
		}()
	}
	var all error
	for range together {
		all = errors.Join(all, <-errs)
	}
	return all
}

// left reports what the queue still holds.
func (q queue) left() error {
	info, err := q.inspector.GetQueueInfo(queueName)
	if err != nil {
		return err
	}
	if info.Archived > 0 {
		return fmt.Errorf("%d tasks have failed for good", info.Archived)
	}
	if n := info.Size; n > 0 {
		return fmt.Errorf("%d tasks are left", n)
	}
	return nil
}
