//go:build !sabotage_ledger

package notifier

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

// shelfConfig is empty: the ledger lives in the log, which the service knows already.
type shelfConfig struct{}

func shelfConfigFromEnv(*env.Reader) shelfConfig { return shelfConfig{} }

// bucketShelf keeps the ledger in a JetStream key-value bucket: with one value per key, no expiry, and as durable as the
// events that the mails are about.
type bucketShelf struct {
	bucket jetstream.KeyValue
	logs   *natsstream.Log
}

func openShelf(ctx context.Context, logs *natsstream.Log, _ shelfConfig) (Shelf, error) {
	bucket, err := logs.JetStream().KeyValue(ctx, event.BucketMail)
	if err != nil {
		return nil, fmt.Errorf("look up bucket %s (declare it with: quotectl declare): %w", event.BucketMail, err)
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up bucket %s: %w", event.BucketMail, err)
	}
	if status.TTL() != 0 {
		return nil, fmt.Errorf("bucket %s forgets entries after %s: a mail could be sent twice", event.BucketMail, status.TTL())
	}
	return &bucketShelf{bucket: bucket, logs: logs}, nil
}

func (s *bucketShelf) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	e, err := s.bucket.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, ErrNoEntry
	}
	if err != nil {
		return nil, 0, err
	}
	return e.Value(), e.Revision(), nil
}

// Write returns after the entry is durable: a claim that a power cut takes back would let the mail be sent a second time. An
// entry whose sync fails may be there all the same, as one whose answer was lost.
func (s *bucketShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	next, err := s.write(ctx, key, value, revision)
	if err != nil {
		return next, err
	}
	return next, s.logs.Durable(ctx)
}

func (s *bucketShelf) write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision == 0 {
		next, err := s.bucket.Create(ctx, key, value)
		if errors.Is(err, jetstream.ErrKeyExists) {
			return 0, fmt.Errorf("%w: %w", ErrTaken, err)
		}
		return next, err
	}
	next, err := s.bucket.Update(ctx, key, value, revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return 0, fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return next, err
}
