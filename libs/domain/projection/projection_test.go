package projection_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
)

// R60
func TestAnyOrderAndRepetitionGiveTheSame(t *testing.T) {
	for seed := range uint64(60) {
		h := newHistory(t, seed)
		h.random(6)
		want := fold(h.messages)
		if len(want.Keys()) < 6 {
			t.Fatalf("seed %d: only %d quotes: the history is too poor to prove anything", seed, len(want.Keys()))
		}
		for round := range uint64(6) {
			rnd := rand.New(rand.NewPCG(seed, round))
			messages := slices.Clone(h.messages)
			for range rnd.IntN(20) {
				messages = append(messages, h.messages[rnd.IntN(len(h.messages))])
			}
			rnd.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			equal(t, fmt.Sprintf("seed %d round %d", seed, round), fold(messages), want)
		}
	}
}

// equal compares two projections: which of several messages that tell the same came first is all that may differ.
func equal(t *testing.T, name string, have, want *folded) {
	t.Helper()
	if !slices.Equal(have.Keys(), want.Keys()) {
		t.Fatalf("%s: keys = %v, want %v", name, have.Keys(), want.Keys())
	}
	for _, k := range want.Keys() {
		if have.Live(k) != want.Live(k) {
			t.Fatalf("%s: %v = %s\nwant %s", name, k, have.Facts(k).Encode(), want.Facts(k).Encode())
		}
		if h, w := have.Unsent(k), want.Unsent(k); fmt.Sprint(h) != fmt.Sprint(w) {
			t.Fatalf("%s: unsent of %v = %v, want %v", name, k, h, w)
		}
	}
	if have.root() != want.root() {
		t.Fatalf("%s: root = %s, want %s", name, have.root(), want.root())
	}
	for at, w := range want.outcomes {
		h := have.outcomes[at]
		if h.Folded() != w.Folded() || !h.Folded() && (h.Kind != w.Kind || h.Reason != w.Reason) {
			t.Fatalf("%s: outcome of %v = %+v, want %+v", name, at, h, w)
		}
	}
	if h, w := len(have.Waiting()), len(want.Waiting()); h != w {
		t.Fatalf("%s: %d changes wait, want %d", name, h, w)
	}
}

func TestEveryOutcomeIsToldWithItsReason(t *testing.T) {
	h := newHistory(t, 1)
	place := func(m projection.Message) projection.Place {
		return projection.Place{Stripe: true, Sequence: m.Sequence}
	}
	h.published("q_1", 1, 1000, event.Platform)
	paid := session("cs_1", "q_1", 1000, object{"payment_intent": "pi_1"})
	first := place(h.stripeEvent("checkout.session.completed", event.Platform, paid))
	again := place(h.stripeEvent("checkout.session.completed", event.Platform, paid))
	charged := place(h.stripeEvent("charge.succeeded", event.Platform, charge("ch_1", "pi_1", "", 1000, 0)))
	updated := place(h.stripeEvent("charge.updated", event.Platform, charge("ch_1", "pi_1", "", 1000, 0)))
	waits := place(h.stripeEvent("refund.created", event.Platform, refund("re_1", "ch_2", "", 5)))
	h.foreign()
	f := fold(h.messages)
	for at, want := range map[projection.Place]string{first: projection.Applied, again: projection.Duplicate, charged: projection.Applied, waits: projection.Parked} {
		if o := f.outcomes[at]; o.Kind != want {
			t.Errorf("outcome of %v = %+v, want %s", at, o, want)
		}
	}
	if o := f.outcomes[updated]; !o.Folded() || o.Kind == projection.Duplicate {
		t.Errorf("outcome of another type about the same object = %+v, want applied or corroborated", o)
	}
	count := map[string]int{}
	for _, o := range f.outcomes {
		count[o.Kind]++
	}
	for kind, want := range map[string]int{projection.Refused: 3, projection.Ignored: 2, projection.Dead: 4, projection.Parked: 2} {
		if count[kind] != want {
			t.Errorf("%d messages are %s, want %d: %v", count[kind], kind, want, count)
		}
	}
}

