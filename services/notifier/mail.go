package notifier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"quittance.internal/libs/platform/env"
)

// letter is a composed mail and what the ledger records of it.
type letter struct {
	msg   *mail.Msg
	words words
	// messageID is without angle brackets.
	messageID string
	// digest is the SHA-256, in hex, of the bytes as they go over the wire (before dot-stuffing).
	digest string
}

// composer turns receipts and reminders into mails. It is safe for concurrent use.
type composer struct {
	renderer *renderer
	from     netmail.Address
}

// compose builds the mail. Nothing in it depends on the clock, on chance or on the machine: the same receipt gives the
// same bytes, which go-mail by itself would not do (it draws boundary, Message-ID and Date).
func (c *composer) compose(rc receipt) (letter, error) {
	w, err := c.renderer.render(rc)
	if err != nil {
		return letter{}, err
	}
	owner := rc.published.Document.Owner
	if err := checkAddress(owner.Email); err != nil {
		return letter{}, fmt.Errorf("compose %s: owner: %w", rc.key, err)
	}
	sum := sha256.Sum256([]byte("v1|" + rc.news.mode + "|" + rc.key))
	// 160 bits: a longer Message-ID would be folded off its header's first line, which some filters count against a mail.
	id := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:20]))
	_, domain, _ := strings.Cut(c.from.Address, "@")

	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithEncoding(mail.EncodingQP),
		mail.WithBoundary(boundary(id, w.text, w.html)))
	msg.FromMailAddress(&c.from)
	msg.ToMailAddress(&netmail.Address{Name: oneLine(owner.Name, maxSubject), Address: owner.Email})
	msg.Subject(w.subject)
	msg.SetMessageIDWithValue(id + "@" + domain)
	msg.SetDateWithValue(rc.news.at.UTC())
	// RFC 3834: vacation notices and other robots do not answer this mail.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, w.text)
	msg.AddAlternativeString(mail.TypeTextHTML, w.html)

	var wire bytes.Buffer
	if _, err := msg.WriteTo(&wire); err != nil {
		return letter{}, fmt.Errorf("compose %s: %w", rc.key, err)
	}
	digest := sha256.Sum256(wire.Bytes())
	return letter{msg: msg, words: w, messageID: id + "@" + domain, digest: hex.EncodeToString(digest[:])}, nil
}

// boundary is fixed by the mail's id, and longer where a part contains it: somebody who knows the key could have
// written it into a title.
func boundary(id string, parts ...string) string {
	b := "quittance-" + id[:24]
	for strings.Contains(strings.Join(parts, "\n"), b) {
		b += "-x"
	}
	return b
}

// Encryption says how the connection to the relay is protected.
type Encryption string

// The ways in which a relay is spoken to.
const (
	// EncryptionNone is plain text: the loopback, or explicitly ?tls=off.
	EncryptionNone Encryption = "off"
	// EncryptionStartTLS begins in plain text and refuses to go on without STARTTLS.
	EncryptionStartTLS Encryption = "starttls"
	// EncryptionTLS is TLS from the first byte.
	EncryptionTLS Encryption = "tls"
)

// Relay is the SMTP server that takes our mails.
type Relay struct {
	Host       string
	Port       int
	Encryption Encryption
	// User is empty for a relay without login.
	User string
	// Password is used where PasswordFile is empty.
	Password env.Secret
	// PasswordFile is read again at each login, so that a changed password needs no restart.
	PasswordFile string
	// Roots verifies the server's certificate; nil means the system's.
	Roots *x509.CertPool
	// HELO is the name we greet with; empty means the machine's name.
	HELO string
	// DialTimeout bounds connecting, greeting, TLS and login together.
	DialTimeout time.Duration
	// SendTimeout bounds one whole mail, from MAIL FROM to the reply to the final dot. RFC 5321 §4.5.3.2.6 allows the
	// server ten minutes for that reply alone; a short timeout makes ambiguous mails.
	SendTimeout time.Duration
}

