// Package quotes is the service that sellers and their customers talk to: the
// API of quotes, the card on the deal record, and the page of a quote.
//
// A command (create, edit, publish, recall) is decided by package quote from the
// quote's own events in the log, and stored there with optimistic concurrency:
// the log is the truth, and a caller reads his own writes at once. Payment
// status and lists come from Redis, which payments alone writes. The service
// keeps nothing itself, so that any number of instances may run.
//
// Check out opens a Checkout Session at Stripe, and a consumer of quote.paid
// creates the Stripe customer; both only where STRIPE_API_KEY is set. Timers of
// the stream TIMERS, planned from quote.published, append quote.expired and
// quote.expiring. From time to time it has what Stripe knows compared with the log, and
// enters what never came. The service takes no webhooks, sends no mail and decides nothing
// about payments.
// Only cmd/quotes and allinone start it.
package quotes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/barrier/barriermetrics"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/libs/platform/stripegate"
)

// Service is a running quotes service.
type Service struct {
	cfg     Config
	log     *zap.Logger
	tokens  *signin.Tokens
	door    *signin.Door
	origins *http.CrossOriginProtection
	metrics *metrics

	throttle *throttle
	live     *live

	nc     *nats.Conn
	stream *natsstream.Log
	redis  redis.UniversalClient
	reader *redisquote.Reader
	active redisquote.Active // the generation of Redis that reader reads
	// journal takes who was refused to connect an account (R7).
	journal *journal.Journal
	stripe  *stripegate.Client // nil where no key is configured
	chores  []chore            // what it does beside answering calls
	http    *http.Client       // to ingress
	public  *httpserve.Server
	admin   *httpserve.Server
}

// New connects to NATS and Redis, checks that the log keeps what is entrusted to
// it, and binds both addresses.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	s := &Service{cfg: cfg.withDefaults(), log: log, tokens: signin.NewTokens(cfg.Tokens), origins: signin.Origins(cfg.PublicURL), http: &http.Client{Timeout: comeBackTimeout}}
	s.door = &signin.Door{Tokens: s.tokens, Cookie: sessionCookie, PublicURL: s.cfg.PublicURL, Now: s.cfg.Now, Random: s.cfg.Random}
	s.throttle, s.live = newThrottle(s.cfg.PageRate, throttleClients), newLive(s.cfg.Streams)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context) (err error) {
	if s.nc, err = natsstream.Connect(ctx, s.cfg.NATS, s.log); err != nil {
		return err
	}
	streams := []string{event.StreamQuotes, event.StreamSellers, event.StreamJournal, event.StreamDead, event.StreamTimers}
	if s.stream, err = natsstream.OpenLog(ctx, s.nc, s.cfg.Durability, s.log, streams...); err != nil {
		return err
	}
	if err := natsstream.Check(ctx, s.stream.JetStream(), streams...); err != nil {
		return err
	}
	if s.redis, err = redisquote.Open(ctx, s.cfg.Redis); err != nil {
		return err
	}
	if s.cfg.Stripe.Configured() {
		s.stripe = stripegate.New(s.cfg.Stripe)
	}
	if err := s.openChores(ctx); err != nil {
		return err
	}
	s.journal = journal.New(s.stream, s.cfg.Now)
	generation, err := s.stream.Generation(ctx)
	if err != nil {
		return fmt.Errorf("which generation of Redis is in use (bucket %s; may this NATS user read it?): %w", event.BucketSystem, err)
	}
	s.active.Set(generation.Read)
	s.reader = redisquote.NewReader(s.redis, &s.active)

	reg := httpserve.NewRegistry()
	s.metrics = newMetrics(reg, s.live.open)
	barriermetrics.Register(reg, s.stream.Barrier())
	s.public, err = httpserve.Listen(ctx, httpserve.Config{Addr: s.cfg.Addr, Handler: s.routes()})
	if err != nil {
		return err
	}
	s.admin, err = httpserve.Listen(ctx, httpserve.Config{Addr: s.cfg.AdminAddr, Handler: httpserve.Admin(reg, s.Ready)})
	return err
}

// Addr is where the API and the pages are.
func (s *Service) Addr() net.Addr { return s.public.Addr() }

// AdminAddr is where probes and metrics are.
func (s *Service) AdminAddr() net.Addr { return s.admin.Addr() }

// Ready reports why the service cannot do all of its work, or nil. It has the
// time of its context.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.stream.Ready(); err != nil {
		return err
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Run serves until ctx ends; then the requests in hand get their answer. It
// closes what New opened.
func (s *Service) Run(ctx context.Context) error {
	s.log.Info("quotes started", zap.Stringer("addr", s.Addr()), zap.Stringer("admin_addr", s.AdminAddr()),
		zap.String("mode", s.cfg.Mode), zap.String("public_url", s.cfg.PublicURL), zap.Int("tokens", s.tokens.Count()),
		zap.String("durability", s.cfg.Durability.Mode), zap.String("policy", s.cfg.Policy.Date), zap.Bool("stripe", s.stripe != nil), zap.Bool("reconciles", s.reconciles()))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.public.Serve(ctx) })
	group.Go(func() error { return s.admin.Serve(ctx) })
	group.Go(func() error { s.tokens.Follow(ctx, s.cfg.TokensFile, s.cfg.FollowEvery, s.log); return nil })
	group.Go(func() error { return s.live.run(ctx, s.nc) })
	group.Go(func() error { s.stream.FollowGeneration(ctx, s.cfg.GenerationEvery, s.readGeneration); return nil })
	group.Go(func() error { return s.deadServer().Serve(ctx) })
	for _, c := range s.chores {
		group.Go(func() error { return s.runChore(ctx, c) })
	}
	if s.reconciles() {
		group.Go(func() error { s.reconcile(ctx); return nil })
	}
	if s.comparable() {
		group.Go(func() error { return s.reconcileOrders(ctx) })
	}
	err := group.Wait()
	return errors.Join(err, s.close())
}

// readGeneration goes over to another generation of Redis keys.
func (s *Service) readGeneration(g natsstream.Generation) {
	if g.Read != s.active.Keys().Generation() {
		s.log.Info("reading another generation of redis", zap.String("generation", g.Read))
	}
	s.active.Set(g.Read)
}

func (s *Service) close() error {
	var err error
	for _, server := range []*httpserve.Server{s.public, s.admin} {
		if server != nil {
			err = errors.Join(err, server.Close())
		}
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Close())
	}
	err = errors.Join(err, s.stream.Close())
	if s.nc != nil {
		s.nc.Close()
	}
	return err
}
