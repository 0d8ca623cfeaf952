package sandbox

import (
	"strings"
	"time"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/logging"
)

// Defaults of a sandbox that nobody has configured. They open nothing but the sandbox.
const (
	DefaultTestKey  = "sk_test_sandbox"
	DefaultLiveKey  = "sk_live_sandbox"
	DefaultClientID = "ca_sandbox"
	// PlatformAccount is the account to which the keys belong.
	PlatformAccount = "acct_1SandboxPlatform"
)

// Config is what a Service needs to know. Zero values mean the defaults.
type Config struct {
	// Addr is host:port. Default of ConfigFromEnv: 127.0.0.1:8083. There is no sign-in: keep it on loopback.
	Addr string
	// PublicURL is how a browser reaches the sandbox; sessions' url begins with it. Default: http:// and the bound address.
	PublicURL string
	// TestKey, LiveKey and ClientID are what the platform signs in with. Defaults: DefaultTestKey, DefaultLiveKey, DefaultClientID.
	TestKey, LiveKey string
	ClientID         string
	// Seed makes all ids repeatable. Default: another one at each start.
	Seed string
	// Accounts are the accounts that the authorization page offers. Default: an activated one and one that is not.
	Accounts []Account
	// AccountsFile, if not empty, keeps the accounts with their activation and connections over restarts: what a merchant has authorized
	// stands, although the sandbox forgets all else. What is in it goes before Accounts.
	AccountsFile string
	// Webhooks are endpoints of the platform that exist from the start.
	Webhooks []Webhook
	// LogLevel is one of logging.Levels.
	LogLevel string
	// Now is the wall clock; the sandbox's own clock is this plus ClockOffset and what POST /sandbox/clock added. Default time.Now.
	Now func() time.Time
	// ClockOffset is how far the sandbox's own clock is ahead of the wall clock at the start; below zero it is behind, so that
	// time can pass which ends now.
	ClockOffset time.Duration
}

// Account is a merchant's account of the sandbox.
type Account struct {
	// ID is acct_ and letters or digits. Name and Country (ISO 3166, upper case) are shown on the authorization page.
	ID, Name, Country string
	// Activated is Stripe's charges_enabled.
	Activated bool
	// Connected accounts have authorized the platform already, in test mode.
	Connected bool
}

// Webhook is an endpoint of the platform.
type Webhook struct {
	URL    string
	Secret env.Secret
	// Connect endpoints get the events of connected accounts, the others those of the platform's own account.
	Connect bool
	// APIVersion is Version20231016 or VersionBasil. Default: Version20231016.
	APIVersion string
	Live       bool
}

// ConfigFromEnv reads SANDBOX_ADDR, SANDBOX_PUBLIC_URL, SANDBOX_SEED, STRIPE_API_KEY (the key to accept: secret or
// restricted, test or live), STRIPE_CLIENT_ID, SANDBOX_WEBHOOK_URL with SANDBOX_WEBHOOK_SECRET (that address then gets the events of the
// platform and of connected accounts, both signed with this secret) and LOG_LEVEL. The error joins every fault found.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	cfg := Config{
		Addr:      r.Addr("SANDBOX_ADDR", "127.0.0.1:8083"),
		PublicURL: r.String("SANDBOX_PUBLIC_URL", ""),
		Seed:      r.String("SANDBOX_SEED", ""),
		ClientID:  r.String("STRIPE_CLIENT_ID", DefaultClientID),
		LogLevel:  r.Enum("LOG_LEVEL", "info", logging.Levels...),
	}
	switch key := r.Secret("STRIPE_API_KEY").Reveal(); {
	case key == "":
	case strings.HasPrefix(key, "sk_live_"), strings.HasPrefix(key, "rk_live_"):
		cfg.LiveKey = key
	case strings.HasPrefix(key, "sk_test_"), strings.HasPrefix(key, "rk_test_"):
		cfg.TestKey = key
	default:
		r.Fault("STRIPE_API_KEY", "is neither a secret nor a restricted key (sk_test_…, sk_live_…, rk_test_…, rk_live_…)")
	}
	const nameSecret = "SANDBOX_WEBHOOK_SECRET" //nolint:gosec // the variable's name
	url, secret := r.String("SANDBOX_WEBHOOK_URL", ""), r.Secret(nameSecret)
	if (url == "") != secret.IsZero() {
		r.Fault("SANDBOX_WEBHOOK_URL", "and %s go together; only one is set", nameSecret)
	}
	if url != "" {
		cfg.Webhooks = []Webhook{{URL: url, Secret: secret}, {URL: url, Secret: secret, Connect: true}}
	}
	return cfg, r.Err()
}

func (c Config) withDefaults(random string) Config {
	for field, fallback := range map[*string]string{
		&c.TestKey: DefaultTestKey, &c.LiveKey: DefaultLiveKey, &c.ClientID: DefaultClientID, &c.Seed: random,
	} {
		if *field == "" {
			*field = fallback
		}
	}
	if len(c.Accounts) == 0 {
		c.Accounts = []Account{
			{ID: "acct_1SandboxSolar", Name: "Solar Roofs", Country: "PL", Activated: true},
			{ID: "acct_1SandboxNewShop", Name: "New Shop (not activated)", Country: "DE"},
		}
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default clock
	}
	return c
}
