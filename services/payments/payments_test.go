package payments_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/payments"
)

func TestAPaidSessionMakesTheQuotePaidAndEmitsOneFact(t *testing.T) { // R59, R62
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.status(event.Platform, "q_1", "pending")
	seq := r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
	r.drained()
	paid, err := r.paidFact("q_1", 1)
	if err != nil {
		t.Fatal(err)
	}
	if paid.Amount != 1000 || paid.Currency != "eur" || paid.QuoteID != "q_1" || paid.Seller != "main" || paid.DealID != "d1" ||
		paid.CheckoutSession != "cs_1" || paid.PaymentIntent != "pi_1" || paid.StripeEvent != "evt_1" || paid.PaidAt.Unix() != 1_700_000_100 {
		t.Errorf("quote.paid = %+v, want the session's payment", paid)
	}
	if o := r.outcome(seq, "applied"); o.Before != "pending" || o.After != "paid" || o.Quote != "q_1" {
		t.Errorf("outcome = %+v, want pending to paid", o)
	}
	p := r.status(event.Platform, "q_1", "paid")
	if m, ok := p.Marks["paid.1"]; !ok || m.At.Unix() != 1_700_000_100 {
		t.Errorf("marks = %v, want paid.1 with the payment's time", p.Marks)
	}
}

func TestAPaymentBeforeItsPublicationCompletesByItself(t *testing.T) {
	r := newRig(t)
	r.run()
	seq := r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	if o := r.outcome(seq, "applied"); !strings.Contains(o.Reason, "no published revision") {
		t.Errorf("outcome = %+v, want it to say that the revision is unknown", o)
	}
	waiting, err := r.cache.ZCard(t.Context(), "g1:idx:unknown").Result()
	if err != nil || waiting != 1 {
		t.Errorf("unknown quotes = %d, %v, want 1", waiting, err)
	}
	r.published("q_1", 1, 1000, event.Platform)
	r.status(event.Platform, "q_1", "paid")
	r.eventually("quote.paid is emitted", func() error { _, err := r.paidFact("q_1", 1); return err })
	r.drained()
	if waiting, err := r.cache.ZCard(t.Context(), "g1:idx:unknown").Result(); err != nil || waiting != 0 {
		t.Errorf("unknown quotes after the publication = %d, %v, want none", waiting, err)
	}
}

func TestAnotherAccountsEventNeverTouchesAQuote(t *testing.T) { // R76, I11
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, "acct_seller")
	r.stripe("evt_1", "checkout.session.completed", "acct_thief", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status("acct_thief", "q_1", "pending")
	r.drained()
	r.status("acct_seller", "q_1", "pending")
	if _, err := r.paidFact("q_1", 1); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("quote.paid after another account's event = %v, want none", err)
	}
}

