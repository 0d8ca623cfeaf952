package quote_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

// Names that all histories of the tests share.
const (
	seller  = "main"
	quoteID = "q_1042"
)

// message is one delivery: a Stripe event, or facts of the quote's own log.
type message struct {
	change stripeevent.Change
	facts  quote.Facts // of the quote's log; zero for a Stripe event
}

// events decodes bodies into messages.
func events(tb testing.TB, bodies ...[]byte) []message {
	tb.Helper()
	var all []message
	for _, body := range bodies {
		change, err := stripeevent.Decode(body)
		if err != nil {
			tb.Fatalf("Decode = %v\n%s", err, body)
		}
		all = append(all, message{change: change})
	}
	return all
}

// revision is a published revision of 100.00 PLN.
func revision(n int) quote.Revision {
	return quote.Revision{
		Seller: seller, Number: n, Amount: quote.Money{Amount: 10000, Currency: "pln"}, Account: quote.PlatformAccount, Mode: quote.ModeTest,
		Deal: "deal_7", PublishedAt: time.Unix(stripetest.Start-86400, 0), ExpiresAt: time.Unix(stripetest.Start+86400, 0),
	}
}

func published(r quote.Revision) message { return message{facts: quote.RevisionFacts(r)} }

// world is the small model of the payments worker: changes are folded into the
// quote of their own metadata, or parked under each object they name until a
// quote names one of these; and of the log, which keeps one emission a subject
// and refuses quote.paid of n once n+1 is published. The log holds the
// publications from the start: only their delivery is permuted.
type world struct {
	log     map[int]bool // published revisions
	facts   map[string]quote.Facts
	owner   map[string]string // account and object to account and quote
	parked  map[string][]quote.Facts
	renewal map[string]bool
	emitted map[string]quote.Emission
	due     map[string]bool // everything that was ever due, quote.paid aside
	mode    bool            // livemode of the deployment
	refused int             // events of the other mode, or emissions by the log
}

func newWorld(revisions []quote.Revision) *world {
	w := &world{
		log: map[int]bool{}, facts: map[string]quote.Facts{}, owner: map[string]string{}, parked: map[string][]quote.Facts{},
		renewal: map[string]bool{}, emitted: map[string]quote.Emission{}, due: map[string]bool{},
	}
	for _, r := range revisions {
		w.log[r.Number] = true
	}
	return w
}

func keyOf(account, quote string) string { return account + ":" + quote }

// deliver takes one message through to its emissions.
func (w *world) deliver(m message) {
	if !isZero(m.facts) {
		for _, r := range append([]string{quote.PlatformAccount}, accounts...) {
			w.fold(r, keyOf(r, quoteID), m.facts)
		}
		return
	}
	c := m.change
	switch {
	case c.Ignored != "":
	case c.Livemode != w.mode:
		w.refused++
	case c.Claim != stripeevent.Claim{}:
		w.fold(c.Account, keyOf(c.Account, c.Claim.Quote), c.Facts)
	default:
		w.park(c)
	}
}

// accounts are the quote's further accounts; the tests that need one say so.
var accounts = []string{"acct_1OTHER"}

func (w *world) park(c stripeevent.Change) {
	owner := ""
	for _, name := range c.Names {
		object := keyOf(c.Account, name)
		w.parked[object] = append(w.parked[object], c.Facts)
		if w.renewal[object] {
			return
		}
		if w.owner[object] != "" {
			owner = w.owner[object]
		}
	}
	if owner != "" {
		w.fold(c.Account, owner, c.Facts)
	}
}

// fold merges facts into a quote, links what they name, merges what waited
// there, and emits what is due.
func (w *world) fold(account, key string, g quote.Facts) {
	f := w.facts[key].Clone()
	f.Merge(g)
	for again := true; again; {
		again = false
		for _, name := range f.RenewalObjects() {
			w.renewal[keyOf(account, name)] = true
		}
		for _, name := range f.Objects() {
			object := keyOf(account, name)
			if w.owner[object] != "" {
				continue
			}
			w.owner[object] = key
			for _, waiting := range w.parked[object] {
				f.Merge(waiting)
				again = true
			}
		}
	}
	w.facts[key] = f
	for _, e := range quote.Derive(account, f).Due {
		w.emit(e)
	}
}

