package allinone

import (
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
)

// Values of DEMO.
const (
	// DemoOff prints the tour and leaves the walk to the reader.
	DemoOff = "0"
	// DemoOn takes the tour itself, checks what comes out, and keeps running.
	DemoOn = "1"
	// DemoOnce takes the tour and ends.
	DemoOnce = "once"
)

// Names of the addresses that the runner binds; each is also its environment variable.
const (
	addrNATS         = "NATS_ADDR"
	addrNATSMonitor  = "NATS_MONITOR_ADDR"
	addrRedis        = "REDIS_ADDR"
	addrSMTP         = "MAILBOX_SMTP_ADDR"
	addrMailbox      = "MAILBOX_ADDR"
	addrIngress      = "INGRESS_ADDR"
	addrIngressAdmin = "INGRESS_ADMIN_ADDR"
	addrPayments     = "PAYMENTS_ADDR"
	addrNotifier     = "NOTIFIER_ADDR"
	addrQuotes       = "QUOTES_ADDR"
	addrQuotesAdmin  = "QUOTES_ADMIN_ADDR"
	addrConsole      = "CONSOLE_ADDR"
	addrConsoleAdmin = "CONSOLE_ADMIN_ADDR"
	addrSandbox      = "SANDBOX_ADDR"
)

// defaultDataDir is where quotectl looks too.
const defaultDataDir = "data"

// natsDir is the embedded NATS server's store under DATA_DIR.
const natsDir = "nats"

// Config is what the runner needs to know. Use ConfigFromEnv; the services read their own settings from Lookup.
type Config struct {
	// DataDir holds everything that survives a restart. Default ./data; made with mode 0700.
	DataDir string
	// Mode is test or live; live needs external servers.
	Mode string
	// NATS, Redis and SMTP are the external servers' addresses; a zero one means the embedded server.
	NATS, Redis, SMTP env.Secret
	// Stripe is the key of a real Stripe account; a zero one means the embedded sandbox.
	Stripe env.Secret
	// Durability is that of the services, DURABILITY. With natsstream.DurabilityBarrier the embedded NATS server leaves the
	// syncing to them; else it syncs always, which on a file system that others write to is as fast for a few webhooks at a
	// time, and does not wait for those others.
	Durability string
	// NATSMonitor is the external NATS server's monitoring address.
	NATSMonitor string
	// WebhookSecrets and APITokens are what ingress and quotes accept; zero ones are made at the first start and kept.
	WebhookSecrets, APITokens env.Secret
	// PublicURL is the address that customers and mails know the quotes service by; "" means its own.
	PublicURL string
	// Demo is DemoOff, DemoOn or DemoOnce.
	Demo string
	// LogLevel is one of logging.Levels. Default warn, so that the tour stays readable.
	LogLevel string
	// Lookup is where the services find their own settings; what the runner decides stands over it.
	Lookup env.Lookup
	// Out is where the tour is printed. Default: nowhere.
	Out io.Writer
	// Quotectl is how a person calls the operators' command line from the current folder. Default .bin/quotectl.
	Quotectl string
	// Now is the clock and Random the maker of secrets, at least 128 bits of letters and digits. Defaults: time.Now,
	// rand.Text.
	Now    func() time.Time
	Random func() string

	addrs addresses
}

// ConfigFromEnv reads the runner's settings and checks that they fit together; every fault is in the error.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	c := Config{
		DataDir:        r.String("DATA_DIR", defaultDataDir),
		Mode:           r.Enum("MODE", "test", "test", "live"),
		NATS:           r.Secret("NATS_URL"),
		Redis:          r.Secret("REDIS_URL"),
		SMTP:           r.Secret("SMTP_URL"),
		Stripe:         r.Secret("STRIPE_API_KEY"),
		NATSMonitor:    r.String("NATS_MONITOR_URL", ""),
		Durability:     r.Enum("DURABILITY", natsstream.DurabilityServer, natsstream.DurabilityServer, natsstream.DurabilityBarrier, natsstream.DurabilityRelaxed),
		WebhookSecrets: r.Secret("STRIPE_WEBHOOK_SECRETS"),
		APITokens:      r.Secret("API_TOKENS"),
		PublicURL:      r.String("PUBLIC_URL", ""),
		Demo:           r.Enum("DEMO", DemoOff, DemoOff, DemoOn, DemoOnce),
		LogLevel:       r.Enum("LOG_LEVEL", "warn", logging.Levels...),
		Lookup:         lookup,
		Out:            io.Discard,
		Quotectl:       ".bin/quotectl",
		Now:            time.Now, //nolint:forbidigo // the default clock, as a value
		Random:         rand.Text,
	}
	c.readAddresses(r)
	if embedded := c.embedded(); c.Mode == "live" && len(embedded) > 0 {
		r.Fault("MODE", "live needs servers that keep what they are given, and the embedded %s are for development: set %s",
			strings.Join(embedded, ", "), strings.Join(c.missing(), ", "))
	}
	if base := r.String("STRIPE_API_BASE", ""); base != "" && c.Stripe.IsZero() {
		r.Fault("STRIPE_API_BASE", "goes with STRIPE_API_KEY, the key to use there; without a key the embedded sandbox stands in for Stripe")
	}
	return c, r.Err()
}

