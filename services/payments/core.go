package payments

import (
	"context"
	"crypto/rand"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// Stores are what a worker works on.
type Stores struct {
	Log    eventLog
	Redis  redis.UniversalClient
	System keyValue // the bucket SYSTEM
}

func newWorker(cfg Config, stores Stores, m *metrics, log *zap.Logger) *worker {
	return &worker{
		id: rand.Text(), cfg: cfg, log: log, events: stores.Log, redis: stores.Redis, system: stores.System, metrics: m,
		published: newRecent(recentEmissions),
	}
}

// Core is a worker without its loops: each call does one step at once and returns, so that a caller decides what comes
// next. The simulation runs it on stores in memory; Service runs the same steps in loops. One call at a time, except that
// Apply and Conclude of different batches may overlap, as they do in Service.
type Core struct{ w *worker }

// Batch is messages on their way through a Core.
type Batch struct{ at attempt }

// NewCore returns the core of a worker that has just started: Inspect comes first.
func NewCore(cfg Config, stores Stores, reg prometheus.Registerer, log *zap.Logger) *Core {
	return &Core{newWorker(cfg, stores, newMetrics(reg), log)}
}

// Restarted is a worker on other connections to the same stores, that remembers nothing of what c did and counts into the
// same metrics.
func (c *Core) Restarted(stores Stores) *Core {
	return &Core{newWorker(c.w.cfg, stores, c.w.metrics, c.w.log)}
}

// Inspect looks once whether Redis holds the whole projection, and folds the log again if not. No batch may be in hand.
func (c *Core) Inspect(ctx context.Context) error {
	locked := true // by the caller's promise
	_, err := c.w.inspect(ctx, &locked)
	c.w.health.set(err)
	return err
}

// Take decodes messages into a batch.
func (c *Core) Take(messages []jetstream.Msg) *Batch {
	return &Batch{attempt{batch: c.w.decoded(messages)}}
}

// Apply makes the batch's facts part of the projection. What goes wrong Conclude repeats.
func (c *Core) Apply(ctx context.Context, b *Batch) { b.at.err = c.w.within(ctx, b.at.batch.apply) }

// Conclude tries once to bring the batch to its end and to answer its messages. After an error it is to be called again.
func (c *Core) Conclude(ctx context.Context, b *Batch) error { return c.w.finish(ctx, &b.at) }

// Sweep ends the wait of changes that nothing has linked for Config.ParkedFor.
func (c *Core) Sweep(ctx context.Context) error { return c.w.sweep(ctx) }
