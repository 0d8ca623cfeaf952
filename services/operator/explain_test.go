package operator_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/operator/scenario"
)

type story struct {
	Quote, Card, Status string
	Revision            int
	Steps               []struct {
		Kind, Ref, Summary string
		AfterMS            float64 `json:"after_ms"`
		Detail             map[string]any
	}
}

func explain(t *testing.T, w *world, id string, more ...string) story {
	t.Helper()
	r := w.run(append([]string{"explain", id, "-o", "json"}, more...)...)
	r.want(t, 0)
	var s story
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	return s
}

func kinds(s story) []string {
	out := make([]string, len(s.Steps))
	for i, st := range s.Steps {
		out[i] = st.Kind
	}
	return out
}

// R74: no address in full.
func TestExplainTellsTheWholeStoryOfAQuote(t *testing.T) {
	w := newWorld(t, onAccount)
	w.run("simulate", "refund", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
	s := explain(t, w, "q_1042")
	if s.Quote != "q_1042" || s.Revision != 2 || s.Status != "refunded" || !strings.HasPrefix(s.Card, "Refunded: Nov 20, 2026") {
		t.Errorf("head = %+v", s)
	}
	count := map[string]int{}
	for i, st := range s.Steps {
		count[st.Kind]++
		if i > 0 && st.AfterMS < s.Steps[i-1].AfterMS {
			t.Errorf("step %d is earlier than the one before it", i)
		}
	}
	// Five of the six events say something of the payment: payment_intent.created does not.
	if count["command"] != 2 || count["webhook"] < 4 || count["webhook"] > 6 || count["log"] != count["webhook"] || count["decision"] != count["webhook"] ||
		count["event"] != 1 || count["mail"] != 1 {
		t.Errorf("steps = %v", count)
	}

	r := w.run("explain", "q_1042")
	r.want(t, 0, "Quote q_1042 revision 2  Refunded: Nov 20, 2026  1 234.50 PLN  test mode, account acct_1Seller",
		"published revision 2  1 234.50 PLN on account acct_1Seller", "secret main  source simulate", "sha256 ", "applied  pending → paid",
		"handler test", "quote.paid 2  1 234.50 PLN", "sent  to m***@seller.example  250", "<mid1@seller.example>", "+01:00")
	if strings.Contains(r.out, "maria@") || strings.Contains(r.out, "anna@") {
		t.Errorf("an address is shown:\n%s", r.out)
	}
}

// Everything in the column REF can be given to explain again.
func TestEveryPrintedReferenceCanBeExplained(t *testing.T) {
	w := newWorld(t)
	w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
	for _, st := range explain(t, w, "q_1042").Steps {
		if again := explain(t, w, st.Ref); again.Quote != "q_1042" || len(again.Steps) == 0 {
			t.Errorf("explain %s (%s) tells of quote %q in %d steps", st.Ref, st.Kind, again.Quote, len(again.Steps))
		}
	}
}

func TestExplainOfAnEventTellsWhatFollowedFromIt(t *testing.T) {
	w := newWorld(t)
	w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
	whole := explain(t, w, "q_1042")
	i := slices.IndexFunc(whole.Steps, func(st struct {
		Kind, Ref, Summary string
		AfterMS            float64 `json:"after_ms"`
		Detail             map[string]any
	},
	) bool {
		return st.Kind == "event"
	})
	settledBy, _ := whole.Steps[i].Detail["stripe_event"].(string)
	s := explain(t, w, settledBy)
	if got := strings.Join(kinds(s), " "); got != "webhook log decision event mail" && got != "webhook log event decision mail" && got != "webhook log event mail decision" {
		t.Errorf("steps of the settling event = %s", got)
	}
	if s.Steps[0].AfterMS != 0 {
		t.Errorf("the first step is %v ms after the first", s.Steps[0].AfterMS)
	}
}

func TestExplainOfAnObjectOfStripes(t *testing.T) {
	w := newWorld(t, onAccount)
	w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
	sc, _ := scenario.Find("paid")
	b, err := sc.Run(scenario.Target{Quote: "q_1042", Seller: "main", Revision: 2, Account: "acct_1Seller", Amount: 1, Currency: "pln"}, 3,
		w.published.PublishedAt, scenario.V20231016)
	if err != nil {
		t.Fatal(err)
	}
	if s := explain(t, w, b.Session, "--account", "acct_1Seller"); s.Quote != "q_1042" {
		t.Errorf("explain %s tells of %q", b.Session, s.Quote)
	}
	w.run("explain", b.Session).want(t, 5, "next: quotectl explain "+b.Session+" --account acct_")
}

func TestExplainOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.run("explain", "q_9").want(t, 5, "q_9 is neither a quote nor")
	w.run("explain", "evt_9").want(t, 5, "event evt_9 is not in the log")
	w.run("explain", "STRIPE:9").want(t, 5, "the log has no such message")
	w.run("explain", "STRIPE:x").want(t, 2, "not of the form STRIPE:88120")
	w.run("explain", "<a@b>").want(t, 5, "no mail of ours has the Message-ID <a@b>")
	w.run("explain", "q.*").want(t, 2, "is no id of ours")
}

// A Message-ID has as many dots as the sender's domain; a key of the ledger has no @.
func TestAMailIsExplainedByItsMessageIDAndByItsKey(t *testing.T) {
	s := newShelf(t)
	s.publishes("q_1042", 2)
	s.mailed("main.q_1042.2.paid", "sent", time.Now().UTC())
	for _, id := range []string{"<main.q_1042.2.paid@seller.example>", "main.q_1042.2.paid@seller.example", "main.q_1042.2.paid"} {
		s.run("explain", id).want(t, 0, "q_1042", "published revision 2")
	}
}

