package payments

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/barrier/barriermetrics"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// Service is a running payments worker.
type Service struct {
	worker *worker
	nc     *nats.Conn
	logs   *natsstream.Log
	redis  redis.UniversalClient
	http   *httpserve.Server
}

// New connects to NATS and Redis, checks that they keep what is entrusted to them, and binds the address. It returns an
// error when a stream is missing or drifted, or when Redis may evict keys.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	s := &Service{}
	if err := s.open(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context, cfg Config, log *zap.Logger) (err error) {
	if cfg.Policy == nil {
		cfg.Policy = quote.DefaultPolicy()
	}
	if s.nc, err = natsstream.Connect(ctx, cfg.NATS, log); err != nil {
		return err
	}
	// Of bucket SYSTEM it needs none but the server's own sync: what is forgotten there makes it fold more.
	logs, err := natsstream.OpenLog(ctx, s.nc, cfg.Durability, log, event.StreamStripe, event.StreamQuotes, event.StreamSellers, event.StreamDead)
	if err != nil {
		return err
	}
	s.logs = logs
	if err := natsstream.Check(ctx, logs.JetStream(), event.StreamStripe, event.StreamQuotes, event.StreamSellers, event.StreamDead); err != nil {
		return err
	}
	system, err := logs.JetStream().KeyValue(ctx, event.BucketSystem)
	if err != nil {
		return fmt.Errorf("open bucket %s (declare it with: quotectl declare): %w", event.BucketSystem, err)
	}
	if s.redis, err = redisquote.Open(ctx, cfg.Redis); err != nil {
		return err
	}
	reg := httpserve.NewRegistry()
	barriermetrics.Register(reg, logs.Barrier())
	s.worker = newWorker(cfg, Stores{Log: logs, Redis: s.redis, System: system}, newMetrics(reg), log)
	s.worker.logs = logs
	generation, err := logs.LatestGeneration(ctx)
	if err != nil {
		return fmt.Errorf("which generation of Redis is in use (bucket %s; may this NATS user read it?): %w", event.BucketSystem, err)
	}
	s.worker.adopt(generation)
	if err := s.worker.tellRules(ctx); err != nil {
		return err
	}
	if err := s.worker.checkPolicy(ctx); err != nil {
		return err
	}
	s.http, err = httpserve.Listen(ctx, httpserve.Config{Addr: cfg.Addr, Handler: httpserve.Admin(reg, s.worker.ready)})
	return err
}

// Addr is where probes and metrics are served.
func (s *Service) Addr() net.Addr { return s.http.Addr() }

// Ready reports why the projection is not being kept up to date, or nil.
func (s *Service) Ready(ctx context.Context) error { return s.worker.ready(ctx) }

// Run works until ctx ends; then it finishes the batch in hand. It fails when a server's configuration turns out to
// break a guarantee.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.http.Serve(ctx) })
	group.Go(func() error { return s.worker.guard(ctx) })
	group.Go(func() error { return s.worker.consume(ctx, event.StreamQuotes) })
	group.Go(func() error { return s.worker.consume(ctx, event.StreamStripe) })
	group.Go(func() error { return s.worker.serveReplay(ctx, s.nc) })
	group.Go(func() error { return s.worker.serveParked(ctx, s.nc) })
	group.Go(func() error { return s.worker.deadServer(s.nc).Serve(ctx) })
	group.Go(func() error { return s.worker.sweepForever(ctx) })
	group.Go(func() error { return s.worker.serveRebuild(ctx, s.nc) })
	group.Go(func() error { return s.worker.rebuildForever(ctx) })
	group.Go(func() error { return s.worker.accountForever(ctx) })
	group.Go(func() error { return s.worker.missingForever(ctx) })
	group.Go(func() error {
		s.worker.logs.FollowGeneration(ctx, s.worker.cfg.generationEvery(), s.worker.adopt)
		return nil
	})
	err := group.Wait()
	return errors.Join(err, s.close())
}

func (s *Service) close() error {
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Close())
	}
	err = errors.Join(err, s.logs.Close())
	if s.nc != nil {
		s.nc.Close()
	}
	return err
}

// worker holds what every step of the work needs.
type worker struct {
	id        string // tells this instance from others
	cfg       Config
	log       *zap.Logger
	events    eventLog        // what a batch and a repair need of the log
	logs      *natsstream.Log // the same log, for everything else
	redis     redis.UniversalClient
	active    redisquote.Active // the generation that is written
	adopting  sync.Mutex        // guards adopted
	adopted   uint64            // the revision of SYSTEM's key that active is from
	system    keyValue
	metrics   *metrics
	published *recent

	noted time.Time // when the floors on record were last looked at; the guard's alone

	// gate is held for reading while a batch is worked on and for writing while the projection is folded again.
	gate sync.RWMutex
	// repairing and policy are why the worker is not ready; see ready.
	health health
}

// ready reports the first reason why the projection cannot be trusted to be current.
func (w *worker) ready(ctx context.Context) error {
	if err := w.health.get(); err != nil {
		return err
	}
	if err := w.logs.Ready(); err != nil {
		return err
	}
	if err := w.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// health is the reason why the worker is not ready, if there is one. Safe for concurrent use.
type health struct {
	mu     sync.Mutex
	reason error
	known  bool
}

var errStarting = errors.New("the projection has not been checked yet")

func (h *health) get() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.known {
		return errStarting
	}
	return h.reason
}

func (h *health) good() bool { return h.get() == nil }

func (h *health) set(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reason, h.known = reason, true
}
