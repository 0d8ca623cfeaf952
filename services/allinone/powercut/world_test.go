//go:build linux

package powercut_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/allinone/processtest"
)

// patience is for whatever must come by itself on a loaded machine.
const patience = 2 * time.Minute

// known is how many of the events are about a quote that the log knows; the others wait for theirs.
const known = 200

// store is where a server keeps what it must not lose.
type store interface {
	dir() string
	// cut takes from it what was not synced, if it is a disk. No process has anything open there.
	cut()
}

// folder without a cut: what is killed finds everything again.
type plainFolder string

func (f plainFolder) dir() string { return string(f) }
func (plainFolder) cut()          {}

// setup is what is tried.
type setup struct {
	name string
	// nodes are NATS servers, each with a store of its own, and the replicas of every stream.
	nodes int
	// lazy servers sync when they like, the others always.
	lazy bool
	// durability is ingress's, and that of payments.
	durability string
	// folded says that payments and Redis are there.
	folded bool
	// facts are published, too, many at one time.
	facts bool
	// redisOnly cuts Redis's store and leaves NATS alone.
	redisOnly bool
}

// world is the servers and services of a setup. Those on one host are killed and cut together.
type world struct {
	setup
	t       *testing.T
	rnd     *rand.Rand
	servers []*process
	stores  []store // of NATS
	// natsURL and monitorURL name all nodes.
	natsURL, monitorURL string
	log                 *natsstream.Log
	nc                  *nats.Conn

	ingress, payments, redis *process
	redisStore               store
	cache                    *redis.Client
	redisURL                 string
	probes                   []string
	quotectl                 string // for equal
	stripe                   *stripe
	batches                  *batches // nil without facts
	gone                     int64    // keys that Redis lost
}

func newWorld(t *testing.T, s setup, seed uint64, newStore func() store) *world {
	t.Helper()
	w := &world{setup: s, t: t, rnd: rand.New(rand.NewPCG(seed, uint64(len(s.name))))}
	w.makeNATS(newStore)
	if s.folded {
		w.makeRedis(newStore)
	}
	w.makeServices(seed)
	for _, p := range w.processes() {
		p.start()
		if p == w.servers[len(w.servers)-1] {
			w.declare()
		}
	}
	w.ready()
	if s.folded {
		w.publishQuotes()
	}
	if s.facts {
		w.batches = w.newBatches()
	}
	return w
}

