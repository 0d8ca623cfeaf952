package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// openConsumer connects a role to NATS and opens the durable that payments uses.
func openConsumer(ctx context.Context) (*natsstream.Log, jetstream.Consumer, error) {
	nc, err := natsstream.Connect(ctx, natsstream.Config{URL: env.NewSecret(os.Getenv("NATS_URL")), Name: "payments"}, zap.NewNop())
	if err != nil {
		return nil, nil, err
	}
	log, err := natsstream.NewLog(nc)
	if err != nil {
		return nil, nil, err
	}
	consumer, err := log.JetStream().Consumer(ctx, event.StreamStripe, natsstream.DurablePayments)
	return log, consumer, err
}

// runFetchAndAck is the limit of any worker: it takes the messages as payments does, and acknowledges them unread.
func runFetchAndAck(ctx context.Context) error {
	_, consumer, err := openConsumer(ctx)
	if err != nil {
		return err
	}
	const ahead = 512 // as payments
	subscription, err := consumer.Consume(func(m jetstream.Msg) { _ = m.Ack() }, jetstream.PullMaxMessages(ahead))
	if err != nil {
		return err
	}
	defer subscription.Stop()
	fmt.Fprintln(os.Stdout, "consuming")
	<-ctx.Done()
	return nil
}

// naiveWorker does what payments does to facts, links and emissions, with the same domain code and the same script, in the
// way that first comes to mind: one message, one step, one answer at a time. It leaves out what payments does beside that:
// outcomes, indexes, the documents of quotes, metrics, log lines, and the watch over Redis. Its settle is safe for concurrent use
// and harmless to repeat: the peers call it, too, so that all do the same to the same stores.
type naiveWorker struct {
	log       *natsstream.Log
	redis     redis.UniversalClient
	keys      redisquote.Keys
	commit    *redis.Script
	published sync.Map // subjects: so that it need not ask the log again with each later message of a paid quote
}

// openNaive makes one of a role's environment.
func openNaive(ctx context.Context, log *natsstream.Log) (*naiveWorker, error) {
	cache, err := redisquote.Open(ctx, redisquote.Config{URL: env.NewSecret(os.Getenv("REDIS_URL"))})
	if err != nil {
		return nil, err
	}
	source, err := os.ReadFile(filepath.Join("..", "payments", "commit.lua"))
	if err != nil {
		return nil, err
	}
	return &naiveWorker{log: log, redis: cache, keys: redisquote.NewKeys(redisquote.Generation), commit: redis.NewScript(string(source))}, nil
}

func runNaiveWorker(ctx context.Context) error {
	log, consumer, err := openConsumer(ctx)
	if err != nil {
		return err
	}
	n, err := openNaive(ctx, log)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "consuming")
	for ctx.Err() == nil {
		m, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			continue // nothing there, or the server is being restarted
		}
		if err := n.settle(ctx, m.Subject(), m.Data()); err != nil {
			return fmt.Errorf("settle %s: %w", m.Subject(), err)
		}
		if err := m.DoubleAck(ctx); err != nil {
			return fmt.Errorf("acknowledge %s: %w", m.Subject(), err)
		}
	}
	return nil
}

func (n *naiveWorker) settle(ctx context.Context, on string, body []byte) error {
	subject, ok := event.ParseStripeSubject(on)
	if !ok || !stripeevent.Wanted(subject.Type) {
		return nil
	}
	change, err := stripeevent.Decode(body)
	if err != nil || change.Ignored != "" {
		return err
	}
	id := change.Claim.Quote
	if id == "" {
		if id, err = n.find(ctx, subject.Account, change); err != nil || id == "" {
			return err
		}
	}
	return n.fold(ctx, subject.Account, id, change.Facts)
}