// dial connects, greets, encrypts and logs in. ctx and DialTimeout bound it; whatever fails, the socket is closed
// (go-mail 0.8.1 by itself leaves it open).
func (r *Relay) dial(ctx context.Context) (Courier, error) {
	ctx, cancel := context.WithTimeout(ctx, r.DialTimeout)
	defer cancel()
	var socket net.Conn
	var disarm func() bool
	client, err := r.client(func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		socket = conn
		disarm = context.AfterFunc(ctx, func() { _ = conn.Close() })
		if r.Encryption == EncryptionTLS {
			// go-mail looks for a *tls.Conn to know that the connection is encrypted.
			return tls.Client(conn, r.tlsConfig()), nil
		}
		return conn, nil
	})
	if err != nil {
		return nil, fmt.Errorf("prepare SMTP client: %w", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if disarm != nil && !disarm() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if socket != nil {
			_ = socket.Close()
		}
		return nil, fmt.Errorf("dial SMTP relay %s:%d: %w", r.Host, r.Port, err)
	}
	return &connection{client: client, conn: conn, socket: socket}, nil
}

func (r *Relay) client(dial mail.DialContextFunc) (*mail.Client, error) {
	opts := []mail.Option{
		mail.WithPort(r.Port),
		mail.WithTimeout(r.SendTimeout),
		mail.WithDialContextFunc(dial),
		// The pool checks a kept connection itself, before the ledger says "sending". A RSET after the mail would be one
		// more answer to wait for, and its failure would hide the 250.
		mail.WithoutNoop(), mail.WithoutRset(),
		// Addresses are ASCII and headers encoded: asking for SMTPUTF8 could only make a further relay refuse.
		mail.WithoutSMTPUTF8(),
	}
	switch r.Encryption {
	case EncryptionNone, EncryptionTLS: // TLS is made while dialling
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	case EncryptionStartTLS:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(r.tlsConfig()))
	}
	if r.HELO != "" {
		opts = append(opts, mail.WithHELO(r.HELO))
	}
	if r.User != "" {
		password, err := r.password()
		if err != nil {
			return nil, err
		}
		opts = append(opts, mail.WithUsername(r.User), mail.WithPassword(password.Reveal()),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthCramMD5))
	}
	return mail.NewClient(r.Host, opts...)
}

func (r *Relay) password() (env.Secret, error) {
	if r.PasswordFile == "" {
		return r.Password, nil
	}
	return env.ReadSecretFile(r.PasswordFile)
}

func (r *Relay) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: r.Host, RootCAs: r.Roots, MinVersion: tls.VersionTLS12}
}

// readRoots reads the certificates that a relay's certificate is verified with.
func readRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the environment
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("read certificates: no PEM certificate in the file")
	}
	return roots, nil
}

// connection is one SMTP connection. One goroutine at a time may use it.
type connection struct {
	client *mail.Client
	conn   *smtp.Client
	socket net.Conn
}

// probeTimeout bounds the NOOP on a kept connection and the farewell.
const probeTimeout = 5 * time.Second

// Send delivers one mail and returns the server's text after the final dot. The error is what classify sorts. When ctx
// ends the connection is cut: before the data that is harmless, after it the mail is ambiguous.
func (c *connection) Send(ctx context.Context, msg *mail.Msg) (string, error) {
	disarm := context.AfterFunc(ctx, func() { _ = c.socket.Close() })
	defer disarm()
	err := c.client.SendWithSMTPClient(c.conn, msg)
	return msg.ServerResponse(), err
}

// Alive asks the server whether it still listens.
func (c *connection) Alive() bool {
	return c.conn.UpdateDeadline(probeTimeout) == nil && c.conn.Noop() == nil
}

// Quit says goodbye and closes the socket, whatever the server answers.
func (c *connection) Quit() {
	if c.conn.UpdateDeadline(probeTimeout) == nil && c.conn.Quit() == nil {
		return
	}
	_ = c.socket.Close()
}

// Drop closes the socket without a word.
func (c *connection) Drop() { _ = c.socket.Close() }

// String names the relay for the log, without user and password.
func (r *Relay) String() string {
	return fmt.Sprintf("%s, encryption %s", net.JoinHostPort(r.Host, fmt.Sprint(r.Port)), r.Encryption)
}
