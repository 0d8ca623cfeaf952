package bench_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/operator/scenario"
)

const (
	amount   = 123450
	currency = "eur"
	// together is how many quotes are being paid at one time: their events arrive mixed.
	together = 64
)

// mix is what happens to every sixteen quotes: about eight events each.
var mix = []string{
	"paid", "subscription", "paid", "bank-debit", "paid", "subscription", "paid", "refund",
	"paid", "subscription", "paid", "dispute-lost", "subscription", "paid", "bank-debit-failed", "subscription",
}

// stampLen is the length of the part that tells one quote's identifiers from another's: the last digits of each of them.
const stampLen = 6

// identifiers finds, in the events of the quote q_bench000000, what must differ in those of another quote.
var identifiers = regexp.MustCompile(`\b(?:q_bench|evt_|req_|cs_test_a1|pi_3|ch_3|py_3|cus_|pm_1|in_1|sub_1|si_|il_1|price_1|prod_|txn_[13]|re_3|du_1)[0-9A-Za-z]{6,}`)

// template is an event to be stamped with a quote's number. Rendering each event anew would take longer than the benchmark.
type template struct {
	id, typ string
	body    []byte
	stamps  []int // where in body
}

func templateOf(e scenario.Event) template {
	t := template{id: e.ID, typ: e.Type, body: e.Body}
	for _, at := range identifiers.FindAllIndex(e.Body, -1) {
		t.stamps = append(t.stamps, at[1]-stampLen)
	}
	return t
}

func (t template) stamped(stamp string) (id string, body []byte) {
	body = append([]byte(nil), t.body...)
	for _, at := range t.stamps {
		copy(body[at:], stamp)
	}
	return t.id[:len(t.id)-stampLen] + stamp, body
}

// backlog is what waits for a worker: quotes, and the events of their payments.
type backlog struct {
	quotes    int
	events    int
	paidFacts int // quote.paid that must be in the log at the end
	bursts    []burst
}

type burst struct {
	events []template
	status string
}

func newBacklog(tb testing.TB, quotes int) backlog {
	tb.Helper()
	bl := backlog{quotes: quotes}
	for _, name := range mix {
		s, ok := scenario.Find(name)
		if !ok {
			tb.Fatalf("no scenario %s", name)
		}
		target := scenario.Target{
			Quote: quoteID(0), Seller: "main", Revision: 1, Title: "Consulting", Amount: amount, Currency: currency,
			CustomerName: "Jan Nowak", CustomerEmail: "customer@buyer.example",
		}
		if name == "subscription" {
			target.Interval, target.IntervalCount = "month", 1
		}
		run, err := s.Run(target, 1, time.Now(), scenario.V20231016)
		if err != nil {
			tb.Fatal(err)
		}
		made := burst{status: run.Expect.Status}
		for _, e := range run.Events {
			made.events = append(made.events, templateOf(e))
		}
		bl.bursts = append(bl.bursts, made)
	}
	for i := range quotes {
		bl.events += len(bl.burst(i).events)
		if bl.burst(i).status != "pending" {
			bl.paidFacts++
		}
	}
	return bl
}

func (bl backlog) burst(i int) burst { return bl.bursts[i%len(bl.bursts)] }

func stampOf(i int) string { return fmt.Sprintf("%0*d", stampLen, i) }

func quoteID(i int) string { return "q_bench" + stampOf(i) }

// ownerOf is the address that the quote's mail goes to: each quote has an owner of its own.
func ownerOf(i int) string { return "ola" + stampOf(i) + "@seller.example" }

// storeQuotes writes draft and publication of every quote into the log, as the service quotes would.
func (bl backlog) storeQuotes(tb testing.TB, log *natsstream.Log) {
	tb.Helper()
	at := time.Now().UTC().Truncate(time.Second)
	document := quote.Document{
		Title: "Consulting", Deal: quote.Deal{ID: "d1", Name: "Deal"}, Currency: currency,
		LineItems: []quote.LineItem{{Name: "Consulting", Quantity: 1, UnitAmount: amount}},
		Owner:     quote.Owner{Name: "Ola", TimeZone: "Europe/Warsaw"},
		Contact:   quote.Contact{Email: "customer@buyer.example", FirstName: "Jan", LastName: "Nowak"},
	}
	var messages []natsstream.Message
	add := func(name, id string, data any) {
		s := event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: "1"}
		e, err := event.New(s, event.SourceQuotes, at, data)
		if err != nil {
			tb.Fatal(err)
		}
		messages = append(messages, natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Encode()})
	}
	for i := range bl.quotes {
		id := quoteID(i)
		document.Owner.Email = ownerOf(i)
		add("drafted", id, event.Drafted{Seller: "main", QuoteID: id, Version: 1, Document: document, DraftedAt: at})
		add("published", id, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Document: document, Amount: amount, Currency: currency,
			Account: event.Platform, Mode: event.ModeTest, PublishedAt: at, URLToken: "token" + stampOf(i),
		})
		if len(messages) >= 2000 || i == bl.quotes-1 {
			store(tb, log, messages)
			messages = messages[:0]
		}
	}
}