// processes are all of them, in the order in which they start.
func (w *world) processes() []*process {
	all := append([]*process{}, w.servers...)
	for _, p := range []*process{w.redis, w.payments, w.ingress} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (w *world) makeNATS(newStore func() store) {
	w.t.Helper()
	var clients, monitors, routes, clusters []string
	for range w.nodes {
		clients, monitors, clusters = append(clients, freeaddr.New(w.t)), append(monitors, freeaddr.New(w.t)), append(clusters, freeaddr.New(w.t))
		routes = append(routes, strconv.Quote("nats://"+clusters[len(clusters)-1]))
	}
	for i, client := range clients {
		w.stores = append(w.stores, newStore())
		conf := fmt.Sprintf("server_name: n%d\nlisten: %q\nhttp: %q\njetstream {\n  store_dir: %q\n  max_file_store: 800MB\n", i, client, monitors[i], w.stores[i].dir())
		if !w.lazy {
			conf += "  sync_interval: always\n"
		}
		conf += "}\n"
		if w.nodes > 1 {
			conf += fmt.Sprintf("cluster {\n  name: powercut\n  listen: %q\n  routes: [%s]\n}\n", clusters[i], strings.Join(routes, ", "))
		}
		path := filepath.Join(w.t.TempDir(), "nats.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.servers = append(w.servers, newProcess(w.t, fmt.Sprintf("nats %d", i), os.Args[0], nil, roleVar+"=nats", "POWERCUT_CONF="+path))
		clients[i], monitors[i] = "nats://"+client, "http://"+monitors[i]
	}
	w.natsURL, w.monitorURL = strings.Join(clients, ","), strings.Join(monitors, ",")
}

func (w *world) makeRedis(newStore func() store) {
	w.t.Helper()
	path, err := lookRedis()
	if err != nil {
		w.t.Fatal(err)
	}
	addr := freeaddr.New(w.t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.redisURL = "redis://" + addr + "/0"
	w.redisStore = plainFolder(w.t.TempDir())
	if w.redisOnly {
		w.redisStore = newStore()
	}
	w.redis = newProcess(w.t, "redis", path, []string{
		"--bind", "127.0.0.1", "--port", port, "--dir", w.redisStore.dir(), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction",
	})
	w.cache = redis.NewClient(&redis.Options{Addr: addr})
	w.t.Cleanup(func() { _ = w.cache.Close() })
}

func (w *world) makeServices(seed uint64) {
	w.t.Helper()
	addr, admin := freeaddr.New(w.t), freeaddr.New(w.t)
	settings := []string{
		"NATS_URL=" + w.natsURL, "NATS_MONITOR_URL=" + w.monitorURL, "DURABILITY=" + w.durability, "NATS_STORE_DIR=" + w.stores[0].dir(), "LOG_LEVEL=warn",
	}
	w.ingress = newProcess(w.t, "ingress", processtest.Binary(w.t, "ingress/cmd/ingress", ""), nil,
		append(settings, "INGRESS_ADDR="+addr, "INGRESS_ADMIN_ADDR="+admin, "STRIPE_WEBHOOK_SECRETS=powercut="+secret)...)
	w.probes = []string{"http://" + admin + "/readyz"}
	if w.folded {
		at := freeaddr.New(w.t)
		w.quotectl = processtest.Binary(w.t, "operator/cmd/quotectl", "")
		w.payments = newProcess(w.t, "payments", processtest.Binary(w.t, "payments/cmd/payments", ""), nil,
			append(settings, "PAYMENTS_ADDR="+at, "REDIS_URL="+w.redisURL)...)
		w.probes = append(w.probes, "http://"+at+"/readyz")
	}
	w.stripe = newStripe(w.t, addr, seed)
}

// declare connects the test and makes the streams.
func (w *world) declare() {
	w.t.Helper()
	var err error
	w.nc, err = natsstream.Connect(w.t.Context(), natsstream.Config{URL: env.NewSecret(w.natsURL), Name: "powercut"}, zap.NewNop())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.nc.Close)
	if w.log, err = natsstream.NewLog(w.nc); err != nil {
		w.t.Fatal(err)
	}
	processtest.Eventually(w.t, patience, "the streams are declared", w.declareOnce)
}

func (w *world) declareOnce() error {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	return natsstream.Declare(ctx, w.nc, natsstream.Options{Replicas: w.nodes})
}

// ready waits until the log can be read and every service says that it can work.
func (w *world) ready() {
	w.t.Helper()
	processtest.Eventually(w.t, patience, "the log is back", func() error {
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		_, err := w.log.JetStream().Stream(ctx, event.StreamStripe)
		if errors.Is(err, jetstream.ErrStreamNotFound) && w.lazy && w.durability == natsstream.DurabilityRelaxed {
			return errors.Join(err, w.declareOnce()) // with everything in it, the stream itself was lost
		}
		return err
	})
	for _, probe := range w.probes {
		processtest.Eventually(w.t, patience, probe+" answers 200", func() error {
			res, err := http.Get(probe)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return errors.New(res.Status)
			}
			return nil
		})
	}
}

// publishQuotes makes the quotes that some of the events are about.
func (w *world) publishQuotes() {
	w.t.Helper()
	for n := range known {
		s := event.QuoteSubject{Event: "published", Seller: "main", Quote: quoteID(n), N: "1"}
		at := time.Unix(1_700_000_000, 0).UTC()
		e, err := event.New(s, event.SourceQuotes, at, event.Published{
			Seller: "main", QuoteID: quoteID(n), Revision: 1, Version: 1, Amount: amount, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
			PublishedAt: at, URLToken: "t" + strconv.Itoa(n), Document: quote.Document{Title: "Consulting", Deal: quote.Deal{ID: "d1"}},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.log.Fact(w.t.Context(), natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Encode()}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// round sends webhooks, kills and cuts in the middle of it, and starts everything again. It returns what was acknowledged in it.
func (w *world) round() []int {
	w.t.Helper()
	before := len(w.stripe.acknowledged())
	ctx, stop := context.WithTimeout(w.t.Context(), patience)
	defer stop()
	acknowledged := make(chan struct{}, 1)
	var senders sync.WaitGroup
	senders.Go(func() {
		w.stripe.send(ctx, func() {
			select {
			case acknowledged <- struct{}{}:
			default:
			}
		})
	})
	if w.batches != nil {
		senders.Go(func() { w.batches.send(ctx) })
	}
	select {
	case <-acknowledged:
	case <-ctx.Done():
		w.t.Fatalf("nothing was acknowledged within %s", patience)
	}
	time.Sleep(time.Duration(20+w.rnd.IntN(500)) * time.Millisecond)
	victims, stores := w.victims()
	for _, i := range w.rnd.Perm(len(victims)) {
		victims[i].kill()
	}
	stop()
	senders.Wait()
	for _, s := range stores {
		s.cut()
	}
	for _, p := range victims {
		p.start()
		if p == w.redis {
			w.countLost()
		}
	}
	w.ready()
	return w.stripe.acknowledged()[before:]
}

// victims are the processes of the host whose power is cut, in the order in which they start again, and the stores there.
func (w *world) victims() ([]*process, []store) {
	switch {
	case w.redisOnly:
		if n, err := w.cache.DBSize(w.t.Context()).Result(); err == nil {
			w.gone += n
		}
		return []*process{w.redis}, []store{w.redisStore}
	case w.durability == natsstream.DurabilityBarrier: // it is the server's own host
		all := append([]*process{}, w.servers...)
		if w.payments != nil {
			all = append(all, w.payments)
		}
		return append(all, w.ingress), w.stores
	default:
		return w.servers, w.stores
	}
}

// countLost counts the keys that Redis came back without.
func (w *world) countLost() {
	w.t.Helper()
	processtest.Eventually(w.t, patience, "redis is back", func() error {
		n, err := w.cache.DBSize(w.t.Context()).Result()
		if err == nil {
			w.gone -= n
		}
		return err
	})
}
