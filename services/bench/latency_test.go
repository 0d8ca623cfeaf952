package bench_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/freeaddr"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/libs/platform/redisquote/redistest"
	"quittance.internal/services/allinone/processtest"
	"quittance.internal/services/notifier"
)

const (
	// webhookRate is how many webhooks come in a second; the first warmHooks of them count for nothing.
	webhookRate = 200
	warmHooks   = 100
	// tunedAsynq is whom ratios are taken to.
	tunedAsynq = "asynq, asks every 1 ms"
)

// BenchmarkLatency measures the time from the moment at which a webhook was to be sent until the mail server has said 250 to the mail
// that it leads to, in the same two classes as BenchmarkIngress. Each webhook pays one quote, and each quote must get one mail.
func BenchmarkLatency(b *testing.B) {
	set := readSettings(b)
	b.Run("relaxed", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(0, "ns/op") // one operation is the whole comparison: its time says nothing
			c := newLatencyComparison(b, set)
			c.ours("ingress, payments, notifier", syncDefault, natsstream.DurabilityRelaxed)
			c.asynq(tunedAsynq, "everysec", time.Millisecond, "")
			c.asynq("asynq, asks every 5 ms, the mail a task of its own", "everysec", 5*time.Millisecond, "apart")
			c.asynq("asynq, asks without a pause", "everysec", time.Nanosecond, "")
			c.compare("latency-relaxed", "Webhook to SMTP 250, an answer may precede the disk")
		}
	})
	b.Run("durable", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(0, "ns/op")
			c := newLatencyComparison(b, set)
			c.ours("ingress, payments, notifier, `DURABILITY=barrier`", syncDefault, natsstream.DurabilityBarrier)
			c.ours("ingress, payments, notifier, `sync_interval: always`", syncAlways, natsstream.DurabilityServer)
			c.asynq(tunedAsynq, "always", time.Millisecond, "")
			c.asynq("asynq, asks without a pause", "always", time.Nanosecond, "")
			c.compare("latency-durable", "Webhook to SMTP 250, an answer means that the event is on the disk")
		}
	})
}

// latencies are what one window of one candidate gave.
type latencies struct {
	took   []time.Duration // of each webhook that counts, sorted
	cpu    []time.Duration // of its processes, from the first webhook to the last mail
	mails  int
	stages map[string][]time.Duration // sorted; for ours alone
}

// cpuPer1k is the processor time of all processes for 1,000 webhooks, in seconds, cpuOf that of one of them.
func (l latencies) cpuPer1k() float64 {
	sum := 0.0
	for n := range l.cpu {
		sum += l.cpuOf(n)
	}
	return sum
}

func (l latencies) cpuOf(n int) float64 { return l.cpu[n].Seconds() / float64(l.mails) * 1000 }

// quantile returns the figure of a part, in per mille, of those that count, in milliseconds.
func quantile(perMille int) func(latencies) float64 {
	return func(l latencies) float64 { return atQuantile(l.took, perMille) }
}

func atQuantile(sorted []time.Duration, perMille int) float64 {
	return milliseconds(sorted[min(len(sorted)*perMille/1000, len(sorted)-1)])
}

// latencyComparison is the candidates of one class.
type latencyComparison struct {
	b     *testing.B
	set   settings
	paid  template // the event that pays a quote
	count int      // of webhooks in a window
	all   []*latencyCandidate
}

const oursParts = "ingress / payments / notifier / NATS / Redis"

// latencyCandidate is one of those compared.
type latencyCandidate struct {
	name  string
	mine  bool
	parts string // its processes, in the order in which their processor time is given
	run   func() latencies
	given []latencies
}

func newLatencyComparison(b *testing.B, set settings) *latencyComparison {
	b.Helper()
	return &latencyComparison{b: b, set: set, paid: templateOf(checkoutCompleted(b)), count: int(set.latency.Seconds()*webhookRate) + warmHooks}
}

