package quotes

import (
	"crypto/rand"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/door"
	"quittance.internal/libs/platform/env"
	clock "quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/policyfile"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/libs/platform/stripegate"
)

// Config is everything that can be set. ConfigFromEnv says which variables.
type Config struct {
	// Addr is for sellers and customers, AdminAddr for probes and metrics.
	Addr, AdminAddr string
	NATS            natsstream.Config
	Redis           redisquote.Config
	// Durability is how it is made sure that the log keeps what is answered. Its Mode
	// is natsstream.DurabilityServer by default.
	Durability natsstream.Durability
	// Tokens are who may call the API.
	Tokens []signin.Token
	// TokensFile, if not empty, is read again every FollowEvery (default 5 s):
	// its content replaces Tokens when it is sound.
	TokensFile  string
	FollowEvery time.Duration
	// PublicURL is the address that customers know this service by, without a
	// slash at the end.
	PublicURL string
	// Mode is test or live: that of the deployment's Stripe account.
	Mode string
	// Stripe is how Stripe is called. Without a key nothing can be paid.
	Stripe stripegate.Config
	// CheckoutOrigins are where Checkout Sessions have their pages, as a browser
	// knows them: the customer's page may send him there and nowhere else. Default:
	// Stripe's own, or that of Stripe.Base where it is set.
	CheckoutOrigins []string
	// IngressURL, without a slash at the end, and WebhookSecret are how the events
	// of a session are entered when its customer comes back; without either they
	// are waited for.
	IngressURL    string
	WebhookSecret env.Secret
	// ReconcileEvery is how often the log is compared with Stripe and what lacks is
	// entered, signed with ReconcileSecret; 0 is never. Default of RECONCILE_EVERY:
	// 10 min. It needs a key for Stripe and an IngressURL.
	ReconcileEvery  time.Duration
	ReconcileSecret env.Secret
	// ReconcileGrace is how old an event must be to be missed; see
	// reconcile.Config.
	ReconcileGrace time.Duration
	// Account is the Stripe account that published quotes are paid to. Default
	// event.Platform, the deployment's own.
	Account string
	// RemindBefore is how long before a quote's expiry quote.expiring is said of
	// one that is not paid; 0 is never. Default of REMIND_BEFORE: 72 h.
	RemindBefore time.Duration
	// TrustedProxies are those whose X-Forwarded-For is believed. Default none.
	TrustedProxies []netip.Prefix
	// PageRate is how many requests a second one client may make without a token;
	// six seconds' worth at once. Default 20.
	PageRate float64
	// Streams is how many pages this instance follows for its readers at one time.
	// Default 1000.
	Streams int
	// StreamBeat is how often a page that is followed is looked at without being
	// asked to. Default 20 s, below what proxies wait for.
	StreamBeat time.Duration
	// Policy is the rule set of what may be paid by Stripe. Default
	// quote.DefaultPolicy.
	Policy *quote.Policy
	// GenerationEvery is how often it is looked which generation of Redis keys is
	// in use, which a rebuild changes. Default 500 ms.
	GenerationEvery time.Duration
	LogLevel        string
	// Now and Random are the clock and the source of ids and page tokens;
	// defaults time.Now and crypto/rand.
	Now    func() time.Time
	Random io.Reader
}

// defaultRemindBefore leaves the owner three days to call his customer.
const defaultRemindBefore = 72 * time.Hour

// defaultReconcileEvery finds what was lost before anybody asks for it.
const defaultReconcileEvery = 10 * time.Minute

