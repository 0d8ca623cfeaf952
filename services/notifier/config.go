package notifier

import (
	"crypto/rand"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
)

// Config is everything that the notifier needs to run. ConfigFromEnv fills all of it; in one made by hand the fields
// that have a default may be zero.
type Config struct {
	NATS natsstream.Config
	// Durability is how it is made sure that the log keeps what this service tells of; the zero value takes the server as it is.
	Durability natsstream.Durability
	// Addr is where probes and metrics are served.
	Addr string
	// Relay takes the mails.
	Relay Relay
	// From is the sender; its domain is also that of the Message-IDs.
	From netmail.Address
	// PublicURL is where the quotes service's pages are; empty leaves the link to the quote's page out.
	PublicURL string
	// Ambiguous is what follows an attempt that ended without an answer. Default PolicyResend.
	Ambiguous Policy
	// AmbiguousAfter is how long after such an attempt the resend waits. Default 15 min.
	AmbiguousAfter time.Duration
	// Lease is how long one attempt owns a mail; it must be longer than Relay.SendTimeout. Default 15 min.
	Lease time.Duration
	// RetryAfter is the wait after the first 4xx, doubled each time up to an hour; RetryFor is when one gives up.
	// Defaults 5 min (greylisting) and 3 days.
	RetryAfter, RetryFor time.Duration
	// Connections is how many are kept to the relay, Workers how many mails are in hand. Defaults 4 and 16.
	Connections, Workers int
	LogLevel             string
	// Now is the clock, NewOwner names one attempt among all others. Defaults time.Now and rand.Text.
	Now      func() time.Time
	NewOwner func() string

	shelf shelfConfig
}

// The defaults.
const (
	defaultLease       = 15 * time.Minute
	defaultDialTimeout = 30 * time.Second
	defaultRetryAfter  = 5 * time.Minute
	retryCap           = time.Hour
	defaultRetryFor    = 72 * time.Hour
	defaultConnections = 4
	defaultWorkers     = 16
)

// ConfigFromEnv reads the configuration; all faults are reported together.
//
// Beside the product's common variables: MAIL_LEASE, MAIL_SEND_TIMEOUT, MAIL_DIAL_TIMEOUT, MAIL_AMBIGUOUS,
// MAIL_AMBIGUOUS_AFTER, MAIL_RETRY_AFTER, MAIL_RETRY_FOR, MAIL_CONNECTIONS, MAIL_WORKERS, SMTP_PASSWORD, SMTP_CA and
// SMTP_HELO.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	c := Config{
		NATS:           natsstream.ConfigFromEnv(r, "notifier"),
		Durability:     natsstream.UncheckedFromEnv(r),
		Addr:           r.Addr("NOTIFIER_ADDR", "127.0.0.1:9102"),
		PublicURL:      publicURL(r),
		Ambiguous:      Policy(r.Enum("MAIL_AMBIGUOUS", string(PolicyResend), string(PolicyResend), string(PolicyPark))),
		AmbiguousAfter: r.Duration("MAIL_AMBIGUOUS_AFTER", defaultLease),
		Lease:          r.Duration("MAIL_LEASE", defaultLease),
		RetryAfter:     r.Duration("MAIL_RETRY_AFTER", defaultRetryAfter),
		RetryFor:       r.Duration("MAIL_RETRY_FOR", defaultRetryFor),
		Connections:    r.Int("MAIL_CONNECTIONS", defaultConnections, 1, 4),
		Workers:        r.Int("MAIL_WORKERS", defaultWorkers, 1, 64),
		LogLevel:       r.Enum("LOG_LEVEL", "info", logging.Levels...),
		shelf:          shelfConfigFromEnv(r),
	}
	from, err := ParseSender(r.Required("MAIL_FROM"))
	if err != nil && r.String("MAIL_FROM", "") != "" {
		r.Fault("MAIL_FROM", "%v", err)
	}
	c.From = from
	c.Relay = relayFromEnv(r)
	c.Relay.SendTimeout = r.Duration("MAIL_SEND_TIMEOUT", sendTimeoutOf(c.Lease))
	if c.Lease <= 0 || c.Relay.SendTimeout <= 0 || c.Relay.DialTimeout <= 0 {
		r.Fault("MAIL_LEASE, MAIL_SEND_TIMEOUT, MAIL_DIAL_TIMEOUT", "must be above zero")
	} else if c.Relay.SendTimeout >= c.Lease {
		r.Fault("MAIL_SEND_TIMEOUT", "%v is not shorter than MAIL_LEASE, %v: another notifier would take a mail that is still being sent",
			c.Relay.SendTimeout, c.Lease)
	}
	return c.withDefaults(), r.Err()
}

// sendTimeoutOf leaves a fifteenth of the lease for what comes before and after the conversation: 14 min of 15.
func sendTimeoutOf(lease time.Duration) time.Duration { return lease - lease/15 }

