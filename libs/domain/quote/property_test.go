package quote_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"quittance.internal/libs/domain/quote"
)

// chance makes random facts from few ids and few values, so that they meet.
type chance struct{ *rand.Rand }

func newChance(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 7))} }

func (c chance) id(prefix string) string { return fmt.Sprintf("%s_%d", prefix, 1+c.IntN(3)) }

func (c chance) set(prefix string) quote.Set {
	var s quote.Set
	for n := 1; n <= 5; n++ {
		if c.IntN(4) == 0 {
			s = append(s, fmt.Sprintf("%s_%d", prefix, n))
		}
	}
	return s
}

func (c chance) moment() quote.Moment {
	if c.IntN(3) > 0 {
		return 0
	}
	return quote.Moment(1 + c.IntN(40))
}

func (c chance) money() quote.Money {
	return quote.Money{Amount: int64(9000 + 1000*c.IntN(3)), Currency: []string{"eur", "pln"}[c.IntN(2)]}
}

func (c chance) origin() quote.Origin {
	o := quote.Origin{Test: c.IntN(8) > 0, Live: c.IntN(8) == 0}
	for n := 1; n <= 2; n++ {
		if c.IntN(3) == 0 {
			o.Claims = append(o.Claims, quote.ClaimOf(seller, n))
		}
	}
	return o
}

func (c chance) settled() []quote.Settlement {
	if c.IntN(2) == 0 {
		return nil
	}
	m := c.money()
	if c.IntN(10) == 0 {
		m = quote.Money{}
	}
	s := quote.Settlement{Amount: m.Amount, Currency: m.Currency, Rank: 1 + c.IntN(4), Event: c.id("evt")}
	if s.Rank < quote.RankUnknown {
		s.At = int64(1 + c.IntN(40))
	}
	return []quote.Settlement{s}
}

func (c chance) status() string {
	return []string{"", "draft", "open", "uncollectible", "void", "paid"}[c.IntN(6)]
}

// fragment is what one event might add.
func (c chance) fragment() quote.Facts {
	switch c.IntN(12) {
	case 0:
		if c.IntN(4) == 0 {
			return quote.RecalledFacts(1 + c.IntN(2))
		}
		r := revision(1 + c.IntN(2))
		if r.Number == 2 {
			r.Amount.Amount = 9000
		}
		return quote.RevisionFacts(r)
	case 1, 2:
		return quote.Facts{Sessions: []quote.SessionFact{{
			ID: c.id("cs"), Origin: c.origin(), Intents: c.set("pi"), Invoices: c.set("in"), Subscriptions: c.set("sub"),
			Complete: c.moment(), Unpaid: c.moment(), Failed: c.moment(), Expired: c.moment(), Settled: c.settled(),
		}}}
	case 3, 4:
		return quote.Facts{Intents: []quote.IntentFact{{
			ID: c.id("pi"), Origin: c.origin(), Charges: c.set("ch"), Invoices: c.set("in"),
			Processing: c.moment(), Failed: c.moment(), Canceled: c.moment(), Settled: c.settled(),
		}}}
	case 5, 6:
		h := quote.ChargeFact{
			ID: c.id("ch"), Origin: c.origin(), Intents: c.set("pi"), Invoices: c.set("in"), Pending: c.moment(), Failed: c.moment(), Settled: c.settled(),
		}
		if c.IntN(2) == 0 {
			h.Refunded = []quote.Returned{{Payment: c.id("pi"), Amount: c.money().Amount, At: c.moment()}}
		}
		return quote.Facts{Charges: []quote.ChargeFact{h}}
	case 7:
		return quote.Facts{Invoices: []quote.InvoiceFact{{
			ID: c.id("in"), Origin: c.origin(), Subscriptions: c.set("sub"), Intents: c.set("pi"), Charges: c.set("ch"),
			Status: c.status(), Attempts: c.IntN(3), Failed: c.moment(), Settled: c.settled(),
		}}}
	case 8:
		return quote.Facts{Refunds: []quote.RefundFact{{
			ID: c.id("re"), Origin: c.origin(), Charges: c.set("ch"), Intents: c.set("pi"), Payments: c.set("pi"), Money: c.money(),
			At: c.moment(), Done: c.moment(), Dead: c.moment(),
		}}}
	case 9:
		return c.dispute()
	case 10:
		return quote.Facts{Renewals: []quote.RenewalFact{{
			ID: c.id("in"), PeriodEnd: int64(c.IntN(3)), Origin: c.origin(), Status: c.status(), Attempts: c.IntN(3), Failed: c.moment(),
		}}}
	}
	return quote.Facts{
		Subscriptions: []quote.SubscriptionFact{{ID: c.id("sub"), Origin: c.origin(), Ended: c.moment()}},
		Coupons:       []quote.CouponFact{{ID: c.id("cou"), Origin: c.origin(), Changed: c.moment(), Deleted: c.moment()}},
		Warnings:      []quote.WarningFact{{ID: c.id("prv"), Origin: c.origin(), Charges: c.set("ch"), Opened: c.moment(), Closed: c.moment()}},
	}
}

