package proof_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/processtest"
)

const (
	secret = "whsec_proof_0123456789abcdef"
	token  = "proof-token-0123456789abcdef"

	patience = 3 * time.Minute // for whatever must come by itself on a loaded machine
)

// world is the whole product as processes, on a NATS server, a Redis server and a mail server that the test owns.
type world struct {
	tb    testing.TB
	nats  *natstest.Server
	redis *redistest.Server
	mail  *processtest.MailServer
	log   *natsstream.Log
	cache redis.UniversalClient

	ingress, payments, notifier, quotes *processtest.Process
	ingressURL, quotesURL               string

	mu    sync.Mutex
	acked map[string][]string // Stripe event id → SHA-256 of each body that was answered 2xx
}

// builtWith says which build of a service a world runs; without an entry the build with fault points.
type builtWith map[string]string

// newWorld starts everything. JetStream redelivers after a second instead of thirty, and the mail lease is short, so
// that a crash is made good within seconds. batch is how many messages payments folds together: few, where every step
// must come several times. Of settings, NAME=value, those that are given count.
func newWorld(tb testing.TB, tags builtWith, batch int, settings ...string) *world {
	tb.Helper()
	w := &world{
		tb: tb, nats: natstest.Start(tb), redis: redistest.Start(tb, "--appendonly", "yes", "--appendfsync", "everysec"),
		mail: processtest.StartMail(tb), acked: map[string][]string{},
	}
	w.log = w.nats.Log("proof")
	w.cache = w.redis.Client()
	w.shortenAckWait()
	addr := map[string]string{}
	for _, name := range []string{"INGRESS_ADDR", "INGRESS_ADMIN_ADDR", "PAYMENTS_ADDR", "NOTIFIER_ADDR", "QUOTES_ADDR", "QUOTES_ADMIN_ADDR"} {
		addr[name] = freeaddr.New(tb)
	}
	w.ingressURL, w.quotesURL = "http://"+addr["INGRESS_ADDR"]+"/webhooks/stripe", "http://"+addr["QUOTES_ADDR"]
	env := []string{
		"NATS_URL=" + w.nats.URL, "REDIS_URL=" + w.redis.URL, "DURABILITY=relaxed", "MODE=test", "LOG_LEVEL=info",
		"STRIPE_WEBHOOK_SECRETS=proof=" + secret, "API_TOKENS=proof:seller@main:" + token, "PUBLIC_URL=" + w.quotesURL,
		"SMTP_URL=smtp://" + w.mail.Addr, "MAIL_FROM=quotes@seller.example",
		"PAYMENTS_BATCH=" + strconv.Itoa(batch), "REBUILD_GRACE=300ms", "MAIL_LEASE=1500ms", "MAIL_SEND_TIMEOUT=1s", "MAIL_AMBIGUOUS_AFTER=500ms", "MAIL_RETRY_AFTER=200ms",
	}
	for name, a := range addr {
		env = append(env, name+"="+a)
	}
	env = append(env, settings...)
	start := func(service, probe string) *processtest.Process {
		t, ok := tags[service]
		if !ok {
			t = "faults"
		}
		p := processtest.New(tb, service, processtest.Binary(tb, service+"/cmd/"+service, t), "http://"+addr[probe]+"/readyz", env)
		p.Start()
		return p
	}
	w.quotes = start("quotes", "QUOTES_ADMIN_ADDR")
	w.payments = start("payments", "PAYMENTS_ADDR")
	w.notifier = start("notifier", "NOTIFIER_ADDR")
	w.ingress = start("ingress", "INGRESS_ADMIN_ADDR")
	for _, p := range w.all() {
		p.Ready()
	}
	return w
}

func (w *world) all() []*processtest.Process {
	return []*processtest.Process{w.quotes, w.payments, w.notifier, w.ingress}
}

