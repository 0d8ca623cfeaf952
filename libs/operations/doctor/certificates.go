package doctor

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// expiry is from when on a certificate's end is worth a warning.
	expiry = 14 * 24 * time.Hour
	// shakeTimeout bounds each address, and infoTimeout how long a NATS server has to greet: one that begins with TLS says
	// nothing before.
	shakeTimeout = 3 * time.Second
	infoTimeout  = time.Second
)

// Endpoint is an address that clients verify the certificate of, if it is reached by TLS.
type Endpoint struct {
	// URL may name several servers, and hold a password: hosts alone are printed.
	URL string
	// CA is the file of certificates that it is verified with, of the setting CASetting; empty for this machine's roots.
	CA, CASetting string
}

// certificates looks at the certificate of every address that is reached by TLS, and at the files that verify them.
func (p *Patient) certificates(ctx context.Context) []Result {
	var all []Result
	files := map[string]bool{}
	for _, e := range p.TLS {
		roots, problem := p.roots(e)
		if e.CA != "" && !files[e.CASetting] {
			all, files[e.CASetting] = append(all, problem), true
		}
		for _, u := range servers(e.URL) {
			if r, encrypted := p.certificate(ctx, u, e, roots); encrypted {
				all = append(all, r)
			}
		}
	}
	if p.Creds != "" {
		all = append(all, p.creds())
	}
	if len(all) == 0 {
		return skipped("certificates", "", "no address that is known here is reached by TLS")
	}
	return all
}

// servers are those that a setting names: NATS_URL may name several, with a scheme each or not, and Redis' for Sentinel and
// Cluster too, after one scheme.
func servers(setting string) []*url.URL {
	var all []*url.URL
	scheme := ""
	for part := range strings.SplitSeq(setting, ",") {
		part = strings.TrimSpace(part)
		if before, _, ok := strings.Cut(part, "://"); ok {
			scheme = before
		} else if part != "" && scheme != "" {
			part = scheme + "://" + part
		}
		if u, err := url.Parse(part); err == nil && u.Hostname() != "" {
			all = append(all, u)
		}
	}
	return all
}

// certificate looks at one server; false where it is not reached by TLS.
func (p *Patient) certificate(ctx context.Context, u *url.URL, e Endpoint, roots *x509.CertPool) (Result, bool) {
	ctx, cancel := context.WithTimeout(ctx, shakeTimeout)
	defer cancel()
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	port := map[string]string{"https": "443", "rediss": "6379", "tls": "4222", "nats": "4222"}[scheme]
	if kind == "sentinel" {
		port = "26379"
	}
	if port == "" {
		return Result{}, false
	}
	port = cmp.Or(u.Port(), port)
	name := "certificate " + net.JoinHostPort(u.Hostname(), port)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return result(name, NotChecked, "", "%v", err), scheme != "nats"
	}
	defer conn.Close()
	if scheme == "tls" || scheme == "nats" { // nats:// too is encrypted where the server demands it
		if r, goOn := greeted(ctx, name, conn, scheme == "tls"); !goOn {
			return r, r.Check != ""
		}
	}
	// The certificate is judged below: one that cannot be verified is to be told of, with its dates.
	secure := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // see above
	err = secure.HandshakeContext(ctx)
	chain := secure.ConnectionState().PeerCertificates
	switch {
	case len(chain) > 0: // also where the server then refuses us
		return judgeCertificate(name, u.Hostname(), chain, roots, cmp.Or(e.CASetting, "this machine's roots"), p.Now()), true
	case err != nil:
		return result(name, Fail, "give the server a certificate, or the address a scheme without TLS", "it does not answer by TLS: %v", err), true
	}
	return result(name, NotChecked, "", "it shows no certificate"), true
}

// greeted hears what a NATS server says in the clear before it goes over to TLS, and whether it does. One that is silent begins
// with TLS. Where it is no use to go on, the result says why, or has no name where all is well without TLS.
func greeted(ctx context.Context, name string, conn net.Conn, wanted bool) (r Result, goOn bool) {
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // the read tells
	line, err := bufio.NewReader(conn).ReadString('\n')
	stop()
	_ = conn.SetReadDeadline(time.Time{}) // the handshake tells
	if err != nil {
		return Result{}, true
	}
	var info struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	text, isNATS := strings.CutPrefix(line, "INFO ")
	switch {
	case !isNATS || json.Unmarshal([]byte(text), &info) != nil:
		return result(name, NotChecked, "", "it does not greet as a NATS server does"), false
	case info.Required, info.Available && wanted:
		return Result{}, true
	case wanted:
		return result(name, Fail, "give the NATS server a tls block, or NATS_URL the scheme nats://", "NATS_URL demands TLS, and the server has none"), false
	}
	return Result{}, false
}

