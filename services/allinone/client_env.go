package allinone

import (
	"strings"

	"quittance.internal/libs/platform/env"
)

const clientEnvFile = "client.env"

// clientEnv is the content of DATA_DIR/client.env: what quotectl, and a shell that reads the file, need in order to talk to
// this system. It holds secrets; the file is for its owner alone.
func (c Config) clientEnv(kept keptSecrets) []byte {
	values := []struct{ name, value string }{
		{"NATS_URL", orReveal(c.NATS, natsURL("operator", kept.NATS["operator"], c.addrs.get(addrNATS)))},
		{"NATS_CREDS", c.external("NATS_CREDS", c.NATS)},
		{"NATS_CA", c.external("NATS_CA", c.NATS)},
		{"NATS_MONITOR_URL", c.monitorURL()},
		{"REDIS_URL", orReveal(c.Redis, redisURL(kept.Redis, c.addrs.get(addrRedis)))},
		{"REDIS_CA", c.external("REDIS_CA", c.Redis)},
		{"QUOTES_URL", c.url(addrQuotes)},
		{"CONSOLE_URL", c.url(addrConsole)},
		{"INGRESS_URL", c.url(addrIngress)},
		{"MAILBOX_URL", c.url(addrMailbox)},
		{"INGRESS_ADMIN_URL", c.url(addrIngressAdmin)},
		{"PAYMENTS_URL", c.url(addrPayments)},
		{"NOTIFIER_URL", c.url(addrNotifier)},
		{"QUOTES_ADMIN_URL", c.url(addrQuotesAdmin)},
		{"SANDBOX_URL", c.url(addrSandbox)},
		{"API_TOKEN", c.apiToken(kept)},
		{"STRIPE_WEBHOOK_SECRETS", orReveal(c.WebhookSecrets, kept.webhookSecret())},
		{"MODE", c.Mode},
		{"DURABILITY", c.Durability},
	}
	if c.Stripe.IsZero() { // the key of a real account is not written anywhere; quotectl reconcile asks for it
		values = append(values, struct{ name, value string }{"STRIPE_API_KEY", kept.SandboxKey}, struct{ name, value string }{"STRIPE_API_BASE", c.url(addrSandbox)})
	}
	var b strings.Builder
	b.WriteString("# Written by allinone at each start. quotectl reads it; a shell does with:  . ./client.env\n" +
		"# Do not export what is in it: allinone itself would take these addresses for external servers.\n")
	for _, v := range values {
		if v.value != "" {
			b.WriteString(v.name + "=" + shellQuoted(v.value) + "\n")
		}
	}
	return []byte(b.String())
}

// external returns a setting that belongs to an external server, or "" when the embedded one is used.
func (c Config) external(name string, server env.Secret) string {
	if server.IsZero() {
		return ""
	}
	v, _ := c.Lookup(name)
	return v
}

func (c Config) monitorURL() string {
	if c.NATS.IsZero() {
		return c.url(addrNATSMonitor)
	}
	return c.NATSMonitor
}

// url returns the HTTP address of a listener, or "" when there is none.
func (c Config) url(name string) string {
	if addr := c.addrs.get(name); addr != "" {
		return "http://" + dialable(addr)
	}
	return ""
}

// apiToken picks the token for the client: the first admin's, else the first seller's, else none.
func (c Config) apiToken(kept keptSecrets) string {
	tokens := orReveal(c.APITokens, kept.apiTokens())
	for _, role := range []string{"admin", "seller"} {
		for entry := range strings.SplitSeq(tokens, ",") {
			parts := strings.SplitN(strings.TrimSpace(entry), ":", 3)
			if len(parts) == 3 && strings.Split(parts[1], "@")[0] == role {
				return parts[2]
			}
		}
	}
	return ""
}

func orReveal(given env.Secret, made string) string {
	if given.IsZero() {
		return made
	}
	return given.Reveal()
}

// shellQuoted returns v as one word of a POSIX shell; quotectl drops the same quotes.
func shellQuoted(v string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=:/@.,%", r)
	}
	if strings.IndexFunc(v, func(r rune) bool { return !plain(r) }) < 0 {
		return v
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}
