package sandbox_test

import (
	"strings"
	"testing"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/sandbox"
)

func lookup(vars map[string]string) env.Lookup {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestDefaultsStayOnLoopback(t *testing.T) {
	cfg, err := sandbox.ConfigFromEnv(lookup(nil))
	if err != nil || cfg.Addr != "127.0.0.1:8083" || len(cfg.Webhooks) != 0 || cfg.LogLevel != "info" {
		t.Errorf("ConfigFromEnv() = %+v, %v", cfg, err)
	}
}

func TestOneWebhookAddressGetsBothKindsOfEvents(t *testing.T) {
	cfg, err := sandbox.ConfigFromEnv(lookup(map[string]string{
		"STRIPE_API_KEY": "sk_test_abcdefgh", "SANDBOX_WEBHOOK_URL": "http://127.0.0.1:8080/webhooks/stripe", "SANDBOX_WEBHOOK_SECRET": "whsec_x",
	}))
	if err != nil || cfg.TestKey != "sk_test_abcdefgh" || len(cfg.Webhooks) != 2 || cfg.Webhooks[0].Connect || !cfg.Webhooks[1].Connect {
		t.Errorf("ConfigFromEnv() = %+v, %v", cfg, err)
	}
}

func TestAllFaultsOfTheSettingsAreReportedAtOnce(t *testing.T) {
	_, err := sandbox.ConfigFromEnv(lookup(map[string]string{
		"SANDBOX_ADDR": "nowhere", "STRIPE_API_KEY": "pk_test_secretvalue", "SANDBOX_WEBHOOK_URL": "http://127.0.0.1:1/", "LOG_LEVEL": "loud",
	}))
	if err == nil {
		t.Fatal("ConfigFromEnv() = nil, want an error")
	}
	for _, want := range []string{"SANDBOX_ADDR", "STRIPE_API_KEY", "SANDBOX_WEBHOOK_URL", "LOG_LEVEL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "secretvalue") {
		t.Errorf("error shows the key: %v", err)
	}
}

func TestAWebhookThatCannotBeServedRefusesToStart(t *testing.T) {
	for _, h := range []sandbox.Webhook{{URL: "ftp://x"}, {URL: "http://127.0.0.1:1", APIVersion: "2019-01-01"}} {
		if _, err := sandbox.New(t.Context(), sandbox.Config{Addr: "127.0.0.1:0", Webhooks: []sandbox.Webhook{h}}, zap.NewNop()); err == nil {
			t.Errorf("New with webhook %+v = nil, want an error", h)
		}
	}
}

// The endpoint of the configuration is signed with its secret.
func TestConfiguredWebhooksAreDelivered(t *testing.T) {
	h := receiver(t)
	w := start(t, sandbox.Config{Webhooks: []sandbox.Webhook{{URL: h.URL, Secret: env.NewSecret("whsec_known")}}})
	w.act(t, w.open(t, oneTime()).ID, "pay")
	until(t, "five came", func() bool { return len(h.all()) == 5 })
	for _, r := range h.all() {
		verified(t, r, "whsec_known")
	}
}
