// Package mailbox catches the mail of a development system: it takes every message that arrives by SMTP, delivers none
// of them, keeps each as a file and shows them on a web page and through a JSON API of Mailpit's shape.
//
// Its one job is to be the end of the line. It never sends, relays, bounces or filters, it knows no users and asks for no
// password: it belongs on the loopback interface. The all-in-one runner starts it; a script that reads Mailpit's API
// (docker-compose.yml runs Mailpit itself) reads this one without a change.
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/emersion/go-smtp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/platform/httpserve"
)

// shutdownTimeout is how long running SMTP conversations may go on after the context has ended.
const shutdownTimeout = 5 * time.Second

// Config says where the catcher listens and where it keeps the mail. The zero value of every field but Dir works.
type Config struct {
	// SMTPAddr is where mail is taken, host:port. Default 127.0.0.1:1025.
	SMTPAddr string
	// HTTPAddr is where the inbox and the API are served, host:port. Default 127.0.0.1:8025.
	HTTPAddr string
	// Dir is the folder of the mail files; it is made with mode 0700. Required.
	Dir string
	// MaxMessageBytes bounds one message. Default 10 MiB.
	MaxMessageBytes int64
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Service is a mail catcher with both ports bound. Safe for concurrent use.
type Service struct {
	store *store
	smtp  *smtp.Server
	mail  net.Listener
	web   *httpserve.Server
	log   *zap.Logger
}

// New reads the mail that Dir holds already and binds both ports. It returns an error when Dir cannot be used or a port
// is taken.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Service, error) {
	if cfg.SMTPAddr == "" {
		cfg.SMTPAddr = "127.0.0.1:1025"
	}
	if cfg.HTTPAddr == "" {
		cfg.HTTPAddr = "127.0.0.1:8025"
	}
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = 10 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the default clock, as a value
	}
	st, err := openStore(cfg.Dir, cfg.Now)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	mail, err := lc.Listen(ctx, "tcp", cfg.SMTPAddr)
	if err != nil {
		return nil, fmt.Errorf("listen for mail on %s: %w", cfg.SMTPAddr, err)
	}
	pages, err := newHandler(st, log)
	if err != nil {
		return nil, errors.Join(err, mail.Close())
	}
	web, err := httpserve.Listen(ctx, httpserve.Config{Addr: cfg.HTTPAddr, Handler: pages})
	if err != nil {
		return nil, errors.Join(err, mail.Close())
	}
	return &Service{store: st, smtp: newSMTPServer(st, cfg, log), mail: mail, web: web, log: log}, nil
}

// Addr returns the address of the inbox page and the API.
func (s *Service) Addr() net.Addr { return s.web.Addr() }

// SMTPAddr returns the address where mail is taken.
func (s *Service) SMTPAddr() net.Addr { return s.mail.Addr() }

// Close gives the ports back; for a start that failed after New. Run closes them by itself.
func (s *Service) Close() error { return errors.Join(s.mail.Close(), s.web.Close()) }

// Run takes and shows mail until ctx ends, then lets conversations in hand finish for a few seconds.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.web.Serve(ctx) })
	g.Go(func() error {
		if err := s.smtp.Serve(s.mail); err != nil && ctx.Err() == nil {
			return fmt.Errorf("take mail on %s: %w", s.mail.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		// The context has ended; a message that is being handed over is still taken.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := s.smtp.Shutdown(stop); err != nil {
			_ = s.smtp.Close() // a client that keeps its connection open does not hold up the end
		}
		return nil
	})
	return g.Wait()
}