func (w *world) emit(e quote.Emission) {
	subject := e.Event + "." + e.N
	if e.Event == quote.EventPaid {
		if w.log[e.Revision+1] {
			w.refused++
			return
		}
	} else {
		w.due[subject] = true
	}
	if _, taken := w.emitted[subject]; !taken {
		w.emitted[subject] = e
	}
}

// subjects are the stored emissions.
func (w *world) subjects() []string {
	all := make([]string, 0, len(w.emitted))
	for subject := range w.emitted {
		all = append(all, subject)
	}
	slices.Sort(all)
	return all
}

// state is what the quote's own account shows in the end.
func (w *world) state() quote.State {
	return quote.Derive(quote.PlatformAccount, w.facts[keyOf(quote.PlatformAccount, quoteID)])
}

func isZero(f quote.Facts) bool { return f.Digest() == "" }

// orders calls f with orders of n messages: all of them up to seven messages,
// else a seeded sample; into most of them random messages are put a second time.
func orders(n int, seed uint64, f func(order []int)) {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	repeat := func(order []int) []int {
		order = slices.Clone(order)
		for range random.IntN(3) {
			order = slices.Insert(order, random.IntN(len(order)+1), random.IntN(n))
		}
		return order
	}
	if n > 7 {
		for range 1500 {
			f(repeat(random.Perm(n)))
		}
		return
	}
	var permute func(order []int, k int)
	permute = func(order []int, k int) {
		if k == len(order) {
			f(repeat(order))
			return
		}
		for i := k; i < len(order); i++ {
			order[k], order[i] = order[i], order[k]
			permute(order, k+1)
			order[k], order[i] = order[i], order[k]
		}
	}
	first := make([]int, n)
	for i := range first {
		first[i] = i
	}
	permute(first, 0)
}

// outcome is what must not depend on the order, as one comparable text.
func (w *world) outcome() string {
	s := w.state()
	due := make([]string, 0, len(s.Due))
	for _, e := range s.Due {
		due = append(due, e.Event+"."+e.N)
	}
	return fmt.Sprintf("status %s flags %v revision %d refunded %d paid %s refunded %s charged back %s payment %+v due %v emitted %v",
		s.Status, s.Flags, s.Revision, s.Refunded, clock(s.PaidAt), clock(s.RefundedAt), clock(s.ChargedBackAt), s.Payment, due, w.subjects())
}

// clock writes a time in seconds from the first event.
func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return strconv.FormatInt(t.Unix()-stripetest.Start, 10) + "s"
}

// converge runs the messages in every order and returns the one world they all
// end in.
func converge(t *testing.T, revisions []quote.Revision, messages []message) *world {
	t.Helper()
	for _, r := range revisions {
		messages = append(messages, published(r))
	}
	var first *world
	var firstOutcome, firstDigest string
	var firstOrder []int
	orders(len(messages), 1, func(order []int) {
		if t.Failed() {
			return
		}
		w := newWorld(revisions)
		for _, i := range order {
			w.deliver(messages[i])
		}
		outcome, digest := w.outcome(), w.facts[keyOf(quote.PlatformAccount, quoteID)].Digest()
		if first == nil {
			first, firstOutcome, firstDigest, firstOrder = w, outcome, digest, slices.Clone(order)
		}
		if outcome != firstOutcome || digest != firstDigest {
			t.Errorf("order %v: %s (%.8s)\norder %v: %s (%.8s)", order, outcome, digest, firstOrder, firstOutcome, firstDigest)
		}
		for _, e := range w.state().Due {
			delete(w.due, e.Event+"."+e.N)
		}
		for subject := range w.due {
			t.Errorf("order %v: %s was due and is no more", order, subject)
		}
	})
	return first
}
