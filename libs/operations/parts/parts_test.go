package parts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/parts"
	"quittance.internal/libs/operations/scratch"
)

// object is a Stripe object as JSON.
type object map[string]any

// history is messages in the order of the log, each stream counting for itself.
type history struct {
	tb             testing.TB
	rnd            *rand.Rand
	messages       []projection.Message
	stripe, quotes uint64
	at             time.Time
}

var began = time.Unix(1_700_000_000, 0).UTC()

func newHistory(tb testing.TB, seed uint64) *history {
	tb.Helper()
	return &history{tb: tb, rnd: rand.New(rand.NewPCG(seed, 1)), at: began}
}

// one picks an id of a kind among n, so that quotes and objects meet by chance: the fewer, the more hangs together.
func (h *history) one(kind string, n int) string { return fmt.Sprintf("%s_%d", kind, h.rnd.IntN(n)) }

// random stores so many messages of all kinds about n quotes and their objects, over some weeks.
func (h *history) random(count, n int) {
	for range count {
		h.at = h.at.Add(time.Duration(h.rnd.IntN(4*3600)) * time.Second)
		account := []string{event.Platform, "acct_1"}[h.rnd.IntN(2)]
		if h.rnd.IntN(4) == 0 {
			h.ownEvent(account, n)
			continue
		}
		typ, o := h.stripeObject(n)
		if h.rnd.IntN(5) < 2 { // else whose it is follows from what it names
			o["metadata"] = object{"quote_id": h.one("q", n), "quote_revision": strconv.Itoa(1 + h.rnd.IntN(2)), "seller": "main"}
		}
		h.stripeEvent(account, typ, o)
	}
}

func (h *history) ownEvent(account string, n int) {
	id, revision := h.one("q", n), 1+h.rnd.IntN(2)
	name := []string{event.NamePublished, event.NamePublished, event.NameRecalled, event.NameExpired, event.NamePaid, event.NameDrafted}[h.rnd.IntN(6)]
	data := map[string]any{
		event.NamePublished: event.Published{
			Seller: "main", QuoteID: id, Revision: revision, Version: 1, Amount: 1000, Currency: "eur", Account: account, Mode: event.ModeTest,
			PublishedAt: h.at, Document: quote.Document{Deal: quote.Deal{ID: "d_" + id}, Contact: quote.Contact{Email: secret}},
		},
		event.NameRecalled: event.Recalled{Seller: "main", QuoteID: id, Revision: revision},
		event.NameExpired:  event.Expired{Seller: "main", QuoteID: id, Revision: revision},
		event.NamePaid:     event.Paid{Seller: "main", QuoteID: id, Revision: revision, Account: account, PaidAt: h.at},
		event.NameDrafted:  event.Drafted{},
	}[name]
	s := event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: strconv.Itoa(revision)}
	e, err := event.New(s, event.SourceQuotes, h.at, data)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.quotes++
	h.messages = append(h.messages, projection.Message{Subject: s.String(), Sequence: h.quotes, Time: h.at, Body: e.Encode()})
}

// secret is in bodies and must not come to be in a file.
const secret = "customer@buyer.example"

func (h *history) stripeObject(n int) (typ string, o object) {
	pi, ch, in, sub := h.one("pi", n), h.one("ch", n), h.one("in", n), h.one("sub", n)
	switch h.rnd.IntN(7) {
	case 0:
		return "checkout.session.completed", object{
			"id": h.one("cs", n), "object": "checkout.session", "status": "complete", "payment_status": "paid", "amount_total": 1000,
			"currency": "eur", "payment_intent": pi, "customer_details": object{"email": secret},
		}
	case 1:
		return "payment_intent.succeeded", object{
			"id": pi, "object": "payment_intent", "status": "succeeded", "amount": 1000, "amount_received": 1000, "currency": "eur", "invoice": in,
		}
	case 2:
		return "invoice.paid", object{
			"id": in, "object": "invoice", "status": "paid", "amount_paid": 1000, "currency": "eur", "subscription": sub,
			"billing_reason": []string{"subscription_create", "subscription_cycle"}[h.rnd.IntN(2)], "period_end": h.at.Unix(),
			"status_transitions": object{"paid_at": h.at.Unix()},
		}
	case 3:
		return "refund.created", object{
			"id": h.one("re", n), "object": "refund", "amount": 100, "currency": "eur", "charge": ch, "status": "succeeded", "created": h.at.Unix(),
		}
	case 4:
		return "charge.dispute.created", object{
			"id": h.one("dp", n), "object": "dispute", "amount": 1000, "currency": "eur", "charge": ch, "status": "needs_response",
		}
	case 5:
		return "customer.created", object{"id": "cus_1", "object": "customer"}
	}
	return "charge.succeeded", object{
		"id": ch, "object": "charge", "amount": 1000, "amount_captured": 1000, "captured": true, "paid": true, "status": "succeeded",
		"currency": "eur", "payment_intent": pi, "created": h.at.Unix(),
	}
}

