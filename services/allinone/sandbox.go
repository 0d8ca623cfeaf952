package allinone

import (
	"context"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/sandbox"
)

// startSandbox starts the stand-in for Stripe, with ingress as its two webhook endpoints: one for the deployment's own account and
// one for connected accounts, each with a secret of its own as at Stripe.
func startSandbox(ctx context.Context, c Config, kept keptSecrets, log *zap.Logger) (*sandbox.Service, error) {
	cfg, err := sandbox.ConfigFromEnv(c.serviceLookup("sandbox", kept))
	if err != nil {
		return nil, err
	}
	own, connected := env.NewSecret(kept.SandboxSecret), env.NewSecret(kept.SandboxConnect)
	if !c.WebhookSecrets.IsZero() { // ingress accepts those that were given, and no others
		own = firstSecret(c.WebhookSecrets)
		connected = own
	}
	cfg.AccountsFile = filepath.Join(c.DataDir, "sandbox-accounts.json")
	target := c.url(addrIngress) + "/webhooks/stripe"
	cfg.Webhooks = []sandbox.Webhook{{URL: target, Secret: own}, {URL: target, Secret: connected, Connect: true}}
	return sandbox.New(ctx, cfg, log)
}

// sandboxSettings are what quotes and the sandbox agree on: the key, the application that sellers authorize, and where the sandbox is
// reached, which for a browser on another machine may be another address (SANDBOX_PUBLIC_URL).
func (c Config) sandboxSettings(kept keptSecrets) map[string]string {
	browser := c.url(addrSandbox)
	if v, ok := c.Lookup("SANDBOX_PUBLIC_URL"); ok && v != "" {
		browser = strings.TrimSuffix(v, "/")
	}
	return map[string]string{
		"STRIPE_API_KEY": kept.SandboxKey, "STRIPE_API_KEY_FILE": "",
		"STRIPE_API_BASE":  c.url(addrSandbox),
		"STRIPE_CLIENT_ID": sandbox.DefaultClientID,

		"SANDBOX_PUBLIC_URL": browser, "STRIPE_CONNECT_URL": browser, "CHECKOUT_ORIGINS": browser,
	}
}

// webhookSecrets are what ingress accepts: those of simulated and of fetched events first, which quotes and quotectl use, then those of
// the sandbox's endpoints.
func (c Config) webhookSecrets(kept keptSecrets) string {
	secrets := kept.webhookSecret()
	if c.Stripe.IsZero() {
		secrets += ",sandbox=" + kept.SandboxSecret + ",sandbox-connect=" + kept.SandboxConnect
	}
	return secrets
}

// firstSecret is the first of name=whsec_…,name2=whsec_….
func firstSecret(list env.Secret) env.Secret {
	first, _, _ := strings.Cut(list.Reveal(), ",")
	_, secret, _ := strings.Cut(first, "=")
	return env.NewSecret(strings.TrimSpace(secret))
}
