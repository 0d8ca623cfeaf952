// Package redistest starts real redis-server processes for tests, each on a free loopback port with a temporary folder.
// Only tests import it.
package redistest

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
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

	tb     testing.TB
	args   []string
	port   int
	bus    string // the port on which the nodes of a cluster talk to each other
	served bool   // the port stays: it has run once, or others were told
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has
}

// Start starts a server with appendonly off, or with the given further arguments; it ends with the test.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, args: arguments(tb, args)}
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

func arguments(tb testing.TB, further []string) []string {
	tb.Helper()
	return append([]string{
		"--bind", "127.0.0.1", "--dir", tb.TempDir(), "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning",
	}, further...)
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
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if !s.served {
			s.port = freePort(s.tb)
			s.URL = fmt.Sprintf("redis://127.0.0.1:%d/0", s.port)
		}
		err := s.launch(binary, deadline)
		if err == nil {
			s.served = true
			return
		}
		if time.Now().After(deadline) {
			s.tb.Fatal(err)
		}
	}
}

// launch starts the process and waits until it answers. Somebody else may have taken the port meanwhile; then the process ends, and
// whatever answers there is not ours.
func (s *Server) launch(binary string, deadline time.Time) error {
	s.cmd, s.ended = exec.Command(binary, append([]string{"--port", strconv.Itoa(s.port)}, s.args...)...), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(s.cmd, s.ended)
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), DialerRetryTimeout: 5 * time.Millisecond}) // 100 ms by itself, of a start of 20
	defer client.Close()
	for ours := fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid); ; {
		info, err := client.Info(s.tb.Context(), "server").Result()
		if strings.Contains(info, ours) {
			return nil
		}
		select {
		case <-s.ended:
			s.cmd = nil
			return fmt.Errorf("redis-server has ended before it answered on port %d: is the port taken?", s.port)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Stop()
			return fmt.Errorf("redis-server does not answer on port %d: %w", s.port, err)
		}
	}
}

// Stop kills the server; what is in memory is gone.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

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