// ours adds the three services as they are shipped, each with its defaults.
func (c *latencyComparison) ours(name string, how syncMode, durability string) {
	c.all = append(c.all, &latencyCandidate{name: name, mine: true, parts: oursParts, run: func() latencies { return c.runOurs("", how, durability) }})
	if c.set.base != "" {
		c.all = append(c.all, &latencyCandidate{
			name: "before: " + name, mine: true, parts: oursParts, run: func() latencies { return c.runOurs(c.set.base, how, durability) },
		})
	}
}

func (c *latencyComparison) runOurs(base string, how syncMode, durability string) latencies {
	c.b.Helper()
	s := &stage{tb: c.b, nats: startNATS(c.b, how), redis: redistest.Start(c.b), backlog: backlog{quotes: c.count}}
	defer s.nats.drop()
	defer s.redis.Stop()
	s.cache = s.redis.Client()
	mails := startMailServer(c.b)
	common := []string{
		"NATS_URL=" + s.nats.url, "NATS_MONITOR_URL=" + s.nats.monitor, "NATS_STORE_DIR=" + s.nats.store, "DURABILITY=" + durability,
		"REDIS_URL=" + s.redis.URL, "MODE=" + event.ModeTest,
	}
	ready := func(name, variable string, more ...string) *process {
		addr := freeaddr.New(c.b)
		return startService(c.b, name, base, "http://"+addr+"/readyz", slices.Concat(common, more, []string{variable + "=" + addr})...)
	}
	payments := ready("payments", "PAYMENTS_ADDR")
	defer payments.stop()
	s.backlog.storeQuotes(c.b, s.nats.log)
	notify := ready("notifier", "NOTIFIER_ADDR", "SMTP_URL=smtp://"+mails.addr, "MAIL_FROM=Quittance <quittance@seller.example>")
	defer notify.stop()
	address := freeaddr.New(c.b)
	ingress := ready("ingress", "INGRESS_ADMIN_ADDR", "INGRESS_ADDR="+address, "STRIPE_WEBHOOK_SECRETS="+secretSetting)
	defer ingress.stop()
	settled := func() error {
		return natstest.Settled(c.b.Context(), s.nats.log,
			natstest.Consumer{Stream: event.StreamStripe, Durable: natsstream.DurablePayments},
			natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurablePayments},
			natstest.Consumer{Stream: event.StreamQuotes, Durable: natsstream.DurableNotifier})
	}
	processtest.Eventually(c.b, time.Minute, "the quotes are known", func() error { return s.left(event.StreamQuotes) })
	hooks, l := c.measure(address, mails, settled, ingress.pid(), payments.pid(), notify.pid(), s.nats.proc.pid(), processOf(c.b, s.cache))
	l.stages = c.stages(s.nats.log, hooks, mails)
	return l
}

// asynq adds a receiver and a worker that use asynq; see asynqMailer. It asks an empty queue for tasks at these times.
func (c *latencyComparison) asynq(name, fsync string, poll time.Duration, apart string) {
	c.all = append(c.all, &latencyCandidate{name: name, parts: "receiver / worker / Redis", run: func() latencies {
		server := redistest.Start(c.b, "--appendonly", "yes", "--appendfsync", fsync)
		defer server.Stop()
		cache := server.Client()
		c.storeOwners(cache)
		mails := startMailServer(c.b)
		env := []string{"REDIS_URL=" + server.URL, "SMTP_ADDR=" + mails.addr, "BENCH_POLL=" + poll.String(), "BENCH_APART=" + apart}
		worker, _ := startRole(c.b, "asynq-mailer", env...)
		defer worker.stop()
		receiver, address := startRole(c.b, "asynq", env...)
		defer receiver.stop()
		q := queue{asynq.NewClient(asynqOption(server.URL)), asynq.NewInspector(asynqOption(server.URL))}
		defer q.client.Close()
		defer q.inspector.Close()
		_, l := c.measure(address, mails, q.left, receiver.pid(), worker.pid(), processOf(c.b, cache))
		return l
	}})
}

