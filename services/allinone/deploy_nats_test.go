package allinone_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/operations/replay"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/env"
	"quittance.internal/libs/platform/natsstream"
)

const deployDir = "../../deploy"

func TestAllinoneGivesItsServicesTheDeployedRights(t *testing.T) {
	if readFile(t, deployDir, "nats/users.conf") != readFile(t, "users.conf") {
		t.Errorf("services/allinone/users.conf differs from deploy/nats/users.conf: copy one over the other")
	}
}

// Each service can do its own work with nothing but its own rights: these are the calls that its code makes.
func TestEachServiceCanDoItsWork(t *testing.T) {
	d := declared(t)
	ctx := t.Context()
	ing, pay, not, quo := d.log(t, "ingress"), d.log(t, "payments"), d.log(t, "notifier"), d.log(t, "quotes")
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fact := func(l *natsstream.Log, m natsstream.Message) {
		t.Helper()
		m.ID, m.Data = m.Subject, []byte("{}")
		for _, taken := range []bool{false, true} { // the second is answered as taken
			got, err := l.Fact(ctx, m)
			if err != nil || got.Taken != taken {
				t.Errorf("Fact(%s) = %+v, %v, want taken %t", m.Subject, got, err, taken)
			}
		}
	}

	const stripe = "stripe.test.platform.evt_1.checkout.session.completed"
	must("ingress looks its stream up", natsstream.Check(ctx, ing.JetStream(), event.StreamStripe))
	fact(ing, natsstream.Message{Subject: stripe})
	_, err := ing.Read(ctx, event.StreamStripe, stripe)
	must("ingress reads a taken id back", err)

	must("quotes looks its streams up", natsstream.Check(ctx, quo.JetStream(), event.StreamQuotes, event.StreamSellers, event.StreamDead, event.StreamTimers))
	for _, name := range []string{"drafted", "published"} {
		s := event.QuoteSubject{Event: name, Seller: "main", Quote: "q_1", N: "1"}.String()
		_, err = quo.Command(ctx, natsstream.Message{Subject: s, ID: s, Data: []byte("{}")}, s, 0)
		must("quotes publishes "+s, err)
	}
	_, err = quo.ReadAll(ctx, event.StreamQuotes, event.QuoteFilter("main", "q_1"))
	must("quotes folds an aggregate", err)
	last := uint64(0)
	for _, name := range []string{event.NamePlanSet, event.NameSeatSet, event.NameAuthorized, event.NameConnected, event.NameDeauthorized} {
		stored, err := quo.Command(ctx, natsstream.Message{Subject: event.SellerSubject(name, "main", "1"), Data: []byte("{}")}, event.SellerFilter("main"), last)
		must("quotes publishes a seller's "+name, err)
		last = stored.Sequence
	}
	_, err = quo.ReadAll(ctx, event.StreamSellers, event.SellerFilter("main"))
	must("quotes folds a seller", err)
	must("quotes plans a timer", quo.Schedule(ctx, event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_1", Revision: 1}, time.Unix(0, 0)))
	for _, name := range []string{event.NameExpired, event.NameExpiring} {
		s := event.QuoteSubject{Event: name, Seller: "main", Quote: "q_1", N: "1"}.String()
		_, err = quo.Command(ctx, natsstream.Message{Subject: s, ID: s, Data: []byte("{}")}, s, 0)
		must("quotes publishes "+s, err)
	}
	for _, name := range []string{event.NameCheckoutRequested, event.NameCheckoutOpened} {
		s := event.QuoteSubject{Event: name, Seller: "main", Quote: "q_1", N: "1_1"}.String()
		_, err = quo.Command(ctx, natsstream.Message{Subject: s, ID: s, Data: []byte("{}")}, s, 0)
		must("quotes publishes "+s, err)
	}

	entries := journal.New(d.log(t, "operator"), time.Now)
	must("operator looks the journal up", entries.Ready(ctx))
	plans, err := replay.OpenStore(ctx, d.log(t, "operator"))
	must("operator looks up the plans of replays", err)
	_, err = plans.List(ctx)
	must("operator lists the plans of replays", err)
	_, err = entries.Append(ctx, journal.Entry{Action: "replay", Who: "operator"})
	must("operator writes the journal", err)

	_, err = journal.New(quo, time.Now).Append(ctx, journal.Entry{Action: "connect_refused", Who: "sue", Target: "main"})
	must("quotes enters a refusal in the journal", err)

	must("payments looks its streams up", natsstream.Check(ctx, pay.JetStream(), event.StreamStripe, event.StreamQuotes, event.StreamSellers, event.StreamDead))
	system, err := pay.JetStream().KeyValue(ctx, event.BucketSystem)
	must("payments opens SYSTEM", err)
	_, err = system.Put(ctx, "redis.identity", []byte("{}"))
	must("payments writes SYSTEM", err)
	_, err = system.Get(ctx, "redis.identity")
	must("payments reads SYSTEM", err)
	_, err = pay.LatestGeneration(ctx)
	must("payments asks which generation of Redis is in use", err)
	_, err = quo.Generation(ctx)
	must("quotes asks which generation of Redis is in use", err)
	fact(pay, natsstream.Message{Subject: "quote.paid.main.q_1.1", Absent: "quote.published.main.q_1.2"})
	fact(pay, natsstream.Message{Subject: "quote.refunded.main.q_1.pi_1"})
	fact(pay, natsstream.Message{Subject: event.SellerSubject(event.NameAccountUpdated, "acct_1", "evt_1")})
	fact(pay, natsstream.Message{Subject: event.SellerSubject(event.NameAccountDeauthorized, "acct_1", "evt_2")})
	_, err = pay.Scan(ctx, event.StreamStripe, 1, 10)
	must("payments scans STRIPE", err)
	_, err = pay.SequenceAt(ctx, event.StreamQuotes, time.Unix(0, 0))
	must("payments finds a time in QUOTES", err)
	_, err = pay.ReadSequence(ctx, event.StreamStripe, 1)
	must("payments reads a message again", err)
	for _, stream := range []string{event.StreamStripe, event.StreamQuotes} {
		takeOne(t, pay, stream, natsstream.DurablePayments)
	}
	dead := natsstream.DeadLetter{Consumer: "payments", Record: natsstream.Record{Stream: event.StreamStripe, Sequence: 1}, Reason: "test"}
	must("payments sets a message aside", pay.SetAside(ctx, dead))

	must("notifier looks its streams up", natsstream.Check(ctx, not.JetStream(), event.StreamQuotes, event.StreamDead))
	ledger, err := not.JetStream().KeyValue(ctx, event.BucketMail)
	must("notifier opens MAIL", err)
	rev, err := ledger.Create(ctx, "main.q_1.1.paid", []byte("claimed"))
	must("notifier claims a mail", err)
	_, err = ledger.Update(ctx, "main.q_1.1.paid", []byte("sent"), rev)
	must("notifier records a mail", err)
	_, err = not.Read(ctx, event.StreamQuotes, "quote.published.main.q_1.1")
	must("notifier reads the revision", err)
	takeOne(t, not, event.StreamQuotes, natsstream.DurableNotifier)
	takeOne(t, not, event.StreamQuotes, natsstream.DurableReminders)
	takeOne(t, quo, event.StreamQuotes, natsstream.DurableCustomers)
	takeOne(t, quo, event.StreamQuotes, natsstream.DurablePlanner)
	takeOne(t, quo, event.StreamTimers, natsstream.DurableTimers)
	dead.Consumer, dead.Record.Stream = "notifier", event.StreamQuotes
	must("notifier sets a message aside", not.SetAside(ctx, dead))
	dead.Consumer = natsstream.DurableReminders
	must("notifier sets a reminder aside", not.SetAside(ctx, dead))
	for _, durable := range []string{natsstream.DurableCustomers, natsstream.DurablePlanner, natsstream.DurableTimers} {
		dead.Consumer = durable
		must("quotes sets a message of "+durable+" aside", quo.SetAside(ctx, dead))
	}

	for user, k := range map[string]deadletter.Key{
		"payments": {Consumer: "payments", Stream: event.StreamStripe, Sequence: 1}, "notifier": {Consumer: "notifier", Stream: event.StreamQuotes, Sequence: 1},
		"quotes": {Consumer: "customers", Stream: event.StreamQuotes, Sequence: 1},
	} {
		nc := d.connect(t, user)
		handler := func(context.Context, natsstream.Record, int) (string, error) { return "done", nil }
		serve, stop := context.WithCancel(ctx)
		server := &deadletter.Server{
			Service: user, Handlers: map[string]deadletter.Handler{k.Consumer: handler}, NATS: nc, Log: d.log(t, user), Logger: zaptest.NewLogger(t), Now: time.Now,
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(serve) }()
		for deadline := time.Now().Add(20 * time.Second); ; {
			a, err := deadletter.Ask(ctx, d.connect(t, "operator"), deadletter.Request{Verb: deadletter.VerbRetry, Key: k, Who: "x", Why: "y"})
			if errors.Is(err, deadletter.ErrNobody) && time.Now().Before(deadline) {
				continue // it has not subscribed yet
			}
			must(user+" tries a dead letter again", err)
			if a.Error != "" || a.Letter.State != deadletter.Resolved {
				t.Errorf("%s tries a dead letter again: %+v", user, a)
			}
			break
		}
		stop()
		must(user+" serves", <-ended)
	}
	for _, user := range []string{"payments", "notifier", "quotes"} { // operators ask, the service answers
		nc := d.connect(t, user)
		_, err = nc.QueueSubscribe("op."+user+".ask", user, func(m *nats.Msg) { _ = m.Respond([]byte("answer")) })
		must(user+" listens to operators", err)
		must(user+" listens to operators", nc.Flush())
		_, err = d.connect(t, "operator").Request("op."+user+".ask", nil, 5*time.Second)
		must("operator asks "+user, err)
	}

	pages, err := d.connect(t, "quotes").SubscribeSync(event.LiveSubject(event.NamePaid))
	must("quotes listens to live copies", err)
	must("quotes listens to live copies", pages.SetPendingLimits(16, -1))
	live, err := d.connect(t, "subscriber_example").SubscribeSync("quote.paid")
	must("subscriber listens to live copies", err)
	must("subscriber listens to live copies", live.SetPendingLimits(16, -1))
	takeOne(t, d.log(t, "subscriber_example"), event.StreamQuotes, "subscriber_example")
	fact(pay, natsstream.Message{Subject: "quote.paid.main.q_2.1"})
	_, err = live.NextMsg(5 * time.Second)
	must("subscriber gets a live copy", err)
	_, err = pages.NextMsg(5 * time.Second)
	must("quotes gets a live copy", err)
}

// takeOne takes one message from a durable and acknowledges it; the server must confirm.
func takeOne(t *testing.T, l *natsstream.Log, stream, durable string) {
	t.Helper()
	c, err := l.JetStream().Consumer(t.Context(), stream, durable)
	if err != nil {
		t.Errorf("consumer %s on %s: %v", durable, stream, err)
		return
	}
	m, err := c.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Errorf("next of %s on %s: %v", durable, stream, err)
		return
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Errorf("ack of %s on %s: %v", durable, stream, err)
	}
}

// users of deploy/nats/users.conf.
var users = []string{"ingress", "payments", "notifier", "quotes", "console", "operator", "subscriber_example"}

// Every user against every kind of subject: what is not a service's own work is refused.
func TestNobodyMayDoAnothersWork(t *testing.T) {
	d := declared(t)
	type probe struct {
		subject string
		may     []string
	}
	probes := []probe{
		{"stripe.test.platform.evt_9.x", []string{"ingress"}},
		{"quote.paid.main.q_9.1", []string{"payments"}},
		{"quote.refunded.main.q_9.pi_9", []string{"payments"}},
		{"quote.drafted.main.q_9.1", []string{"quotes"}},
		{"quote.published.main.q_9.1", []string{"quotes"}},
		{"quote.recalled.main.q_9.1", []string{"quotes"}},
		{"quote.checkout_requested.main.q_9.1_1", []string{"quotes"}},
		{"dead.customers.QUOTES.9.1", []string{"quotes"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.customers", []string{"quotes", "operator"}},
		{"dead.payments.STRIPE.9.1", []string{"payments"}},
		{"deadstate.payments.STRIPE.9.1", []string{"payments"}},
		{"deadstate.notifier.QUOTES.9.1", []string{"notifier"}},
		{"deadstate.reminders.QUOTES.9.1", []string{"notifier"}},
		{"deadstate.customers.QUOTES.9.1", []string{"quotes"}},
		{"deadstate.planner.QUOTES.9.1", []string{"quotes"}},
		{"deadstate.timers.TIMERS.9.1", []string{"quotes"}},
		{"op.quotes.dead", []string{"console", "operator"}},
		{"dead.notifier.QUOTES.9.1", []string{"notifier"}},
		{"$KV.MAIL.x", []string{"notifier", "operator"}},
		{"$KV.SYSTEM.x", []string{"payments", "operator"}},
		{"$KV.REPLAYS.x", []string{"console", "operator"}},
		{"seller.connected.main.9", []string{"quotes"}},
		{"journal.connect_refused", []string{"quotes", "console", "operator"}},
		{"seller.account_updated.acct_1.evt_9", []string{"payments"}},
		{"seller.account_deauthorized.acct_1.evt_9", []string{"payments"}},
		{"journal.replay", []string{"console", "operator"}},
		{"$JS.API.DIRECT.GET.JOURNAL.journal.*", []string{"quotes", "console", "operator"}},
		{"timer.x", nil},
		{"timer.at.expiry.main.q_9.1", []string{"quotes"}},
		{"timer.due.expiry.main.q_9.1", nil}, // what is due, the server alone says
		{"quote.expired.main.q_9.1", []string{"quotes"}},
		{"quote.expiring.main.q_9.1", []string{"quotes"}},
		{"dead.timers.TIMERS.9.1", []string{"quotes"}},
		{"dead.reminders.QUOTES.9.1", []string{"notifier"}},
		{"$JS.API.CONSUMER.MSG.NEXT.TIMERS.timers", []string{"quotes", "operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.planner", []string{"quotes", "operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.reminders", []string{"notifier", "operator"}},
		{"$JS.API.STREAM.INFO.TIMERS", []string{"quotes", "operator"}},
		{"op.payments.replay", []string{"console", "operator"}},
		{"quote.paid", nil}, // a live copy comes from the server alone
		{"other.subject", nil},
		{"_INBOX_operator.x", nil},
		{"$SYS.REQ.SERVER.PING", nil},
		{"$JS.API.INFO", []string{"operator"}},
		{"$JS.API.STREAM.NAMES", []string{"operator"}},
		{"$JS.API.STREAM.CREATE.PROBE", []string{"operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.STRIPE.payments", []string{"payments", "operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.payments", []string{"payments", "operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.notifier", []string{"notifier", "operator"}},
		{"$JS.API.CONSUMER.MSG.NEXT.QUOTES.subscriber_example", []string{"subscriber_example", "operator"}},
		{"$JS.ACK.STRIPE.payments.1.1.1.1.0", []string{"payments", "operator"}},
		{"$JS.ACK.QUOTES.notifier.1.1.1.1.0", []string{"notifier", "operator"}},
		{"$JS.ACK.QUOTES.subscriber_example.1.1.1.1.0", []string{"subscriber_example", "operator"}},
		{"$JS.API.STREAM.INFO.STRIPE", []string{"ingress", "payments", "console", "operator"}},
		{"$JS.API.STREAM.INFO.QUOTES", []string{"payments", "notifier", "quotes", "console", "operator"}},
		{"$JS.API.CONSUMER.LIST.QUOTES", []string{"console", "operator"}},
		{"$JS.API.CONSUMER.INFO.QUOTES.subscriber_example", []string{"subscriber_example", "console", "operator"}},
		{"$JS.API.CONSUMER.CREATE.KV_MAIL.x", []string{"operator"}},
		{"$JS.API.STREAM.INFO.SELLERS", []string{"payments", "quotes", "operator"}},
		{"$JS.API.DIRECT.GET.SELLERS", []string{"quotes", "operator"}},
		{"$JS.API.STREAM.INFO.KV_MAIL", []string{"notifier", "console", "operator"}},
		{"$JS.API.DIRECT.GET.STRIPE", []string{"ingress", "payments", "quotes", "console", "operator"}},
		{"$JS.API.DIRECT.GET.QUOTES", []string{"payments", "notifier", "quotes", "console", "operator"}},
		{"$JS.API.DIRECT.GET.KV_MAIL", []string{"notifier", "console", "operator"}},
		{"$JS.API.DIRECT.GET.KV_SYSTEM", []string{"payments", "operator"}},
		// Where a leader must answer: which generation of Redis is written, and what a replica cannot read.
		{"$JS.API.STREAM.MSG.GET.KV_SYSTEM", []string{"payments", "console", "operator"}},
		{"$JS.API.STREAM.MSG.GET.STRIPE", []string{"payments", "operator"}},
		{"$JS.API.STREAM.MSG.GET.QUOTES", []string{"payments", "operator"}},
		{"$JS.API.DIRECT.GET.KV_SYSTEM.$KV.SYSTEM.redis.generation", []string{"payments", "quotes", "console", "operator"}},
		{"$JS.API.DIRECT.GET.KV_SYSTEM.$KV.SYSTEM.redis.identity", []string{"payments", "operator"}},
		{"$JS.API.DIRECT.GET.KV_SYSTEM.$KV.SYSTEM.reconcile", []string{"payments", "quotes", "console", "operator"}},
		{"$KV.SYSTEM.reconcile", []string{"payments", "quotes", "operator"}},
		{"$JS.API.DIRECT.GET.KV_SYSTEM.$KV.SYSTEM.reconcile.run", []string{"payments", "quotes", "console", "operator"}},
		{"$KV.SYSTEM.reconcile.run", []string{"payments", "quotes", "operator"}},
		{"op.quotes.reconcile", []string{"console", "operator"}},
		{"op.notifier.preview", []string{"console", "operator"}},
		{"journal.reconcile_report", []string{"quotes", "console", "operator"}},
		{"journal.reconcile_repair", []string{"quotes", "console", "operator"}},
		{"$KV.SYSTEM.redis.generation", []string{"payments", "operator"}},
	}
	// What destroys or rebuilds is operator's alone, on every stream. operator is tried on a stream that does not exist.
	for _, stream := range []string{"STRIPE", "QUOTES", "SELLERS", "DEAD", "TIMERS", "JOURNAL", "KV_MAIL", "KV_SYSTEM", "KV_REPLAYS", "PROBE"} {
		for _, verb := range []string{"STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.MSG.GET", "STREAM.SNAPSHOT", "STREAM.RESTORE"} {
			subject := "$JS.API." + verb + "." + stream
			if slices.ContainsFunc(probes, func(p probe) bool { return p.subject == subject }) {
				continue // who may read at the leader stands above
			}
			probes = append(probes, probe{subject, nil})
		}
		for _, verb := range []string{"CONSUMER.CREATE", "CONSUMER.DELETE", "CONSUMER.PAUSE", "CONSUMER.RESET"} {
			probes = append(probes, probe{"$JS.API." + verb + "." + stream + ".payments", nil})
		}
	}
	for _, p := range probes {
		for _, user := range users {
			destroys := p.may == nil && strings.HasPrefix(p.subject, "$JS.API.")
			want := slices.Contains(p.may, user) || destroys && user == "operator"
			if destroys && user == "operator" && !strings.Contains(p.subject, "PROBE") {
				continue
			}
			if got := mayPublish(t, d, user, p.subject); got != want {
				t.Errorf("%s publishes %s: allowed %t, want %t", user, p.subject, got, want)
			}
		}
	}
}

// quotes may say when the server is to publish something, so it must not be able to say anything else by that.
func TestAScheduleLeadsToNoOtherStream(t *testing.T) {
	d := declared(t)
	nc := d.connect(t, "quotes")
	for target, want := range map[string]bool{
		"timer.due.expiry.main.q_9.1": true, "quote.paid.main.q_9.1": false, "stripe.test.platform.evt_9.x": false, "journal.replay": false,
		"$KV.MAIL.x": false, "$JS.API.STREAM.PURGE.QUOTES": false, "op.payments.replay": false,
	} {
		m := nats.NewMsg("timer.at.expiry.main.q_9.1")
		m.Header.Set("Nats-Schedule", "@at 2100-01-01T00:00:00Z")
		m.Header.Set("Nats-Schedule-Target", target)
		res, err := nc.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := !strings.Contains(string(res.Data), `"error"`); got != want {
			t.Errorf("a schedule for %s is taken: %t, want %t: %s", target, got, want, res.Data)
		}
	}
}

func TestNobodyMayListenToAnother(t *testing.T) {
	d := declared(t)
	for subject, may := range map[string][]string{
		">": nil, "stripe.>": nil, "$JS.API.>": nil, "$JS.EVENT.>": nil, "_INBOX.>": nil, "$KV.>": nil,
		"quote.>":                     {"operator"},
		"quote.*":                     {"operator"},
		"quote.paid":                  {"quotes", "subscriber_example", "operator"},
		"quote.recalled":              {"quotes", "operator"},
		"quote.drafted":               {"operator"},
		"quote.paid.>":                {"operator"},
		"op.payments.replay":          {"payments"},
		"op.notifier.resend":          {"notifier"},
		"op.notifier.preview":         {"notifier"},
		"op.quotes.dead":              {"quotes"},
		"op.quotes.reconcile":         {"quotes"},
		"_INBOX_ingress.>":            {"ingress"},
		"_INBOX_payments.>":           {"payments"},
		"_INBOX_operator.>":           {"operator"},
		"_INBOX_subscriber_example.>": {"subscriber_example"},
	} {
		for _, user := range users {
			want := slices.Contains(may, user)
			if got := maySubscribe(t, d, user, subject); got != want {
				t.Errorf("%s subscribes %s: allowed %t, want %t", user, subject, got, want)
			}
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	d := startDeployedNATS(t, prepareSecrets(t))
	for _, url := range []string{
		d.srv.ClientURL(),
		strings.Replace(d.srv.ClientURL(), "nats://", "nats://ingress:wrong@", 1),
		strings.Replace(d.url(t, "ingress"), "ingress:", "operator:", 1), // one service's password opens no other's door
	} {
		_, err := natsstream.Connect(t.Context(), natsstream.Config{URL: env.NewSecret(url), Name: "stranger"}, zaptest.NewLogger(t))
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("Connect = %v, want %v", err, nats.ErrAuthorization)
		}
	}
}

// quiet connects without a log: the refusals are what is looked for.
func quiet(t *testing.T, d deployedNATS, user string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(d.url(t, user), nats.CustomInboxPrefix("_INBOX_"+user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// mayPublish tries it: the server refuses before it answers the flush.
func mayPublish(t *testing.T, d deployedNATS, user, subject string) bool {
	t.Helper()
	nc := quiet(t, d, user)
	defer nc.Close()
	if err := nc.PublishRequest(subject, "_INBOX_"+user+".probe", []byte("probe")); err != nil {
		t.Fatal(err)
	}
	return allowed(t, nc)
}

func maySubscribe(t *testing.T, d deployedNATS, user, subject string) bool {
	t.Helper()
	nc := quiet(t, d, user)
	defer nc.Close()
	if _, err := nc.SubscribeSync(subject); err != nil {
		t.Fatal(err)
	}
	return allowed(t, nc)
}

func allowed(t *testing.T, nc *nats.Conn) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		t.Fatal(err)
	}
	return !errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}
