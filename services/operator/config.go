package operator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/stripegate"
)

// dialTimeout bounds how long a command waits for NATS or Redis: a person is waiting.
const dialTimeout = 5 * time.Second

// Config is what the commands need to know of the deployment. Nothing in it prints a secret.
type Config struct {
	// QuotesURL, IngressURL and MailboxURL have no slash at the end; MailboxURL is "" where there is no mail catcher.
	QuotesURL, IngressURL, MailboxURL string
	// IngressAdminURL, PaymentsURL, NotifierURL and QuotesAdminURL are where the services tell their figures and MonitorURL
	// where the NATS server does; each is "" where it is not set.
	IngressAdminURL, PaymentsURL, NotifierURL, QuotesAdminURL, MonitorURL string
	// APIToken opens the quote API.
	APIToken env.Secret
	// WebhookSecrets is name=whsec_…,name2=whsec_…, as ingress has it.
	WebhookSecrets env.Secret
	// NATS and Redis are nil when their URL is not set.
	NATS  *natsstream.Config
	Redis *redisquote.Config
	// Barrier says that the services sync the log themselves (DURABILITY=barrier), which the doctor takes into account.
	Barrier bool
}

// ConfigFromEnv reads the settings through lookup, and those that it lacks from the client.env file that envFile or the
// environment names. It reports all faults together.
func ConfigFromEnv(lookup env.Lookup, envFile string) (Config, error) {
	lookup, err := layered(lookup, envFile)
	if err != nil {
		return Config{}, err
	}
	r := env.NewReader(lookup)
	c := Config{
		QuotesURL:  address(r, "QUOTES_URL", "http://127.0.0.1:8081"),
		IngressURL: address(r, "INGRESS_URL", "http://127.0.0.1:8080"),
		MailboxURL: address(r, "MAILBOX_URL", ""),

		IngressAdminURL: address(r, "INGRESS_ADMIN_URL", ""),
		PaymentsURL:     address(r, "PAYMENTS_URL", ""),
		NotifierURL:     address(r, "NOTIFIER_URL", ""),
		QuotesAdminURL:  address(r, "QUOTES_ADMIN_URL", ""),
		MonitorURL:      addresses(r, "NATS_MONITOR_URL"),

		APIToken:       r.Secret("API_TOKEN"),
		WebhookSecrets: r.Secret("STRIPE_WEBHOOK_SECRETS"),
		Barrier:        r.String("DURABILITY", "") == natsstream.DurabilityBarrier,
	}
	if isSet(lookup, "NATS_URL") {
		n := natsstream.ConfigFromEnv(r, "operator")
		c.NATS = &n
	}
	if isSet(lookup, "REDIS_URL") {
		rd := redisquote.ConfigFromEnv(r)
		c.Redis = &rd
	}
	return c, r.Err()
}

func isSet(lookup env.Lookup, name string) bool {
	for _, n := range []string{name, name + "_FILE"} {
		if v, ok := lookup(n); ok && v != "" {
			return true
		}
	}
	return false
}

// address reads an http or https URL.
func address(r *env.Reader, name, fallback string) string {
	v := r.String(name, fallback)
	if v == "" {
		return ""
	}
	if !isAddress(v) {
		r.Fault(name, "is not an http or https address")
		return fallback
	}
	return strings.TrimRight(v, "/")
}

// addresses reads http or https URLs that are separated by commas.
func addresses(r *env.Reader, name string) string {
	v := r.String(name, "")
	if v == "" {
		return ""
	}
	all := strings.Split(v, ",")
	for i, a := range all {
		all[i] = strings.TrimRight(strings.TrimSpace(a), "/")
		if !isAddress(all[i]) {
			r.Fault(name, "is not an http or https address, nor several with commas between them")
			return ""
		}
	}
	return strings.Join(all, ",")
}

func isAddress(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// layered answers from lookup first and from the client.env file second. A setting given by file (NAME_FILE) in one layer
// hides the other form of it in the lower one, so that an environment can always override the file.
func layered(lookup env.Lookup, envFile string) (env.Lookup, error) {
	path, named := findEnvFile(lookup, envFile)
	if path == "" {
		return lookup, nil
	}
	values, err := readEnvFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return lookup, nil
	}
	if err != nil {
		return nil, advice.Of(advice.Usage, "quotectl --help", "%w", err)
	}
	return func(name string) (string, bool) {
		if v, ok := lookup(name); ok && v != "" {
			return v, true
		}
		sibling := name + "_FILE"
		if base, ok := strings.CutSuffix(name, "_FILE"); ok {
			sibling = base
		}
		if v, ok := lookup(sibling); ok && v != "" {
			return "", false
		}
		v, ok := values[name]
		return v, ok
	}, nil
}

