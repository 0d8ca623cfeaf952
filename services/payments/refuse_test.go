package payments_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/payments"
)

func TestAWorkerRefusesARedisThatEvicts(t *testing.T) {
	r := newRig(t)
	r.redis = redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	_, err := payments.New(t.Context(), r.config(), zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("New on an evicting Redis = %v, want an error that names noeviction", err)
	}
}

func TestAWorkerRefusesAStreamThatForgets(t *testing.T) {
	r := newRig(t)
	s, err := r.log.JetStream().Stream(t.Context(), event.StreamStripe)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxAge = time.Hour
	if _, err := r.log.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := payments.New(t.Context(), r.config(), zap.NewNop()); err == nil || !strings.Contains(err.Error(), "forgets") {
		t.Errorf("New on a forgetting stream = %v, want an error", err)
	}
}

func TestALostConsumerIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.run()
	if err := r.log.JetStream().DeleteConsumer(t.Context(), event.StreamStripe, "payments"); err != nil {
		t.Fatal(err)
	}
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	if err := natsstream.Declare(context.WithoutCancel(t.Context()), r.nats.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	r.status(event.Platform, "q_1", "paid")
}