func (c *Config) readAddresses(r *env.Reader) {
	add := func(name, fallback string) { c.addrs = append(c.addrs, address{name, r.Addr(name, fallback)}) }
	if c.NATS.IsZero() {
		add(addrNATS, "127.0.0.1:4222")
		add(addrNATSMonitor, "127.0.0.1:8222")
	}
	if c.Redis.IsZero() {
		add(addrRedis, "127.0.0.1:6380")
	}
	if c.SMTP.IsZero() {
		add(addrSMTP, "127.0.0.1:1025")
		add(addrMailbox, "127.0.0.1:8025")
	}
	if c.Stripe.IsZero() {
		add(addrSandbox, "127.0.0.1:8083")
	}
	add(addrIngress, "127.0.0.1:8080")
	add(addrIngressAdmin, "127.0.0.1:9100")
	add(addrPayments, "127.0.0.1:9101")
	add(addrNotifier, "127.0.0.1:9102")
	add(addrQuotes, "127.0.0.1:8081")
	add(addrQuotesAdmin, "127.0.0.1:9103")
	add(addrConsole, "127.0.0.1:8082")
	add(addrConsoleAdmin, "127.0.0.1:9104")
}

// bundled is a server that the runner brings itself where its variable says nothing.
type bundled struct {
	given          env.Secret
	name, variable string
}

func (c Config) bundle() []bundled {
	return []bundled{
		{c.NATS, "NATS", "NATS_URL"},
		{c.Redis, "Redis", "REDIS_URL"},
		{c.SMTP, "mail catcher", "SMTP_URL"},
		{c.Stripe, "Stripe sandbox", "STRIPE_API_KEY"},
	}
}

// embedded names the servers that the runner brings itself.
func (c Config) embedded() []string {
	var names []string
	for _, s := range c.bundle() {
		if s.given.IsZero() {
			names = append(names, s.name)
		}
	}
	return names
}

// missing names the variables that would replace the embedded servers.
func (c Config) missing() []string {
	var names []string
	for _, s := range c.bundle() {
		if s.given.IsZero() {
			names = append(names, s.variable)
		}
	}
	return names
}

// serviceLookup is what one service sees as its environment: the process's, with what the runner has decided over it. The
// services notice no difference to a deployment of their own; the seam is an address.
func (c Config) serviceLookup(service string, kept keptSecrets) env.Lookup {
	decided := map[string]string{"MODE": c.Mode, "PUBLIC_URL": c.publicURL(), "SHUTDOWN_LINGER": "0s"} // no balancer asks
	if service == "quotes" {
		decided["INGRESS_URL"] = c.url(addrIngress)
	}
	for _, a := range c.addrs {
		decided[a.name] = a.addr
	}
	if c.NATS.IsZero() {
		decided["NATS_URL"] = natsURL(service, kept.NATS[service], c.addrs.get(addrNATS))
		decided["NATS_MONITOR_URL"] = "http://" + c.addrs.get(addrNATSMonitor)
		decided["NATS_CREDS"], decided["NATS_CA"] = "", ""
		decided["DURABILITY"], decided["NATS_STORE_DIR"] = c.Durability, c.natsDir()
	}
	if c.Redis.IsZero() {
		decided["REDIS_URL"] = redisURL(kept.Redis, c.addrs.get(addrRedis))
		decided["REDIS_CA"] = ""
	}
	if c.SMTP.IsZero() {
		decided["SMTP_URL"] = "smtp://" + c.addrs.get(addrSMTP)
	}
	if c.WebhookSecrets.IsZero() {
		decided["STRIPE_WEBHOOK_SECRETS"] = c.webhookSecrets(kept)
	}
	if c.Stripe.IsZero() && (service == "quotes" || service == "sandbox") {
		maps.Copy(decided, c.sandboxSettings(kept))
	}
	if c.APITokens.IsZero() {
		decided["API_TOKENS"] = kept.apiTokens()
	}
	return func(name string) (string, bool) {
		if v, ok := decided[name]; ok {
			return v, true
		}
		if v, ok := c.Lookup(name); ok && v != "" {
			return v, true
		}
		if name == "MAIL_FROM" {
			return "Quittance <billing@quittance.example>", true
		}
		return "", false
	}
}

// natsDir is where the embedded NATS server keeps its store.
func (c Config) natsDir() string { return filepath.Join(c.DataDir, natsDir) }

func (c Config) publicURL() string {
	if c.PublicURL != "" {
		return strings.TrimSuffix(c.PublicURL, "/")
	}
	return "http://" + dialable(c.addrs.get(addrQuotes))
}

func natsURL(user, password, addr string) string {
	return fmt.Sprintf("nats://%s:%s@%s", user, password, dialable(addr))
}

func redisURL(password, addr string) string {
	return fmt.Sprintf("redis://:%s@%s/0", password, dialable(addr))
}
