// Package ingress receives Stripe's webhooks: it verifies the signature over the raw body, stores the raw body on stream
// STRIPE, and answers 200 only after the server's PubAck; with DURABILITY=barrier after a sync of the server's store, too.
//
// It contains no business rule. It reads of an event only what names its subject, and never refuses a genuine event for its
// type, its API version or its content. What an event means is the payments worker's. It knows NATS and Stripe's signature
// scheme; not Redis, not Stripe's API.
//
// To follow an event read receive_webhook.go, signature.go, peek.go, publish.go. cmd/ingress runs it, and so does allinone.
package ingress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/barrier/barriermetrics"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/natsstream"
)

// maxHeaderBytes leaves room for a Stripe-Signature header of MaxSignatureHeader, so that one that is too long gets our
// answer and not net/http's.
const maxHeaderBytes = 2 * MaxSignatureHeader

// Service is a running ingress.
type Service struct {
	cfg      Config
	log      *zap.Logger
	nc       *nats.Conn
	stored   *natsstream.Log
	verifier *Verifier
	secrets  []Secret // in use; changed by reload alone
	metrics  *Metrics
	public   *httpserve.Server
	admin    *httpserve.Server
}

// New connects to NATS, checks that the server and stream STRIPE keep what they acknowledge, and binds both addresses; the
// first request may be sent when it has returned. After an error nothing is left open.
func New(ctx context.Context, cfg Config, log *zap.Logger) (_ *Service, err error) {
	s := &Service{cfg: cfg.withDefaults(), secrets: cfg.Secrets, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.verifier, err = NewVerifier(s.cfg.Secrets, s.cfg.Now); err != nil {
		return nil, fmt.Errorf("read signing secrets: %w", err)
	}
	if s.nc, err = natsstream.Connect(ctx, s.cfg.NATS, log); err != nil {
		return nil, err
	}
	s.stored, err = natsstream.OpenLog(ctx, s.nc, s.cfg.Durability, log, event.StreamStripe)
	if err != nil {
		return nil, err
	}
	ready := &readiness{log: s.stored, now: s.cfg.Now}
	if err = ready.check(ctx); err != nil {
		return nil, err
	}
	reg := httpserve.NewRegistry()
	s.metrics = NewMetrics(reg)
	barriermetrics.Register(reg, s.stored.Barrier())
	mux := http.NewServeMux()
	httpserve.Probes(mux, ready.check)
	mux.Handle("/", NewReceiver(ReceiverConfig{
		Verifier: s.verifier, Store: NewPublisher(s.stored), Log: log, Metrics: s.metrics,
		Now: s.cfg.Now, Budget: s.cfg.Budget, MaxInFlight: s.cfg.MaxInFlight,
	}))
	s.public, err = httpserve.Listen(ctx, httpserve.Config{
		Addr: s.cfg.Addr, Handler: mux, ReadTimeout: s.cfg.ReadTimeout, MaxHeaderBytes: maxHeaderBytes, MaxConns: s.cfg.MaxConns, Linger: s.cfg.Linger,
	})
	if err != nil {
		return nil, err
	}
	s.admin, err = httpserve.Listen(ctx, httpserve.Config{Addr: s.cfg.AdminAddr, Handler: httpserve.Admin(reg, ready.check), Linger: s.cfg.Linger})
	if err != nil {
		return nil, err
	}
	log.Info("ingress is listening",
		zap.Stringer("addr", s.Addr()), zap.Stringer("admin_addr", s.AdminAddr()), zap.String("durability", s.cfg.Durability.Mode),
		zap.Strings("secrets", s.verifier.Names()), zap.Bool("secrets_followed", s.cfg.SecretsFile != ""))
	return s, nil
}

// Addr is the public address.
func (s *Service) Addr() net.Addr { return s.public.Addr() }

// AdminAddr is the address of /metrics.
func (s *Service) AdminAddr() net.Addr { return s.admin.Addr() }

// Run serves until ctx ends and for Config.Linger, then takes no more connections, gives the requests in hand up to
// httpserve.DrainTimeout to finish, and closes what New opened. Run once.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.public.Serve(ctx) })
	group.Go(func() error { return s.admin.Serve(ctx) })
	group.Go(func() error {
		env.FollowSecretFile(ctx, s.cfg.SecretsFile, s.cfg.SecretsPoll, s.reload)
		return nil
	})
	group.Go(func() error { s.watchStorage(ctx); return nil })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("run ingress: %w", err)
	}
	return nil
}

func (s *Service) close() {
	for _, server := range []*httpserve.Server{s.public, s.admin} {
		if server != nil {
			_ = server.Close() // after Serve it is closed already
		}
	}
	_ = s.stored.Close() // it was synced before each answer
	if s.nc != nil {
		s.nc.Close()
	}
}

// storageEvery is how often the NATS server is asked for its store.
const storageEvery = 30 * time.Second

// watchStorage keeps the figures of the NATS server's store, for alerts; without NATS_MONITOR_URL there are none.
func (s *Service) watchStorage(ctx context.Context) {
	if s.cfg.Durability.MonitorURL == "" {
		return
	}
	ticker := time.NewTicker(storageEvery)
	defer ticker.Stop()
	for {
		s.metrics.storage(natsstream.ReadStorage(ctx, s.cfg.Durability.MonitorURL))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reload takes new content of the secrets' file into use; unusable content changes nothing.
func (s *Service) reload(list env.Secret, err error) {
	var secrets []Secret
	if err == nil {
		secrets, err = ParseSecrets(list.Reveal())
	}
	if err == nil && slices.Equal(secrets, s.secrets) {
		return
	}
	if err == nil {
		err = s.verifier.Replace(secrets)
	}
	s.metrics.reloaded(err)
	if err != nil {
		s.log.Error("signing secrets not changed: the file is unusable", zap.Error(err), zap.Strings("secrets", s.verifier.Names()))
		return
	}
	s.secrets = secrets
	s.log.Info("signing secrets changed", zap.Strings("secrets", s.verifier.Names()))
}

// readyFor is how long an answer about the stream is good; probes come from anywhere, and each would cost the server a look-up.
const readyFor = 2 * time.Second

// readiness tells whether an event could be stored.
type readiness struct {
	log *natsstream.Log
	now func() time.Time

	mu      sync.Mutex
	checked time.Time
	err     error
}

func (r *readiness) check(ctx context.Context) error {
	if err := r.log.Ready(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if age := now.Sub(r.checked); age < 0 || age >= readyFor {
		err := natsstream.Check(ctx, r.log.JetStream(), event.StreamStripe)
		if ctx.Err() != nil { // the prober gave up: that says nothing about the stream
			return fmt.Errorf("check stream: %w", ctx.Err())
		}
		r.err, r.checked = err, now
	}
	return r.err
}
