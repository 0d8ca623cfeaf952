//go:build linux

package powercut_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

// batches publishes facts as payments publishes those of a backlog: many at one time, which share one sync of the server. It keeps
// the list of those that were acknowledged.
type batches struct {
	log *natsstream.Log

	mu    sync.Mutex
	next  int
	acked []int
}

// perBatch is above what natsstream publishes one by one.
const perBatch = 40

func (w *world) newBatches() *batches {
	w.t.Helper()
	nc, err := natsstream.Connect(w.t.Context(), natsstream.Config{URL: env.NewSecret(w.natsURL), Name: "facts"}, zap.NewNop())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	log, err := natsstream.OpenLog(w.t.Context(), nc, natsstream.Durability{Mode: w.durability, MonitorURL: w.monitorURL}, zap.NewNop())
	if err != nil {
		w.t.Fatal(err)
	}
	return &batches{log: log}
}

// send publishes batches until ctx ends. What got no answer is not published again.
func (b *batches) send(ctx context.Context) {
	for ctx.Err() == nil {
		first := b.reserve()
		messages := make([]natsstream.Message, perBatch)
		for i := range messages {
			messages[i] = natsstream.Message{Subject: factSubject(first + i), Data: factData(first + i)}
		}
		for i, r := range b.log.Facts(ctx, messages) {
			if r.Err == nil && !r.Stored.Taken {
				b.acknowledge(first + i)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond): // the webhooks want the disk, too
		}
	}
}

func (b *batches) reserve() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next += perBatch
	return b.next - perBatch
}

func (b *batches) acknowledge(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked = append(b.acked, n)
}

// acknowledged is a copy of the list; nil batches have none.
func (b *batches) acknowledged() []int {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.acked)
}

func factSubject(n int) string {
	return event.QuoteSubject{Event: "paid", Seller: "main", Quote: fmt.Sprintf("b_%d", n), N: "1"}.String()
}

func factData(n int) []byte { return fmt.Appendf(nil, `{"fact":%d}`, n) }

// TestBatchesAreBatches: what the cuts are to meet is one atomic batch, not facts one by one.
func TestBatchesAreBatches(t *testing.T) {
	w := newWorld(t, setup{name: "batches", nodes: 1, durability: natsstream.DurabilityServer, facts: true}, 1, func() store { return plainFolder(t.TempDir()) })
	first := w.batches.reserve()
	messages := make([]natsstream.Message, perBatch)
	for i := range messages {
		messages[i] = natsstream.Message{Subject: factSubject(first + i), Data: factData(first + i)}
	}
	for i, r := range w.batches.log.Facts(t.Context(), messages) {
		if r.Err != nil || r.Stored.Taken {
			t.Fatalf("fact %d: %+v", i, r)
		}
	}
	record, err := w.log.Read(t.Context(), event.StreamQuotes, factSubject(first))
	if err != nil {
		t.Fatal(err)
	}
	if record.Header.Get("Nats-Batch-Id") == "" {
		t.Errorf("the facts went out one by one: %v", record.Header)
	}
}