func (c *latencyComparison) storeOwners(cache redis.UniversalClient) {
	c.b.Helper()
	pipe := cache.Pipeline()
	for i := range c.count {
		pipe.Set(c.b.Context(), ownerKey(quoteID(i)), ownerOf(i), 0)
	}
	if _, err := pipe.Exec(c.b.Context()); err != nil {
		c.b.Fatal(err)
	}
}

// measure sends the webhooks and waits until nothing is left to do; then each quote must have got its one mail.
func (c *latencyComparison) measure(address string, mails *mailServer, settled func() error, pids ...int) ([]hook, latencies) {
	c.b.Helper()
	used := func() (all []time.Duration) {
		for _, pid := range pids {
			all = append(all, cpu(c.b, pid))
		}
		return all
	}
	before := used()
	hooks := openLoop(c.b, address, c.paid, c.count, webhookRate)
	processtest.Eventually(c.b, time.Minute, "all mails are accepted", func() error {
		if n := mails.count(); n < c.count {
			return fmt.Errorf("%d of %d are", n, c.count)
		}
		return nil
	})
	l := latencies{mails: c.count, cpu: used()}
	for n := range pids {
		l.cpu[n] -= before[n]
	}
	processtest.Eventually(c.b, time.Minute, "nothing is left to do", settled) // nor a second mail to be sent
	for i, h := range hooks {
		took := mails.one(c.b, ownerOf(i)).accepted.Sub(h.due)
		if i >= warmHooks {
			l.took = append(l.took, took)
		}
	}
	slices.Sort(l.took)
	return hooks, l
}

// The stages of ours, in order. All but the first begin where the one before ends.
const (
	stageAnswer  = "ingress has answered, from the time at which the webhook was due"
	stageSend    = "the webhook goes out late"
	stageStore   = "ingress, NATS: the event is in the log"
	stageSettle  = "payments: folded, committed in Redis, `quote.paid` is in the log"
	stageFetch   = "notifier: has it, and has read the quote"
	stageClaim   = "notifier: letter, “sending” in the ledger"
	stageDeliver = "mail server: from MAIL to 250"
)

var stageOrder = []string{stageAnswer, stageSend, stageStore, stageSettle, stageFetch, stageClaim, stageDeliver}

// stages tells where the time went, by the clocks of all who wrote something down: JetStream notes when it takes a message
// (before it writes and syncs it), the mail's entry in the ledger when it was made. All are on one machine.
func (c *latencyComparison) stages(log *natsstream.Log, hooks []hook, mails *mailServer) map[string][]time.Duration {
	c.b.Helper()
	ledger, err := log.JetStream().KeyValue(c.b.Context(), event.BucketMail)
	if err != nil {
		c.b.Fatal(err)
	}
	stages := map[string][]time.Duration{}
	for i := warmHooks; i < len(hooks); i++ {
		h, mail := hooks[i], mails.one(c.b, ownerOf(i))
		id, _ := c.paid.stamped(stampOf(i))
		stored := storedAt(c.b, log, event.StreamStripe, event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: id, Type: c.paid.typ}.String())
		paid := storedAt(c.b, log, event.StreamQuotes, event.QuoteSubject{Event: event.NamePaid, Seller: "main", Quote: quoteID(i), N: "1"}.String())
		claimed := c.claimedAt(ledger, i)
		stages[stageAnswer] = append(stages[stageAnswer], h.answered.Sub(h.due))
		at := h.due.Round(0) // the wall clock, which the others read, too
		for n, next := range []time.Time{h.sent, stored, paid, claimed, mail.begun, mail.accepted} {
			next = next.Round(0)
			stages[stageOrder[n+1]] = append(stages[stageOrder[n+1]], next.Sub(at))
			at = next
		}
	}
	for _, took := range stages {
		slices.Sort(took)
	}
	return stages
}

func storedAt(tb testing.TB, log *natsstream.Log, stream, subject string) time.Time {
	tb.Helper()
	r, err := log.Read(tb.Context(), stream, subject)
	if err != nil {
		tb.Fatal(err)
	}
	return r.Time
}

