package notifier_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quittance.internal/services/notifier"
)

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestRelayAddresses(t *testing.T) {
	for address, want := range map[string]struct {
		host, user, password string
		port                 int
		encryption           notifier.Encryption
	}{
		"smtp://127.0.0.1:1025":                    {"127.0.0.1", "", "", 1025, notifier.EncryptionNone},
		"smtp://[::1]":                             {"::1", "", "", 25, notifier.EncryptionNone},
		"smtp://localhost:2525":                    {"localhost", "", "", 2525, notifier.EncryptionNone},
		"smtp://u:p@127.0.0.1":                     {"127.0.0.1", "u", "p", 25, notifier.EncryptionNone},
		"smtp://mailbox:1025?tls=off":              {"mailbox", "", "", 1025, notifier.EncryptionNone},
		"smtp+starttls://u:p%40ss@relay.example":   {"relay.example", "u", "p@ss", 587, notifier.EncryptionStartTLS},
		"smtp+starttls://127.0.0.1:587":            {"127.0.0.1", "", "", 587, notifier.EncryptionStartTLS},
		"smtps://apikey:secret@relay.example:4650": {"relay.example", "apikey", "secret", 4650, notifier.EncryptionTLS},
		"smtps://relay.example/":                   {"relay.example", "", "", 465, notifier.EncryptionTLS},
	} {
		r, err := notifier.ParseRelay(address)
		if err != nil || r.Host != want.host || r.Port != want.port || r.User != want.user || r.Password.Reveal() != want.password || r.Encryption != want.encryption {
			t.Errorf("ParseRelay(%q) = %+v, %v, want %+v", address, r, err, want)
		}
		if s := r.String(); strings.Contains(s, "secret") || strings.Contains(s, "apikey") {
			t.Errorf("relay prints itself as %q", s)
		}
	}
	for _, bad := range []string{
		"", "relay.example:25", "http://relay.example", "smtp://", "smtp://relay.example", "smtp://10.0.0.1:25", "smtp://u:secret@relay.example?tls=off",
		"smtps://u:secret@relay.example?tls=off", "smtp+starttls://u:secret@relay.example?tls=off", "smtp://127.0.0.1?tls=on", "smtp://127.0.0.1?x=secret",
		"smtp://127.0.0.1:99999", "smtp://127.0.0.1:0", "smtps://relay.example/secret", "smtp:secret", "smtp://u:secret@%zz", "smtps://relay.example#secret",
	} {
		if r, err := notifier.ParseRelay(bad); err == nil {
			t.Errorf("ParseRelay(%q) = %+v, want a refusal", bad, r)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the refusal of %q quotes it: %v", bad, err)
		}
	}
}

func FuzzParseRelay(f *testing.F) {
	for _, s := range []string{"smtp://127.0.0.1:1025", "smtps://u:p@h:1", "smtp+starttls://h?tls=off", "smtp://[::1%25eth0]:25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := notifier.ParseRelay(s)
		if err != nil {
			return
		}
		if r.Host == "" || r.Port < 1 || r.Port > 65535 || r.Encryption == "" {
			t.Errorf("ParseRelay(%q) = %+v", s, r)
		}
	})
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("from-file\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	c, err := notifier.ConfigFromEnv(lookupIn(map[string]string{
		"SMTP_URL": "smtps://apikey@relay.example", "SMTP_PASSWORD_FILE": secret, "MAIL_FROM": "Quittance <quittance@seller.example>",
		"MAIL_LEASE": "30s", "MAIL_AMBIGUOUS": "park", "MAIL_AMBIGUOUS_AFTER": "1m", "PUBLIC_URL": "https://quotes.seller.example/",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Relay.Password.Reveal() != "from-file" || c.Relay.PasswordFile != secret || c.From.Name != "Quittance" || c.Ambiguous != notifier.PolicyPark ||
		c.AmbiguousAfter != time.Minute || c.Relay.SendTimeout != 28*time.Second || c.PublicURL != "https://quotes.seller.example" || c.Connections != 4 {
		t.Errorf("ConfigFromEnv = %+v", c)
	}
	c, err = notifier.ConfigFromEnv(lookupIn(map[string]string{"SMTP_URL": "smtp://127.0.0.1:1025", "MAIL_FROM": "quittance@seller.example"}))
	if err != nil || c.Lease != 15*time.Minute || c.AmbiguousAfter != 15*time.Minute || c.Ambiguous != notifier.PolicyResend || c.Relay.SendTimeout != 14*time.Minute ||
		c.RetryFor != 72*time.Hour || c.RetryAfter != 5*time.Minute {
		t.Errorf("defaults = %+v, %v", c, err)
	}
}

func TestAllFaultsOfTheSettingsAreReportedTogether(t *testing.T) {
	_, err := notifier.ConfigFromEnv(lookupIn(map[string]string{
		"SMTP_URL": "smtp://u:hunter2@relay.example", "MAIL_FROM": "nobody", "MAIL_AMBIGUOUS": "maybe", "MAIL_LEASE": "1m", "MAIL_SEND_TIMEOUT": "2m",
		"MAIL_CONNECTIONS": "9", "NOTIFIER_ADDR": "here", "PUBLIC_URL": "ftp://x", "SMTP_CA": "/nonexistent/ca.pem", "MAIL_RETRY_FOR": "long",
	}))
	for _, want := range []string{
		"SMTP_URL", "MAIL_FROM", "MAIL_AMBIGUOUS", "MAIL_SEND_TIMEOUT", "MAIL_CONNECTIONS", "NOTIFIER_ADDR", "PUBLIC_URL", "SMTP_CA", "MAIL_RETRY_FOR",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ConfigFromEnv = %v, want it to name %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the faults quote a password: %v", err)
	}
	for name, env := range map[string]map[string]string{
		"nothing":          {},
		"two passwords":    {"SMTP_URL": "smtps://u:p@relay.example", "SMTP_PASSWORD": "q", "MAIL_FROM": "a@b.co"},
		"password, nobody": {"SMTP_URL": "smtps://relay.example", "SMTP_PASSWORD": "q", "MAIL_FROM": "a@b.co"},
		"literal sender":   {"SMTP_URL": "smtps://relay.example", "MAIL_FROM": "a@[127.0.0.1]"},
		"no lease":         {"SMTP_URL": "smtps://relay.example", "MAIL_FROM": "a@b.co", "MAIL_LEASE": "0s"},
	} {
		if c, err := notifier.ConfigFromEnv(lookupIn(env)); err == nil {
			t.Errorf("%s: ConfigFromEnv = %+v, want a fault", name, c)
		}
	}
}