func TestTheOtherModesEventIsRefused(t *testing.T) { // R76
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	body, err := json.Marshal(object{
		"id": "evt_live", "type": "checkout.session.completed", "livemode": true, "created": 1,
		"data": object{"object": session("cs_1", "q_1", 1, 1000, "pi_1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	seq := r.raw("stripe.live.platform.evt_live.checkout.session.completed", body)
	if o := r.outcome(seq, "refused"); !strings.Contains(o.Reason, "mode") {
		t.Errorf("outcome = %+v, want it to name the mode", o)
	}
	r.status(event.Platform, "q_1", "pending")
}

// A refund names a charge, the charge an intent, the intent nothing of ours: only the session's link brings them in.
func TestAChainOfLinksResolvesInEveryOrder(t *testing.T) {
	type step struct {
		typ  string
		data func(q string) object
	}
	suffix := func(q string) string { return strings.TrimPrefix(q, "q_") }
	steps := []step{
		{"checkout.session.completed", func(q string) object { return session("cs_"+suffix(q), q, 1, 1000, "pi_"+suffix(q)) }},
		{"charge.succeeded", func(q string) object { return charge("ch_"+suffix(q), "pi_"+suffix(q), 1000, 0) }},
		{"refund.created", func(q string) object { return refund("re_"+suffix(q), "ch_"+suffix(q), "", 1000) }},
		{"charge.dispute.created", func(q string) object {
			return object{"id": "dp_" + suffix(q), "object": "dispute", "charge": "ch_" + suffix(q), "status": "needs_response", "amount": 1000, "currency": "eur"}
		}},
	}
	r := newRig(t)
	r.run()
	n := 0
	permutations(len(steps), func(order []int) {
		n++
		q := fmt.Sprintf("q_%d", n)
		r.published(q, 1, 1000, event.Platform)
		for _, i := range order {
			r.stripe(fmt.Sprintf("evt_%d_%d", n, i), steps[i].typ, "", steps[i].data(q))
			if n%2 == 0 {
				r.drained() // each message in a batch of its own
			}
		}
	})
	r.drained()
	digests := map[string]bool{}
	for i := 1; i <= n; i++ {
		p := r.status(event.Platform, fmt.Sprintf("q_%d", i), "refunded")
		digests[strings.ReplaceAll(string(p.Facts), fmt.Sprintf("_%d\"", i), "_n\"")] = true
		if _, err := r.paidFact(fmt.Sprintf("q_%d", i), 1); err != nil {
			t.Errorf("order %d: %v", i, err)
		}
	}
	if n != 24 {
		t.Fatalf("%d orders, want 24", n)
	}
	parked, err := r.cache.ZCard(t.Context(), "g1:idx:parked").Result()
	if err != nil || parked == 0 {
		t.Errorf("parked = %d, %v, want some: orders that never parked prove nothing", parked, err)
	}
}

func permutations(n int, f func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var walk func(k int)
	walk = func(k int) {
		if k == n {
			f(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			walk(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	walk(0)
}

func TestAReleasedChangeLosesItsOutcomeParked(t *testing.T) {
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	seq := r.stripe("evt_1", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0))
	r.outcome(seq, "parked")
	r.stripe("evt_2", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	if o := r.outcome(seq, "applied"); o.Quote != "q_1" {
		t.Errorf("outcome = %+v, want applied to q_1", o)
	}
}

func TestAParkedChangeIsGivenUpAfterItsTime(t *testing.T) {
	r := newRig(t)
	base := time.Now()
	offset := make(chan time.Duration, 1)
	offset <- 0
	r.now = func() time.Time { d := <-offset; offset <- d; return base.Add(d) }
	r.run()
	seq := r.stripe("evt_1", "charge.succeeded", "", charge("ch_1", "pi_foreign", 1000, 0))
	r.outcome(seq, "parked")
	<-offset
	offset <- 73 * time.Hour
	if err := payments.SweepOnce(t.Context(), r.config()); err != nil {
		t.Fatal(err)
	}
	if o := r.outcome(seq, "ignored"); !strings.Contains(o.Reason, "unlinked") {
		t.Errorf("outcome = %+v, want unlinked", o)
	}
	keys := redisquote.NewKeys(redisquote.Generation)
	for _, object := range []string{"ch_1", "pi_foreign"} {
		want := map[string]string{redisquote.LinkGivenUp + strconv.FormatUint(seq, 10): ""}
		if left, err := r.cache.HGetAll(t.Context(), keys.Link(event.Platform, object)).Result(); err != nil || !maps.Equal(left, want) {
			t.Errorf("link of %s = %v, %v, want %v: its place in the log and nothing else", object, left, err, want)
		}
	}
	if waiting, err := r.read.ParkedMessages(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("ParkedMessages = %+v, %v, want none", waiting, err)
	}
}

// However late a link turns up, it counts what it would have counted in time: Redis holds what a fold of the log makes of it. A refund
// waits for its charge and the charge for its intent; both are given up, then the payment comes.
func TestWhatWaitedInVainIsStillCountedWhenItsLinkTurnsUp(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	r.published("q_1", 1, 1000, event.Platform)
	waiting := []uint64{
		r.stripe("evt_re", "refund.created", "", refund("re_1", "ch_1", "", 1000)),
		r.stripe("evt_ch", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0)),
	}
	for _, seq := range waiting {
		r.outcome(seq, "parked")
	}
	sweeper := r.config()
	sweeper.Now = func() time.Time { return time.Now().Add(73 * time.Hour) }
	if err := payments.SweepOnce(t.Context(), sweeper); err != nil {
		t.Fatal(err)
	}
	for _, seq := range waiting {
		r.outcome(seq, "ignored")
	}
	r.stripe("evt_cs", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	live := r.status(event.Platform, "q_1", "refunded")
	for _, seq := range waiting {
		if o := r.outcome(seq, "applied"); o.Quote != "q_1" {
			t.Errorf("outcome of %d = %+v, want it applied to q_1", seq, o)
		}
	}
	stop()
	if err := r.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.run()
	if folded := r.status(event.Platform, "q_1", "refunded"); folded.Digest != live.Digest {
		t.Errorf("digest = %s, and %s when folded again", live.Digest, folded.Digest)
	}
}

func TestANewerRevisionInTheLogKeepsTheOlderFromBeingPaid(t *testing.T) { // R27, row 33
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.published("q_1", 2, 1000, event.Platform)
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "review")
	r.drained()
	if _, err := r.paidFact("q_1", 1); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("quote.paid of the superseded revision = %v, want none", err)
	}
}

// The worker may not know yet that a newer revision is in the log; the log itself refuses then.
func TestTheLogRefusesQuotePaidWhenItHoldsANewerRevision(t *testing.T) {
	r := newRig(t)
	r.published("q_1", 1, 1000, event.Platform)
	r.run()
	r.drained()
	// The worker is cut off from QUOTES, so that it cannot know what the log knows.
	if err := r.log.JetStream().DeleteConsumer(t.Context(), event.StreamQuotes, "payments"); err != nil {
		t.Fatal(err)
	}
	r.published("q_1", 2, 1000, event.Platform)
	seq := r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.outcome(seq, "applied")
	if _, err := r.paidFact("q_1", 1); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("quote.paid = %v, want refused by the log", err)
	}
	if err := natsstream.Declare(t.Context(), r.nats.Conn("declare"), natsstream.Options{}); err != nil {
		t.Fatal(err)
	}
	r.status(event.Platform, "q_1", "review")
}

func TestAPoisonedMessageIsSetAsideAndTheOthersFlow(t *testing.T) { // R69
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	body := []byte(`{"id":"evt_0","type":"checkout.session.completed","data":{"object":`)
	broken := r.raw("stripe.test.platform.evt_0.checkout.session.completed", body)
	unreadable := r.raw("stripe.unreadable.0123", []byte("not json"))
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
	r.outcome(broken, "dead")
	r.outcome(unreadable, "dead")
	r.drained()
	rec, err := r.log.Read(t.Context(), event.StreamDead, fmt.Sprintf("dead.payments.STRIPE.%d.1", broken))
	if err != nil || string(rec.Data) != string(body) || rec.Header.Get(natsstream.HeaderDeadReason) == "" {
		t.Errorf("dead letter = %q %v, %v, want the bytes and a reason", rec.Data, rec.Header, err)
	}
}

func TestEveryMessageHasOneOutcome(t *testing.T) { // I9
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	paid := session("cs_1", "q_1", 1, 1000, "pi_1")
	foreign := session("cs_9", "q_1", 1, 1000, "pi_9")
	delete(foreign, "metadata")
	want := map[uint64]string{}
	want[r.stripe("evt_1", "checkout.session.completed", "", paid)] = "applied"
	r.drained()
	want[r.stripe("evt_2", "checkout.session.completed", "", paid)] = "duplicate"
	want[r.stripe("evt_3", "customer.created", "", object{"id": "cus_1"})] = "ignored"
	want[r.stripe("evt_4", "checkout.session.completed", "", foreign)] = "ignored"
	want[r.stripe("evt_5", "charge.succeeded", "", charge("ch_9", "pi_9", 5, 0))] = "parked"
	hostile := session("cs_2", "q_1", 1, -5, "pi_2")
	want[r.stripe("evt_6", "checkout.session.completed", "", hostile)] = "refused"
	want[r.raw("stripe.conflict.test.platform.evt_1.abc", []byte("{}"))] = "refused"
	r.drained()
	for seq, outcome := range want {
		if o, err := r.read.Outcome(t.Context(), event.StreamStripe, seq); err != nil || o.Outcome != outcome {
			t.Errorf("outcome of %d = %+v, %v, want %s", seq, o, err, outcome)
		}
	}
	// I12: no personal data in the log lines.
	for _, entry := range r.logs.All() {
		if strings.Contains(fmt.Sprint(entry.ContextMap()), "@") {
			t.Errorf("log line holds an address: %v", entry)
		}
	}
}

func TestAReplayChangesNothingThatIsTrue(t *testing.T) { // R67
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	seq := r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	before := r.status(event.Platform, "q_1", "paid")
	r.drained()
	ask := func(stream string, n uint64) natsstream.ReplayAnswer {
		t.Helper()
		req, err := json.Marshal(natsstream.ReplayRequest{Stream: stream, Sequence: n, Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
		msg, err := r.nats.Conn("operator").Request(natsstream.ReplaySubject, req, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var a natsstream.ReplayAnswer
		if err := json.Unmarshal(msg.Data, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for range 3 {
		a := ask(event.StreamStripe, seq)
		if a.Error != "" || a.Changed || a.Recorded != "applied" || a.Before != "paid" || a.After != "paid" {
			t.Errorf("replay = %+v, want nothing changed", a)
		}
	}
	if after := r.status(event.Platform, "q_1", "paid"); after.Digest != before.Digest {
		t.Errorf("digest after replays = %s, want %s", after.Digest, before.Digest)
	}
	if a := ask(event.StreamStripe, 999); a.Error == "" {
		t.Error("replay of nothing succeeded, want an error")
	}
	if a := ask("DEAD", 1); a.Error == "" {
		t.Error("replay of another stream succeeded, want an error")
	}
}

func TestTwoWorkersAgree(t *testing.T) { // R59
	r := newRig(t)
	r.run()
	r.run()
	for i := range 40 {
		r.published(fmt.Sprintf("q_%d", i), 1, 1000, event.Platform)
	}
	for n := range 3 {
		for i := range 40 {
			q := fmt.Sprintf("q_%d", i)
			switch n {
			case 0:
				r.stripe("evt_a"+q, "charge.refunded", "", charge("ch_"+q, "pi_"+q, 1000, 400))
			case 1:
				r.stripe("evt_b"+q, "checkout.session.completed", "", session("cs_"+q, q, 1, 1000, "pi_"+q))
			default:
				r.stripe("evt_c"+q, "charge.succeeded", "", charge("ch_"+q, "pi_"+q, 1000, 0))
			}
		}
	}
	r.drained()
	for i := range 40 {
		p := r.status(event.Platform, fmt.Sprintf("q_%d", i), "paid")
		if !slices.Contains(p.Flags, "partially_refunded") {
			t.Errorf("flags of q_%d = %v, want partially_refunded", i, p.Flags)
		}
	}
}

func TestForgottenScriptsAreLoadedAgain(t *testing.T) {
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.status(event.Platform, "q_1", "pending")
	if err := r.cache.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.stripe("evt_1", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
}

func TestAnEmptyRedisIsFoldedAgainFromTheLog(t *testing.T) { // I8
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, event.Platform)
	r.stripe("evt_1", "charge.succeeded", "", charge("ch_1", "pi_1", 1000, 0))
	r.stripe("evt_2", "checkout.session.completed", "", session("cs_1", "q_1", 1, 1000, "pi_1"))
	r.status(event.Platform, "q_1", "paid")
	r.eventually("quote.paid is marked", func() error { _, err := r.paidFact("q_1", 1); return err })
	r.drained()
	before, err := r.read.Payment(t.Context(), event.Platform, "q_1")
	if err != nil || len(before.Marks) != 1 {
		t.Fatalf("payment = %+v, %v, want one mark", before, err)
	}
	if err := r.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.eventually("everything is as before", func() error {
		after, err := r.read.Payment(t.Context(), event.Platform, "q_1")
		if err == nil && (after.Digest != before.Digest || len(after.Marks) != 1) {
			err = fmt.Errorf("digest %s, marks %v, want %s and one mark", after.Digest, after.Marks, before.Digest)
		}
		return err
	})
}
