// Package redistest starts real redis-server processes for tests, each on a free loopback port with a temporary folder.
// Only tests import it.
package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/redisquote"
)

// Server is a running redis-server. Stop and Start keep its port and folder.
type Server struct {
	// URL is its address as REDIS_URL takes it.
	URL string

	tb   testing.TB
	args []string
	port int
	cmd  *exec.Cmd
}

// Start starts a server with appendonly off, or with the given further arguments; it ends with the test.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, port: freePort(tb)}
	s.URL = fmt.Sprintf("redis://127.0.0.1:%d/0", s.port)
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", tb.TempDir(), "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning",
	}, args...)
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// Start starts the stopped server again.
func (s *Server) Start() {
	s.tb.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		binary, err = exec.LookPath("valkey-server")
	}
	if err != nil {
		s.tb.Fatal("neither redis-server nor valkey-server is on PATH; on Debian: apt-get install redis-server (make test does it as root)")
	}
	s.cmd = exec.Command(binary, s.args...)
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.addr()})
	defer client.Close()
	for deadline := time.Now().Add(20 * time.Second); client.Ping(s.tb.Context()).Err() != nil; {
		if time.Now().After(deadline) {
			s.tb.Fatal("redis-server did not answer within 20 s")
		}
	}
}

// Stop kills the server; what is in memory is gone.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Config returns the client's configuration.
func (s *Server) Config() redisquote.Config { return redisquote.Config{URL: env.NewSecret(s.URL)} }

// Client returns a client, closed at the end of the test.
func (s *Server) Client() redis.UniversalClient {
	s.tb.Helper()
	c, err := redisquote.Open(s.tb.Context(), s.Config())
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = c.Close() })
	return c
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("address %v is not TCP", l.Addr())
	}
	return tcp.Port
}
