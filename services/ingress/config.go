package ingress

import (
	"time"

	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
)

// Config is what a Service needs to know. Zero durations, numbers and a zero Now mean the defaults.
type Config struct {
	// Addr is the public address, host:port. Default of ConfigFromEnv: ":8080".
	Addr string
	// AdminAddr serves /metrics, /livez and /readyz. Default of ConfigFromEnv: 127.0.0.1:9100.
	AdminAddr string
	// NATS is the server that holds stream STRIPE.
	NATS natsstream.Config
	// Durability is how it is made sure that the log keeps what is answered with 200. Its Mode is natsstream.DurabilityServer by
	// default; its MonitorURL is also where the figures of the NATS server's store are read.
	Durability natsstream.Durability
	// Secrets are the signing secrets; at least one.
	Secrets []Secret
	// SecretsFile, if not empty, is the file that Secrets were read from; it is followed.
	SecretsFile string
	// SecretsPoll is how often SecretsFile is read again. Default 5 s.
	SecretsPoll time.Duration
	// Budget bounds the storing of one event; beyond it the answer is 503. Default 3 s: Stripe gives an endpoint 10 s or more.
	Budget time.Duration
	// MaxInFlight bounds the events being stored at one time. Default 1024: at the 4,000 a second that a server with
	// sync_interval always takes on modest disks, the last of them waits a quarter of a second.
	MaxInFlight int
	// MaxConns bounds the public connections. Default 8192, about 250 MB if every one of them is a slow client.
	MaxConns int
	// ReadTimeout bounds the reading of a request. Default 10 s.
	ReadTimeout time.Duration
	// Linger is how long it still answers after it was told to stop; see httpserve.Config. Default of SHUTDOWN_LINGER: 2 s.
	Linger time.Duration
	// LogLevel is one of logging.Levels.
	LogLevel string
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// ConfigFromEnv reads INGRESS_ADDR, INGRESS_ADMIN_ADDR, NATS_URL, NATS_CREDS, NATS_CA, DURABILITY, NATS_MONITOR_URL,
// NATS_STORE_DIR, SHUTDOWN_LINGER, LOG_LEVEL and STRIPE_WEBHOOK_SECRETS (or STRIPE_WEBHOOK_SECRETS_FILE). The error joins every fault found; it
// holds no secret.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	const nameSecrets = "STRIPE_WEBHOOK_SECRETS" //nolint:gosec // the variable's name
	r := env.NewReader(lookup)
	cfg := Config{
		Addr:        r.Addr("INGRESS_ADDR", ":8080"),
		AdminAddr:   r.Addr("INGRESS_ADMIN_ADDR", "127.0.0.1:9100"),
		NATS:        natsstream.ConfigFromEnv(r, "ingress"),
		Durability:  natsstream.DurabilityFromEnv(r),
		SecretsFile: r.SecretFile(nameSecrets),
		Linger:      r.Duration("SHUTDOWN_LINGER", 2*time.Second),
		LogLevel:    r.Enum("LOG_LEVEL", "info", logging.Levels...),
	}
	secrets, err := ParseSecrets(r.Secret(nameSecrets).Reveal())
	if err != nil {
		r.Fault(nameSecrets, "%v", err)
	}
	cfg.Secrets = secrets
	return cfg, r.Err()
}

func (c Config) withDefaults() Config {
	if c.Durability.Mode == "" {
		c.Durability.Mode = natsstream.DurabilityServer
	}
	if c.SecretsPoll == 0 {
		c.SecretsPoll = 5 * time.Second
	}
	if c.Budget == 0 {
		c.Budget = 3 * time.Second
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 1024
	}
	if c.MaxConns == 0 {
		c.MaxConns = 8192
	}
	if c.Now == nil {
		c.Now = fault.Now
	}
	return c
}
