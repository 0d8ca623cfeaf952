package chaos_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/allinone/processtest"
)

const (
	secret = "whsec_chaos_0123456789abcdef"
	token  = "chaos-token-0123456789abcdef"

	patience = 10 * time.Minute // for whatever must come by itself when the faults have stopped, on a loaded machine
)

// world is the whole product as processes, nats-server and redis-server too, each with its keeper, and a mail server.
type world struct {
	tb     testing.TB
	mail   *processtest.MailServer
	proxy  *proxy // between payments and Redis
	tester *tester

	nats, redis, ingress, payments, notifier, quotes *keeper

	natsURL, redisURL, quotesURL string
	log                          *natsstream.Log
	cache                        redis.UniversalClient
	settings                     []string
	clocks                       map[string]*clock // of each service, where it is built with the tag faults
	run                          func(*keeper) *keeper
	stop                         func() // ends all keepers, not their processes
}

// consumers are those of payments and the notifier, in the order in which their work follows from each other's.
var consumers = []natstest.Consumer{
	{Stream: event.StreamStripe, Durable: natsstream.DurablePayments},
	{Stream: event.StreamQuotes, Durable: natsstream.DurablePayments},
	{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier},
}

// newWorld starts everything, ready for work. tags are those of the builds of services, by name.
func newWorld(tb testing.TB, tags map[string]string) *world {
	tb.Helper()
	return newWorldIn(tb, tb.TempDir(), tags)
}

