package mailbox

import (
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-smtp"
	"go.uber.org/zap"
)

// newSMTPServer returns a server that takes mail from anyone to anyone.
func newSMTPServer(st *store, cfg Config, log *zap.Logger) *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{store: st, log: log}, nil
	}))
	srv.Domain = "mailbox.localhost"
	srv.MaxMessageBytes = cfg.MaxMessageBytes
	srv.MaxRecipients = 100
	srv.ReadTimeout = time.Minute
	srv.WriteTimeout = time.Minute
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = zap.NewStdLog(log.Named("smtp"))
	return srv
}

// session is one SMTP conversation; the server calls it from one goroutine.
type session struct {
	store *store
	log   *zap.Logger
	env   envelope
}

// Mail begins a message.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.env = envelope{From: from}
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.env.To = append(s.env.To, to)
	return nil
}

// Data keeps the message. The server says 250 only after it has returned, and it returns after the file is on disk.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	id, err := s.store.add(s.env, raw)
	if err != nil {
		// The sender must know that it may come again; the reason is for the log alone.
		s.log.Error("mail not kept", zap.Int("size", len(raw)), zap.Error(err))
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the message could not be kept, try again"}
	}
	s.log.Info("mail kept", zap.String("mail_id", id), zap.Int("size", len(raw)), zap.Int("recipients", len(s.env.To)))
	return nil
}

// Reset forgets the message that was begun.
func (s *session) Reset() { s.env = envelope{} }

// Logout ends the conversation.
func (s *session) Logout() error { return nil }
