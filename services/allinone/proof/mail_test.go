package proof_test

import (
	"io"
	"log"
	"net"
	"net/mail"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// mailServer is a real SMTP server that counts what it accepts, by recipient. It can go away and come back.
type mailServer struct {
	tb   testing.TB
	addr string
	srv  *smtp.Server

	mu       sync.Mutex
	accepted map[string][]string // recipient → Message-ID of each accepted mail
}

func startMail(tb testing.TB) *mailServer {
	tb.Helper()
	m := &mailServer{tb: tb, addr: freeAddr(tb), accepted: map[string][]string{}}
	m.up()
	tb.Cleanup(m.down)
	return m
}

func (m *mailServer) up() {
	m.tb.Helper()
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.srv = smtp.NewServer(m)
	m.srv.Domain = "mail.example"
	m.srv.ErrorLog = log.New(io.Discard, "", 0) // killed clients are what these tests are about
	go func(s *smtp.Server) { _ = s.Serve(l) }(m.srv)
}

func (m *mailServer) down() { _ = m.srv.Close() }

// NewSession implements smtp.Backend.
func (m *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &mailSession{server: m}, nil
}

func (m *mailServer) to(recipient string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.accepted[recipient]...)
}

func (m *mailServer) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, ids := range m.accepted {
		n += len(ids)
	}
	return n
}

type mailSession struct {
	server *mailServer
	to     string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }
func (s *mailSession) Reset()                                    {}
func (s *mailSession) Logout() error                             { return nil }

func (s *mailSession) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.accepted[s.to] = append(s.server.accepted[s.to], msg.Header.Get("Message-ID"))
	return nil
}
