package allinone_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/allinone/mailbox"
	"quittance.internal/services/console"
	"quittance.internal/services/ingress"
	"quittance.internal/services/notifier"
	"quittance.internal/services/operator"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

// deployment is the system of docker-compose.yml without the containers: the same servers' configurations, secrets and
// users, and each service with the environment that compose gives it. Only addresses differ.
type deployment struct {
	t       *testing.T
	project *types.Project
	secrets string
	nats    deployedNATS
	redis   deployedRedis
	mail    *mailbox.Service
	log     *zap.Logger
	seen    *observer.ObservedLogs
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	secrets := prepareSecrets(t)
	d := &deployment{t: t, project: loadCompose(t), secrets: secrets, nats: startDeployedNATS(t, secrets), redis: startDeployedRedis(t, secrets)}
	// Once more, now that the servers' addresses are known: passwords are kept, addresses are written anew.
	prepareSecrets(t, "SECRETS="+secrets, "NATS="+strings.TrimPrefix(d.nats.srv.ClientURL(), "nats://"), "REDIS="+d.redis.addr)
	core, seen := observer.New(zapcore.WarnLevel)
	d.log, d.seen = zap.New(core), seen
	mail, err := mailbox.New(t.Context(), mailbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Dir: t.TempDir()}, d.log)
	if err != nil {
		t.Fatal(err)
	}
	d.mail = mail
	return d
}

// environment is what compose gives a container, with this machine's addresses and paths in the place of the network's.
func (d *deployment) environment(service string, more map[string]string) map[string]string {
	d.t.Helper()
	s := d.project.Services[service]
	folder := ""
	for _, v := range s.Volumes {
		if v.Target == "/run/secrets" {
			folder = strings.TrimPrefix(v.Source, "secrets-")
		}
	}
	values := map[string]string{"INGRESS_ADMIN_ADDR": "127.0.0.1:0", "QUOTES_ADMIN_ADDR": "127.0.0.1:0", "CONSOLE_ADMIN_ADDR": "127.0.0.1:0"} // defaults: fixed ports
	for name, v := range s.Environment {
		switch {
		case v == nil:
		case strings.HasSuffix(name, "_FILE"):
			values[name] = filepath.Join(d.secrets, folder, path.Base(*v))
		case strings.HasSuffix(name, "_ADDR"):
			values[name] = "127.0.0.1:0"
		default:
			values[name] = strings.NewReplacer("http://nats:8222", "http://"+d.nats.srv.MonitorAddr().String(),
				"mailpit:1025", d.mail.SMTPAddr().String(), "http://mailpit:8025", "http://"+d.mail.Addr().String()).Replace(*v)
		}
	}
	maps.Copy(values, more)
	return values
}

// run starts a service with its own environment until the test ends.
func run[C any, S interface{ Run(context.Context) error }](
	d *deployment, name string, read func(env.Lookup) (C, error), build func(context.Context, C, *zap.Logger) (S, error),
) S {
	d.t.Helper()
	return runWith(d, name, nil, read, build)
}

// runWith is run with settings that only this machine knows.
func runWith[C any, S interface{ Run(context.Context) error }](
	d *deployment, name string, more map[string]string, read func(env.Lookup) (C, error), build func(context.Context, C, *zap.Logger) (S, error),
) S {
	d.t.Helper()
	cfg, err := read(lookup(d.environment(name, more)))
	if err != nil {
		d.t.Fatalf("settings of %s: %v", name, err)
	}
	s, err := build(d.t.Context(), cfg, d.log.Named(name))
	if err != nil {
		d.t.Fatalf("start %s: %v", name, err)
	}
	d.background(name, s.Run)
	return s
}

func (d *deployment) background(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("%s: %v", name, err)
		}
	})
}

// quotectl runs in the environment of the compose service of that name.
func (d *deployment) quotectl(service string, more map[string]string, args ...string) string {
	d.t.Helper()
	var out strings.Builder
	if code := operator.Run(d.t.Context(), args, lookup(d.environment(service, more)), &out, &out); code != 0 {
		for _, line := range d.seen.All() {
			d.t.Logf("%s: %s %v", line.LoggerName, line.Message, line.ContextMap())
		}
		d.t.Fatalf("quotectl %s = %d\n%s", strings.Join(args, " "), code, out.String())
	}
	return out.String()
}

