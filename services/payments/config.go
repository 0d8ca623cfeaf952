package payments

import (
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/fault"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/policyfile"
	"quittance.internal/libs/platform/redisquote"
)

// Config is everything that the worker needs to run.
type Config struct {
	NATS natsstream.Config
	// Durability is how it is made sure that the log keeps what this service tells of; the zero value takes the server as it is.
	Durability natsstream.Durability
	Redis      redisquote.Config
	// Addr is where probes and metrics are served.
	Addr string
	// Mode is the one Stripe mode of this deployment, test or live; events of the other are refused.
	Mode string
	// Batch is how many messages are folded together at most; a batch never waits for more than what is there.
	Batch int
	// ParkedFor is how long a change may wait for the object that links it to a quote. Default 72 h.
	ParkedFor time.Duration
	// RebuildGrace is how long the keys of a generation stay after a rebuild went over to
	// another. Default 30 s.
	RebuildGrace time.Duration
	// GenerationEvery is how often it is looked which generation of Redis keys is
	// written. Default 500 ms.
	GenerationEvery time.Duration
	// Policy says in which currencies nothing is paid: events in one are set
	// aside. Nil means quote.DefaultPolicy.
	Policy   *quote.Policy
	LogLevel string
	// Version names this build in the outcomes it records.
	Version string
	// Now is the clock.
	Now func() time.Time
}

// ConfigFromEnv reads the configuration; all faults are reported together.
func ConfigFromEnv(lookup env.Lookup) (Config, error) {
	r := env.NewReader(lookup)
	c := Config{
		NATS:       natsstream.ConfigFromEnv(r, "payments"),
		Durability: natsstream.UncheckedFromEnv(r),
		Redis:      redisquote.ConfigFromEnv(r),
		Addr:       r.Addr("PAYMENTS_ADDR", "127.0.0.1:9101"),
		Mode:       r.Enum("MODE", event.ModeTest, event.ModeTest, event.ModeLive),
		Batch:      r.Int("PAYMENTS_BATCH", 1024, 1, 4096),
		ParkedFor:  r.Duration("PARKED_FOR", 72*time.Hour),
		Policy:     policyfile.FromEnv(r),

		RebuildGrace: r.Duration("REBUILD_GRACE", defaultGrace),
		LogLevel:     r.Enum("LOG_LEVEL", "info", logging.Levels...),
		Version:      Version(),
		Now:          fault.Now,
	}
	return c, r.Err()
}

func (c Config) generationEvery() time.Duration {
	if c.GenerationEvery <= 0 {
		return defaultGenerationEvery
	}
	return c.GenerationEvery
}