// findEnvFile returns the file to read; named says that somebody asked for this very file, so that it must exist.
func findEnvFile(lookup env.Lookup, envFile string) (path string, named bool) {
	if envFile != "" {
		return envFile, true
	}
	if v, ok := lookup("QUITTANCE_ENV_FILE"); ok && v != "" {
		return v, true
	}
	if v, ok := lookup("DATA_DIR"); ok && v != "" {
		return filepath.Join(v, "client.env"), false
	}
	return filepath.Join("data", "client.env"), false
}

// readEnvFile reads KEY=VALUE lines: blank lines and # comments are passed over, "export " and one pair of quotes around the
// value are dropped, and '\” within single quotes is a quote, as in a shell. Errors name the line, never its content.
func readEnvFile(path string) (map[string]string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	defer f.Close()
	values := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.ContainsAny(key, " \t\"'") {
			return nil, fmt.Errorf("read settings: line %d of %s is not KEY=VALUE", n, path)
		}
		values[key] = unquote(strings.TrimSpace(value))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read settings from %s: %w", path, err)
	}
	return values, nil
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return strings.ReplaceAll(v[1:len(v)-1], `'\''`, "'")
	}
	return v
}

// config reads the settings; every command that needs any calls it first.
func (a *app) config() (Config, error) {
	c, err := ConfigFromEnv(a.lookup, a.envFile)
	if err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*advice.Error](err); ok {
		return Config{}, err
	}
	return Config{}, advice.Of(advice.Usage, "quotectl --help", "read settings: %w", err)
}

// openLog connects to NATS. The caller closes the connection.
func (a *app) openLog(ctx context.Context, c Config) (*nats.Conn, *natsstream.Log, error) {
	if c.NATS == nil {
		return nil, nil, advise("export NATS_URL=nats://127.0.0.1:4222", "NATS_URL is set neither in the environment nor in a client.env file")
	}
	at := hosts(c.NATS.URL.Reveal())
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := natsstream.Connect(dial, *c.NATS, zap.NewNop())
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, nil, ctx.Err()
	case errors.Is(err, nats.ErrAuthorization):
		return nil, nil, advise("give the credentials of the user operator: NATS_CREDS, or in NATS_URL", "NATS at %s does not take the credentials: %w", at, err)
	case err != nil:
		return nil, nil, advise("check that the server runs and that NATS_URL, NATS_CREDS and NATS_CA fit it", "NATS at %s does not answer: %w", at, err)
	}
	log, err := natsstream.NewLog(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, log, nil
}

// openRedis connects to Redis. The caller closes the client.
func openRedis(ctx context.Context, c Config) (redis.UniversalClient, error) {
	if c.Redis == nil {
		return nil, advise("export REDIS_URL=redis://127.0.0.1:6379/0", "REDIS_URL is set neither in the environment nor in a client.env file")
	}
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	client, err := redisquote.Open(dial, *c.Redis)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case err != nil:
		return nil, advise("check that the server runs and that REDIS_URL and REDIS_CA fit it", "Redis at %s does not answer: %w", hosts(c.Redis.URL.Reveal()), err)
	}
	return client, nil
}

// hosts are the addresses in a URL, or in several with commas between them, without the passwords that may stand before them.
func hosts(urls string) string {
	var all []string
	for text := range strings.SplitSeq(urls, ",") {
		if _, after, ok := strings.Cut(text, "://"); ok {
			text = after
		}
		text, _, _ = strings.Cut(text, "/")
		all = append(all, text[strings.LastIndex(text, "@")+1:])
	}
	return strings.Join(all, ",")
}

// stripeSettings reads how Stripe is called and the deployment's mode; the key may be missing. Only the commands that ask
// Stripe read it, so that no other needs the key.
func (a *app) stripeSettings() (stripegate.Config, string, error) {
	lookup, err := layered(a.lookup, a.envFile)
	if err != nil {
		return stripegate.Config{}, "", err
	}
	r := env.NewReader(lookup)
	mode := r.Enum("MODE", event.ModeTest, event.ModeTest, event.ModeLive)
	c := stripegate.ConfigFromEnv(r, mode)
	if err := r.Err(); err != nil {
		return c, mode, advice.Of(advice.Usage, "give the key of the mode that the services have: STRIPE_API_KEY and MODE=test|live", "read settings: %w", err)
	}
	return c, mode, nil
}
