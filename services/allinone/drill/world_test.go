package drill_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/pipelinetest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/sandbox"
)

const (
	first     = "whsec_drill_first_0123456789abcdef" // what Stripe signs with at the beginning
	ours      = "whsec_drill_reconcile_0123456789ab" // what we sign with when we enter events ourselves
	token     = "drill-token-0123456789abcdef"
	patience  = 3 * time.Minute // for whatever must come by itself on a loaded machine
	smallSize = 20
	fullSize  = 200
	behind    = 75 * time.Minute // how far the sandbox's clock lies behind the wall clock at the start
)

func TestMain(m *testing.M) { processtest.Main(m) }

// world is the product as processes, the servers around it, and the operator's terminal.
type world struct {
	t     *testing.T
	nats  *natstest.Server
	log   *natsstream.Log
	redis *redistest.Server
	cache redis.UniversalClient
	mail  *processtest.MailServer
	box   string // the sandbox, as Stripe

	ingress, payments, notifier, quotes *processtest.Process
	ingressURL, quotesURL               string
	secretsFile                         string
	terminal                            *terminal

	size  int // how many quotes are paid in the outage
	count int
	sales []sale // all that were paid
}

// newWorld starts everything but ingress. The processes are those that are released, without fault points; only the mail is
// tried again sooner than after five minutes.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, size: smallSize, nats: natstest.StartSynced(t), redis: redistest.Start(t), mail: processtest.StartMail(t)}
	transcript := os.Getenv("DRILL_TRANSCRIPT")
	if transcript != "" {
		w.size = fullSize
	}
	if err := natsstream.Declare(t.Context(), w.nats.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	w.log, w.cache = w.nats.Log("drill"), w.redis.Client()
	addr := map[string]string{}
	for _, name := range []string{"INGRESS_ADDR", "INGRESS_ADMIN_ADDR", "PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADDR", "QUOTES_ADMIN_ADDR"} {
		addr[name] = freeaddr.New(t)
	}
	w.ingressURL, w.quotesURL = "http://"+addr["INGRESS_ADDR"], "http://"+addr["QUOTES_ADDR"]
	w.startSandbox()
	w.secretsFile = filepath.Join(t.TempDir(), "webhook_secrets")
	w.setSecrets("first="+first, "reconcile="+ours)
	settings := []string{
		"NATS_URL=" + w.nats.URL, "NATS_MONITOR_URL=" + w.nats.MonitorURL, "REDIS_URL=" + w.redis.URL, "DURABILITY=server", "MODE=test",
		"STRIPE_WEBHOOK_SECRETS_FILE=" + w.secretsFile, "API_TOKENS=drill:seller@main:" + token, "PUBLIC_URL=" + w.quotesURL,
		"STRIPE_API_KEY=" + sandbox.DefaultTestKey, "STRIPE_API_BASE=" + w.box, "RECONCILE_EVERY=0s", "REMIND_BEFORE=0s", "PAGE_RATE=100000",
		"SMTP_URL=smtp://" + w.mail.Addr, "MAIL_FROM=quotes@seller.example", "MAIL_RETRY_AFTER=2s", "REBUILD_GRACE=300ms",
	}
	for name, a := range addr {
		settings = append(settings, name+"="+a)
	}
	process := func(service, probe string) *processtest.Process {
		return processtest.New(t, service, processtest.Binary(t, service+"/cmd/"+service, ""), "http://"+addr[probe]+"/readyz", settings)
	}
	w.ingress = process("ingress", "INGRESS_ADMIN_ADDR")
	w.payments = process("payments", "PAYMENTS_ADDR")
	w.notifier = process("notifier", "NOTIFIER_ADDR")
	w.quotes = process("quotes", "QUOTES_ADMIN_ADDR")
	for _, p := range []*processtest.Process{w.payments, w.notifier, w.quotes} {
		p.Start()
	}
	for _, p := range []*processtest.Process{w.payments, w.notifier, w.quotes} {
		p.Ready()
	}
	w.terminal = newTerminal(t, transcript, processtest.Binary(t, "operator/cmd/quotectl", ""), []string{
		"NATS_URL=" + w.nats.URL, "NATS_MONITOR_URL=" + w.nats.MonitorURL, "REDIS_URL=" + w.redis.URL, "MODE=test",
		"INGRESS_URL=" + w.ingressURL, "INGRESS_ADMIN_URL=http://" + addr["INGRESS_ADMIN_ADDR"], "PAYMENTS_URL=http://" + addr["PAYMENTS_ADDR"],
		"NOTIFIER_URL=http://" + addr["NOTIFIER_ADDR"], "QUOTES_URL=" + w.quotesURL, "QUOTES_ADMIN_URL=http://" + addr["QUOTES_ADMIN_ADDR"],
		"API_TOKEN=" + token, "STRIPE_WEBHOOK_SECRETS_FILE=" + w.secretsFile, "STRIPE_API_KEY=" + sandbox.DefaultTestKey, "STRIPE_API_BASE=" + w.box,
	})
	return w
}

// startSandbox starts Stripe's stand-in with one webhook endpoint. Its clock lies behind: the hour of the outage passes there
// and ends now, so that what happened in it is as old for the tools as it is for Stripe.
func (w *world) startSandbox() {
	w.t.Helper()
	w.box = pipelinetest.Run(w.t, sandbox.New, sandbox.Config{
		Addr: "127.0.0.1:0", Seed: "drill", ClockOffset: -behind,
		Webhooks: []sandbox.Webhook{{URL: w.ingressURL + "/webhooks/stripe", Secret: env.NewSecret(first)}},
	}).URL()
}

// setSecrets replaces the file of webhook secrets as a secret store does: at once.
func (w *world) setSecrets(entries ...string) {
	w.t.Helper()
	part := w.secretsFile + ".new"
	if err := os.WriteFile(part, []byte(strings.Join(entries, ",")+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(part, w.secretsFile); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) until(what string, f func() error) {
	w.t.Helper()
	processtest.Eventually(w.t, patience, what, f)
}

// notifies is the consumer that mails.
var notifies = natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier}

// settled waits until payments has worked on everything in the log and, if mails is set, the notifier too.
func (w *world) settled(mails bool) {
	w.t.Helper()
	consumers := []natstest.Consumer{{Stream: event.StreamStripe, Durable: natsstream.DurablePayments}, {Stream: event.StreamQuotes, Durable: natsstream.DurablePayments}}
	if mails {
		consumers = append(consumers, notifies)
	}
	w.until("all messages are acknowledged", func() error { return natstest.Settled(w.t.Context(), w.log, consumers...) })
}

// delivered waits until Stripe has nothing on its way, and all of it is worked on.
func (w *world) delivered() {
	w.t.Helper()
	w.until("Stripe has delivered everything", func() error { return pipelinetest.Quiet(w.t.Context(), w.log, w.box, notifies) })
}