// ordinary is what payments says when it meets a Redis for the first time.
const ordinary = "redis differs from what was known, folding again"

// R73: what docker-compose.yml starts does the product's main job, with every service held to its own NATS and Redis rights
// and no refusal of either server.
func TestComposeEnvironmentRunsTheSystem(t *testing.T) {
	d := deploy(t)
	d.background("mailbox", d.mail.Run)
	d.quotectl("declare", nil, "declare")
	quo := run(d, "quotes", quotes.ConfigFromEnv, quotes.New)
	pay := run(d, "payments", payments.ConfigFromEnv, payments.New)
	not := run(d, "notifier", notifier.ConfigFromEnv, notifier.New)
	ing := run(d, "ingress", ingress.ConfigFromEnv, ingress.New)

	waitReady(t, ing.AdminAddr(), pay.Addr(), not.Addr(), quo.Addr())

	here := map[string]string{"QUOTES_URL": "http://" + quo.Addr().String(), "INGRESS_URL": "http://" + ing.Addr().String()}
	token := readFile(t, d.secrets, "operator/api_token")
	for _, scenario := range []string{"paid", "bank-debit", "refund", "dispute-lost", "duplicate-payment"} {
		quote := publishQuote(t, here["QUOTES_URL"], token)
		d.quotectl("quotectl", here, "simulate", scenario, "--quote", quote, "--shuffle", "--duplicate", "1", "--settle", "100ms")
		if story := d.quotectl("quotectl", here, "explain", quote); !strings.Contains(story, "quote.paid") {
			t.Errorf("explain after %s does not name quote.paid:\n%s", scenario, story)
		}
	}
	d.quotectl("quotectl", here, "quotes", "list")
	d.quotectl("quotectl", here, "replay", "STRIPE:1", "--reason", "test of the rights")

	d.lookAround(token)
	d.nothingRefused()
}

