// Package natstest starts real NATS servers for tests: nats-server as a library, JetStream in a temporary folder, on a
// free port of the loopback. Only tests import it.
package natstest

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
)

// Server is a running server. Stop and Restart keep its port and store.
type Server struct {
	// URL is the client address, MonitorURL that of the HTTP monitoring port.
	URL, MonitorURL string

	tb   testing.TB
	opts server.Options
	srv  *server.Server
}

// Start starts a server with all streams, buckets and consumers declared. It ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := StartEmpty(tb)
	if err := natsstream.Declare(tb.Context(), s.Conn("declare"), natsstream.Options{}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// StartEmpty starts a server that has JetStream and nothing declared.
func StartEmpty(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, false)
}

// StartSynced is StartEmpty with sync_interval: always.
func StartSynced(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, true)
}

// StartTLS is StartEmpty with TLS, which the server demands of its clients after its greeting, as it does by default.
func StartTLS(tb testing.TB, cfg *tls.Config) *Server {
	tb.Helper()
	return start(tb, false, func(o *server.Options) { o.TLS, o.TLSConfig, o.TLSTimeout = true, cfg, 10 })
}

func start(tb testing.TB, syncAlways bool, changes ...func(*server.Options)) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: server.Options{
		Host: "127.0.0.1", Port: port(tb), HTTPHost: "127.0.0.1", HTTPPort: port(tb),
		JetStream: true, StoreDir: tb.TempDir(), SyncAlways: syncAlways, NoSigs: true, NoLog: true,
	}}
	for _, change := range changes {
		change(&s.opts)
	}
	s.start()
	tb.Cleanup(s.Stop)
	return s
}

func (s *Server) start() {
	s.tb.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.tb.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		s.tb.Fatal("nats-server did not become ready within a minute")
	}
	s.srv, s.URL = srv, srv.ClientURL()
	s.MonitorURL = "http://" + srv.MonitorAddr().String()
}

// port is one to which the server can come back after a restart.
func port(tb testing.TB) int {
	tb.Helper()
	addr, err := net.ResolveTCPAddr("tcp", freeaddr.New(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return addr.Port
}

// StoreDir is the folder of the store, to be changed behind the server's back while it is stopped.
func (s *Server) StoreDir() string { return s.opts.StoreDir }

// Stop shuts the server down; its store stays.
func (s *Server) Stop() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// Damage changes bytes of a stream's stored messages behind the server's back, so that they no longer fit their checksum: each
// pair is an old text, which must occur, and a new one of the same length. The server is restarted.
func (s *Server) Damage(stream string, pairs ...string) {
	s.tb.Helper()
	s.Stop()
	blocks, err := filepath.Glob(filepath.Join(s.StoreDir(), "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		s.tb.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		found := false
		for _, path := range blocks {
			b, err := os.ReadFile(path)
			if err != nil {
				s.tb.Fatal(err)
			}
			if at := bytes.Index(b, []byte(pairs[i])); at >= 0 {
				found = true
				copy(b[at:], pairs[i+1])
				if err := os.WriteFile(path, b, 0o600); err != nil {
					s.tb.Fatal(err)
				}
			}
		}
		if !found || len(pairs[i]) != len(pairs[i+1]) {
			s.tb.Fatalf("damage %s: %q is not there, or not as long as %q", stream, pairs[i], pairs[i+1])
		}
	}
	s.Restart()
}

// Restart starts the stopped server again on the same port and store.
func (s *Server) Restart() { s.tb.Helper(); s.start() }

// Conn returns a connection under name, closed at the end of the test.
func (s *Server) Conn(name string) *nats.Conn {
	s.tb.Helper()
	nc, err := natsstream.Connect(s.tb.Context(), s.Config(name), zap.NewNop())
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(nc.Close)
	return nc
}

// Answer has f answer subject over a connection of name's until the end of the test. The server knows of it when Answer returns.
func (s *Server) Answer(name, subject string, f nats.MsgHandler) {
	s.tb.Helper()
	nc := s.Conn(name)
	_, err := nc.Subscribe(subject, f)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

// Log returns a Log over a connection of its own.
func (s *Server) Log(name string) *natsstream.Log {
	s.tb.Helper()
	l, err := natsstream.NewLog(s.Conn(name))
	if err != nil {
		s.tb.Fatal(err)
	}
	return l
}

// Config returns the client's configuration for name.
func (s *Server) Config(name string) natsstream.Config {
	return natsstream.Config{URL: env.NewSecret(s.URL), Name: name}
}
