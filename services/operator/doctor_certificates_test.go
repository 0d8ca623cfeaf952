package operator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/operations/doctor"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
)

// issuer issues certificates for the tests.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file holds its certificate.
	file string
}

func newIssuer(t *testing.T, lasts time.Duration) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.cert, i.key = i.sign("issuer", lasts, nil)
	i.file = writePEM(t, "ca.pem", "CERTIFICATE", i.cert.Raw)
	return i
}

// sign makes a certificate of its own kind where it has a parent, and a root where it has none.
func (i *issuer) sign(name string, lasts time.Duration, addresses []net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		i.t.Fatal(err)
	}
	begin := time.Now().Add(-48 * time.Hour)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: time.Now().Add(lasts), IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := i.cert, i.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		i.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		i.t.Fatal(err)
	}
	return c, key
}

// server is a server's certificate that lasts so long, for 127.0.0.1 or another address.
func (i *issuer) server(lasts time.Duration, address string) tls.Certificate {
	i.t.Helper()
	c, key := i.sign("server", lasts, []net.IP{net.ParseIP(address)})
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func writePEM(t *testing.T, name, kind string, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// over is a server for addresses beginning with https://, rediss:// and tls:// by what it shows.
func over(t *testing.T, c tls.Certificate) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

const longTime = 90 * 24 * time.Hour

func TestACertificateIsJudgedAsClientsDo(t *testing.T) {
	ca, other := newIssuer(t, 10*longTime), newIssuer(t, 10*longTime)
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		ca     string
		later  time.Duration // of the examination
		status doctor.Status
		text   string
	}{
		{"good", ca.server(longTime, "127.0.0.1"), ca.file, 0, doctor.OK, "(89 days)"},
		{"ends soon", ca.server(13*24*time.Hour, "127.0.0.1"), ca.file, 0, doctor.Warn, "(12 days) renew it"},
		{"ends not so soon", ca.server(15*24*time.Hour, "127.0.0.1"), ca.file, 0, doctor.OK, "(14 days)"},
		{"expired", ca.server(-time.Hour, "127.0.0.1"), ca.file, 0, doctor.Fail, "expired on "},
		{"not good yet", ca.server(longTime, "127.0.0.1"), ca.file, -72 * time.Hour, doctor.Fail, "not good before "},
		{"another name", ca.server(longTime, "127.0.0.2"), ca.file, 0, doctor.Fail, "it is not for 127.0.0.1"},
		{"of another issuer", ca.server(longTime, "127.0.0.1"), other.file, 0, doctor.Fail, "it is not verified by THE_CA"},
		{"of an issuer that this machine does not know", ca.server(longTime, "127.0.0.1"), "", 0, doctor.Fail, "this machine's roots"},
	} {
		setting := "THE_CA"
		if c.ca == "" {
			setting = ""
		}
		url := over(t, c.cert).URL
		by := examined(t, doctor.Patient{Now: func() time.Time { return time.Now().Add(c.later) }, TLS: []doctor.Endpoint{{URL: url, CA: c.ca, CASetting: setting}, {URL: "http://127.0.0.1:1"}}})
		t.Log(c.name)
		want(t, by, "certificate "+strings.TrimPrefix(url, "https://"), c.status, c.text)
		if c.ca != "" {
			want(t, by, "THE_CA", doctor.OK, "good until ")
		}
	}

	// An issuer's end is its certificates' end.
	short := newIssuer(t, 5*24*time.Hour)
	url := over(t, short.server(longTime, "127.0.0.1")).URL
	by := examined(t, doctor.Patient{Now: time.Now, TLS: []doctor.Endpoint{{URL: url, CA: short.file, CASetting: "THE_CA"}}})
	want(t, by, "certificate "+strings.TrimPrefix(url, "https://"), doctor.Warn, "(4 days)")
	want(t, by, "THE_CA", doctor.Warn, "(4 days)")
	for text, file := range map[string]string{
		"no such file":         filepath.Join(t.TempDir(), "none.pem"),
		"holds no certificate": writePEM(t, "x.pem", "PRIVATE KEY", []byte("x")),
		"expired on ":          newIssuer(t, -time.Hour).file,
	} {
		by := examined(t, doctor.Patient{Now: time.Now, TLS: []doctor.Endpoint{{URL: url, CA: file, CASetting: "THE_CA"}}})
		want(t, by, "THE_CA", doctor.Fail, text)
		want(t, by, "certificate "+strings.TrimPrefix(url, "https://"), doctor.Fail, "it is not verified by THE_CA")
	}
}

// NATS greets in the clear before it goes over to TLS; Redis does not.
func TestTheCertificatesOfNATSAndRedisAreFoundByTheirSettings(t *testing.T) {
	ca := newIssuer(t, 10*longTime)
	cert := ca.server(10*24*time.Hour, "127.0.0.1")
	keyDER, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := writePEM(t, "cert.pem", "CERTIFICATE", cert.Certificate[0]), writePEM(t, "key.pem", "EC PRIVATE KEY", keyDER)
	secured := freeaddr.New(t)
	_, port, _ := net.SplitHostPort(secured)
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", ca.file, "--tls-auth-clients", "no")
	nats := natstest.StartTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	address := strings.TrimPrefix(strings.TrimPrefix(nats.URL, "nats://"), "tls://")

	w := newWorld(t)
	plain := w.settings["NATS_URL"]
	w.settings["NATS_CA"], w.settings["REDIS_CA"], w.settings["REDIS_URL"] = ca.file, ca.file, "rediss://"+secured+"/0"
	for _, url := range []string{"tls://ann:secret@" + address, "nats://" + address} { // the second because the server demands it
		w.settings["NATS_URL"] = url
		by := w.examine(3) // no streams are declared there
		for _, check := range []string{"certificate " + address, "certificate " + secured} {
			want(t, by, check, doctor.Warn, "(9 days)")
		}
		want(t, by, "NATS_CA", doctor.OK, "good until")
		want(t, by, "REDIS_CA", doctor.OK, "good until")
		want(t, by, "redis policy", doctor.OK, "")
		if strings.Contains(fmt.Sprint(by), "secret") && strings.Contains(fmt.Sprint(by), "ann:") {
			t.Errorf("the password is shown: %v", by)
		}
	}
	w.settings["NATS_URL"] = plain
	delete(w.settings, "NATS_CA") // with one the client insists on TLS
	if found := w.examine(0)["certificate "+strings.TrimPrefix(plain, "nats://")]; found != nil {
		t.Errorf("a server without TLS has a certificate: %v", found)
	}
	w.settings["NATS_URL"] = strings.Replace(plain, "nats://", "tls://", 1)
	want(t, w.examine(3), "certificate "+strings.TrimPrefix(plain, "nats://"), doctor.Fail, "NATS_URL demands TLS, and the server has none")
}

func TestTheEndOfCredentialsIsTold(t *testing.T) {
	creds := func(claims string) string {
		t.Helper()
		jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
		path := filepath.Join(t.TempDir(), "operator.creds")
		text := "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\nSUCANARY\n------END USER NKEY SEED------\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := func(d time.Duration) string { return fmt.Sprintf(`{"exp":%d}`, time.Now().Add(d).Unix()) }
	for _, c := range []struct {
		path   string
		status doctor.Status
		text   string
	}{
		{creds(`{"name":"operator"}`), doctor.OK, "they have no end"},
		{creds(at(longTime)), doctor.OK, "(89 days)"},
		{creds(at(13 * 24 * time.Hour)), doctor.Warn, "(12 days) have new credentials issued"},
		{creds(at(-time.Hour)), doctor.Fail, "expired on"},
		{creds("x"), doctor.Fail, "holds no credentials"},
		{filepath.Join(t.TempDir(), "none"), doctor.Fail, "no such file"},
	} {
		by := examined(t, doctor.Patient{Now: time.Now, Creds: c.path})
		want(t, by, "NATS_CREDS", c.status, c.text)
		if strings.Contains(fmt.Sprint(by), "SUCANARY") {
			t.Errorf("the key is shown: %v", by)
		}
	}
}