func (c chance) dispute() quote.Facts {
	d := quote.DisputeFact{ID: c.id("dp"), Origin: c.origin(), Charges: c.set("ch"), Intents: c.set("pi"), Money: c.money()}
	for _, status := range []string{"lost", "needs_response", "warning_closed", "warning_needs_response", "won"} {
		if c.IntN(4) == 0 {
			d.Statuses = append(d.Statuses, quote.Seen{Name: status, Since: c.moment()})
		}
	}
	for n := range 2 {
		if c.IntN(2) == 0 {
			d.Transactions = append(d.Transactions, quote.Transaction{ID: fmt.Sprintf("txn_%d", n), Amount: int64(c.IntN(3)-1) * 10000})
		}
	}
	return quote.Facts{Disputes: []quote.DisputeFact{d}}
}

// history is a random number of fragments.
func (c chance) history() []quote.Facts {
	all := make([]quote.Facts, 1+c.IntN(20))
	for i := range all {
		all[i] = c.fragment()
	}
	return all
}

func fold(fragments ...quote.Facts) quote.Facts {
	var f quote.Facts
	for _, g := range fragments {
		f.Merge(g)
	}
	return f
}

// histories is how many random histories each law is tried on; the default takes
// a few seconds.
var histories = flag.Uint64("histories", 2000, "random histories per law")

// R60: the join's three laws.
func TestMergeIsCommutativeAssociativeAndIdempotent(t *testing.T) {
	for seed := range *histories {
		c := newChance(seed)
		a, b, d := fold(c.history()...), fold(c.history()...), fold(c.history()...)
		before := [3]string{string(a.Encode()), string(b.Encode()), string(d.Encode())}
		same(t, seed, "a+b and b+a", fold(a, b), fold(b, a))
		same(t, seed, "(a+b)+d and a+(b+d)", fold(fold(a, b), d), fold(a, fold(b, d)))
		same(t, seed, "a+a and a", fold(a, a), a)
		same(t, seed, "a+b+a and a+b", fold(a, b, a), fold(a, b))
		if after := [3]string{string(a.Encode()), string(b.Encode()), string(d.Encode())}; after != before {
			t.Fatalf("seed %d: merging wrote to what was merged", seed)
		}
		if t.Failed() {
			return
		}
	}
}

// R60, R61: a history splits, repeats and reorders freely.
func TestMergeOfHalvesEqualsFoldingAll(t *testing.T) {
	for seed := range *histories {
		c := newChance(seed)
		all := c.history()
		whole := fold(all...)
		cut := c.IntN(len(all) + 1)
		same(t, seed, "halves", fold(fold(all[:cut]...), fold(all[cut:]...)), whole)
		shuffled := slices.Concat(all, all[cut:])
		c.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		same(t, seed, "shuffled with duplicates", fold(shuffled...), whole)
		if t.Failed() {
			return
		}
	}
}

func TestMergeTellsWhetherItLearnedAnything(t *testing.T) {
	for seed := range *histories {
		c := newChance(seed)
		var f quote.Facts
		for _, g := range c.history() {
			before := f.Digest()
			if changed := f.Merge(g); changed != (f.Digest() != before) {
				t.Fatalf("seed %d: Merge = %v, digest changed: %v", seed, changed, !changed)
			}
			if f.Merge(g) {
				t.Fatalf("seed %d: Merge of the same again = true", seed)
			}
		}
	}
}

func same(t *testing.T, seed uint64, what string, a, b quote.Facts) {
	t.Helper()
	if !bytes.Equal(a.Encode(), b.Encode()) || !reflect.DeepEqual(a, b) {
		t.Errorf("seed %d: %s differ:\n%s\n%s", seed, what, a.Encode(), b.Encode())
	}
}

func TestFactsSurviveTheirEncoding(t *testing.T) {
	for seed := range *histories {
		f := fold(newChance(seed).history()...)
		encoded := f.Encode()
		back, err := quote.DecodeFacts(encoded)
		if err != nil {
			t.Fatalf("seed %d: DecodeFacts = %v\n%s", seed, err, encoded)
		}
		same(t, seed, "facts and their decoding", f, back)
		standard, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(encoded, standard) {
			t.Fatalf("seed %d: Encode differs from encoding/json:\n%s\n%s", seed, encoded, standard)
		}
		var again quote.Facts
		if err := json.Unmarshal(encoded, &again); err != nil || !bytes.Equal(again.Encode(), encoded) {
			t.Fatalf("seed %d: encoding/json reads %s, %v", seed, again.Encode(), err)
		}
	}
}