func (h *history) stripeEvent(account, typ string, data object) {
	h.stripe++
	id := fmt.Sprintf("evt_%d", h.stripe)
	body := object{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": h.at.Unix(), "type": typ, "livemode": false,
		"data": object{"object": data},
	}
	if account != event.Platform {
		body["account"] = account
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		h.tb.Fatal(err)
	}
	s := event.StripeSubject{Mode: event.ModeTest, Account: account, EventID: id, Type: typ}
	h.messages = append(h.messages, projection.Message{Subject: s.String(), Sequence: h.stripe, Time: h.at, Body: encoded})
}

var rules = projection.Rules{Mode: event.ModeTest}

// whole is the specification: one fold of everything, which forgets renewals at every full hour.
func whole(messages []projection.Message) *projection.Projection {
	p := projection.New(projection.Config{Rules: rules})
	var clock time.Time
	for _, m := range messages {
		if hour := m.Time.Truncate(time.Hour); strings.HasPrefix(m.Subject, "stripe.") && hour.After(clock) {
			clock = hour
			p.Trim(clock.Add(-72 * time.Hour))
		}
		p.Fold(m)
	}
	return p
}

// shown is all that a verifier asks a projection about a quote.
type shown struct {
	facts, unsent string
	live          projection.Live
	reach         projection.Reach
}

func of(p *projection.Projection, k projection.Key) shown {
	return shown{string(p.Facts(k).Encode()), fmt.Sprint(p.Unsent(k)), p.Live(k), p.Reach(k)}
}

// Everything that is found part by part is what one fold of everything finds, however small the parts; again when more came;
// and for some of the quotes alone, too.
func TestPartByPartIsWhatTheWholeIs(t *testing.T) {
	several := 0
	for seed := range uint64(45) {
		n := []int{3, 30, 300}[seed%3]
		h := newHistory(t, seed)
		h.random(400, n)
		p := open(t, parts.Config{Rules: rules, PartBytes: 8 << 10, TieRows: 500})
		half := h.messages[:len(h.messages)/2]
		for _, messages := range [][]projection.Message{half, h.messages} {
			from := 0
			if len(messages) > len(half) {
				from = len(half)
			}
			for _, m := range messages[from:] {
				if err := p.Add(m); err != nil {
					t.Fatal(err)
				}
			}
			want := whole(messages)
			have := map[projection.Key]shown{}
			several += collect(t, p, nil, have)
			compare(t, seed, want, want.Keys(), have)
			keys := slices.DeleteFunc(want.Keys(), func(projection.Key) bool { return h.rnd.IntN(4) > 0 })
			some := make([]string, 0)
			for _, k := range keys {
				some = append(some, k.Quote)
			}
			have = map[projection.Key]shown{}
			collect(t, p, some, have)
			for k := range have { // what is tied to them comes with them
				if _, found := slices.BinarySearchFunc(keys, k, projection.Key.Compare); !found {
					delete(have, k)
				}
			}
			compare(t, seed, want, keys, have)
		}
	}
	if several < 150 {
		t.Errorf("only %d parts held anything: too few to prove anything", several)
	}
}

