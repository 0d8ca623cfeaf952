package notifier_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/notifier"
)

// post is a real SMTP server (emersion/go-smtp) that remembers what it got.
type post struct {
	mu       sync.Mutex
	password string
	mails    []string
	logins   int
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &postSession{post: p}, nil }

func (p *post) received() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mails)
}

type postSession struct{ post *post }

func (s *postSession) Reset()                                   {}
func (s *postSession) Logout() error                            { return nil }
func (s *postSession) Mail(string, *smtp.MailOptions) error     { return nil }
func (s *postSession) Rcpt(_ string, _ *smtp.RcptOptions) error { return nil }

func (s *postSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.mails = append(s.post.mails, string(b))
	return err
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.post.mu.Lock()
		defer s.post.mu.Unlock()
		if user != "apikey" || password != s.post.password {
			return errors.New("wrong password")
		}
		s.post.logins++
		return nil
	}), nil
}

// certificate makes a self-signed certificate for host.
func certificate(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// startPost serves p; implicit means TLS from the first byte. A nil config offers no TLS at all.
func startPost(t *testing.T, p *post, config *tls.Config, implicit bool) notifier.Relay {
	t.Helper()
	server := smtp.NewServer(p)
	server.Domain, server.AllowInsecureAuth, server.TLSConfig = "post.example", true, config
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("not TCP")
	}
	if implicit {
		l = tls.NewListener(l, config)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { _ = server.Close(); wg.Wait() })
	return notifier.Relay{Host: "127.0.0.1", Port: addr.Port, HELO: "client.example", DialTimeout: 5 * time.Second, SendTimeout: 5 * time.Second}
}

func TestEncryptionAndLogin(t *testing.T) {
	cert, roots := certificate(t, "127.0.0.1")
	foreign, _ := certificate(t, "127.0.0.1")
	otherName, otherRoots := certificate(t, "elsewhere.example")
	for _, tt := range []struct {
		name       string
		config     *tls.Config
		implicit   bool
		encryption notifier.Encryption
		roots      *x509.CertPool
		password   string
		sent       bool
	}{
		{"STARTTLS", &tls.Config{Certificates: []tls.Certificate{cert}}, false, notifier.EncryptionStartTLS, roots, "hunter2", true},
		{"TLS", &tls.Config{Certificates: []tls.Certificate{cert}}, true, notifier.EncryptionTLS, roots, "hunter2", true},
		{"STARTTLS stripped", nil, false, notifier.EncryptionStartTLS, roots, "hunter2", false},
		{"unknown authority", &tls.Config{Certificates: []tls.Certificate{foreign}}, false, notifier.EncryptionStartTLS, roots, "hunter2", false},
		{"another host's certificate", &tls.Config{Certificates: []tls.Certificate{otherName}}, true, notifier.EncryptionTLS, otherRoots, "hunter2", false},
		{"TLS 1.1", &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, false, notifier.EncryptionStartTLS, roots, "hunter2", false},
		{"TLS 1.2", &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12}, false, notifier.EncryptionStartTLS, roots, "hunter2", true},
		{"wrong password", &tls.Config{Certificates: []tls.Certificate{cert}}, false, notifier.EncryptionStartTLS, roots, "wrong", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &post{password: "hunter2"}
			relay := startPost(t, p, tt.config, tt.implicit)
			relay.Encryption, relay.Roots, relay.User, relay.Password = tt.encryption, tt.roots, "apikey", env.NewSecret(tt.password)
			got := notifier.Talk(t.Context(), relay, testMail(t))
			if (got.Result == "sent") != tt.sent || !tt.sent && got.Result != "retry" {
				t.Errorf("Talk = %+v, want sent: %t, else retry", got, tt.sent)
			}
			if n := p.received(); n != map[bool]int{true: 1}[tt.sent] {
				t.Errorf("the server got %d mails", n)
			}
			if got.Err != nil && strings.Contains(got.Err.Error(), tt.password) && tt.password == "hunter2" {
				t.Errorf("the error tells the password: %v", got.Err)
			}
		})
	}
}

func TestAChangedPasswordFileIsUsedByTheNextLogin(t *testing.T) {
	cert, roots := certificate(t, "127.0.0.1")
	p := &post{password: "new"}
	relay := startPost(t, p, &tls.Config{Certificates: []tls.Certificate{cert}}, false)
	file := filepath.Join(t.TempDir(), "password")
	relay.Encryption, relay.Roots, relay.User, relay.PasswordFile = notifier.EncryptionStartTLS, roots, "apikey", file
	for password, want := range map[string]string{"old": "retry", "new": "sent"} {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := notifier.Talk(t.Context(), relay, testMail(t)); got.Result != want {
			t.Errorf("password %q: %+v, want %s", password, got, want)
		}
	}
}

// What the server stores is what was composed, byte for byte, also where lines begin with dots.
func TestTheBytesOnTheWireAreTheComposedOnes(t *testing.T) {
	p := &post{}
	relay := startPost(t, p, nil, false)
	relay.Encryption = notifier.EncryptionNone
	r := sample()
	r.Published.Document.Title = "..dots . everywhere\r\n.\r\n."
	c, err := notifier.Compose(testFrom, r)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time with the same message, as an attempt over a replaced connection does
		if got := notifier.Talk(t.Context(), relay, c.Msg); got.Result != "sent" {
			t.Fatalf("Talk = %+v", got)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, got := range p.mails {
		if strings.TrimSuffix(got, "\r\n") != strings.TrimSuffix(string(c.Bytes), "\r\n") {
			t.Errorf("the server got\n%q\nwant\n%q", got, c.Bytes)
		}
	}
}
