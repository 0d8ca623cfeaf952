package ingress_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quittance.internal/services/ingress"
)

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestConfigHasDefaultsForAllButTheSecrets(t *testing.T) {
	cfg, err := ingress.ConfigFromEnv(lookup(map[string]string{"STRIPE_WEBHOOK_SECRETS": "main=" + mainKey + ",next=" + otherKey}))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr != ":8080" || cfg.AdminAddr != "127.0.0.1:9100" || cfg.Durability.Mode != "server" || cfg.LogLevel != "info" || cfg.SecretsFile != "" {
		t.Errorf("ConfigFromEnv = %+v, want the defaults of architecture.md §5", cfg)
	}
	if len(cfg.Secrets) != 2 || cfg.Secrets[0].Name != "main" || cfg.Secrets[1].Key.Reveal() != otherKey {
		t.Errorf("Secrets = %v, want main and next", cfg.Secrets)
	}
}

// R56
func TestConfigNamesEveryFaultAndNoSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("main=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		vars map[string]string
		want []string
	}{
		{"nothing set", nil, []string{"STRIPE_WEBHOOK_SECRETS: no signing secret is given"}},
		{"empty in the file", map[string]string{"STRIPE_WEBHOOK_SECRETS_FILE": file}, []string{"the secret main is empty"}},
		{"no such file", map[string]string{"STRIPE_WEBHOOK_SECRETS_FILE": file + "x"}, []string{"STRIPE_WEBHOOK_SECRETS_FILE: read secret file"}},
		{"both", map[string]string{"STRIPE_WEBHOOK_SECRETS": "a=" + mainKey, "STRIPE_WEBHOOK_SECRETS_FILE": file}, []string{"is set twice"}},
		{"a barrier without a store", map[string]string{"STRIPE_WEBHOOK_SECRETS": "main=" + mainKey, "DURABILITY": "barrier"}, []string{"NATS_STORE_DIR"}},
		{"all wrong", map[string]string{
			"STRIPE_WEBHOOK_SECRETS": mainKey, "INGRESS_ADDR": "here", "INGRESS_ADMIN_ADDR": "there", "DURABILITY": "tape", "LOG_LEVEL": "loud",
		}, []string{"STRIPE_WEBHOOK_SECRETS: entry 1", "INGRESS_ADDR:", "INGRESS_ADMIN_ADDR:", "DURABILITY:", "LOG_LEVEL:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ingress.ConfigFromEnv(lookup(c.vars))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("ConfigFromEnv = %v, want it to say %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("ConfigFromEnv shows a secret: %v", err)
			}
		})
	}
}
