package processtest

import (
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"quittance.internal/libs/platform/freeaddr"
)

// MailServer is a real SMTP server that counts what it accepts, by recipient. It can go away and come back, and refuse. It is
// safe for concurrent use, but for Up and Down.
type MailServer struct {
	// Addr is host:port.
	Addr string

	tb  testing.TB
	srv *smtp.Server

	mu       sync.Mutex
	refuse   func(recipient string) *smtp.SMTPError
	accepted map[string][]string // recipient → Message-ID of each accepted mail
	cut      int                 // so many of the next mails are accepted without an answer
	cuts     int
}

// StartMail starts a server that accepts everything; it ends with the test.
func StartMail(tb testing.TB) *MailServer {
	tb.Helper()
	return StartMailAt(tb, freeaddr.New(tb))
}

// StartMailAt is StartMail on an address of the caller's.
func StartMailAt(tb testing.TB, addr string) *MailServer {
	tb.Helper()
	m := &MailServer{tb: tb, Addr: addr, accepted: map[string][]string{}}
	m.Up()
	tb.Cleanup(m.Down)
	return m
}

// Up starts the server that was shut down, on its old address.
func (m *MailServer) Up() {
	m.tb.Helper()
	l, err := net.Listen("tcp", m.Addr)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.srv = smtp.NewServer(m)
	m.srv.Domain = "mail.example"
	m.srv.ErrorLog = log.New(io.Discard, "", 0) // killed clients are what these tests are about
	go func(s *smtp.Server) { _ = s.Serve(l) }(m.srv)
}

// Down shuts the server down.
func (m *MailServer) Down() { _ = m.srv.Close() }

// Refuse makes the server answer RCPT with what f returns; nil accepts. A nil f accepts everybody again.
func (m *MailServer) Refuse(f func(recipient string) *smtp.SMTPError) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

// CutAfterData makes the server accept the next n mails and cut the line instead of answering the final dot.
func (m *MailServer) CutAfterData(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut = n
}

// Cuts is how many mails were accepted without an answer.
func (m *MailServer) Cuts() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cuts
}

// NewSession implements smtp.Backend.
func (m *MailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &mailSession{server: m, line: c.Conn()}, nil
}

// To returns the Message-IDs of the mails that were accepted for a recipient.
func (m *MailServer) To(recipient string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.accepted[recipient]...)
}

// ByMessageID returns how often each Message-ID, without its angle brackets, was accepted.
func (m *MailServer) ByMessageID() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]int{}
	for _, ids := range m.accepted {
		for _, id := range ids {
			all[strings.Trim(id, "<>")]++
		}
	}
	return all
}

// Total is how many mails were accepted.
func (m *MailServer) Total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, ids := range m.accepted {
		n += len(ids)
	}
	return n
}

type mailSession struct {
	server *MailServer
	line   net.Conn
	to     string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Reset()                               {}
func (s *mailSession) Logout() error                        { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	refuse := s.server.refuse
	s.server.mu.Unlock()
	if refuse != nil {
		if no := refuse(to); no != nil {
			return no
		}
	}
	s.to = to
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, msg.Body); err != nil {
		return err // the line broke before the final dot: nothing was handed over
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.accepted[s.to] = append(s.server.accepted[s.to], msg.Header.Get("Message-ID"))
	if s.server.cut > 0 {
		s.server.cut--
		s.server.cuts++
		return s.line.Close()
	}
	return nil
}