// judgeCertificate judges as clients do: dates, name, and who vouches for it.
func judgeCertificate(name, host string, chain []*x509.Certificate, roots *x509.CertPool, by string, now time.Time) Result {
	const renew = "renew it; see who issues it"
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	switch {
	case now.After(leaf.NotAfter):
		return result(name, Fail, renew, "expired on %s", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return result(name, Fail, "timedatectl on both machines: it may be a clock", "not good before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case leaf.VerifyHostname(host) != nil:
		return result(name, Fail, "issue one for that name, or use the name that it is for", "it is not for %s; good until %s", host, day(leaf.NotAfter))
	}
	trusted, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, DNSName: host})
	if err != nil {
		return result(name, Fail, "give "+by+" the certificate of who issued it", "it is not verified by %s: %v; good until %s", by, err, day(leaf.NotAfter))
	}
	end := time.Time{} // of the chain that lasts longest
	for _, c := range trusted {
		first := slices.MinFunc(c, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		if first.NotAfter.After(end) {
			end = first.NotAfter
		}
	}
	return lasting(name, renew, end, now)
}

// lasting judges when something ends that is good now.
func lasting(name, next string, end, now time.Time) Result {
	left := end.Sub(now)
	r := result(name, OK, "", "good until %s (%d days)", day(end), int(left.Hours())/24)
	if left < expiry {
		r.Status, r.Next = Warn, next
	}
	return r
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// roots reads the file that an address is verified with and judges it: the first of its certificates that ends counts.
func (p *Patient) roots(e Endpoint) (*x509.CertPool, Result) {
	if e.CA == "" {
		return nil, Result{}
	}
	const next = "put the certificate of who issues the server's there"
	text, err := os.ReadFile(e.CA)
	if err != nil {
		return x509.NewCertPool(), result(e.CASetting, Fail, next, "%v", err)
	}
	pool, now := x509.NewCertPool(), p.Now()
	var good, expired int
	var end, gone time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		pool.AddCert(c)
		if now.After(c.NotAfter) {
			expired, gone = expired+1, c.NotAfter
			continue
		}
		if good++; end.IsZero() || c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	switch {
	case good+expired == 0:
		return pool, result(e.CASetting, Fail, next, "%s holds no certificate", e.CA)
	case good == 0:
		return pool, result(e.CASetting, Fail, next, "the certificate in %s expired on %s", e.CA, day(gone))
	}
	r := lasting(e.CASetting, next, end, now)
	if expired > 0 {
		r.Status, r.Next = Warn, "take the expired out of "+e.CA
		r.Found += fmt.Sprintf("; %d others have expired", expired)
	}
	return pool, r
}

// creds looks when the user's JWT of a credentials file ends. Whether it is genuine the server says.
func (p *Patient) creds() Result {
	const name, next = "NATS_CREDS", "have new credentials issued: nsc generate creds"
	text, err := os.ReadFile(p.Creds)
	if err != nil {
		return result(name, Fail, next, "%v", err)
	}
	end, err := endOfCreds(string(text))
	switch {
	case err != nil:
		return result(name, Fail, next, "%s: %v", p.Creds, err)
	case end.IsZero():
		return result(name, OK, "", "they have no end")
	case p.Now().After(end):
		return result(name, Fail, next, "expired on %s", day(end))
	}
	return lasting(name, next, end, p.Now())
}

var errNoCreds = errors.New("holds no credentials of a NATS user")

// endOfCreds reads the claim exp of the JWT in a decorated file; zero for none.
func endOfCreds(text string) (time.Time, error) {
	_, after, ok := strings.Cut(text, "-----BEGIN NATS USER JWT-----")
	if !ok {
		return time.Time{}, errNoCreds
	}
	jwt, _, _ := strings.Cut(after, "---")
	parts := strings.Split(strings.TrimSpace(jwt), ".")
	if len(parts) != 3 {
		return time.Time{}, errNoCreds
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Exp int64 }
	if err != nil || json.Unmarshal(body, &claims) != nil {
		return time.Time{}, errNoCreds
	}
	if claims.Exp == 0 {
		return time.Time{}, nil
	}
	return time.Unix(claims.Exp, 0), nil
}