// storeRevisions writes into Redis what payments would have made of the publications, for a worker that reads no quotes.
func (bl backlog) storeRevisions(tb testing.TB, cache redis.UniversalClient, keys redisquote.Keys) {
	tb.Helper()
	pipe := cache.Pipeline()
	for i := range bl.quotes {
		facts := quote.RevisionFacts(quote.Revision{
			Seller: "main", Number: 1, Amount: quote.Money{Amount: amount, Currency: currency}, Account: event.Platform,
			Mode: event.ModeTest, Deal: "d1", PublishedAt: time.Now().Truncate(time.Second),
		})
		pipe.HSet(tb.Context(), keys.Pay(event.Platform, quoteID(i)),
			redisquote.FieldFacts, facts.Encode(), redisquote.FieldDigest, facts.Digest(), redisquote.FieldStatus, "pending")
	}
	if _, err := pipe.Exec(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// storeEvents writes the events into the log as ingress would.
func (bl backlog) storeEvents(tb testing.TB, log *natsstream.Log) {
	tb.Helper()
	bl.inTurn(func(messages []natsstream.Message) { store(tb, log, messages) })
}

// inTurn hands out the events in the order of their arrival, some thousands at a time: each group of quotes shuffled together.
func (bl backlog) inTurn(take func([]natsstream.Message)) {
	type waiting struct {
		template
		stamp string
	}
	r := rand.New(rand.NewPCG(1, 2))
	var messages []natsstream.Message
	for first := 0; first < bl.quotes; first += together {
		var group []waiting
		for i := first; i < min(first+together, bl.quotes); i++ {
			for _, t := range bl.burst(i).events {
				group = append(group, waiting{t, stampOf(i)})
			}
		}
		r.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
		for _, w := range group {
			messages = append(messages, received(w.template, w.stamp))
		}
		if len(messages) >= 2000 || first+together >= bl.quotes {
			take(messages)
			messages = messages[:0]
		}
	}
}

// received is an event as ingress stores it.
func received(t template, stamp string) natsstream.Message {
	id, body := t.stamped(stamp)
	sum := sha256.Sum256(body)
	sha := hex.EncodeToString(sum[:])
	return natsstream.Message{
		Subject: event.StripeSubject{Mode: event.ModeTest, Account: event.Platform, EventID: id, Type: t.typ}.String(),
		ID:      id, Data: body, Header: nats.Header{
			event.HeaderReceivedAt: {time.Now().UTC().Format(time.RFC3339Nano)}, event.HeaderSecretName: {"bench"},
			event.HeaderSource: {event.SourceWebhook}, event.HeaderBodySHA256: {sha},
			event.HeaderTraceParent: {"00-" + sha[:32] + "-" + sha[32:48] + "-00"}, event.HeaderAPIVersion: {string(scenario.V20231016)},
		},
	}
}

func store(tb testing.TB, log *natsstream.Log, messages []natsstream.Message) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	for i, r := range log.Facts(ctx, messages) {
		if r.Err != nil || r.Stored.Taken {
			tb.Fatalf("store %s: taken %t, %v", messages[i].Subject, r.Stored.Taken, r.Err)
		}
	}
}

// wantSettled checks every quote's status, and that the log holds one quote.paid for each that was paid.
func (bl backlog) wantSettled(tb testing.TB, log *natsstream.Log, cache redis.UniversalClient) {
	tb.Helper()
	keys := redisquote.NewKeys(redisquote.Generation)
	const together = 10_000
	for first := 0; first < bl.quotes; first += together {
		pipe := cache.Pipeline()
		var statuses []*redis.StringCmd
		for i := first; i < min(first+together, bl.quotes); i++ {
			statuses = append(statuses, pipe.HGet(tb.Context(), keys.Pay(event.Platform, quoteID(i)), redisquote.FieldStatus))
		}
		if _, err := pipe.Exec(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		for n, s := range statuses {
			if i := first + n; s.Val() != bl.burst(i).status {
				tb.Fatalf("status of %s (%s) is %q, want %q", quoteID(i), mix[i%len(mix)], s.Val(), bl.burst(i).status)
			}
		}
	}
	stream, err := log.JetStream().Stream(tb.Context(), event.StreamQuotes)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute) // the names of millions of subjects come in pages
	defer cancel()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("quote.paid.>"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(info.State.Subjects) != bl.paidFacts {
		tb.Fatalf("%s quote.paid in the log, want %d", strconv.Itoa(len(info.State.Subjects)), bl.paidFacts)
	}
}