// lookAround opens every area of the console, as the compose service has it, and acts once through each service that it asks.
func (d *deployment) lookAround(token string) {
	d.t.Helper()
	con := run(d, "console", console.ConfigFromEnv, console.New)
	waitReady(d.t, con.AdminAddr())
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	base := "http://" + con.Addr().String()
	send := func(path string, form url.Values) string {
		d.t.Helper()
		method := http.MethodGet
		if form != nil {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(d.t.Context(), method, base+path, strings.NewReader(form.Encode()))
		if err != nil {
			d.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := browser.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			d.t.Errorf("console %s: status %d, %v\n%s", path, res.StatusCode, err, body)
		}
		return string(body)
	}
	send("/signin", url.Values{"token": {token}})
	for _, path := range []string{
		"/overview", "/conservation", "/quotes", "/quotes?seller=main&status=paid", "/events?outcome=", "/events?outcome=&stream=QUOTES", "/events/STRIPE:1", "/events/QUOTES:1",
		"/dead", "/mail", "/subscribers", "/subscribers?fact=QUOTES:1", "/journal", "/journal/verify",
	} {
		if page := send(path, nil); strings.Contains(page, "Not known just now") {
			d.t.Errorf("console %s lacks a figure:\n%s", path, page)
		}
	}
	page := send("/mail", nil)
	mail := regexp.MustCompile(`href="(/mail/[^"?]+)"`).FindStringSubmatch(page)
	if mail == nil {
		d.t.Fatalf("console: no mail is listed\n%s", page)
	}
	hidden := regexp.MustCompile(`name="(csrf|set)" value="([^"]*)"`)
	confirm := func(page, action string, more url.Values) string {
		d.t.Helper()
		form := url.Values{"reason": {"test of the rights"}}
		for _, field := range hidden.FindAllStringSubmatch(send(page, nil), -1) {
			form.Set(field[1], field[2])
		}
		maps.Copy(form, more)
		return send(action, form)
	}
	planned := confirm("/plan?seq=1..5", "/plan?seq=1..5", nil)
	action := regexp.MustCompile(`action="(/replays/rp_[a-z0-9]+)/run"`).FindStringSubmatch(planned)
	if action == nil || !strings.Contains(planned, "Nothing would change") {
		d.t.Fatalf("console: no plan\n%s", planned)
	}
	confirm(action[1], action[1]+"/run", url.Values{"rate": {"0"}, "max_quotes": {"10"}, "max_mails": {"0"}})
	eventually(d.t, "the replay is done", func() bool { return strings.Contains(send(action[1], nil), "The result is what was planned.") })
	if list := send("/replays", nil); !strings.Contains(list, action[1]) {
		d.t.Errorf("console: the plan is not listed\n%s", list)
	}
	if answer := confirm(mail[1]+"/resend", mail[1]+"/resend", nil); !strings.Contains(answer, "sent") {
		d.t.Errorf("console: the mail was not sent again\n%s", answer)
	}
	if entries := send("/journal", nil); !strings.Contains(entries, "mail_resend") || !strings.Contains(entries, "replay") {
		d.t.Errorf("console: the journal lacks the acts\n%s", entries)
	}
}

func waitReady(t *testing.T, addrs ...net.Addr) {
	t.Helper()
	for _, addr := range addrs {
		eventually(t, addr.String()+" is ready", func() bool {
			res, err := http.Get("http://" + addr.String() + "/readyz")
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
}

// nothingRefused checks that no server refused a service anything, and that none had to warn.
func (d *deployment) nothingRefused() {
	d.t.Helper()
	refusals, err := d.redis.client(d.t, "operator").ACLLog(d.t.Context(), 10).Result()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range refusals {
		if r.Username != "default" { // go-redis says hello before it says who it is
			d.t.Errorf("Redis refused %s: %s %s (%s)", r.Username, r.Reason, r.Object, r.Context)
		}
	}
	for _, line := range d.seen.All() {
		if line.Message != ordinary {
			d.t.Errorf("%s warned of %q: %v", line.LoggerName, line.Message, line.ContextMap())
		}
	}
}

// R20 R73: with the profile sandbox the whole checkout works without a Stripe account, in the environment that compose gives.
func TestComposeSandboxTakesTheCheckOut(t *testing.T) {
	d := deploy(t)
	d.background("mailbox", d.mail.Run)
	d.quotectl("declare", nil, "declare")
	pay := run(d, "payments", payments.ConfigFromEnv, payments.New)
	not := run(d, "notifier", notifier.ConfigFromEnv, notifier.New)
	ing := run(d, "ingress", ingress.ConfigFromEnv, ingress.New)
	ingressURL := "http://" + ing.Addr().String()
	stripe := runWith(d, "sandbox", map[string]string{"SANDBOX_WEBHOOK_URL": ingressURL + "/webhooks/stripe", "SANDBOX_PUBLIC_URL": ""},
		sandbox.ConfigFromEnv, sandbox.New)
	prepareSandbox(t, d.secrets, "SANDBOX="+stripe.Addr().String(), "SANDBOX_PUBLIC_URL="+stripe.URL())
	quo := runWith(d, "quotes", map[string]string{"INGRESS_URL": ingressURL}, quotes.ConfigFromEnv, quotes.New)
	waitReady(t, ing.AdminAddr(), pay.Addr(), not.Addr(), quo.Addr(), stripe.Addr())

	api, token := "http://"+quo.Addr().String(), readFile(t, d.secrets, "operator/api_token")
	quote := publishQuote(t, api, token)
	page, _ := call(t, http.MethodGet, api+"/v1/quotes/"+quote, token, "")["url"].(string)
	page = api + strings.TrimPrefix(page, *d.project.Services["quotes"].Environment["PUBLIC_URL"])
	eventually(t, "the page is there", func() bool { return get(t, page) == http.StatusOK })
	pressed := press(t, page+"/checkout", nil)
	if !strings.HasPrefix(pressed, stripe.URL()) {
		t.Fatalf("Check out leads to %s, want the sandbox", pressed)
	}
	back := press(t, pressed, url.Values{"action": {"pay"}, "email": {"pat@acme.example"}})
	_, query, _ := strings.Cut(back, "?")
	if status := get(t, page+"?"+query); status != http.StatusOK { // it enters the session's events as well: the same ones
		t.Errorf("coming back = %d", status)
	}
	card := func() string {
		text, _ := call(t, http.MethodGet, api+"/v1/quotes/"+quote+"/card", token, "")["text"].(string)
		return text
	}
	eventually(t, "the card says Paid", func() bool { return strings.HasPrefix(card(), "Paid: ") })
	eventually(t, "its owner has a mail", func() bool {
		return call(t, http.MethodGet, "http://"+d.mail.Addr().String()+"/api/v1/messages", "", "")["total"] == 1.0
	})
	d.nothingRefused()
}

func get(t *testing.T, target string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
