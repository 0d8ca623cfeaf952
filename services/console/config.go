package console

import (
	"crypto/rand"
	"io"
	"net/url"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/signin"
)

// Config is everything that can be set. ConfigFromEnv says which variables.
type Config struct {
	// Addr is for operators' browsers, AdminAddr for probes and metrics.
	Addr, AdminAddr string
	NATS            natsstream.Config
	Redis           redisquote.Config
	// Tokens are who may sign in: viewers, operators and admins.
	Tokens []signin.Token
	// TokensFile, if not empty, is read again every FollowEvery (default 5 s):
	// its content replaces Tokens when it is sound.
	TokensFile  string
	FollowEvery time.Duration
	// PublicURL is the address that browsers know the console by, without a slash
	// at the end.
	PublicURL string
	// Mode is test or live: that of the deployment's Stripe account. It is shown.
	Mode string
	// Zone is the time zone of all pages. Default UTC.
	Zone *time.Location
	// GenerationEvery is how often it is looked which generation of Redis keys is
	// in use, which a rebuild changes. Default 500 ms.
	GenerationEvery time.Duration
	// CountEvery is how old the conservation light may be: to count is to read
	// every outcome. Default 1 min.
	CountEvery time.Duration
	// LookFor is how long one page looks through the log for what a filter selects
	// before it shows what it has. Default 4 s.
	LookFor  time.Duration
	LogLevel string
	// Now and Random are the clock and the source of nonces; defaults time.Now and
	// crypto/rand.
	Now    func() time.Time
	Random io.Reader
}

// ConfigFromEnv reads CONSOLE_ADDR, CONSOLE_ADMIN_ADDR, CONSOLE_PUBLIC_URL,
// NATS_URL, NATS_CREDS, NATS_CA, REDIS_URL, REDIS_CA, API_TOKENS, MODE, TZ and
// LOG_LEVEL; secrets also as *_FILE. It reports every fault at once.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	c := Config{
		Addr: r.Addr("CONSOLE_ADDR", ":8082"), AdminAddr: r.Addr("CONSOLE_ADMIN_ADDR", "127.0.0.1:9104"),
		NATS: natsstream.ConfigFromEnv(r, "console"), Redis: redisquote.ConfigFromEnv(r),
		TokensFile: r.SecretFile("API_TOKENS"),
		PublicURL:  strings.TrimRight(r.String("CONSOLE_PUBLIC_URL", "http://127.0.0.1:8082"), "/"),
		Mode:       r.Enum("MODE", event.ModeTest, event.ModeTest, event.ModeLive),
		LogLevel:   r.Enum("LOG_LEVEL", "info", logging.Levels...),
	}
	var err error
	if c.Tokens, err = signin.ParseTokens(r.Secret("API_TOKENS").Reveal()); err != nil {
		r.Fault("API_TOKENS", "%w", err)
	}
	if c.Zone, err = time.LoadLocation(strings.TrimPrefix(r.String("TZ", "UTC"), ":")); err != nil {
		r.Fault("TZ", "is no time zone such as Europe/Warsaw")
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		r.Fault("CONSOLE_PUBLIC_URL", "%q is not an address such as https://console.example.com", c.PublicURL)
	}
	return c, r.Err()
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&c.FollowEvery, 5 * time.Second},
		{&c.GenerationEvery, 500 * time.Millisecond},
		{&c.CountEvery, time.Minute},
		{&c.LookFor, 4 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if c.Mode == "" {
		c.Mode = event.ModeTest
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of the one clock
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}