func open(tb testing.TB, cfg parts.Config) *parts.Parts {
	tb.Helper()
	if cfg.Dir.Path == "" {
		cfg.Dir.Path = tb.TempDir()
	}
	p, err := parts.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// collect folds all parts and returns how many held a quote.
func collect(t *testing.T, p *parts.Parts, quotes []string, into map[projection.Key]shown) (several int) {
	t.Helper()
	err := p.Fold(t.Context(), quotes, func(part *projection.Projection) error {
		if len(part.Keys()) > 0 {
			several++
		}
		for _, k := range part.Keys() {
			if _, twice := into[k]; twice {
				t.Fatalf("%v is in two parts", k)
			}
			into[k] = of(part, k)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return several
}

func compare(t *testing.T, seed uint64, want *projection.Projection, keys []projection.Key, have map[projection.Key]shown) {
	t.Helper()
	if len(have) != len(keys) {
		t.Fatalf("seed %d: %d quotes, want %d", seed, len(have), len(keys))
	}
	for _, k := range keys {
		if w := of(want, k); have[k] != w {
			t.Fatalf("seed %d: %v = %+v\nwant %+v", seed, k, have[k], w)
		}
	}
}

// A long chain is followed to its end in few rounds: each refund names a charge and an intent, each charge the next intent.
func TestALongChainIsOneGroup(t *testing.T) {
	h := newHistory(t, 1)
	const length = 300
	for i := range length {
		h.stripeEvent(event.Platform, "refund.created", object{
			"id": fmt.Sprintf("re_%d", i), "object": "refund", "amount": 1, "currency": "eur", "charge": fmt.Sprintf("ch_%d", i),
			"payment_intent": fmt.Sprintf("pi_%d", i), "status": "succeeded", "created": h.at.Unix(),
		})
		h.stripeEvent(event.Platform, "charge.succeeded", object{
			"id": fmt.Sprintf("ch_%d", i), "object": "charge", "amount": 1000, "amount_captured": 1000, "captured": true, "paid": true,
			"status": "succeeded", "currency": "eur", "payment_intent": fmt.Sprintf("pi_%d", i+1),
		})
	}
	h.stripeEvent(event.Platform, "checkout.session.completed", object{
		"id": "cs_1", "object": "checkout.session", "status": "complete", "payment_status": "paid", "amount_total": 1000, "currency": "eur",
		"payment_intent": fmt.Sprintf("pi_%d", length), "metadata": object{"quote_id": "q_1", "quote_revision": "1", "seller": "main"},
	})
	rounds := 0
	p := open(t, parts.Config{Rules: rules, PartBytes: 1 << 10, TieRows: 50, Progress: func(step string, _, _ uint64) {
		if step == "link" {
			rounds++
		}
	}})
	for _, m := range h.messages {
		if err := p.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	want := whole(h.messages)
	k := projection.Key{Account: event.Platform, Quote: "q_1"}
	if n := len(want.Facts(k).Charges); n != length {
		t.Fatalf("the quote has %d charges, want %d: the chain is broken before it is tested", n, length)
	}
	have := map[projection.Key]shown{}
	collect(t, p, nil, have)
	compare(t, 1, want, want.Keys(), have)
	if rounds > 30 {
		t.Errorf("%d rounds for a chain of %d messages", rounds, len(h.messages))
	}
	t.Logf("%d rounds", rounds)
}

// Files are the owner's alone and hold no personal data; none of them has a name for longer than it takes to open it.
func TestNothingIsLeftInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	h := newHistory(t, 1)
	h.random(300, 20)
	p := open(t, parts.Config{Rules: rules, Dir: scratch.Dir{Path: dir}, PartBytes: 1 << 10})
	for _, m := range h.messages {
		if err := p.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	looked := false
	err := p.Fold(t.Context(), nil, func(*projection.Projection) error {
		looked = true
		empty(t, dir)
		for _, name := range ours(t, dir) {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if mode := info.Mode().Perm(); mode != 0o600 {
				t.Errorf("mode of %s = %v, want 0600", name, mode)
			}
			if body, err := os.ReadFile(name); err != nil || strings.Contains(string(body), secret) {
				t.Errorf("%s holds an address, or cannot be read: %v", name, err)
			}
		}
		return nil
	})
	if err != nil || !looked {
		t.Fatalf("Fold = %v, looked = %v", err, looked)
	}
	p.Close()
	if left := ours(t, dir); len(left) > 0 {
		t.Errorf("open after Close: %v", left)
	}
}

// ours are the files in dir that this process has open, by their names under /proc.
func ours(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		if runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		t.Skip("Linux alone lists a process's open files in /proc")
	}
	var names []string
	for _, e := range entries {
		name := "/proc/self/fd/" + e.Name()
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, dir) {
			names = append(names, name)
		}
	}
	return names
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, entries, err)
	}
}

func TestFoldingEndsWithItsContext(t *testing.T) {
	h := newHistory(t, 1)
	h.random(200, 20)
	p := open(t, parts.Config{Rules: rules})
	for _, m := range h.messages {
		if err := p.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Fold(ctx, nil, func(*projection.Projection) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Fold = %v, want context.Canceled", err)
	}
}

// What is in memory at a time is a part, and a part of a log eight times as long is as large: there are more of them.
func TestAPartDoesNotGrowWithTheLog(t *testing.T) {
	largest := func(quotes int) (most int) {
		h := newHistory(t, 1)
		h.random(8*quotes, quotes)
		p := open(t, parts.Config{Rules: rules, PartBytes: 64 << 10})
		for _, m := range h.messages {
			if strings.HasPrefix(m.Subject, "quote.") { // each alone: objects that meet by chance would tie all of them together
				if err := p.Add(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := p.Fold(t.Context(), nil, func(part *projection.Projection) error {
			most = max(most, len(part.Keys()))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return most
	}
	small, large := largest(1000), largest(8000)
	if small < 100 || large > 2*small {
		t.Errorf("the largest part has %d quotes of 1,000, and %d of 8,000; want about as many", small, large)
	}
}
