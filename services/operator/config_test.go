package operator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quittance.internal/services/operator"
)

func envFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lookupIn(settings map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := settings[name]; return v, ok }
}

func TestTheEnvironmentComesBeforeTheFile(t *testing.T) {
	path := envFile(t, `# made by the runner
QUOTES_URL=http://127.0.0.1:1111/
export INGRESS_URL="http://127.0.0.1:2222"

API_TOKEN='from-the-file'
NATS_CREDS='/it'\''s here'
STRIPE_WEBHOOK_SECRETS=main=whsec_x=
NATS_URL=nats://127.0.0.1:4222
`)
	tokenFile := envFile(t, "from-a-file\n")
	c, err := operator.ConfigFromEnv(lookupIn(map[string]string{
		"INGRESS_URL": "http://127.0.0.1:3333", "API_TOKEN_FILE": tokenFile, "MAILBOX_URL": "",
	}), path)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.QuotesURL, c.IngressURL, c.MailboxURL, c.APIToken.Reveal(), c.WebhookSecrets.Reveal()}
	want := []string{"http://127.0.0.1:1111", "http://127.0.0.1:3333", "", "from-a-file", "main=whsec_x="}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("setting %d = %q, want %q", i, got[i], want[i])
		}
	}
	if c.NATS == nil || c.NATS.Creds != "/it's here" || c.Redis != nil {
		t.Errorf("NATS %v and Redis %v, want the first alone", c.NATS, c.Redis)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "from-a-file") || strings.Contains(text, "whsec") {
		t.Errorf("the configuration prints a secret: %s", text)
	}
}

func TestTheFileIsFound(t *testing.T) {
	named := envFile(t, "QUOTES_URL=http://named\n")
	dir := filepath.Dir(envFile(t, "QUOTES_URL=http://datadir\n"))
	tests := []struct {
		name     string
		settings map[string]string
		flag     string
		want     string
	}{
		{"by flag", map[string]string{"QUITTANCE_ENV_FILE": filepath.Join(dir, "client.env")}, named, "http://named"},
		{"by variable", map[string]string{"QUITTANCE_ENV_FILE": named, "DATA_DIR": dir}, "", "http://named"},
		{"by data folder", map[string]string{"DATA_DIR": dir}, "", "http://datadir"},
		{"nowhere", map[string]string{"DATA_DIR": t.TempDir()}, "", "http://127.0.0.1:8081"},
	}
	for _, tt := range tests {
		c, err := operator.ConfigFromEnv(lookupIn(tt.settings), tt.flag)
		if err != nil || c.QuotesURL != tt.want {
			t.Errorf("%s: QuotesURL = %q, %v, want %q", tt.name, c.QuotesURL, err, tt.want)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("data/client.env", []byte("QUOTES_URL=http://here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := operator.ConfigFromEnv(lookupIn(nil), ""); err != nil || c.QuotesURL != "http://here" {
		t.Errorf("in ./data: QuotesURL = %q, %v", c.QuotesURL, err)
	}
}

func TestFaultsAreReportedTogetherAndWithoutValues(t *testing.T) {
	_, err := operator.ConfigFromEnv(lookupIn(map[string]string{
		"QUOTES_URL": "127.0.0.1:8081", "INGRESS_URL": "ftp://x", "REDIS_URL": "http://user:hunter2@x", "DATA_DIR": t.TempDir(),
	}), "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"QUOTES_URL", "INGRESS_URL", "REDIS_URL"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error does not name %s: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows a password: %v", err)
	}

	path := envFile(t, "API_TOKEN=x\nthis line is whsec_wrong\n")
	_, err = operator.ConfigFromEnv(lookupIn(nil), path)
	if err == nil || !strings.Contains(err.Error(), "line 2 of "+path) || strings.Contains(err.Error(), "whsec_wrong") {
		t.Errorf("error = %v, want one that names the line and not its content", err)
	}
}