// R62: what is once due stays due, so that an emission lost in a crash is made
// up for whenever. The exception is quote.paid of a revision that a newer one
// replaced: the log holds either of the two.
func TestOnceDueAlwaysDue(t *testing.T) {
	reached := map[string]int{}
	for seed := range *histories {
		var f quote.Facts
		due := map[string]bool{}
		for _, g := range newChance(seed).history() {
			f.Merge(g)
			s := quote.Derive(quote.PlatformAccount, f)
			reached[string(s.Status)]++
			now := map[string]bool{}
			for i, e := range s.Due {
				subject := e.Event + "." + e.N
				if now[subject] {
					t.Fatalf("seed %d: %s is due twice", seed, subject)
				}
				now[subject] = true
				reached[e.Event]++
				if e.Event == quote.EventPaid && i != len(s.Due)-1 {
					t.Fatalf("seed %d: quote.paid is not the last of %v", seed, s.Due)
				}
				if e.Event == quote.EventPaymentProcessing && now["payment_failed."+e.N] {
					t.Fatalf("seed %d: %s fails before it begins in %v", seed, e.N, s.Due)
				}
				if e.Seller != seller || e.At.IsZero() {
					t.Fatalf("seed %d: incomplete emission %+v", seed, e)
				}
			}
			for subject := range due {
				superseded := subject == "paid.1" && publishedIn(f, 2)
				if !now[subject] && !superseded {
					t.Fatalf("seed %d: %s was due and is no more\n%s", seed, subject, f.Encode())
				}
			}
			for subject := range now {
				due[subject] = true
			}
		}
	}
	for _, name := range []string{
		"pending", "processing", "paid", "refunded", "charged_back", "review",
		"payment_processing", "payment_failed", "duplicate_payment",
	} {
		if reached[name] == 0 {
			t.Errorf("no history reached %s: %v", name, reached)
		}
	}
}

func publishedIn(f quote.Facts, number int) bool {
	return slices.ContainsFunc(f.Revisions, func(r quote.Revision) bool { return r.Number == number && r.Seller != "" })
}

func TestDecodeFactsRefusesWhatItWouldLose(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{`, `{} {}`, `{"new_kind":[]}`, `{"sessions":[{"id":"cs_1","new_field":1}]}`, `{"sessions":{}}`,
		`{"sessions":[]}`, `{"sessions":[1]}`, `{"sessions":[{"id":1}]}`, `{"sessions":[{"id":"cs_1","complete":"yes"}]}`,
		`{"sessions":[{"id":"cs_2"},{"id":"cs_1"}]}`, `{"sessions":[{"id":"cs_1"},{"id":"cs_1"}]}`,
		`{"sessions":[{"id":"cs_1","intents":["pi_2","pi_1"]}]}`, `{"sessions":[{"id":"cs_1","intents":[]}]}`, `{"sessions":[{"id":"cs_1","intents":[1]}]}`,
		`{"revisions":[{"number":1,"amount":[]}]}`, `{"revisions":[{"number":1,"expires_at":"tomorrow"}]}`, `{"Sessions":[{"id":"cs_1"}]}`,
	} {
		if f, err := quote.DecodeFacts([]byte(text)); err == nil {
			t.Errorf("DecodeFacts(%s) = %s, want an error", text, f.Encode())
		}
	}
}

func TestNoFactsHaveNoDigest(t *testing.T) {
	var none quote.Facts
	if got := none.Digest(); got != "" {
		t.Errorf("Digest of no facts = %q, want none", got)
	}
	if got := string(none.Encode()); got != "{}" {
		t.Errorf("Encode of no facts = %s, want {}", got)
	}
	if got := quote.RevisionFacts(revision(1)).Digest(); len(got) != 64 {
		t.Errorf("Digest = %q, want 64 hexadecimal digits", got)
	}
}

func FuzzDecodeFacts(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(fold(newChance(seed).history()...).Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := quote.DecodeFacts(b)
		if err != nil {
			return
		}
		encoded := facts.Encode()
		again, err := quote.DecodeFacts(encoded)
		if err != nil || !bytes.Equal(again.Encode(), encoded) {
			t.Fatalf("DecodeFacts(%q) does not read its own encoding %q: %v", b, encoded, err)
		}
		quote.Derive(quote.PlatformAccount, facts)
		facts.Objects()
		if facts.Merge(again) {
			t.Fatalf("Merge of %q with itself changes it", encoded)
		}
	})
}