func (w *world) shortenAckWait() {
	w.tb.Helper()
	for _, consumer := range allConsumers {
		c, err := w.log.JetStream().Consumer(w.tb.Context(), consumer.Stream, consumer.Durable)
		if err != nil {
			w.tb.Fatal(err)
		}
		cfg := c.CachedInfo().Config
		cfg.AckWait = time.Second
		if _, err := w.log.JetStream().UpdateConsumer(w.tb.Context(), consumer.Stream, cfg); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// published is a quote that a customer can pay.
type published struct {
	ID       string `json:"id"`
	Revision int    `json:"revision"`
	Amount   int64  `json:"-"`
	Owner    string `json:"-"`
}

// publish creates and publishes a quote through the API. n makes it differ from others.
func (w *world) publish(n int, recurring bool) published {
	w.tb.Helper()
	q, err := w.tryPublish(n, recurring)
	if err != nil {
		w.tb.Fatal(err)
	}
	return q
}

// publishMany publishes quotes 1 to count, several at a time.
func (w *world) publishMany(count int, recurring func(n int) bool) []published {
	w.tb.Helper()
	quotes := make([]published, count)
	var group errgroup.Group
	group.SetLimit(8)
	for i := range quotes {
		group.Go(func() (err error) {
			quotes[i], err = w.tryPublish(i+1, recurring(i+1))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		w.tb.Fatal(err)
	}
	return quotes
}

func (w *world) tryPublish(n int, recurring bool) (published, error) {
	amount := int64(1000 + n)
	line := map[string]any{"name": "Consulting", "quantity": 1, "unit_amount": amount}
	if recurring {
		line["recurring"] = map[string]any{"interval": "month", "interval_count": 1}
	}
	owner := fmt.Sprintf("owner%d@seller.example", n)
	q := published{Amount: amount, Owner: owner}
	err := w.try(http.MethodPost, "/v1/quotes", map[string]any{
		"title": "Quote " + strconv.Itoa(n), "deal": map[string]any{"id": "d" + strconv.Itoa(n), "name": "Deal"}, "currency": "eur",
		"line_items": []any{line}, "owner": map[string]any{"name": "Ola", "email": owner, "time_zone": "Europe/Warsaw"},
		"contact": map[string]any{"email": "customer@buyer.example", "first_name": "Jan", "last_name": "Nowak"},
		"payment": map[string]any{"stripe": true},
	}, &q)
	if err != nil {
		return q, err
	}
	return q, w.try(http.MethodPost, "/v1/quotes/"+q.ID+"/publish", nil, &q)
}

// try makes an API call and decodes its 2xx answer.
func (w *world) try(method, path string, body, into any) error {
	var payload io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(w.tb.Context(), method, w.quotesURL+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

func (w *world) reader() *redisquote.Reader {
	g, err := w.log.Generation(w.tb.Context())
	if err != nil {
		w.tb.Fatal(err)
	}
	return redisquote.NewReader(w.cache, redisquote.NewKeys(g.Read))
}

// scan reads a whole stream.
func (w *world) scan(stream string) []natsstream.Record {
	w.tb.Helper()
	var all []natsstream.Record
	for from := uint64(1); ; {
		part, err := w.log.Scan(w.tb.Context(), stream, from, 1000)
		if err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, part...)
		if len(part) < 1000 {
			return all
		}
		from = part[len(part)-1].Sequence + 1
	}
}

// settled waits until payments and notifier have nothing left to do.
func (w *world) settled(within time.Duration) {
	w.tb.Helper()
	w.acknowledged(within, allConsumers...)
}

// settledPayments waits until payments has nothing left to do, whatever the mail does.
func (w *world) settledPayments(within time.Duration) {
	w.tb.Helper()
	w.acknowledged(within, paymentsConsumers...)
}

// paymentsConsumers and allConsumers are in the order in which their work follows from each other's.
var (
	paymentsConsumers = []natstest.Consumer{
		{Stream: event.StreamStripe, Durable: natsstream.DurablePayments}, {Stream: event.StreamQuotes, Durable: natsstream.DurablePayments},
	}
	allConsumers = append(slices.Clone(paymentsConsumers), natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier})
)

func (w *world) acknowledged(within time.Duration, consumers ...natstest.Consumer) {
	w.tb.Helper()
	processtest.Eventually(w.tb, within, "all messages are acknowledged", func() error { return natstest.Settled(w.tb.Context(), w.log, consumers...) })
}