// A refund names its charge alone, the charge its intent, the intent its invoice, the invoice the quote: in every order
// all of it comes to the quote.
func TestWhatWaitedIsFoldedAcrossFourLinksInEveryOrder(t *testing.T) {
	h := newHistory(t, 1)
	h.published("q_1", 1, 1000, event.Platform)
	h.stripeEvent("invoice.paid", event.Platform, invoice("in_1", "q_1", "sub_1", "subscription_create", 30, 1000))
	h.stripeEvent("payment_intent.succeeded", event.Platform, intentOf("pi_1", "in_1", 1000))
	h.stripeEvent("charge.succeeded", event.Platform, charge("ch_1", "pi_1", "", 1000, 0))
	h.stripeEvent("refund.created", event.Platform, refund("re_1", "ch_1", "", 1000))
	want := fold(h.messages)
	if s := want.status(event.Platform, "q_1"); s != quote.StatusRefunded {
		t.Fatalf("status = %s, want refunded", s)
	}
	permutations(h.messages, func(order []projection.Message) {
		f := fold(order)
		equal(t, "permutation", f, want)
		for at, o := range f.outcomes {
			if at.Stripe && (!o.Folded() || o.Quote != "q_1") {
				t.Fatalf("outcome of %v = %+v", at, o)
			}
		}
	})
	if quotes := want.Links(event.Platform, "ch_1"); !slices.Equal(quotes, []string{"q_1"}) {
		t.Errorf("Links(ch_1) = %v", quotes)
	}
}

func permutations(all []projection.Message, f func([]projection.Message)) {
	var step func(n int)
	step = func(n int) {
		if n == 1 {
			f(all)
			return
		}
		for i := range n {
			step(n - 1)
			j := 0
			if n%2 == 0 {
				j = i
			}
			all[j], all[n-1] = all[n-1], all[j]
		}
	}
	step(len(all))
}

// R76: an event lands on its own account.
func TestOneMerchantsEventNeverTouchesAnothersQuote(t *testing.T) {
	h := newHistory(t, 1)
	h.published("q_1", 1, 1000, "acct_1")
	h.stripeEvent("checkout.session.completed", "acct_2", session("cs_1", "q_1", 1000, nil))
	h.stripeEvent("charge.succeeded", "acct_2", charge("ch_1", "pi_1", "", 1000, 0))
	h.stripeEvent("checkout.session.completed", "acct_1", session("cs_2", "q_1", 1000, object{"payment_intent": "pi_1"}))
	f := fold(h.messages)
	if s := f.status("acct_1", "q_1"); s != quote.StatusPaid {
		t.Errorf("status on its own account = %s, want paid", s)
	}
	if s := f.status("acct_2", "q_1"); s != quote.StatusPending {
		t.Errorf("status on another's account = %s, want pending", s)
	}
	if n := len(f.Waiting()); n != 1 {
		t.Errorf("%d changes wait, want the one of the other account", n)
	}
}

func TestEveryAccountKnowsOfAllRevisions(t *testing.T) {
	h := newHistory(t, 1)
	h.published("q_1", 1, 1000, "acct_1")
	h.quoteEvent(event.NameRecalled, "q_1", "1", event.Recalled{Seller: "main", QuoteID: "q_1", Revision: 1})
	h.published("q_1", 2, 1200, "acct_2")
	f := fold(h.messages)
	for _, account := range []string{"acct_1", "acct_2"} {
		facts := f.Facts(projection.Key{Account: account, Quote: "q_1"})
		if len(facts.Revisions) != 2 || !facts.Revisions[0].Recalled {
			t.Errorf("revisions on %s = %+v, want both, the first recalled", account, facts.Revisions)
		}
	}
	if got := f.Accounts("q_1"); !slices.Equal(got, []string{"acct_1", "acct_2"}) {
		t.Errorf("Accounts = %v", got)
	}
}