func (c *latencyComparison) claimedAt(ledger jetstream.KeyValue, i int) time.Time {
	c.b.Helper()
	stored, err := ledger.Get(c.b.Context(), "main."+quoteID(i)+".1."+event.NamePaid)
	if err != nil {
		c.b.Fatal(err)
	}
	e, err := notifier.DecodeEntry(stored.Value())
	if err != nil {
		c.b.Fatal(err)
	}
	if e.State != notifier.StateSent || e.Attempts != 1 {
		c.b.Fatalf("the mail of %s is %s after %d attempts, want it sent by the first", quoteID(i), e.State, e.Attempts)
	}
	return e.FirstAt
}

// compare lets the candidates take turns and reports.
func (c *latencyComparison) compare(marker, title string) {
	c.b.Helper()
	c.all = slicesWith(c.all, func(d *latencyCandidate) bool {
		return d.mine || d.name == tunedAsynq || strings.Contains(d.name, c.set.only)
	})
	for round := range c.set.rounds {
		for i := range c.all {
			d := c.all[(i+round)%len(c.all)] // nobody always comes after the same neighbour
			l := d.run()
			progress("%s, round %d of %d: %s: p50 %.2f ms, p99 %.2f ms", marker, round+1, c.set.rounds, d.name, quantile(500)(l), quantile(990)(l))
			d.given = append(d.given, l)
		}
	}
	c.report(marker, title)
	for _, d := range c.all {
		if d.mine {
			reportStages(marker, d)
		}
	}
}

func (c *latencyComparison) report(marker, title string) {
	c.b.Helper()
	tuned := c.all[slices.IndexFunc(c.all, func(d *latencyCandidate) bool { return d.name == tunedAsynq })]
	figure := func(d *latencyCandidate, perMille int) []float64 { return each(d.given, quantile(perMille)) }
	t := summarize(marker, fmt.Sprintf("%s: an open loop, %d a second, %d rounds of %s after %d to warm up, one mail each",
		title, webhookRate, c.set.rounds, c.set.latency, warmHooks),
		"from the time at which the webhook was due, ms", "p50", "p90", "p99", "max of all", "CPU s per 1,000", "of which", "p50 × "+tuned.name, "p99 ×")
	for _, d := range c.all {
		name := d.name
		if d.mine {
			name = "**" + name + "**"
			c.b.ReportMetric(spreadOf(figure(d, 500)).median, "p50_ms")
			c.b.ReportMetric(spreadOf(figure(d, 990)).median, "p99_ms")
		}
		t.row(name, spreadOf(figure(d, 500)).format("%.2f"), spreadOf(figure(d, 900)).short("%.2f"), spreadOf(figure(d, 990)).format("%.2f"),
			fmt.Sprintf("%.1f", spreadOf(figure(d, 1000)).greatest), spreadOf(each(d.given, latencies.cpuPer1k)).format("%.2f"), d.cpuByPart(),
			ratios(figure(d, 500), figure(tuned, 500)).format("%.2f"), ratios(figure(d, 990), figure(tuned, 990)).format("%.2f"))
	}
}

// cpuByPart tells whose processor time it was.
func (d *latencyCandidate) cpuByPart() string {
	var figures []string
	for n := range d.given[0].cpu {
		figures = append(figures, spreadOf(each(d.given, func(l latencies) float64 { return l.cpuOf(n) })).short("%.2f"))
	}
	return d.parts + ": " + strings.Join(figures, " / ")
}

// reportStages tells of all rounds of one candidate together.
func reportStages(marker string, d *latencyCandidate) {
	all := map[string][]time.Duration{}
	for _, l := range d.given {
		for name, took := range l.stages {
			all[name] = append(all[name], took...)
		}
	}
	t := summarize(marker, "Where the time goes: "+d.name, d.name+": ms", "p50", "p90", "p99")
	for _, name := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return slices.Index(stageOrder, a) - slices.Index(stageOrder, b) }) {
		took := all[name]
		slices.Sort(took)
		t.row(name, fmt.Sprintf("%.2f", atQuantile(took, 500)), fmt.Sprintf("%.2f", atQuantile(took, 900)), fmt.Sprintf("%.2f", atQuantile(took, 990)))
	}
}
