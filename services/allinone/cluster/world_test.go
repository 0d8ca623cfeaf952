package cluster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/operator/scenario"
)

const (
	secret = "whsec_cluster_0123456789abcdef"
	// outside is the host of the mail server, of the test itself and of Stripe's side.
	outside = "outside"
)

// stores is where a world keeps things.
type stores struct {
	nats     func(user string) natsstream.Config
	log      *natsstream.Log // with the rights to publish a quote
	operator *natsstream.Log
	monitors string // as NATS_MONITOR_URL takes them; "" is DURABILITY=relaxed
	redis    func(user string) redisquote.Config
	hosts    network // where the services are; nil is loopback
}

// world is ingress, payments and notifier as processes on stores, with quotes that can be paid.
type world struct {
	tb     testing.TB
	stores stores
	cache  redis.UniversalClient
	mail   *processtest.MailServer

	ingress, payments, notifier *processtest.Process
	webhooks                    string // where ingress takes them
	metrics                     string // of payments

	expect map[string]scenario.Expectation // quote → what must become of it
	events []scenario.Event
}

// newWorld starts the services. The lease of a mail is short: a notifier that could not write down what it has sent is made good
// within seconds, and not within a quarter of an hour.
func newWorld(tb testing.TB, s stores) *world {
	tb.Helper()
	if s.hosts == nil {
		s.hosts = loopback{tb}
	}
	w := &world{tb: tb, stores: s, mail: processtest.StartMailAt(tb, s.hosts.address(outside)), expect: map[string]scenario.Expectation{}}
	var err error
	if w.cache, err = redisquote.Open(tb.Context(), s.redis("operator")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.cache.Close() })
	durability := "DURABILITY=server"
	if s.monitors == "" {
		durability = "DURABILITY=relaxed"
	}
	public, admin, payments, notifier := s.hosts.address("ingress"), s.hosts.address("ingress"), s.hosts.address("payments"), s.hosts.address("notifier")
	w.webhooks, w.metrics = "http://"+public+"/webhooks/stripe", "http://"+payments+"/metrics"
	start := func(service, probe string) *processtest.Process {
		nats := s.nats(service)
		p := processtest.New(tb, service, processtest.Binary(tb, service+"/cmd/"+service, ""), "http://"+probe+"/readyz", []string{
			"NATS_URL=" + nats.URL.Reveal(), "REDIS_URL=" + s.redis("payments").URL.Reveal(), durability, "NATS_MONITOR_URL=" + s.monitors, "MODE=test", "LOG_LEVEL=info",
			"STRIPE_WEBHOOK_SECRETS=cluster=" + secret, "SMTP_URL=smtp://" + w.mail.Addr + "?tls=off", "MAIL_FROM=quotes@seller.example", "PUBLIC_URL=http://127.0.0.1:1",
			"INGRESS_ADDR=" + public, "INGRESS_ADMIN_ADDR=" + admin, "PAYMENTS_ADDR=" + payments, "NOTIFIER_ADDR=" + notifier,
			"MAIL_LEASE=12s", "MAIL_SEND_TIMEOUT=10s", "MAIL_AMBIGUOUS_AFTER=1s", "MAIL_RETRY_AFTER=500ms",
		})
		s.hosts.place(service, p)
		p.Start()
		return p
	}
	w.ingress, w.payments, w.notifier = start("ingress", admin), start("payments", payments), start("notifier", notifier)
	w.ready()
	return w
}

func (w *world) ready() {
	w.tb.Helper()
	for _, p := range []*processtest.Process{w.ingress, w.payments, w.notifier} {
		p.Ready()
	}
}

// publish writes that many published quotes into the log, and makes the events of their payments: in bursts of 50 quotes, whose
// events are shuffled and a third of them doubled.
func (w *world) publish(count int) {
	w.tb.Helper()
	names := []string{"paid", "refund", "bank-debit", "partial-refund", "duplicate-payment"}
	at := time.Now().UTC()
	var burst []scenario.Event
	for i := range count {
		id := "q_" + strconv.Itoa(len(w.expect)+1)
		subject := event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: "1"}
		envelope, err := event.New(subject, event.SourceQuotes, at, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
			PublishedAt: at, URLToken: id, Document: quote.Document{
				Title: "Consulting", Deal: quote.Deal{ID: "d", Name: "Deal"}, Currency: "eur",
				LineItems: []quote.LineItem{{Name: "Consulting", Quantity: 1, UnitAmount: 1000}},
				Owner:     quote.Owner{Name: "Ola", Email: owner(id), TimeZone: "Europe/Warsaw"},
				Contact:   quote.Contact{Email: "customer@buyer.example", FirstName: "Jan", LastName: "Nowak"}, Payment: quote.PaymentOptions{Stripe: true},
			},
		})
		if err != nil {
			w.tb.Fatal(err)
		}
		if _, err := w.stores.log.Fact(w.tb.Context(), natsstream.Message{Subject: subject.String(), ID: envelope.ID, Data: envelope.Encode()}); err != nil {
			w.tb.Fatal(err)
		}
		s, ok := scenario.Find(names[i%len(names)])
		if !ok {
			w.tb.Fatalf("no scenario %s", names[i%len(names)])
		}
		b, err := s.Run(scenario.Target{
			Quote: id, Seller: "main", Revision: 1, Title: "Consulting", Amount: 1000, Currency: "eur", CustomerName: "Jan Nowak", CustomerEmail: "customer@buyer.example",
		}, int64(i), at, scenario.V20231016)
		if err != nil {
			w.tb.Fatal(err)
		}
		w.expect[id] = b.Expect
		burst = append(burst, b.Events...)
		if i%50 == 49 || i == count-1 {
			w.events, burst = append(w.events, shuffled(burst, uint64(i))...), nil
		}
	}
}

