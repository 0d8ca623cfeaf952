package sandbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/platform/httpserve"
)

// Service is a running sandbox.
type Service struct {
	sim    *sim
	server *httpserve.Server
	log    *zap.Logger
}

// New binds the address; requests are answered once Run runs.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	cfg = cfg.withDefaults(rand.Text())
	s := &Service{sim: newSim(cfg, log), log: log}
	mux := http.NewServeMux()
	httpserve.Probes(mux, func(context.Context) error { return nil })
	s.sim.routes(mux)
	// A request may be held by a fault, or until its webhooks are delivered: no limit for writing.
	server, err := httpserve.Listen(ctx, httpserve.Config{Addr: cfg.Addr, Handler: mux, WriteTimeout: -1})
	if err != nil {
		return nil, err
	}
	s.server = server
	if s.sim.cfg.PublicURL == "" {
		s.sim.cfg.PublicURL = "http://" + server.Addr().String()
	}
	if err := s.sim.begin(); err != nil {
		_ = server.Close() // nothing was served
		return nil, fmt.Errorf("set up sandbox: %w", err)
	}
	log.Info("sandbox is listening", zap.Stringer("addr", s.Addr()), zap.String("public_url", s.sim.cfg.PublicURL), zap.Int("webhooks", len(cfg.Webhooks)))
	return s, nil
}

// Addr is the bound address.
func (s *Service) Addr() net.Addr { return s.server.Addr() }

// URL is what a client gives its SDK as Stripe's address.
func (s *Service) URL() string { return "http://" + s.Addr().String() }

// Run answers requests, delivers webhooks and plays what falls due on the sandbox's clock, until ctx ends. Run once.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Serve(ctx) })
	group.Go(func() error { s.sim.deliver(ctx); return nil })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("run sandbox: %w", err)
	}
	return nil
}