// R62
func TestUnsentIsWhatIsDueAndNotStored(t *testing.T) {
	h := newHistory(t, 1)
	h.published("q_1", 1, 1000, event.Platform)
	h.stripeEvent("checkout.session.completed", event.Platform, session("cs_1", "q_1", 1000, nil))
	f, k := fold(h.messages), projection.Key{Account: event.Platform, Quote: "q_1"}
	if due := f.Unsent(k); len(due) != 1 || due[0].Event != quote.EventPaid {
		t.Fatalf("Unsent = %v, want quote.paid", due)
	}
	f.Fold(h.quoteEvent(event.NamePaid, "q_1", "1", event.Paid{Seller: "main", QuoteID: "q_1", Revision: 1, Account: event.Platform, PaidAt: began}))
	if due := f.Unsent(k); len(due) != 0 {
		t.Errorf("Unsent = %v after quote.paid was stored", due)
	}
}

func TestACloneCanBeFoldedIntoAlone(t *testing.T) {
	h := newHistory(t, 7)
	h.random(8)
	half := len(h.messages) / 2
	f := fold(h.messages[:half])
	before := f.root()
	copied := &folded{outcomes: map[projection.Place]projection.Outcome{}}
	copied.Projection = f.Clone(copied.decided)
	for _, m := range h.messages[half:] {
		copied.Fold(m)
	}
	if f.root() != before {
		t.Error("folding into a clone changed the original")
	}
	if want := fold(h.messages); copied.root() != want.root() {
		t.Error("a clone folds to something else than its original would have")
	}
}

// R46, and docs/guarantees.md: memory per quote is bounded.
func TestRenewalsOfManyYearsTakeNoMoreMemory(t *testing.T) {
	h := newHistory(t, 1)
	h.published("q_1", 1, 1000, event.Platform)
	h.stripeEvent("checkout.session.completed", event.Platform, session("cs_1", "q_1", 1000, object{"subscription": "sub_1", "invoice": "in_1"}))
	f := fold(h.messages)
	size := func() int { return f.Size() }
	var early int
	for n := range 1000 {
		s := fmt.Sprintf("r_%d", n)
		at := began.Add(time.Duration(n) * 30 * 24 * time.Hour)
		h.messages = nil
		h.stripeEvent("charge.succeeded", event.Platform, charge("ch_"+s, "pi_"+s, "in_"+s, 1000, 0))
		h.stripeEvent("payment_intent.succeeded", event.Platform, intentOf("pi_"+s, "in_"+s, 1000))
		h.stripeEvent("invoice.paid", event.Platform, invoice("in_"+s, "q_1", "sub_1", "subscription_cycle", 30*n, 1000))
		for _, m := range h.messages {
			m.Time = at
			f.Fold(m)
		}
		f.Trim(at.Add(-72 * time.Hour))
		if n == 10 {
			early = size()
		}
	}
	if late := size(); late > early {
		t.Errorf("%d things are kept after 1,000 renewals, %d after ten", late, early)
	}
	if s := f.status(event.Platform, "q_1"); s != quote.StatusPaid {
		t.Errorf("status = %s, want paid", s)
	}
}

func BenchmarkFold(b *testing.B) {
	h := newHistory(b, 1)
	h.random(2000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		f := newBare()
		for _, m := range h.messages {
			f.Fold(m)
		}
		n += len(h.messages)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := newBare()
	for _, m := range h.messages {
		m.Body = slices.Clone(m.Body) // as it comes from the log: what the fold keeps of it counts
		f.Fold(m)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(f.Keys())), "B/quote")
	runtime.KeepAlive(f)
}

func newBare() *projection.Projection {
	return projection.New(projection.Config{Rules: projection.Rules{Mode: event.ModeTest}})
}
