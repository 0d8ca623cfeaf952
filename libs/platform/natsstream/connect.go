// Package natsstream is the one place that knows how the product uses NATS JetStream: how to connect, which streams,
// buckets and consumers exist, the two ways to publish (Fact and Command), and how to read a message back.
//
// It knows no business rule: what a subject or a body means is libs/domain/event's. Its tests' servers are in natstest.
// Ingress, payments, notifier, quotes and the operator's tools call it.
package natsstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
)

// connectTimeout bounds how long Connect tries a server that does not answer: services may start in any order.
const connectTimeout = 30 * time.Second

// answerMost is how many messages one answer of several may have; see Log.Scan. Each such read makes a queue for as many: by the
// default of 65,536 half a megabyte each time, which was 85 % of all that notifier allocated.
const answerMost = 2048

// Config says which server to use and as whom.
type Config struct {
	// URL may carry a user and a password, so it is kept as a secret. Several servers are separated by commas; one without a user
	// and a password of its own is given the first one's.
	URL env.Secret
	// Creds and CA name files; either may be empty.
	Creds, CA string
	// Name is the service's name. It names the connection and its inbox prefix, _INBOX_<name>, which permissions refer to.
	Name string
}

// ConfigFromEnv reads NATS_URL (or NATS_URL_FILE), NATS_CREDS and NATS_CA.
func ConfigFromEnv(r *env.Reader, name string) Config {
	c := Config{URL: r.Secret("NATS_URL"), Creds: r.String("NATS_CREDS", ""), CA: r.String("NATS_CA", ""), Name: name}
	if c.URL.IsZero() {
		c.URL = env.NewSecret(nats.DefaultURL)
	}
	return c
}

// Connect dials the server, trying for up to 30 s, and keeps the connection for ever after: it reconnects by itself, also to a
// server that refused it a while ago, as one does that has not heard of a new password yet.
// Errors of the connection, among them refused permissions, are logged; Ready reports them too.
func Connect(ctx context.Context, cfg Config, log *zap.Logger) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.CustomInboxPrefix("_INBOX_" + cfg.Name),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // else the second refusal would close the connection for good, under a process that goes on
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.Timeout(3 * time.Second),
		nats.NoCallbacksAfterClientClose(),
		nats.SyncQueueLen(answerMost + 1), // and the word that it was the last
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Error("nats connection", zap.Error(err))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("nats disconnected", zap.Error(err)) }),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("nats reconnected") }),
	}
	if user, password, ok := userInfo(cfg.URL.Reveal()); ok {
		opts = append(opts, nats.UserInfo(user, password))
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for {
		nc, err := nats.Connect(cfg.URL.Reveal(), opts...)
		if err == nil {
			return nc, nil
		}
		if errors.Is(err, nats.ErrAuthorization) {
			return nil, fmt.Errorf("connect to NATS as %s: %w", cfg.Name, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS as %s (is NATS_URL right and the server up?): %w", cfg.Name, err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// userInfo is what the first of the servers is told; nats.go tells it to no other by itself.
func userInfo(urls string) (user, password string, ok bool) {
	first, _, _ := strings.Cut(urls, ",")
	u, err := url.Parse(strings.TrimSpace(first))
	if err != nil || u.User == nil {
		return "", "", false
	}
	password, ok = u.User.Password()
	return u.User.Username(), password, ok
}

// Ready reports why the connection cannot be worked with: not connected, or the server refused a permission.
func Ready(nc *nats.Conn) error {
	if !nc.IsConnected() {
		return fmt.Errorf("nats: %s", nc.Status())
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("nats: %w", err)
	}
	return nil
}
