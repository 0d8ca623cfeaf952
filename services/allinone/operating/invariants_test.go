package operating_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/invariants"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/operator/scenario"
)

// promised is a rig in which everything that is promised has been kept, mails too: the test writes the ledger in the notifier's
// place and acknowledges for it. Payments is stopped, so that it heals nothing.
func promised(t *testing.T) (r *rig, acked string) {
	t.Helper()
	r = newRig(t)
	stop := r.worker()
	r.publish(0, 16)
	var list strings.Builder
	list.WriteString("# what ingress answered 2xx\n\n")
	for _, e := range r.events(0, 16) {
		r.deliver(e)
		sum := sha256.Sum256(e.Body)
		fmt.Fprintf(&list, "%s %s\n", e.ID, hex.EncodeToString(sum[:]))
	}
	r.store("stripe.unreadable.abc", "x", []byte("?")) // ends as a dead letter
	r.settled()
	stop()
	for _, m := range r.notified() {
		s, _ := event.ParseQuoteSubject(m.Subject())
		r.putMail(s.Seller+"."+s.Quote+"."+s.N+".paid", `{"state":"sent","attempts":1,"message_id":"`+s.Quote+`@seller.example"}`)
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	acked = filepath.Join(t.TempDir(), "acked")
	if err := os.WriteFile(acked, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.eventually("the notifier's acknowledgements are counted", func() error {
		if got := r.quotectl("check", "invariants", "--acked", acked, "-o", "json"); got.code != 0 || !strings.Contains(got.out, `"in_flight": 0`) || inFlight(t, got) > 0 {
			return fmt.Errorf("%d: %s%s", got.code, got.out, got.err)
		}
		return nil
	})
	return r, acked
}

func inFlight(t *testing.T, a answer) int {
	t.Helper()
	var report invariants.Report
	a.decode(t, &report)
	return report.InFlight()
}

// notified are the messages that the notifier would take.
func (r *rig) notified() (all []jetstream.Msg) {
	r.t.Helper()
	c, err := r.log.JetStream().Consumer(r.t.Context(), event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		r.t.Fatal(err)
	}
	batch, err := c.Fetch(1000, jetstream.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		r.t.Fatal(err)
	}
	for m := range batch.Messages() {
		if s, ok := event.ParseQuoteSubject(m.Subject()); ok && s.Event == event.NamePaid {
			all = append(all, m)
			continue
		}
		if err := m.DoubleAck(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

func (r *rig) putMail(key, value string) {
	r.t.Helper()
	bucket, err := r.log.JetStream().KeyValue(r.t.Context(), event.BucketMail)
	if err == nil {
		_, err = bucket.Put(r.t.Context(), key, []byte(value))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// remove deletes a message behind everybody's back.
func (r *rig) remove(stream, subject string) {
	r.t.Helper()
	s, err := r.log.JetStream().Stream(r.t.Context(), stream)
	if err == nil {
		err = s.Purge(r.t.Context(), jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// Each promise is broken on purpose, one at a time; quotectl check invariants names it and ends with 3.
func TestABrokenInvariantIsFound(t *testing.T) {
	r, acked := promised(t)
	ctx, keys := t.Context(), r.keys()
	client := func(args ...any) func() {
		return func() {
			t.Helper()
			if err := r.cache.Do(ctx, args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	pay := func(quote string) string { return keys.Pay(event.Platform, quote) }
	was := r.cache.HGetAll(ctx, pay("q_0")).Val()
	dead := r.deadSequence()
	list, err := os.ReadFile(acked)
	if err != nil {
		t.Fatal(err)
	}
	someEvent, _, _ := strings.Cut(strings.Split(string(list), "\n")[2], " ")
	paidOf0, err := r.log.Read(ctx, event.StreamQuotes, "quote.paid.main.q_0.1")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) func() {
		return func() {
			t.Helper()
			if err := os.WriteFile(acked, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	// In this order: what cannot be undone comes last.
	for _, broken := range []struct {
		name, invariant, says string
		breakIt, mend         func()
	}{
		{"a lost webhook", "I1", "evt_lost", write(string(list) + "evt_lost\n"), write(string(list))},
		{"another body", "I1", someEvent, write(someEvent + " " + strings.Repeat("0", 64)), write(string(list))},
		{"another status", "I3", "q_0", client("HSET", pay("q_0"), "status", "pending"), client("HSET", pay("q_0"), "status", was["status"])},
		{"other facts", "I7", "q_0", client("HSET", pay("q_0"), redisquote.FieldDigest, "x"), client("HSET", pay("q_0"), redisquote.FieldDigest, was[redisquote.FieldDigest])},
		{"a quote too many", "I7", "q_ghost", client("COPY", pay("q_0"), pay("q_ghost")), client("DEL", pay("q_ghost"))},
		{"a root of its own", "I8", "root", client("HSET", pay("q_0"), "flags", "late"), client("HSET", pay("q_0"), "flags", was["flags"])},
		{"no outcome", "I9", "no outcome", client("RENAME", keys.Outcomes(event.StreamStripe, 1), "x"), client("RENAME", "x", keys.Outcomes(event.StreamStripe, 1))},
		{"an outcome too many", "I9", "of no message", client("HSET", keys.Outcomes(event.StreamStripe, 1), "0", `{"outcome":"applied"}`), client("HDEL", keys.Outcomes(event.StreamStripe, 1), "0")},
		{"no end of a mail", "I6", "is claimed", func() { r.putMail("main.q_0.1.paid", `{"state":"claimed"}`) }, func() { r.putMail("main.q_0.1.paid", `{"state":"sent"}`) }},
		{"two resends", "I6", "q_0", func() { r.putMail("main.q_0.1.paid", `{"state":"sent","resends":2,"ambiguous":3}`) }, func() { r.putMail("main.q_0.1.paid", `{"state":"sent"}`) }},
		{"no dead letter", "I9", "has no dead letter", func() { r.remove(event.StreamDead, fmt.Sprintf("dead.payments.STRIPE.%d.1", dead)) }, func() {
			r.store(fmt.Sprintf("dead.payments.STRIPE.%d.1", dead), "again", []byte("?"))
		}},
		{"a ghost's mail", "I6", "q_none", func() { r.putMail("main.q_none.1.paid", `{"state":"sent"}`) }, func() { r.remove("KV_"+event.BucketMail, "$KV.MAIL.main.q_none.1.paid") }},
		{"no ledger entry", "I6", "no entry", func() { r.remove("KV_"+event.BucketMail, "$KV.MAIL.main.q_0.1.paid") }, func() { r.putMail("main.q_0.1.paid", `{"state":"sent"}`) }},
		{"an event twice", "I2", someEvent, func() { r.store("stripe.test.acct_other."+someEvent+".charge.updated", "twice", []byte("{}")) }, func() {
			r.remove(event.StreamStripe, "stripe.test.acct_other."+someEvent+".charge.updated")
		}},
		{"no quote.paid", "I4", "q_0", func() { r.remove(event.StreamQuotes, paidOf0.Subject) }, func() { r.store(paidOf0.Subject, "again", paidOf0.Data) }},
		{"another id", "I4", "the id of", func() { r.store("quote.paid.main.q_3.2", "y", paidOf0.Data) }, func() { r.remove(event.StreamQuotes, "quote.paid.main.q_3.2") }},
		{"no payment", "I5", "q_4711", func() { r.store("quote.paid.main.q_4711.1", "z", paidOf0.Data) }, func() { r.remove(event.StreamQuotes, "quote.paid.main.q_4711.1") }},
	} {
		broken.breakIt()
		report := r.broken(acked)
		if !says(report, broken.invariant, broken.says) {
			t.Errorf("%s: %+v, want %s that says %q", broken.name, report.Violations, broken.invariant, broken.says)
		}
		for _, v := range report.Violations {
			if !strings.HasPrefix(v.Next, "quotectl ") {
				t.Errorf("%s: a violation without a next command: %+v", broken.name, v)
			}
		}
		broken.mend()
	}
}

func says(r *invariants.Report, invariant, text string) bool {
	for _, v := range r.Violations {
		if v.Invariant == invariant && strings.Contains(v.What, text) {
			return true
		}
	}
	return false
}

// broken is what the check says of what was broken; it ends with 3.
func (r *rig) broken(acked string) *invariants.Report {
	r.t.Helper()
	got := r.quotectl("check", "invariants", "--acked", acked, "-o", "json").want(r.t, 3, "violations of what is promised", "next: quotectl")
	var report invariants.Report
	got.decode(r.t, &report)
	return &report
}

func (r *rig) deadSequence() uint64 {
	r.t.Helper()
	m, err := r.log.Read(r.t.Context(), event.StreamStripe, "stripe.unreadable.abc")
	if err != nil {
		r.t.Fatal(err)
	}
	return m.Sequence
}

// What a mail server has accepted is held against the ledger: one mail, one more where an attempt ended without an answer.
func TestMailsThatAServerAcceptedAreHeldAgainstTheLedger(t *testing.T) {
	r, _ := promised(t)
	mails := map[string]int{}
	entries := 0
	for _, n := range []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15} {
		id := "q_" + strconv.Itoa(n)
		if _, err := r.log.Read(t.Context(), event.StreamQuotes, "quote.paid.main."+id+".1"); err == nil {
			mails[id+"@seller.example"] = 1
			entries++
		}
	}
	check := func() *invariants.Report {
		t.Helper()
		c := invariants.Checker{Log: r.log, Redis: r.cache, Now: now, Mails: mails}
		report, err := c.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := check(); !report.Held() || entries < 10 {
		t.Fatalf("%d mails: %+v", entries, report.Violations)
	}
	mails["q_0@seller.example"] = 2
	if report := check(); !says(report, "I6", "accepted 2 times") {
		t.Errorf("a second mail: %+v", report.Violations)
	}
	r.putMail("main.q_0.1.paid", `{"state":"sent","attempts":2,"resends":1,"ambiguous":1,"message_id":"q_0@seller.example"}`)
	if report := check(); !report.Held() {
		t.Errorf("a second mail after an attempt without an answer: %+v", report.Violations)
	}
	mails["q_0@seller.example"] = 3
	if report := check(); !says(report, "I6", "accepted 3 times") {
		t.Errorf("a third mail: %+v", report.Violations)
	}
	r.putMail("main.q_0.1.paid", `{"state":"parked","attempts":2,"resends":1,"ambiguous":2,"message_id":"q_0@seller.example"}`)
	if report := check(); !says(report, "I6", "accepted 3 times") {
		t.Errorf("a third mail after two attempts without an answer: %+v", report.Violations)
	}
	mails["q_0@seller.example"] = 2
	if report := check(); !report.Held() {
		t.Errorf("two attempts without an answer, both accepted: %+v", report.Violations)
	}
	r.putMail("main.q_0.1.paid", `{"state":"rejected","attempts":2,"resends":1,"ambiguous":1,"message_id":"q_0@seller.example"}`)
	if report := check(); !says(report, "I6", "accepted 2 times") {
		t.Errorf("two mails after one attempt without an answer and a rejection: %+v", report.Violations)
	}
	r.putMail("main.q_0.1.paid", `{"state":"sent","attempts":1,"message_id":"q_0@seller.example"}`)
	mails["q_0@seller.example"] = 0
	if report := check(); !says(report, "I6", "accepted 0 times") {
		t.Errorf("no mail: %+v", report.Violations)
	}
	mails["q_0@seller.example"], mails["other@seller.example"] = 1, 1
	if report := check(); !says(report, "I6", "the ledger knows of none") {
		t.Errorf("a mail of nobody: %+v", report.Violations)
	}
}

// A busy system breaks no promise: what is on its way is counted and not judged.
func TestInvariantsOfABusySystemShowNoFalseViolation(t *testing.T) {
	r := newRig(t)
	r.worker()
	r.live(10)
	events := make(chan []scenario.Event, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for batch := range events {
			for _, e := range batch {
				r.deliver(e)
			}
		}
	}()
	for n := 10; n < 60; n += 10 {
		r.publish(n, n+10)
		events <- r.events(n, n+10)
		got := r.quotectl("check", "invariants", "-o", "json").want(t, 0)
		var report invariants.Report
		if err := json.Unmarshal([]byte(got.out), &report); err != nil || !report.Held() {
			t.Fatalf("%v: %s", err, got.out)
		}
	}
	close(events)
	<-done
	r.settled()
	r.quotectl("check", "invariants").want(t, 0, "everything holds", "nobody has said which webhooks were acknowledged")
}

func TestAListOfAcknowledgedIDsIsReadStrictly(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "acked")
	for _, text := range []string{"evt_1 evt_2", "evt.1", "evt_1 " + strings.Repeat("A", 64), "evt_1 " + strings.Repeat("a", 64) + " more"} {
		if err := os.WriteFile(path, []byte("# a comment\nevt_0\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.quotectl("check", "invariants", "--acked", path).want(t, 2, "line 3", "quotectl check invariants --help")
	}
	r.quotectl("check", "invariants", "--acked", path+"-none").want(t, 1, "open the acknowledged ids")
}
