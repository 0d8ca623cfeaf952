// Package console is the operators' pages: what was paid, what happened to a
// quote and why, what failed, what waits, which mails went out, who has not seen
// a fact, and who did what about it.
//
// It is a face of libs/operations, as quotectl is: it parses what a person asks
// for and renders the answer, and decides nothing. It reads the log and Redis and
// writes the journal alone; what changes something is asked of the service that
// owns it. Everybody who signs in may look; only operators and admins may act,
// with a reason, under their token's name. cmd/console and allinone start it.
package console

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
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/operations/dead"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/mail"
	"quittance.internal/libs/operations/parked"
	"quittance.internal/libs/operations/selection"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/signin"
)

// cookieName is the name of the session's cookie.
const cookieName = "console_session"

// Service is a running console.
type Service struct {
	cfg     Config
	logger  *zap.Logger
	door    *signin.Door
	origins *http.CrossOriginProtection
	// pages knows the addresses of the pages that take a session, and serves none.
	pages    *http.ServeMux
	requests *httpserve.Requests

	nc     *nats.Conn
	stream *natsstream.Log
	redis  redis.UniversalClient
	active redisquote.Active // the generation of Redis that reader reads
	reader *redisquote.Reader

	finder  selection.Finder
	teller  story.Teller
	ledger  mail.Ledger
	letters dead.Desk
	waiting parked.Desk
	journal *journal.Journal
	day     *day
	books   *books
	surgery *surgery
	tasks   *tasks

	public *httpserve.Server
	admin  *httpserve.Server
}

// New connects to NATS and Redis, looks the streams up, and binds both addresses.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	s := &Service{cfg: cfg.withDefaults(), logger: log, origins: signin.Origins(cfg.PublicURL)}
	s.door = &signin.Door{
		Tokens: signin.NewTokens(cfg.Tokens), Cookie: cookieName, PublicURL: cfg.PublicURL, Now: s.cfg.Now, Random: s.cfg.Random,
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) open(ctx context.Context) (err error) {
	if s.nc, err = natsstream.Connect(ctx, s.cfg.NATS, s.logger); err != nil {
		return err
	}
	if s.stream, err = natsstream.NewLog(s.nc); err != nil {
		return err
	}
	if err := natsstream.Check(ctx, s.stream.JetStream(), event.StreamStripe, event.StreamQuotes, event.StreamDead, event.StreamJournal); err != nil {
		return err
	}
	if s.redis, err = redisquote.Open(ctx, s.cfg.Redis); err != nil {
		return err
	}
	generation, err := s.stream.Generation(ctx)
	if err != nil {
		return fmt.Errorf("which generation of Redis is in use (bucket %s; may this NATS user read it?): %w", event.BucketSystem, err)
	}
	s.active.Set(generation.Read)
	s.reader = redisquote.NewReader(s.redis, &s.active)
	s.finder = selection.Finder{Log: s.stream, Reader: s.reader}
	s.teller = story.Teller{Log: s.stream, Reader: s.reader}
	s.ledger = mail.Ledger{Log: s.stream}
	s.letters = dead.Desk{Log: s.stream, NATS: s.nc, Shelf: &dead.Shelf{}}
	s.waiting = parked.Desk{Log: s.stream, NATS: s.nc, Reader: s.reader, Now: s.cfg.Now}
	s.journal = journal.New(s.stream, s.cfg.Now)
	s.day = &day{log: s.stream, zone: s.cfg.Zone}
	s.books = newBooks(check.Books{Log: s.stream, Redis: s.redis}.Conservation, s.cfg.Now, s.cfg.CountEvery)
	s.surgery = newSurgery(s.patient(), s.cfg.Now)
	s.tasks = newTasks(s.cfg.Now, s.cfg.Random)

	reg := httpserve.NewRegistry()
	s.requests = httpserve.NewRequests(reg)
	if s.public, err = httpserve.Listen(ctx, httpserve.Config{Addr: s.cfg.Addr, Handler: s.routes()}); err != nil {
		return err
	}
	s.admin, err = httpserve.Listen(ctx, httpserve.Config{Addr: s.cfg.AdminAddr, Handler: httpserve.Admin(reg, s.Ready)})
	return err
}

// Addr is where the pages are.
func (s *Service) Addr() net.Addr { return s.public.Addr() }

// AdminAddr is where probes and metrics are.
func (s *Service) AdminAddr() net.Addr { return s.admin.Addr() }

// Ready reports why the service cannot do all of its work, or nil. It has the
// time of its context.
func (s *Service) Ready(ctx context.Context) error {
	if err := natsstream.Ready(s.nc); err != nil {
		return err
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Run serves until ctx ends; then the requests in hand get their answer, and what
// operators have started stops between two of its steps. It closes what New
// opened.
func (s *Service) Run(ctx context.Context) error {
	s.logger.Info("console started", zap.Stringer("addr", s.Addr()), zap.Stringer("admin_addr", s.AdminAddr()),
		zap.String("mode", s.cfg.Mode), zap.String("public_url", s.cfg.PublicURL), zap.Int("tokens", s.door.Tokens.Count()))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.public.Serve(ctx) })
	group.Go(func() error { return s.admin.Serve(ctx) })
	group.Go(func() error { s.door.Tokens.Follow(ctx, s.cfg.TokensFile, s.cfg.FollowEvery, s.logger); return nil })
	group.Go(func() error { s.stream.FollowGeneration(ctx, s.cfg.GenerationEvery, s.readGeneration); return nil })
	group.Go(func() error { s.books.run(ctx); return nil })
	group.Go(func() error { s.tasks.run(ctx); return nil })
	err := group.Wait()
	return errors.Join(err, s.close())
}

// readGeneration goes over to another generation of Redis keys.
func (s *Service) readGeneration(g natsstream.Generation) {
	if g.Read != s.active.Keys().Generation() {
		s.logger.Info("reading another generation of redis", zap.String("generation", g.Read))
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
	if s.nc != nil {
		s.nc.Close()
	}
	return err
}