// newWorldIn is newWorld with a folder for the store of NATS.
func newWorldIn(tb testing.TB, store string, tags map[string]string) *world {
	tb.Helper()
	w := &world{tb: tb, mail: processtest.StartMail(tb)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	var running sync.WaitGroup
	w.stop = func() { cancel(); running.Wait() } // before a process ends for good, or its keeper would start it again
	tb.Cleanup(w.stop)
	w.run = func(k *keeper) *keeper {
		running.Go(func() { k.run(ctx) })
		return k
	}
	w.startServers(store)
	w.proxy = startProxy(tb, strings.TrimSuffix(strings.TrimPrefix(w.redisURL, "redis://"), "/0"))
	w.connect()
	addr := map[string]string{}
	for _, name := range []string{"INGRESS_ADDR", "INGRESS_ADMIN_ADDR", "PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADDR", "QUOTES_ADMIN_ADDR"} {
		addr[name] = freeaddr.New(tb)
		w.settings = append(w.settings, name+"="+addr[name])
	}
	w.quotesURL = "http://" + addr["QUOTES_ADDR"]
	w.tester = newTester("http://" + addr["INGRESS_ADDR"] + "/webhooks/stripe")
	// Short waits, so that what a crash left behind is made good within seconds; but not so short that a busy machine makes
	// ambiguous mails by itself.
	w.settings = append(w.settings,
		"NATS_URL="+w.natsURL, "DURABILITY=relaxed", "MODE=test", "LOG_LEVEL=warn", "STRIPE_WEBHOOK_SECRETS=chaos="+secret,
		"API_TOKENS=chaos:seller@main:"+token, "PUBLIC_URL="+w.quotesURL, "SMTP_URL=smtp://"+w.mail.Addr, "MAIL_FROM=quotes@seller.example",
		"REBUILD_GRACE=300ms", "MAIL_LEASE=3s", "MAIL_SEND_TIMEOUT=2s", "MAIL_AMBIGUOUS_AFTER=500ms", "MAIL_RETRY_AFTER=200ms",
	)
	w.clocks = map[string]*clock{}
	service := func(name, probe, redisURL string) *keeper {
		w.clocks[name] = newClock(tb, name)
		path := processtest.Binary(tb, name+"/cmd/"+name, tags[name])
		return w.run(newKeeper(processtest.New(tb, name, path, "http://"+addr[probe]+"/readyz", append(slices.Clone(w.settings), "REDIS_URL="+redisURL, "FAULT_CLOCK="+w.clocks[name].path))))
	}
	w.quotes = service("quotes", "QUOTES_ADMIN_ADDR", w.redisURL)
	w.payments = service("payments", "PAYMENTS_ADDR", "redis://"+w.proxy.addr+"/0")
	w.notifier = service("notifier", "NOTIFIER_ADDR", w.redisURL)
	w.ingress = service("ingress", "INGRESS_ADMIN_ADDR", w.redisURL)
	tb.Cleanup(w.stop)
	w.ready()
	return w
}

// startServers starts nats-server and redis-server. NATS has its default sync: what a process has written outlives its kill, and
// a power cut is another proof.
func (w *world) startServers(store string) {
	w.tb.Helper()
	client, monitor, redisAddr := freeaddr.New(w.tb), freeaddr.New(w.tb), freeaddr.New(w.tb)
	w.natsURL, w.redisURL = "nats://"+client, "redis://"+redisAddr+"/0"
	config := filepath.Join(w.tb.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nhttp: %q\njetstream { store_dir: %q }\n", client, monitor, store)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	n := processtest.New(w.tb, "nats-server", processtest.NATSServer(w.tb), "http://"+monitor+"/healthz", nil)
	n.Args = []string{"-c", config}
	w.nats = w.run(newKeeper(n))
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		w.tb.Fatal("redis-server is not on PATH; on Debian: apt-get install redis-server (make servers does it as root)")
	}
	_, port, err := net.SplitHostPort(redisAddr)
	if err != nil {
		w.tb.Fatal(err)
	}
	r := processtest.New(w.tb, "redis-server", binary, "", nil)
	r.Args = []string{
		"--bind", "127.0.0.1", "--port", port, "--dir", w.tb.TempDir(), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning",
	}
	w.redis = w.run(newKeeper(r))
}

// connect connects the test itself, past the proxy, and declares the streams.
func (w *world) connect() {
	w.tb.Helper()
	cfg := natsstream.Config{URL: env.NewSecret(w.natsURL), Name: "chaos"}
	processtest.Eventually(w.tb, patience, "nats-server answers", func() error {
		nc, err := natsstream.Connect(w.tb.Context(), cfg, zap.NewNop())
		if err != nil {
			return err
		}
		w.tb.Cleanup(nc.Close)
		if err := natsstream.Declare(w.tb.Context(), nc, natsstream.Options{}); err != nil {
			return err
		}
		w.log, err = natsstream.NewLog(nc)
		return err
	})
	processtest.Eventually(w.tb, patience, "redis-server answers", func() (err error) {
		w.cache, err = redisquote.Open(w.tb.Context(), redisquote.Config{URL: env.NewSecret(w.redisURL)})
		return err
	})
	w.tb.Cleanup(func() { _ = w.cache.Close() })
	for _, c := range consumers { // JetStream redelivers after two seconds instead of thirty
		found, err := w.log.JetStream().Consumer(w.tb.Context(), c.Stream, c.Durable)
		if err != nil {
			w.tb.Fatal(err)
		}
		cfg := found.CachedInfo().Config
		cfg.AckWait = 2 * time.Second
		if _, err := w.log.JetStream().UpdateConsumer(w.tb.Context(), c.Stream, cfg); err != nil {
			w.tb.Fatal(err)
		}
	}
}

func (w *world) all() []*keeper {
	return []*keeper{w.nats, w.redis, w.quotes, w.payments, w.notifier, w.ingress}
}

// ready waits until every process says that it can do its work.
func (w *world) ready() {
	w.tb.Helper()
	for _, k := range w.all() {
		if k.Probe != "" {
			w.isReady(k)
		}
	}
}

func (w *world) isReady(k *keeper) {
	w.tb.Helper()
	processtest.Eventually(w.tb, patience, k.Name+" is ready", func() error { return askReady(k) })
}

func askReady(k *keeper) error {
	res, err := http.Get(k.Probe)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", k.Probe, res.Status)
	}
	return nil
}

// keepLogs writes what is kept of the processes' logs into a folder that stays, and returns it.
func (w *world) keepLogs(seed uint64) string {
	w.tb.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("chaos-%d-", seed))
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, k := range w.all() {
		if err := k.WriteLog(filepath.Join(dir, k.Name+".log")); err != nil {
			w.tb.Error(err)
		}
	}
	return dir
}
