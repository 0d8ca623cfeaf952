package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/hibiken/asynq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stripe/stripe-go/v85/webhook"
	"golang.org/x/sys/unix"

	"quittance.internal/libs/domain/stripebody"
)

const (
	// streamWatermill is the stream that Watermill publishes into: its topic, and with it its one subject.
	streamWatermill = "WATERMILL"
	// streamPlain is where the plain publisher publishes: the subjects of events, without a rule on them.
	streamPlain = "PLAIN"
)

// declarePeers creates the streams of the peers, each as its users would: files, one copy, a window for duplicates.
func declarePeers(ctx context.Context, js jetstream.JetStream) error {
	for name, subject := range map[string]string{streamWatermill: streamWatermill, streamPlain: "plain.>"} {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Storage: jetstream.FileStorage}); err != nil {
			return fmt.Errorf("create stream %s: %w", name, err)
		}
	}
	return nil
}

// runFile is the limit of any ingress whose answer is durable: it checks the signature as ours does, appends the body to a
// file, and answers after an fdatasync. All who wait share the next one.
func runFile(ctx context.Context) error {
	f, err := os.CreateTemp("", "bodies-")
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	g := &bodyFile{file: f, wake: make(chan struct{}, 1)}
	go g.run(ctx)
	genuine, err := ourCheck()
	if err != nil {
		return err
	}
	return serve(ctx, func(r *http.Request, body []byte) bool { return genuine(r, body) && g.append(body) == nil })
}

// bodyFile is a file to which many append at one time.
type bodyFile struct {
	file    *os.File
	wake    chan struct{}
	mu      sync.Mutex
	bytes   []byte
	waiting []chan error
}

func (g *bodyFile) append(b []byte) error {
	answer := make(chan error, 1)
	g.mu.Lock()
	g.bytes, g.waiting = append(g.bytes, b...), append(g.waiting, answer)
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return <-answer
}

func (g *bodyFile) run(ctx context.Context) {
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		g.mu.Lock()
		b, waiting := g.bytes, g.waiting
		g.bytes, g.waiting = spare[:0], nil
		g.mu.Unlock()
		_, err := g.file.Write(b)
		if err == nil {
			err = unix.Fdatasync(int(g.file.Fd()))
		}
		for _, w := range waiting {
			w <- err
		}
		spare = b
	}
}

// runAsynq is asynq behind our signature check: the strongest that can be built of it. The task's id is the event's, so that
// an event is queued once for as long as its task is kept.
func runAsynq(ctx context.Context) error {
	genuine, err := ourCheck()
	if err != nil {
		return err
	}
	client := asynq.NewClient(asynqOption(os.Getenv("REDIS_URL")))
	defer client.Close()
	return serve(ctx, func(r *http.Request, body []byte) bool {
		if !genuine(r, body) {
			return false
		}
		event, err := stripebody.Peek(body)
		return err == nil && enqueue(r.Context(), client, event.ID, body)
	})
}

// runAsynqShipped is asynq behind Stripe's own SDK, as its documentation shows it: ConstructEvent checks and decodes.
func runAsynqShipped(ctx context.Context) error {
	client := asynq.NewClient(asynqOption(os.Getenv("REDIS_URL")))
	defer client.Close()
	return serve(ctx, func(r *http.Request, body []byte) bool {
		event, err := webhook.ConstructEventWithOptions(body, r.Header.Get("Stripe-Signature"), secret,
			webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true}) // the event is of a version that many accounts still have
		return err == nil && enqueue(r.Context(), client, event.ID, body)
	})
}

// asynqOption makes an address as REDIS_URL has it asynq's.
func asynqOption(address string) asynq.RedisClientOpt {
	host := strings.TrimSuffix(strings.TrimPrefix(address, "redis://"), "/0")
	return asynq.RedisClientOpt{Addr: host, PoolSize: 256} // the default, ten for each core, would let the connections queue
}

// taskEvent is the type of asynq's tasks.
const taskEvent = "stripe.event"

func enqueue(ctx context.Context, client *asynq.Client, id string, body []byte) bool {
	_, err := client.EnqueueContext(ctx, asynq.NewTask(taskEvent, body), asynq.TaskID(id))
	return err == nil || errors.Is(err, asynq.ErrTaskIDConflict)
}

// runWatermill is Watermill's publisher for JetStream behind our signature check.
func runWatermill(ctx context.Context) error {
	genuine, err := ourCheck()
	if err != nil {
		return err
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer nc.Close()
	publisher, err := watermillnats.NewPublisher(watermillnats.PublisherConfig{Conn: nc, Logger: watermill.NopLogger{}})
	if err != nil {
		return fmt.Errorf("make publisher: %w", err)
	}
	return serve(ctx, func(r *http.Request, body []byte) bool {
		if !genuine(r, body) {
			return false
		}
		event, err := stripebody.Peek(body)
		if err != nil {
			return false
		}
		m := message.NewMessage(event.ID, body)
		m.Metadata.Set(jetstream.MsgIDHeader, event.ID)
		return publisher.Publish(streamWatermill, m) == nil
	})
}

// publishers is what `nats bench` does, with our bodies: senders that publish plain messages, each waiting for its PubAck.
// There is no HTTP and no signature in it, and the load generator itself is the client.
func publishers(js jetstream.JetStream, body []byte, count int) []func() error {
	senders := make([]func() error, count)
	for i := range senders {
		next := 0
		run := nextClient.Add(1)
		senders[i] = func() error {
			next++
			id := fmt.Sprintf("%d_%d", run, next)
			_, err := js.Publish(context.Background(), "plain."+id, body, jetstream.WithMsgID(id))
			return err
		}
	}
	return senders
}