func owner(quoteID string) string { return quoteID + "@seller.example" }

// consumers are in the order in which their work follows from each other's.
var consumers = []natstest.Consumer{
	{Stream: event.StreamStripe, Durable: natsstream.DurablePayments},
	{Stream: event.StreamQuotes, Durable: natsstream.DurablePayments},
	{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier},
}

// settled waits until payments and notifier have nothing left to do.
func (w *world) settled() {
	w.tb.Helper()
	processtest.Eventually(w.tb, patience, "all messages are acknowledged", func() error {
		return natstest.Settled(w.tb.Context(), w.stores.operator, consumers...)
	})
}

// check holds the world against what the tester has seen acknowledged and what must have become of each quote.
func (w *world) check(t *tester) {
	w.tb.Helper()
	w.ready()
	w.settled()
	for _, what := range t.broken(w.scan(event.StreamStripe)) {
		w.tb.Error(what)
	}
	paid := map[string]int{}
	for _, r := range w.scan(event.StreamQuotes) {
		if s, ok := event.ParseQuoteSubject(r.Subject); ok && s.Event == quote.EventPaid {
			paid[s.Quote]++
		}
	}
	second := 0
	for id, want := range w.expect {
		if paid[id] != want.PaidFacts {
			w.tb.Errorf("%d quote.paid of %s, want %d", paid[id], id, want.PaidFacts)
		}
		mails := len(w.mail.To(owner(id)))
		if mails != want.Mails && mails != want.Mails+w.unanswered(id) {
			w.tb.Errorf("%d mails for %s, want %d", mails, id, want.Mails)
		}
		second += mails - want.Mails
	}
	w.verified(t)
	// Last, and again and again: what Redis lost is noticed within a second.
	reader := redisquote.NewReader(w.cache, redisquote.NewKeys(redisquote.Generation))
	for id, want := range w.expect {
		processtest.Eventually(w.tb, patience, "status of "+id+" is "+want.Status, func() error {
			p, err := reader.Payment(w.tb.Context(), event.Platform, id)
			if err == nil && p.Status != want.Status {
				err = fmt.Errorf("it is %s %v", p.Status, p.Flags)
			}
			return err
		})
	}
	w.tb.Logf("%d quotes, %d events acknowledged, %d second mails after an attempt without an answer", len(w.expect), len(t.acked), second)
}

// unanswered is how many attempts to mail about a quote ended without an answer, by the ledger.
func (w *world) unanswered(quoteID string) int {
	w.tb.Helper()
	bucket, err := w.stores.operator.JetStream().KeyValue(w.tb.Context(), event.BucketMail)
	if err != nil {
		w.tb.Fatal(err)
	}
	var entry struct {
		Ambiguous int `json:"ambiguous"`
	}
	if value, err := bucket.Get(w.tb.Context(), "main."+quoteID+".1.paid"); err != nil {
		w.tb.Errorf("no ledger entry of %s: %v", quoteID, err)
	} else if err := json.Unmarshal(value.Value(), &entry); err != nil {
		w.tb.Errorf("ledger entry of %s: %v", quoteID, err)
	}
	return min(entry.Ambiguous, 1)
}

// verified runs what an operator would: quotectl rebuild --verify, and quotectl check invariants with what the tester has seen
// acknowledged, until they find nothing.
func (w *world) verified(t *tester) {
	w.tb.Helper()
	binary := processtest.Binary(w.tb, "operator/cmd/quotectl", "")
	acked := filepath.Join(w.tb.TempDir(), "acked")
	var lines strings.Builder
	for id, bodies := range t.acked {
		lines.WriteString(id + " " + bodies[0] + "\n")
	}
	write(w.tb, acked, lines.String())
	for _, args := range [][]string{{"rebuild", "--verify"}, {"check", "invariants", "--acked", acked}} {
		processtest.Eventually(w.tb, patience, "quotectl "+strings.Join(args, " ")+" finds nothing", func() error {
			cmd := exec.CommandContext(w.tb.Context(), binary, args...)
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + w.tb.TempDir(), "NATS_URL=" + w.stores.nats("operator").URL.Reveal(),
				"REDIS_URL=" + w.stores.redis("operator").URL.Reveal(),
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				return errors.Join(err, errors.New(out.String()))
			}
			return nil
		})
	}
}

// repairs is how often payments has folded again what Redis may have lost.
func (w *world) repairs() (n int) {
	w.tb.Helper()
	res, err := http.Get(w.metrics)
	if err != nil {
		w.tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, m := range repaired.FindAllSubmatch(text, -1) {
		count, err := strconv.Atoi(string(m[1]))
		if err != nil {
			w.tb.Fatal(err)
		}
		n += count
	}
	return n
}

var repaired = regexp.MustCompile(`(?m)^quittance_repairs_total\{[^}]*\} (\d+)$`)

// scan reads a whole stream.
func (w *world) scan(stream string) []natsstream.Record {
	w.tb.Helper()
	var all []natsstream.Record
	for from := uint64(1); ; {
		part, err := w.stores.operator.Scan(w.tb.Context(), stream, from, 1000)
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
