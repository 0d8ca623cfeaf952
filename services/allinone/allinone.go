// Package allinone runs the whole product in one process: ingress, payments, notifier, quotes and console on embedded servers
// (nats-server as a library, a Redis in memory, a mail catcher, the sandbox in Stripe's place), so that a clone and one
// command show everything.
//
// It is the development system and the demonstration, and nothing else: it refuses live mode on its embedded servers. The
// services are the very ones of a deployment, started with New and Run and told addresses; none of them knows where it
// runs, and each uses the NATS rights that a deployment would give it. What must survive a restart lies under DATA_DIR; the
// Redis does not, which every start proves harmless by filling it from the log again.
//
// Run order: servers, declaration of the streams, quotes, payments, notifier, console, ingress; on the way out the services drain
// first and the servers go last. If one part ends, all of them end. cmd/allinone calls it.
package allinone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/mailbox"
	"quittance.internal/services/sandbox"
)

// readyTimeout is how long the services may take until they can work; payments folds the whole log meanwhile.
const readyTimeout = 2 * time.Minute

// Service is the whole system, started but not serving yet.
type Service struct {
	cfg   Config
	log   *zap.Logger
	began time.Time
	dir   *dataDir
	kept  keptSecrets
	// ending is set when the connections are about to be closed on purpose.
	ending atomic.Bool

	nats     *server.Server
	redis    *miniredis.Miniredis
	mail     *mailbox.Service
	sandbox  *sandbox.Service
	services []part
}

// New locks DATA_DIR, checks every address, starts the embedded servers, declares the streams and makes the services, which
// bind their addresses. It writes DATA_DIR/client.env. After an error nothing is left running.
func New(ctx context.Context, cfg Config, log *zap.Logger) (_ *Service, err error) {
	s := &Service{cfg: cfg, began: cfg.Now()}
	log = quiet(log, cfg.Redis.IsZero(), &s.ending)
	s.log = log
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abandon(ctx))
		}
	}()
	if s.dir, err = openDataDir(cfg.DataDir); err != nil {
		return nil, err
	}
	if s.kept, err = s.dir.secrets(cfg.Random); err != nil {
		return nil, err
	}
	if s.cfg.addrs, err = cfg.addrs.reserve(ctx); err != nil {
		return nil, err
	}
	if err = s.startServers(ctx); err != nil {
		return nil, err
	}
	if err = declare(ctx, s.cfg.serviceLookup("operator", s.kept), log); err != nil {
		return nil, err
	}
	for _, p := range parts {
		run, err := p.start(ctx, s.cfg.serviceLookup(p.name, s.kept), log.Named(p.name))
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", p.name, err)
		}
		s.services = append(s.services, part{name: p.name, runner: run})
	}
	if err = s.dir.write(clientEnvFile, s.cfg.clientEnv(s.kept)); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Service) startServers(ctx context.Context) (err error) {
	c := s.cfg
	if c.NATS.IsZero() {
		s.nats, err = startNATS(s.dir.file(natsDir), c.addrs.get(addrNATS), c.addrs.get(addrNATSMonitor), c.Durability != natsstream.DurabilityBarrier, s.kept.NATS, s.log)
		if err != nil {
			return err
		}
	}
	if c.Redis.IsZero() {
		if s.redis, err = startRedis(c.addrs.get(addrRedis), s.kept.Redis); err != nil {
			return err
		}
	}
	if c.SMTP.IsZero() {
		s.mail, err = mailbox.New(ctx, mailbox.Config{
			SMTPAddr: c.addrs.get(addrSMTP), HTTPAddr: c.addrs.get(addrMailbox), Dir: s.dir.file("mail"), Now: c.Now,
		}, s.log.Named("mailbox"))
		if err != nil {
			return err
		}
	}
	if c.Stripe.IsZero() {
		s.sandbox, err = startSandbox(ctx, c, s.kept, s.log.Named("sandbox"))
	}
	return err
}

// Addr is the address of the quotes service, the one that a person opens first.
func (s *Service) Addr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", s.cfg.addrs.get(addrQuotes))
	if err != nil {
		return &net.TCPAddr{}
	}
	return a
}

// URL returns where the part named by its address variable ("INGRESS_ADDR") is reached, "" for one that does not run here.
func (s *Service) URL(variable string) string { return s.cfg.url(variable) }

// ClientEnv is the file from which quotectl and a shell take the addresses and secrets.
func (s *Service) ClientEnv() string { return s.dir.file(clientEnvFile) }

