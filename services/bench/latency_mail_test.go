package bench_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// mailServer is an SMTP server that notes when it has said that a mail is accepted. It keeps no mail.
type mailServer struct {
	addr string

	mu  sync.Mutex
	got map[string][]mailTimes // by recipient
}

// mailTimes are the moments of one mail: when its MAIL FROM had come, and when the 250 after its data had been written.
type mailTimes struct{ begun, accepted time.Time }

func startMailServer(tb testing.TB) *mailServer {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m := &mailServer{addr: l.Addr().String(), got: map[string][]mailTimes{}}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		conn, ok := c.Conn().(*mailConn)
		if !ok {
			return nil, fmt.Errorf("connection is a %T", c.Conn())
		}
		return &mailSession{server: m, conn: conn}, nil
	}))
	srv.Domain = "mail.example"
	served := make(chan error, 1)
	go func() { served <- srv.Serve(mailListener{l}) }()
	tb.Cleanup(func() {
		_ = srv.Close()
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			tb.Errorf("mail server: %v", err)
		}
	})
	return m
}

// count is how many mails were accepted.
func (m *mailServer) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, mails := range m.got {
		n += len(mails)
	}
	return n
}

// one returns the times of the recipient's mail, which must be the only one.
func (m *mailServer) one(tb testing.TB, recipient string) mailTimes {
	tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := m.got[recipient]
	if len(mails) != 1 {
		tb.Fatalf("%d mails for %s, want one", len(mails), recipient)
	}
	return mails[0]
}

type mailListener struct{ net.Listener }

func (l mailListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &mailConn{Conn: c}, err
}

// mailConn watches for the answer to a mail's data. The server works on a connection in one goroutine, and writes an answer
// by one call.
type mailConn struct {
	net.Conn

	answered func(at time.Time) // what the next answer decides; nil where it decides nothing
}

func (c *mailConn) Write(b []byte) (int, error) {
	answered := c.answered
	c.answered = nil
	n, err := c.Conn.Write(b)
	if answered != nil && err == nil && bytes.HasPrefix(b, []byte("250 ")) {
		answered(time.Now())
	}
	return n, err
}

// mailSession is one conversation.
type mailSession struct {
	server *mailServer
	conn   *mailConn
	begun  time.Time
	to     string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	s.begun = time.Now()
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	to, times := s.to, mailTimes{begun: s.begun}
	s.conn.answered = func(at time.Time) {
		times.accepted = at
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.got[to] = append(s.server.got[to], times)
	}
	return nil
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }
