//go:build !sabotage_ledger

package notifier

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
)

// shelfConfig is empty: the ledger lives in the log, which the service knows already.
type shelfConfig struct{}

func shelfConfigFromEnv(*env.Reader) shelfConfig { return shelfConfig{} }

// bucketShelf keeps the ledger in a JetStream key-value bucket: with one value per key, no expiry, and as durable as the
// events that the mails are about.
type bucketShelf struct{ bucket jetstream.KeyValue }

func openShelf(ctx context.Context, js jetstream.JetStream, _ shelfConfig) (Shelf, error) {
	bucket, err := js.KeyValue(ctx, event.BucketMail)
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
	return &bucketShelf{bucket: bucket}, nil
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

func (s *bucketShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
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
