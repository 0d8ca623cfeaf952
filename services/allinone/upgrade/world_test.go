//go:build upgrade

package upgrade_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/sandbox"
)

const (
	secret   = "whsec_upgrade_0123456789abcdef01"
	token    = "upgrade-token-0123456789abcdef"
	watcher  = "viewer-token-0123456789abcdefg"
	patience = 3 * time.Minute // for whatever must come by itself on a loaded machine
)

func TestMain(m *testing.M) { processtest.Main(m) }

// Versions of the product.
const (
	before = "N-1"
	after  = "N"
)

// world is a log, a Redis and a mail server, Stripe's stand-in of the earlier version, and instances of both versions.
type world struct {
	t *testing.T
	*servers
	old  string // the earlier version's checkout, with its binaries in bin
	log  *natsstream.Log
	mail *processtest.MailServer
	box  string
	// ingress and quotes stand behind these.
	ingress, quotes *balancer
	running         map[string]*instance // by "<service> <n>"
	all             []*instance
}

// instance is a process of a service, and where it can be reached.
type instance struct {
	*processtest.Process
	address, probe, version string
}

// newWorld starts the servers with the earlier version's users, and declares with its quotectl.
func newWorld(t *testing.T, old string) *world {
	t.Helper()
	w := &world{
		t: t, servers: startServers(t, old), old: old, mail: processtest.StartMail(t), ingress: newBalancer(t), quotes: newBalancer(t),
		running: map[string]*instance{},
	}
	w.log = w.servers.log()
	w.quotectl(before, "declare")
	w.startSandbox()
	return w
}

// binary is where a version's command lies; its folder within the service's module is named as processtest.Binary has it.
func (w *world) binary(version, command string) string {
	w.t.Helper()
	if version == after {
		return processtest.Binary(w.t, command, "")
	}
	return filepath.Join(w.old, "bin", filepath.Base(command))
}

func (w *world) startSandbox() {
	w.t.Helper()
	address := freeaddr.New(w.t)
	w.box = "http://" + address
	p := processtest.New(w.t, "sandbox", w.binary(before, "sandbox/cmd/sandbox"), w.box+"/readyz", []string{
		"SANDBOX_ADDR=" + address, "SANDBOX_SEED=upgrade", "SANDBOX_WEBHOOK_URL=" + w.ingress.URL + "/webhooks/stripe", "SANDBOX_WEBHOOK_SECRET=" + secret,
	})
	p.Start()
	p.Ready()
}

// start starts an instance of a version, waits until it is ready, and lets requests come to it.
func (w *world) start(service string, n int, version string) *instance {
	w.t.Helper()
	upper := strings.ToUpper(service)
	address := freeaddr.New(w.t)
	probe := address
	settings := []string{
		"NATS_URL=" + w.natsURL(service), "NATS_MONITOR_URL=http://" + w.http, "REDIS_URL=" + w.redisURL(service), "DURABILITY=server", "MODE=test",
		"STRIPE_WEBHOOK_SECRETS=first=" + secret, "API_TOKENS=upgrade:seller@main:" + token + ",watch:viewer:" + watcher, "PUBLIC_URL=" + w.quotes.URL,
		"STRIPE_API_KEY=" + sandbox.DefaultTestKey, "STRIPE_API_BASE=" + w.box, "PAGE_RATE=100000", "INGRESS_URL=" + w.ingress.URL,
		"SMTP_URL=smtp://" + w.mail.Addr, "MAIL_FROM=quotes@seller.example", upper + "_ADDR=" + address,
	}
	if slices.Contains([]string{"ingress", "quotes", "console"}, service) {
		probe = freeaddr.New(w.t)
		settings = append(settings, upper+"_ADMIN_ADDR="+probe)
	}
	name := fmt.Sprintf("%s %d of %s", service, n, version)
	i := &instance{
		Process: processtest.New(w.t, name, w.binary(version, service+"/cmd/"+service), "http://"+probe+"/readyz", settings),
		address: "http://" + address, probe: "http://" + probe, version: version,
	}
	w.all = append(w.all, i)
	i.Start()
	i.Ready()
	if b := w.balancerOf(service); b != nil {
		b.add(w.t, i.address)
	}
	w.running[fmt.Sprint(service, " ", n)] = i
	return i
}

func (w *world) balancerOf(service string) *balancer {
	return map[string]*balancer{"ingress": w.ingress, "quotes": w.quotes}[service]
}

// replace starts another version's instance beside one, as the runbook has it, and stops the old one when the new one is ready
// and no more requests go to the old one. meanwhile lets both work side by side.
func (w *world) replace(service string, n int, version string, meanwhile func()) {
	w.t.Helper()
	old := w.running[fmt.Sprint(service, " ", n)]
	handled := w.handled(old)
	fresh := w.start(service, n, version)
	meanwhile()
	by := [2]int{w.handled(old) - handled, w.handled(fresh)}
	if b := w.balancerOf(service); b != nil {
		b.remove(old.address)
	}
	began := time.Now()
	old.Signal(syscall.SIGTERM)
	if !old.Died(patience) {
		w.t.Fatalf("%s did not end", old.Name)
	}
	w.t.Logf("%s beside %s: %d and %d handled; the old one then ended within %s", old.Name, fresh.Name, by[0], by[1], time.Since(began).Round(time.Millisecond))
}

// look signs in at the console that runs and opens pages that ask the log, Redis and the ledger.
func (w *world) look() {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	browser, console := &http.Client{Jar: jar}, w.running["console 1"]
	open := func(method, path, page string, form url.Values) {
		w.t.Helper()
		req, err := http.NewRequestWithContext(w.t.Context(), method, console.address+path, strings.NewReader(form.Encode()))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := browser.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK || res.Request.URL.Path != page {
			w.t.Errorf("%s: %s leads to %s with %s", console.Name, path, res.Request.URL.Path, res.Status)
		}
	}
	open(http.MethodPost, "/signin", "/overview", url.Values{"token": {watcher}})
	for _, page := range []string{"/quotes", "/events", "/mail"} {
		open(http.MethodGet, page, page, nil)
	}
}

// handled is how many messages or requests an instance says that it has handled.
func (w *world) handled(i *instance) (n int) {
	w.t.Helper()
	res, err := http.Get(i.probe + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		if !slices.Contains([]string{"quittance_messages_total", "quittance_http_requests_total", "quittance_webhooks_received_total"}, name) {
			continue
		}
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			n += int(f)
		}
	}
	return n
}

// quotectl runs the command line of a version, wants exit code 0, and returns what was printed.
func (w *world) quotectl(version string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.binary(version, "operator/cmd/quotectl"), args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.t.TempDir(), "NATS_URL=" + w.natsURL("operator"), "NATS_MONITOR_URL=http://" + w.http,
		"REDIS_URL=" + w.redisURL("operator"), "QUOTES_URL=" + w.quotes.URL, "INGRESS_URL=" + w.ingress.URL, "API_TOKEN=" + token, "MODE=test",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("quotectl of %s %s: %v\n%s", version, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// settled waits until Stripe has delivered everything, and payments and the notifier have acknowledged all that is stored.
func (w *world) settled() {
	w.t.Helper()
	processtest.Eventually(w.t, patience, "everything is delivered and acknowledged", func() error {
		return pipelinetest.Quiet(w.t.Context(), w.log, w.box, natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier})
	})
}

func (w *world) call(method, address string, body, into any) error {
	return processtest.JSON(w.t.Context(), method, address, body, into, "Authorization", "Bearer "+token)
}