// withDefaults fills the fields that have a default and are zero.
func (c Config) withDefaults() Config {
	fill(&c.Ambiguous, PolicyResend)
	fill(&c.Lease, defaultLease)
	fill(&c.AmbiguousAfter, defaultLease)
	fill(&c.RetryAfter, defaultRetryAfter)
	fill(&c.RetryFor, defaultRetryFor)
	fill(&c.Connections, defaultConnections)
	fill(&c.Workers, defaultWorkers)
	fill(&c.Relay.DialTimeout, defaultDialTimeout)
	fill(&c.Relay.SendTimeout, sendTimeoutOf(c.Lease))
	if c.Now == nil {
		c.Now = fault.Now
	}
	if c.NewOwner == nil {
		c.NewOwner = rand.Text
	}
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) rules() rules {
	return rules{
		policy: c.Ambiguous, lease: c.Lease, ambiguousAfter: c.AmbiguousAfter, retryFor: c.RetryFor,
		retry: delivery.Curve{First: c.RetryAfter, Cap: max(c.RetryAfter, retryCap)},
	}
}

func publicURL(r *env.Reader) string {
	v := r.String("PUBLIC_URL", "")
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.Fault("PUBLIC_URL", "is not an address such as https://quotes.example.com")
		return ""
	}
	return strings.TrimSuffix(v, "/")
}

// ParseSender reads MAIL_FROM: an address, or a name with an address in angle brackets. The address must be one that
// our own policy takes.
func ParseSender(s string) (netmail.Address, error) {
	from, err := netmail.ParseAddress(s)
	if err != nil {
		return netmail.Address{}, fmt.Errorf("parse sender: %w", err)
	}
	if err := checkAddress(from.Address); err != nil {
		return netmail.Address{}, fmt.Errorf("parse sender: %w", err)
	}
	return netmail.Address{Name: oneLine(from.Name, maxSubject), Address: from.Address}, nil
}

func relayFromEnv(r *env.Reader) Relay {
	address := r.Secret("SMTP_URL")
	relay, err := ParseRelay(address.Reveal())
	switch {
	case address.IsZero():
		r.Fault("SMTP_URL", "is required and not set")
	case err != nil:
		r.Fault("SMTP_URL", "%v", err)
	}
	password := r.Secret("SMTP_PASSWORD")
	if !password.IsZero() {
		if !relay.Password.IsZero() {
			r.Fault("SMTP_PASSWORD", "is set twice: by itself and in SMTP_URL; keep one")
		}
		relay.Password, relay.PasswordFile = password, r.SecretFile("SMTP_PASSWORD")
	}
	if err == nil && relay.User == "" && !password.IsZero() {
		r.Fault("SMTP_PASSWORD", "is set, but SMTP_URL names no user")
	}
	if path := r.String("SMTP_CA", ""); path != "" {
		if relay.Roots, err = readRoots(path); err != nil {
			r.Fault("SMTP_CA", "%v", err)
		}
	}
	relay.HELO = r.String("SMTP_HELO", "")
	relay.DialTimeout = r.Duration("MAIL_DIAL_TIMEOUT", defaultDialTimeout)
	return relay
}

// The ports that the schemes of SMTP_URL stand for.
var relayPorts = map[string]int{"smtp": 25, "smtp+starttls": 587, "smtps": 465}

// ParseRelay reads an SMTP_URL:
//
//	smtp://127.0.0.1:1025              plain text, on the loopback
//	smtp://relay.internal:25?tls=off   plain text elsewhere must be asked for
//	smtp+starttls://user:pass@host:587 STARTTLS, mandatory
//	smtps://user:pass@host:465         TLS from the first byte
//
// Its errors never quote the address, which may carry a password.
func ParseRelay(address string) (Relay, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Relay{}, fmt.Errorf("parse relay address: not a URL")
	}
	port, known := relayPorts[u.Scheme]
	if !known {
		return Relay{}, fmt.Errorf("parse relay address: scheme %q is not smtp, smtp+starttls or smtps", u.Scheme)
	}
	if u.Hostname() == "" || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return Relay{}, fmt.Errorf("parse relay address: want scheme://host:port and no path")
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return Relay{}, fmt.Errorf("parse relay address: port %q is not from 1 to 65535", u.Port())
		}
	}
	relay := Relay{Host: u.Hostname(), Port: port, User: u.User.Username()}
	if password, set := u.User.Password(); set {
		relay.Password = env.NewSecret(password)
	}
	relay.Encryption, err = encryption(u, relay)
	return relay, err
}

func encryption(u *url.URL, relay Relay) (Encryption, error) {
	query := u.Query()
	off := query.Get("tls") == "off"
	query.Del("tls")
	if len(query) > 0 || u.Query().Has("tls") && !off {
		return "", fmt.Errorf("parse relay address: the only parameter is tls=off")
	}
	loopback := isLoopback(relay.Host)
	switch {
	case u.Scheme != "smtp" && off:
		return "", fmt.Errorf("parse relay address: %s and tls=off contradict each other", u.Scheme)
	case u.Scheme == "smtps":
		return EncryptionTLS, nil
	case u.Scheme == "smtp+starttls":
		return EncryptionStartTLS, nil
	case !loopback && !off:
		return "", fmt.Errorf("parse relay address: plain smtp to another machine; use smtp+starttls or smtps, or say tls=off")
	case !loopback && relay.User != "":
		return "", fmt.Errorf("parse relay address: a password in plain text to another machine; use smtp+starttls or smtps")
	default:
		return EncryptionNone, nil
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