// Run serves until ctx ends or one part fails, then drains the services, stops the servers and gives DATA_DIR back. When
// everything is ready it prints the tour; with DEMO it takes it, and returns an error when something did not come out.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The servers outlive the context: the services drain into them.
	serverCtx, stopServers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServers()
	servers := s.runServers(serverCtx, cancel)

	group, groupCtx := errgroup.WithContext(ctx)
	for _, p := range s.services {
		group.Go(func() error {
			if err := p.runner.Run(groupCtx); err != nil || groupCtx.Err() == nil {
				return fmt.Errorf("%s ended: %w", p.name, orUnexpected(err))
			}
			return nil
		})
	}
	group.Go(func() error { return s.present(groupCtx, cancel) })
	group.Go(func() error {
		<-groupCtx.Done()
		s.ending.Store(true)
		return nil
	})
	err := group.Wait()

	stopServers()
	return errors.Join(err, servers.Wait(), s.stopServers())
}

var errUnexpected = errors.New("it stopped by itself")

func orUnexpected(err error) error {
	if err == nil {
		return errUnexpected
	}
	return err
}

// runServers runs what the embedded servers need until ctx ends; a server that ends earlier ends everything.
func (s *Service) runServers(ctx context.Context, cancel context.CancelFunc) *errgroup.Group {
	group := &errgroup.Group{}
	watch := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			err := run(ctx)
			if ctx.Err() != nil {
				return err
			}
			cancel()
			return fmt.Errorf("%s ended: %w", name, orUnexpected(err))
		})
	}
	if s.mail != nil {
		watch("mailbox", s.mail.Run)
	}
	if s.sandbox != nil {
		watch("sandbox", s.sandbox.Run)
	}
	if s.redis != nil {
		watch("redis", func(ctx context.Context) error { age(ctx, s.redis); return nil })
	}
	if s.nats != nil {
		watch("nats", func(ctx context.Context) error { return watchNATS(ctx, s.nats) })
	}
	return group
}

// present waits until everything can work and then shows it.
func (s *Service) present(ctx context.Context, stop context.CancelFunc) error {
	if err := s.waitReady(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	var opening sample
	if s.hasSample() {
		var err error
		if opening, err = s.openSample(ctx, s.cfg.Demo != DemoOff); err != nil {
			// A policy of one's own may refuse it; the system works all the same.
			s.log.Warn("sample quote not published", zap.Error(err))
		}
	}
	t := newTour(s, opening)
	if s.cfg.Demo == DemoOff {
		return t.print(s.cfg.Out)
	}
	if err := t.take(ctx, s.cfg.Out); err != nil {
		return unlessEnded(ctx, fmt.Errorf("take the tour: %w", err))
	}
	if s.cfg.Demo == DemoOnce {
		stop()
	}
	return nil
}

// unlessEnded drops the error of work that the end of everything has cut off.
func unlessEnded(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// waitReady asks every part's /readyz until all answer 200.
func (s *Service) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	probed := []string{addrQuotesAdmin, addrPayments, addrNotifier, addrConsoleAdmin, addrIngressAdmin}
	if s.sandbox != nil {
		probed = append(probed, addrSandbox)
	}
	for _, name := range probed {
		if err := pollReady(ctx, s.cfg.url(name)+"/readyz"); err != nil {
			return fmt.Errorf("wait for %s: %w", name, err)
		}
	}
	return nil
}

func pollReady(ctx context.Context, url string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = probe(ctx, url); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last answer: %w)", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe %s: %w", url, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("probe %s: %s", url, res.Status)
	}
	return nil
}

// abandon closes what New has opened before it failed.
func (s *Service) abandon(ctx context.Context) error {
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cancel()
	s.ending.Store(true)
	var err error
	for _, p := range s.services {
		err = errors.Join(err, p.runner.Run(ended)) // a Run whose context has ended closes what its New opened
	}
	if s.mail != nil {
		err = errors.Join(err, s.mail.Close())
	}
	if s.sandbox != nil {
		err = errors.Join(err, s.sandbox.Run(ended))
	}
	return errors.Join(err, s.stopServers())
}

func (s *Service) stopServers() error {
	if s.redis != nil {
		s.redis.Close()
	}
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	if s.dir == nil {
		return nil
	}
	return s.dir.close()
}

// displayPath is the path of a file as a person in the current folder writes it.
func displayPath(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "./" + filepath.ToSlash(filepath.Clean(path))
}