// ConfigFromEnv reads QUOTES_ADDR, QUOTES_ADMIN_ADDR, NATS_URL, NATS_CREDS,
// NATS_CA, DURABILITY, NATS_MONITOR_URL, NATS_STORE_DIR, REDIS_URL, REDIS_CA, API_TOKENS,
// PUBLIC_URL, MODE, POLICY_FILE, REMIND_BEFORE, STRIPE_API_KEY, STRIPE_API_BASE,
// CHECKOUT_ORIGINS, INGRESS_URL (with STRIPE_WEBHOOK_SECRETS), RECONCILE_EVERY,
// TRUSTED_PROXIES, PAGE_RATE, PAGE_STREAMS and LOG_LEVEL; secrets also as *_FILE. It
// reports every fault at once.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	c := Config{
		Addr: r.Addr("QUOTES_ADDR", ":8081"), AdminAddr: r.Addr("QUOTES_ADMIN_ADDR", "127.0.0.1:9103"),
		NATS: natsstream.ConfigFromEnv(r, "quotes"), Redis: redisquote.ConfigFromEnv(r),
		Durability: natsstream.DurabilityFromEnv(r),
		TokensFile: r.SecretFile("API_TOKENS"),
		PublicURL:  strings.TrimRight(r.String("PUBLIC_URL", "http://127.0.0.1:8081"), "/"),
		Mode:       r.Enum("MODE", event.ModeTest, event.ModeTest, event.ModeLive),
		LogLevel:   r.Enum("LOG_LEVEL", "info", logging.Levels...),

		RemindBefore:   r.Duration("REMIND_BEFORE", defaultRemindBefore),
		ReconcileEvery: r.Duration("RECONCILE_EVERY", defaultReconcileEvery),
	}
	c.IngressURL = strings.TrimRight(r.String("INGRESS_URL", ""), "/")
	if c.IngressURL != "" {
		c.readSecrets(r)
	}
	c.Stripe = stripegate.ConfigFromEnv(r, c.Mode)
	c.CheckoutOrigins = checkoutOrigins(r)
	c.PageRate = float64(r.Int("PAGE_RATE", 20, 1, 1_000_000))
	c.Streams = r.Int("PAGE_STREAMS", 1000, 1, 100_000)
	var err error
	if c.TrustedProxies, err = ParseProxies(r.String("TRUSTED_PROXIES", "")); err != nil {
		r.Fault("TRUSTED_PROXIES", "%w", err)
	}
	if c.Tokens, err = signin.ParseTokens(r.Secret("API_TOKENS").Reveal()); err != nil {
		r.Fault("API_TOKENS", "%w", err)
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		r.Fault("PUBLIC_URL", "%q is not an address such as https://quotes.example.com", c.PublicURL)
	}
	c.Policy = policyfile.FromEnv(r)
	return c, r.Err()
}

// stripeCheckout is where Stripe has the pages of Checkout Sessions.
const stripeCheckout = "https://checkout.stripe.com"

// checkoutOrigins reads CHECKOUT_ORIGINS: https://checkout.example.com,… such as a
// custom domain at Stripe, or a stand-in as browsers reach it.
func checkoutOrigins(r *env.Reader) []string {
	var list []string
	for entry := range strings.SplitSeq(r.String("CHECKOUT_ORIGINS", ""), ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		origin, ok := originOf(entry)
		if !ok || strings.TrimRight(entry, "/") != origin {
			r.Fault("CHECKOUT_ORIGINS", "%q is not an origin such as %s", entry, stripeCheckout)
			continue
		}
		list = append(list, origin)
	}
	return list
}

// originOf is scheme, host and port of an address, in the form of a policy's
// source. It is false for what is no address of the web.
func originOf(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"*") {
		return "", false
	}
	return u.Scheme + "://" + u.Host, true
}

// readSecrets reads what signs the events that are entered: of
// name=whsec_…,name2=whsec_… the one that has the name of the source, else the
// first.
func (c *Config) readSecrets(r *env.Reader) {
	list := r.Secret("STRIPE_WEBHOOK_SECRETS")
	var ok, too bool
	c.WebhookSecret, ok = door.SecretFor(list, event.SourceReturn)
	c.ReconcileSecret, too = door.SecretFor(list, event.SourceReconcile)
	if !ok || !too {
		r.Fault("STRIPE_WEBHOOK_SECRETS", "is required with INGRESS_URL: name=whsec_…")
	}
}

func (c Config) withDefaults() Config {
	if c.Durability.Mode == "" {
		c.Durability.Mode = natsstream.DurabilityServer
	}
	if c.FollowEvery <= 0 {
		c.FollowEvery = 5 * time.Second
	}
	if c.Mode == "" {
		c.Mode = event.ModeTest
	}
	if c.Account == "" {
		c.Account = event.Platform
	}
	if len(c.CheckoutOrigins) == 0 {
		c.CheckoutOrigins = []string{stripeCheckout}
		if base, ok := originOf(c.Stripe.Base); ok {
			c.CheckoutOrigins = []string{base}
		}
	}
	if c.Policy == nil {
		c.Policy = quote.DefaultPolicy()
	}
	if c.GenerationEvery <= 0 {
		c.GenerationEvery = 500 * time.Millisecond
	}
	if c.PageRate <= 0 {
		c.PageRate = 20
	}
	if c.Streams <= 0 {
		c.Streams = 1000
	}
	if c.StreamBeat <= 0 {
		c.StreamBeat = 20 * time.Second
	}
	if c.Now == nil {
		c.Now = clock.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}