// What ingress stored and nobody has decided about is told as that.
func TestExplainOfAnUndecidedEvent(t *testing.T) {
	w := newWorld(t)
	w.lose = func(string) bool { return true }
	w.run("simulate", "paid", "--quote", "q_1042", "--timeout", "300ms", "--seed", "3").want(t, 3, "events decided: expected 5, got 0")
	r := w.run("explain", "STRIPE:1")
	r.want(t, 0, "webhook", "note: STRIPE:1 is not decided yet")
}

func TestExplainWithoutRedisTellsWhatTheLogKnows(t *testing.T) {
	w := newWorld(t)
	delete(w.settings, "REDIS_URL")
	w.run("explain", "q_1042").want(t, 0, "published revision 2", "note: REDIS_URL is set neither")
}

// R67: one event.
func TestReplayAsksThePaymentsWorker(t *testing.T) {
	w := newWorld(t)
	w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
	r, err := w.log.ReadSequence(t.Context(), event.StreamStripe, 2)
	if err != nil {
		t.Fatal(err)
	}
	subject, _ := event.ParseStripeSubject(r.Subject)
	w.run("replay", subject.EventID).want(t, 2, "--reason is missing")
	w.run("replay", subject.EventID, "--reason", "ticket 4711").want(t, 1, "no payments worker listens", "next: start the payments worker")

	var asked natsstream.ReplayRequest
	answer := natsstream.ReplayAnswer{Outcome: "corroborated", Recorded: "applied", Quote: "q_1042", Before: "paid", After: "paid"}
	sub, err := w.nc.Subscribe(natsstream.ReplaySubject, func(m *nats.Msg) {
		if err := json.Unmarshal(m.Data, &asked); err != nil {
			t.Error(err)
		}
		b, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		if err := m.Respond(b); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := w.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	got := w.run("replay", subject.EventID, "--reason", "ticket 4711")
	got.want(t, 0, "corroborated", "nothing changed", "STRIPE:2")
	if want := (natsstream.ReplayRequest{Stream: "STRIPE", Sequence: 2, Reason: "ticket 4711"}); !reflect.DeepEqual(asked, want) {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
	answer = natsstream.ReplayAnswer{Outcome: "applied", Quote: "q_1042", Before: "pending", After: "paid", Changed: true}
	got = w.run("replay", "STRIPE:2", "-o", "json", "--reason", "drill")
	got.want(t, 0, `"changed": true`, `"before": "pending"`)
	got.document(t)
	if !regexp.MustCompile(`"event_id": "evt_[A-Za-z0-9]+"`).MatchString(got.out) {
		t.Errorf("answer lacks the event id:\n%s", got.out)
	}
	answer = natsstream.ReplayAnswer{Error: "redis is away"}
	w.run("replay", "STRIPE:2", "--reason", "drill").want(t, 1, "replay STRIPE:2: redis is away")
	w.run("replay", "evt_9", "--reason", "drill").want(t, 5, "event evt_9 is not in the log")

	// R70: what was done, and what was tried, is in the journal.
	list := w.run("journal", "list", "--action", "replay")
	list.want(t, 0, "ticket 4711", "STRIPE:2", "pending → paid", "drill")
	w.run("journal", "list", "-o", "jsonl", "--limit", "1").want(t, 0, `"error":"replay STRIPE:2: redis is away"`)
	if n := strings.Count(list.out, "STRIPE:2"); n != 4 {
		t.Errorf("the journal has %d entries, want 4:\n%s", n, list.out)
	}
	w.run("journal", "verify").want(t, 0, "yes")
}

// R44: what the timers did is part of the story, and a reminder is no receipt.
func TestExplainTellsOfReminderAndExpiry(t *testing.T) {
	w := newWorld(t)
	p := w.published
	end := time.Date(2026, 12, 31, 22, 59, 59, 0, time.UTC)
	said := w.emit(event.QuoteSubject{Event: event.NameExpiring, Seller: p.Seller, Quote: p.QuoteID, N: "2"}, end.Add(-time.Hour), quote.Expiring{
		Seller: p.Seller, QuoteID: p.QuoteID, Revision: 2, Amount: p.Amount, Currency: p.Currency, ExpiresAt: end, RemindedAt: end.Add(-time.Hour), Mode: p.Mode, Account: p.Account,
	})
	w.emit(event.QuoteSubject{Event: event.NameExpired, Seller: p.Seller, Quote: p.QuoteID, N: "2"}, end, quote.Expired{
		Seller: p.Seller, QuoteID: p.QuoteID, Revision: 2, ExpiredAt: end,
	})
	bucket, err := w.log.JetStream().KeyValue(t.Context(), event.BucketMail)
	if err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf(`{"state":"sent","attempts":1,"first_at":%[1]q,"updated_at":%[1]q,"accepted_at":%[1]q,"message_id":"mid9@seller.example","code":250,"sequence":%d}`,
		time.Now().UTC().Format(time.RFC3339Nano), said.Sequence)
	if _, err := bucket.Create(t.Context(), p.Seller+"."+p.QuoteID+".2.expiring", []byte(entry)); err != nil {
		t.Fatal(err)
	}
	w.run("explain", "q_1042").want(t, 0, "quote.expiring 2  1 234.50 PLN  not paid, expires 2026-12-31T22:59:59Z", "expired revision 2",
		"sent  to m***@seller.example  reminder  250", "<mid9@seller.example>")
	w.mails = append(w.mails, mail{ID: "0", Subject: "[Test] Quote Solar roof expires on Dec 31, 2026 and is not paid yet", Text: "Number:   q_1042, revision 2"})
	w.run("simulate", "paid", "--quote", "q_1042", "--settle", "0s", "--seed", "3").want(t, 0)
}
