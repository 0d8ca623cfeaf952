package allinone_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone"
	"quittance.internal/services/allinone/mailbox"
)

// addressVariables are all that move an address.
var addressVariables = []string{
	"NATS_ADDR", "NATS_MONITOR_ADDR", "REDIS_ADDR", "MAILBOX_SMTP_ADDR", "MAILBOX_ADDR", "INGRESS_ADDR", "INGRESS_ADMIN_ADDR",
	"PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADDR", "QUOTES_ADMIN_ADDR", "CONSOLE_ADDR", "CONSOLE_ADMIN_ADDR", "SANDBOX_ADDR",
}

// R33 R34 R61: a restart loses nothing and mails nobody again, although Redis comes back empty each time.
func TestRestartKeepsEverythingAndSendsNoSecondMail(t *testing.T) {
	values := settings(t, filepath.Join(t.TempDir(), "data"), nil)
	first := start(t, values)
	quote := first.publish()
	first.mustQuotectl("simulate", "paid", "--quote", quote, "--seed", "7")
	card, secrets := first.card(quote), first.clientEnv()
	if !strings.HasPrefix(card, "Paid: ") || first.mails() != 1 {
		t.Fatalf("before the restart: card %q, %d mails, want Paid and 1", card, first.mails())
	}
	if err := first.stop(); err != nil {
		t.Fatalf("Run: %v", err)
	}

	second := start(t, values)
	for _, name := range []string{"API_TOKEN", "STRIPE_WEBHOOK_SECRETS"} {
		if got := second.clientEnv()[name]; got != secrets[name] || got == "" {
			t.Errorf("%s changed with the restart", name)
		}
	}
	eventually(t, "the card is rebuilt from the log", func() bool { return second.card(quote) == card })
	// Stripe may send everything once more after three days; so does this.
	second.mustQuotectl("simulate", "paid", "--quote", quote, "--seed", "7")
	if got := second.mails(); got != 1 {
		t.Errorf("after the restart: %d mails, want 1", got)
	}
	if other := second.publish(); other == quote {
		t.Errorf("a new quote got the old id %s", quote)
	}
}

// What a reader is shown is what runs: the demonstration takes its own tour in a shell, with the real quotectl.
func TestDemonstrationTakesTheTour(t *testing.T) {
	ctl := filepath.Join(t.TempDir(), "quotectl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", ctl, "quittance.internal/services/operator/cmd/quotectl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build quotectl: %v\n%s", err, out)
	}
	cfg := config(t, settings(t, filepath.Join(t.TempDir(), "data"), map[string]string{"DEMO": "once"}))
	out := &screen{}
	cfg.Out, cfg.Quotectl = out, ctl
	s, err := allinone.New(t.Context(), cfg, zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Fatalf("Run: %v\n%s", err, out)
	}
	for _, want := range []string{"simulate paid --quote", "Paid: ", "exactly one mail", "The demonstration took"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demonstration does not show %q:\n%s", want, out)
		}
	}
}

func TestDemonstrationFailsWhenACommandDoes(t *testing.T) {
	cfg := config(t, settings(t, filepath.Join(t.TempDir(), "data"), map[string]string{"DEMO": "once"}))
	cfg.Quotectl = "/nonexistent/quotectl"
	s, err := allinone.New(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "stop 1") {
		t.Errorf("Run = %v, want the stop that failed", err)
	}
}

func TestTakenAddressesAreAllNamedAndNothingStarts(t *testing.T) {
	taken := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l.Addr().String()
	}
	dir := filepath.Join(t.TempDir(), "data")
	values := settings(t, dir, map[string]string{"INGRESS_ADDR": taken(), "MAILBOX_ADDR": taken(), "NATS_ADDR": "192.0.2.1:4222"})
	_, err := allinone.New(t.Context(), config(t, values), zaptest.NewLogger(t))
	if err == nil {
		t.Fatal("New started on taken addresses")
	}
	for _, want := range []string{"nothing was started", "is taken by another program", "cannot assign"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v\nwant %q in it", err, want)
		}
	}
	for _, name := range []string{"INGRESS_ADDR", "MAILBOX_ADDR", "NATS_ADDR"} {
		if !strings.Contains(err.Error(), name+" ") || !strings.Contains(err.Error(), values[name]) {
			t.Errorf("New = %v\nwant %s and %s in it", err, name, values[name])
		}
	}
	if strings.Contains(err.Error(), "QUOTES_ADDR") {
		t.Errorf("New names an address that is free: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nats")); !os.IsNotExist(err) {
		t.Errorf("the store was made although nothing should have started: %v", err)
	}
}

func TestOneAddressForTwoPartsIsNamed(t *testing.T) {
	addr := freeaddr.New(t)
	values := settings(t, t.TempDir(), map[string]string{"INGRESS_ADDR": addr, "QUOTES_ADDR": addr})
	if _, err := allinone.New(t.Context(), config(t, values), zaptest.NewLogger(t)); err == nil || !strings.Contains(err.Error(), "is also INGRESS_ADDR") {
		t.Errorf("New = %v, want to hear that both have one address", err)
	}
}

func TestTwoInstancesDoNotShareADataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := start(t, settings(t, dir, nil))
	if _, err := allinone.New(t.Context(), config(t, settings(t, dir, nil)), zaptest.NewLogger(t)); err == nil || !strings.Contains(err.Error(), "in use by another instance") {
		t.Errorf("second New = %v, want a refusal", err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	start(t, settings(t, dir, nil))
}

func TestWhatIsKeptIsForItsOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, settings(t, dir, nil))
	for name, want := range map[string]os.FileMode{"": 0o700, "client.env": 0o600, "secrets.json": 0o600, "lock": 0o600, "mail": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %q = %v, want %v", name, got, want)
		}
	}
	env := s.clientEnv()
	for _, name := range []string{"NATS_URL", "NATS_MONITOR_URL", "REDIS_URL", "QUOTES_URL", "INGRESS_URL", "MAILBOX_URL", "SANDBOX_URL", "API_TOKEN", "STRIPE_WEBHOOK_SECRETS"} {
		if env[name] == "" {
			t.Errorf("client.env lacks %s", name)
		}
	}
	if !strings.HasPrefix(env["STRIPE_WEBHOOK_SECRETS"], "local=whsec_") || !strings.HasPrefix(env["NATS_URL"], "nats://operator:") {
		t.Errorf("STRIPE_WEBHOOK_SECRETS or NATS_URL is not of the form it should have")
	}
	if strings.Contains(env["NATS_URL"], ":0") {
		t.Errorf("NATS_URL names port 0")
	}
}

// The embedded servers are for development: money needs servers that keep what they are given.
func TestLiveModeRefusesEmbeddedServers(t *testing.T) {
	_, err := allinone.ConfigFromEnv(lookup(map[string]string{"MODE": "live", "SMTP_URL": "smtp://mail.example:25"}))
	if err == nil || !strings.Contains(err.Error(), "embedded NATS, Redis, Stripe sandbox are for development: set NATS_URL, REDIS_URL, STRIPE_API_KEY") {
		t.Errorf("ConfigFromEnv = %v, want a refusal that names NATS_URL, REDIS_URL and STRIPE_API_KEY", err)
	}
}

func TestAllFaultsOfTheSettingsAreToldTogether(t *testing.T) {
	_, err := allinone.ConfigFromEnv(lookup(map[string]string{"QUOTES_ADDR": "eight", "DEMO": "maybe", "LOG_LEVEL": "loud"}))
	for _, want := range []string{"QUOTES_ADDR", "DEMO", "LOG_LEVEL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ConfigFromEnv = %v, want %s in it", err, want)
		}
	}
}

// One dies, all stop: a system that has lost its log must not go on answering.
func TestWholeSystemStopsWhenItsLogDoes(t *testing.T) {
	cfg := config(t, settings(t, t.TempDir(), nil))
	s, err := allinone.New(t.Context(), cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	s.StopNATS()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "nats ended") {
			t.Errorf("Run = %v, want the server that ended", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the system goes on without its log")
	}
}

// The tour must stay readable: a start, a payment and an end that go well say nothing at the default level.
func TestAnOrdinaryRunLogsNothing(t *testing.T) {
	core, seen := observer.New(zap.WarnLevel)
	cfg := config(t, settings(t, filepath.Join(t.TempDir(), "data"), nil))
	s := startWith(t, cfg, zap.New(core))
	s.mustQuotectl("simulate", "paid", "--quote", s.publish())
	if err := s.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, line := range seen.All() {
		t.Errorf("%s logged %q: %v", line.LoggerName, line.Message, line.ContextMap())
	}
}

// External servers are used as they are given, and the embedded ones stay away.
func TestExternalServersReplaceTheEmbeddedOnes(t *testing.T) {
	nats, redis := natstest.StartSynced(t), redistest.Start(t)
	mail, err := mailbox.New(t.Context(), mailbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: t.TempDir()}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- mail.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, settings(t, dir, map[string]string{
		"NATS_URL": nats.URL, "NATS_MONITOR_URL": nats.MonitorURL, "REDIS_URL": redis.URL, "SMTP_URL": "smtp://" + mail.SMTPAddr().String(),
		"STRIPE_WEBHOOK_SECRETS": "mine=whsec_of_my_own", "API_TOKENS": "shop:seller:token1,ops:admin:token2",
	}))
	want := map[string]string{
		"NATS_URL": nats.URL, "NATS_MONITOR_URL": nats.MonitorURL, "REDIS_URL": redis.URL, "API_TOKEN": "token2",
		"STRIPE_WEBHOOK_SECRETS": "mine=whsec_of_my_own", "QUOTES_URL": s.URL("QUOTES_ADDR"), "INGRESS_URL": s.URL("INGRESS_ADDR"),
		"SANDBOX_URL": s.URL("SANDBOX_ADDR"), "STRIPE_API_BASE": s.URL("SANDBOX_ADDR"), "CONSOLE_URL": s.URL("CONSOLE_ADDR"), "MODE": "test",
		"INGRESS_ADMIN_URL": s.URL("INGRESS_ADMIN_ADDR"), "PAYMENTS_URL": s.URL("PAYMENTS_ADDR"), "NOTIFIER_URL": s.URL("NOTIFIER_ADDR"),
		"QUOTES_ADMIN_URL": s.URL("QUOTES_ADMIN_ADDR"), "DURABILITY": "server",
	}
	got := s.clientEnv()
	if key := got["STRIPE_API_KEY"]; !strings.HasPrefix(key, "sk_test_") {
		t.Errorf("client.env: STRIPE_API_KEY = %q, want the sandbox's", key)
	}
	delete(got, "STRIPE_API_KEY")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("client.env (-want +got):\n%s", diff)
	}
	s.mustQuotectl("simulate", "paid", "--quote", s.publish())
	total := call(t, http.MethodGet, "http://"+mail.Addr().String()+"/api/v1/messages", "", "")["total"]
	if total != 1.0 {
		t.Errorf("the given mail server got %v mails, want 1", total)
	}
	for _, name := range []string{"nats", "mail"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("DATA_DIR/%s was made although that server is external", name)
		}
	}
}
