package allinone

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

// usersConf says who may do what on the embedded NATS server: the very rights of a deployment, so that a service that needs
// one more is found out on a developer's machine.
//
//go:embed users.conf
var usersConf string

const passwordsInclude = `include "../../run/secrets/nats_passwords.conf"` //nolint:gosec // a file's name

// natsReadyTimeout covers the recovery of a large log after a crash.
const natsReadyTimeout = 60 * time.Second

// startNATS starts a NATS server in this process, with JetStream under dir. syncAlways puts each message on disk before its
// PubAck; without it the services' barrier does.
func startNATS(dir, addr, monitor string, syncAlways bool, passwords map[string]string, log *zap.Logger) (*server.Server, error) {
	opts := &server.Options{}
	// Here the passwords do not come from a file beside users.conf.
	users := strings.Replace(usersConf, passwordsInclude, passwordLines(passwords), 1)
	if err := opts.ProcessConfigString(users); err != nil {
		return nil, fmt.Errorf("read NATS users: %w", err)
	}
	var err error
	if opts.Host, opts.Port, err = hostPort(addr); err != nil {
		return nil, fmt.Errorf("read %s: %w", addrNATS, err)
	}
	if opts.HTTPHost, opts.HTTPPort, err = hostPort(monitor); err != nil {
		return nil, fmt.Errorf("read %s: %w", addrNATSMonitor, err)
	}
	opts.ServerName = "quittance-allinone"
	opts.JetStream, opts.StoreDir, opts.SyncAlways = true, dir, syncAlways
	opts.NoSigs = true // the process has its own signal handling; see Run
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("make NATS server: %w", err)
	}
	said := &natsLog{log: log.Named("nats")}
	srv.SetLoggerV2(said, false, false, false)
	srv.Start()
	deadline := time.After(natsReadyTimeout)
	for !srv.ReadyForConnections(100 * time.Millisecond) {
		select {
		case <-deadline:
			err = fmt.Errorf("start NATS server: not ready after %s", natsReadyTimeout)
		default:
			err = said.fatal()
		}
		if err != nil {
			srv.Shutdown()
			return nil, err
		}
	}
	if !srv.JetStreamEnabled() {
		srv.Shutdown()
		return nil, errors.New("start NATS server: no JetStream")
	}
	return srv, nil
}

// watchNATS returns when ctx ends, or when the server or its JetStream has: a full or broken disk takes it down, and then
// nothing that is acknowledged would be kept.
func watchNATS(ctx context.Context, srv *server.Server) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !srv.Running() || !srv.JetStreamEnabled() {
			return errors.New("the server has shut JetStream down; its reason is in the log")
		}
	}
}

func passwordLines(passwords map[string]string) string {
	var b strings.Builder
	for _, user := range natsUsers {
		fmt.Fprintf(&b, "NATS_PASSWORD_%s: %q\n", strings.ToUpper(user), passwords[user])
	}
	return b.String()
}

func hostPort(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err //nolint:wrapcheck // the caller names the address
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

// natsLog passes what the server says on to zap. What it calls a notice is of no interest to a developer.
type natsLog struct {
	log *zap.Logger

	mu    sync.Mutex
	cause error
}

// Noticef, Warnf, Fatalf, Errorf, Debugf and Tracef make it the server's Logger.
func (l *natsLog) Noticef(format string, v ...any) { l.say(l.log.Debug, format, v) }

// Warnf is described at Noticef.
func (l *natsLog) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if !slices.ContainsFunc(expectedWarnings, func(s string) bool { return strings.Contains(text, s) }) {
		l.log.Warn("nats server", zap.String("text", text))
	}
}

// Fatalf is called for what the server cannot go on from; as a program it would end there.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cause = fmt.Errorf("start NATS server: "+format, v...)
}

// Errorf is described at Noticef.
func (l *natsLog) Errorf(format string, v ...any) { l.say(l.log.Error, format, v) }

// Debugf is described at Noticef.
func (l *natsLog) Debugf(format string, v ...any) { l.say(l.log.Debug, format, v) }

// Tracef is described at Noticef.
func (l *natsLog) Tracef(format string, v ...any) { l.say(l.log.Debug, format, v) }

func (l *natsLog) say(at func(string, ...zap.Field), format string, v []any) {
	at("nats server", zap.String("text", fmt.Sprintf(format, v...)))
}

// fatal returns what the server could not go on from, or nil.
func (l *natsLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// expectedWarnings are true and meant: the passwords are random, live in a folder of mode 0700 and open a loopback port.
var expectedWarnings = []string{"Plaintext passwords detected"}

// startRedis starts a Redis in this process. It keeps nothing: payments fills it from the log at each start.
func startRedis(addr, password string) (*miniredis.Miniredis, error) {
	m := miniredis.NewMiniRedis()
	m.RequireAuth(password)
	if err := m.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return m, nil
}

// age lets keys with a time to live expire, which miniredis leaves to its owner, until ctx ends.
func age(ctx context.Context, m *miniredis.Miniredis) {
	const step = time.Second
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.FastForward(step)
		}
	}
}

// declare makes the streams, buckets and consumers, as the user who may.
func declare(ctx context.Context, lookup env.Lookup, log *zap.Logger) error {
	r := env.NewReader(lookup)
	cfg := natsstream.ConfigFromEnv(r, "operator")
	if err := r.Err(); err != nil {
		return fmt.Errorf("declare streams: %w", err)
	}
	// This connection is closed at once and on purpose, which is no warning.
	nc, err := natsstream.Connect(ctx, cfg, log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)))
	if err != nil {
		return fmt.Errorf("declare streams: %w", err)
	}
	defer nc.Close()
	return natsstream.Declare(ctx, nc, natsstream.Options{})
}