// find parks a change without our metadata under the objects that it names, and returns the quote of one of them if it is
// known already.
func (n *naiveWorker) find(ctx context.Context, account string, c stripeevent.Change) (id string, err error) {
	for _, name := range c.Names {
		fields, err := n.note(ctx, n.keys.Link(account, name), redisquote.LinkParked+c.EventID, string(c.Facts.Encode()))
		if err != nil {
			return "", err
		}
		for field := range fields {
			if q, ok := strings.CutPrefix(field, redisquote.LinkQuote); ok {
				id = q
			}
		}
	}
	return id, nil
}

// note writes a field of a hash and reads the whole of it, in one round trip.
func (n *naiveWorker) note(ctx context.Context, key, field, value string) (map[string]string, error) {
	pipe := n.redis.Pipeline()
	pipe.HSet(ctx, key, field, value)
	all := pipe.HGetAll(ctx, key)
	_, err := pipe.Exec(ctx)
	return all.Val(), err
}

func (n *naiveWorker) fold(ctx context.Context, account, id string, more quote.Facts) error {
	key := n.keys.Pay(account, id)
	for {
		fields, err := n.redis.HGetAll(ctx, key).Result()
		if err != nil {
			return err
		}
		stored, err := redisquote.DecodePayment(fields)
		if err != nil {
			return err
		}
		loaded, err := quote.DecodeFacts(stored.Facts)
		if err != nil {
			return err
		}
		facts := loaded.Clone()
		if !facts.Merge(more) {
			return n.emit(ctx, account, id, quote.Derive(account, facts))
		}
		if err := n.link(ctx, account, id, loaded, &facts); err != nil {
			return err
		}
		state := quote.Derive(account, facts)
		flags := make([]string, len(state.Flags))
		for i, f := range state.Flags {
			flags[i] = string(f)
		}
		answer, err := n.commit.Run(ctx, n.redis, []string{key},
			stored.Digest, facts.Digest(), facts.Encode(), string(state.Status), strings.Join(flags, ",")).Slice()
		if err != nil {
			return err
		}
		if answer[0] == int64(1) {
			return n.emit(ctx, account, id, state)
		}
	}
}

// link ties the objects that are new in facts to the quote and merges what had waited for them.
func (n *naiveWorker) link(ctx context.Context, account, id string, loaded quote.Facts, facts *quote.Facts) error {
	known := loaded.Objects()
	for again := true; again; {
		again = false
		for _, object := range facts.Objects() {
			if slices.Contains(known, object) {
				continue
			}
			known, again = append(known, object), true
			fields, err := n.note(ctx, n.keys.Link(account, object), redisquote.LinkQuote+id, "1")
			if err != nil {
				return err
			}
			for field, value := range fields {
				if !strings.HasPrefix(field, redisquote.LinkParked) {
					continue
				}
				waited, err := quote.DecodeFacts([]byte(value))
				if err != nil {
					return err
				}
				facts.Merge(waited)
			}
		}
	}
	return nil
}

func (n *naiveWorker) emit(ctx context.Context, account, id string, state quote.State) error {
	for _, e := range state.Due {
		subject := event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: id, N: e.N}
		if _, have := n.published.Load(subject.String()); have {
			continue
		}
		envelope, err := event.New(subject, event.SourcePayments, e.At, event.Paid{
			Seller: e.Seller, QuoteID: id, Revision: e.Revision, DealID: state.Deal, Amount: e.Amount.Amount, Currency: e.Amount.Currency,
			PaidAt: e.At, Mode: event.ModeTest, Account: account, CheckoutSession: e.Payment.Session, PaymentIntent: e.Payment.Intent,
			Invoice: e.Payment.Invoice, StripeEvent: e.Payment.Event,
		})
		if err != nil {
			return err
		}
		m := natsstream.Message{Subject: subject.String(), ID: envelope.ID, Data: envelope.Encode()}
		if e.Event == quote.EventPaid {
			m.Absent = event.QuoteSubject{Event: "published", Seller: e.Seller, Quote: id, N: strconv.Itoa(e.Revision + 1)}.String()
		}
		if _, err := n.log.Fact(ctx, m); err != nil && !errors.Is(err, natsstream.ErrGuard) {
			return err
		}
		n.published.Store(subject.String(), true)
	}
	return nil
}
