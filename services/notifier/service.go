package notifier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/barrier/barriermetrics"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/natsstream"
)

// Service is a running notifier.
type Service struct {
	logs     *natsstream.Log
	nc       *nats.Conn
	pool     *pool
	paid     *consumer
	expiring *consumer
	resender *resender
	previews *previewer
	prober   *prober
	dead     *deadletter.Server
	http     *httpserve.Server
}

// New connects to NATS, checks that streams, bucket and durable are there, and binds the address. It does not dial the
// SMTP relay: mails wait for it, the notifier does not. After an error nothing is left open.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	s := &Service{}
	if err := s.open(ctx, cfg.withDefaults(), log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context, cfg Config, log *zap.Logger) (err error) {
	if cfg.Relay.SendTimeout >= cfg.Lease {
		return fmt.Errorf("check settings: a mail may take %v, and its lease ends after %v", cfg.Relay.SendTimeout, cfg.Lease)
	}
	templates, err := newRenderer()
	if err != nil {
		return err
	}
	if s.nc, err = natsstream.Connect(ctx, cfg.NATS, log); err != nil {
		return err
	}
	logs, err := natsstream.OpenLog(ctx, s.nc, cfg.Durability, log, "KV_"+event.BucketMail, event.StreamDead)
	if err != nil {
		return err
	}
	s.logs = logs
	if err := natsstream.Check(ctx, logs.JetStream(), event.StreamQuotes, event.StreamDead); err != nil {
		return err
	}
	shelf, err := openShelf(ctx, logs, cfg.shelf)
	if err != nil {
		return err
	}
	reg := httpserve.NewRegistry()
	barriermetrics.Register(reg, logs.Barrier())
	metrics := newMetrics(reg)
	s.pool = newPool(cfg.Connections, counted(cfg.Relay.dial, metrics.dials), cfg.Now)
	mails := newSender(cfg, logs, shelf, s.pool, metrics)
	mails.compose = (&composer{renderer: templates, from: cfg.From}).compose
	base := consumer{dead: logs, sender: mails, metrics: metrics, log: log, now: cfg.Now, version: Version()}
	if s.paid, err = base.on(ctx, logs.JetStream(), natsstream.DurableNotifier, kindPaid, cfg.Workers, metrics.paid); err != nil {
		return err
	}
	// One at a time: a thousand reminders at midnight take one connection, and hold up no receipt.
	if s.expiring, err = base.on(ctx, logs.JetStream(), natsstream.DurableReminders, kindExpiring, 1, metrics.reminders); err != nil {
		return err
	}
	s.resender = &resender{sender: mails, log: log}
	s.previews = &previewer{sender: mails, log: log}
	s.prober = &prober{relay: &cfg.Relay, log: log}
	s.dead = &deadletter.Server{
		Service: "notifier", NATS: s.nc, Log: logs, Logger: log, Now: cfg.Now, Version: Version(),
		Handlers: map[string]deadletter.Handler{natsstream.DurableNotifier: s.paid.again, natsstream.DurableReminders: s.expiring.again},
	}
	s.http, err = httpserve.Listen(ctx, httpserve.Config{Addr: cfg.Addr, Handler: httpserve.Admin(reg, s.Ready)})
	if err != nil {
		return err
	}
	log.Info("notifier is ready", zap.Stringer("addr", s.Addr()), zap.String("relay", cfg.Relay.String()),
		zap.String("ambiguous", string(cfg.Ambiguous)), zap.Duration("ambiguous_after", cfg.AmbiguousAfter),
		zap.Duration("lease", cfg.Lease), zap.Duration("send_timeout", cfg.Relay.SendTimeout), zap.Int("workers", cfg.Workers))
	return nil
}

// Addr is where probes and metrics are served.
func (s *Service) Addr() net.Addr { return s.http.Addr() }

// Ready reports why quote.paid or quote.expiring cannot be taken, or nil.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.logs.Ready(); err != nil {
		return err
	}
	if err := s.paid.ready(ctx); err != nil {
		return err
	}
	return s.expiring.ready(ctx)
}

// Run sends mails until ctx ends; then it takes no more, gives those in hand 12 s, writes down what became of them, and
// closes what New opened. It fails when the durable is gone. Run once.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.http.Serve(ctx) })
	group.Go(func() error { return s.paid.run(ctx) })
	group.Go(func() error { return s.expiring.run(ctx) })
	group.Go(func() error { return s.resender.serve(ctx, s.nc) })
	group.Go(func() error { return s.previews.serve(ctx, s.nc) })
	group.Go(func() error { return s.prober.serve(ctx, s.nc) })
	group.Go(func() error { return s.dead.Serve(ctx) })
	group.Go(func() error { s.pool.sweep(ctx); return nil })
	if err := errors.Join(group.Wait(), s.close()); err != nil {
		return fmt.Errorf("run notifier: %w", err)
	}
	return nil
}

func (s *Service) close() error {
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	if s.pool != nil {
		s.pool.close(0)
	}
	err = errors.Join(err, s.logs.Close())
	if s.nc != nil {
		s.nc.Close()
	}
	return err
}

// Version is the commit of this build, "dev" where the build recorded none. Dead letters carry it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "dev"
}
