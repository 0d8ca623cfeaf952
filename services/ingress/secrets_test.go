package ingress_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quittance.internal/services/ingress"
)

// R56; row 39 of the fault matrix: no restart, both secrets good meanwhile, and a bad file changes nothing.
func TestSecretsRotateByFileWithoutARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(content string) {
		t.Helper()
		// As an orchestrator does it: the new file replaces the old one at once.
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("old=" + mainKey + "\n")
	cfg, err := ingress.ConfigFromEnv(lookup(map[string]string{"STRIPE_WEBHOOK_SECRETS_FILE": file}))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *ingress.Config) { c.Secrets, c.SecretsFile = cfg.Secrets, cfg.SecretsFile })
	n := 0
	post := func(key string) answered {
		t.Helper()
		n++
		body := eventBody("evt_"+string(rune('a'+n%26))+time.Now().Format("150405000000000"), "charge.succeeded")
		req := r.request(body)
		req.Header.Set("Stripe-Signature", sign(time.Now(), body, key))
		return r.do(req)
	}
	want := func(when, key string, status int) {
		t.Helper()
		if got := post(key); got.status != status {
			t.Errorf("%s: answer = %+v, want %d", when, got, status)
		}
	}
	changed := func(n int) func() bool { return func() bool { return len(r.lines("signing secrets changed")) == n } }
	refused := func(n int) func() bool {
		return func() bool { return len(r.lines("signing secrets not changed: the file is unusable")) == n }
	}
	want("before", mainKey, http.StatusOK)
	want("before", otherKey, http.StatusBadRequest)

	write("old=" + mainKey + ",new=" + otherKey + "\n")
	r.eventually("both secrets are in use", changed(1))
	want("overlap", mainKey, http.StatusOK)
	want("overlap", otherKey, http.StatusOK)

	for n, bad := range []string{"", "new=", "new= " + otherKey, otherKey, "a=" + otherKey + ",a=" + mainKey} {
		write(bad)
		r.eventually("the bad file is seen", refused(n+1))
		want("bad file", mainKey, http.StatusOK)
		want("bad file", otherKey, http.StatusOK)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.eventually("the missing file is seen", refused(6))
	want("no file", otherKey, http.StatusOK)

	write("new=" + otherKey)
	r.eventually("the old secret is gone", changed(2))
	want("after", mainKey, http.StatusBadRequest)
	want("after", otherKey, http.StatusOK)
	r.wantMetric(`quittance_webhooks_secrets_reloads_total{result="taken"}`, "2")
	r.wantMetric(`quittance_webhooks_secrets_reloads_total{result="refused"}`, "6")
}
