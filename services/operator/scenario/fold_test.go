package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/services/operator/scenario"
)

// TestRulesAndOracleAgree plays every scenario through the domain's own decoding, linking, folding and derivation, in many
// orders and with repetitions, and compares with the end that the scenario demands. (R34 R46 R47 R60 R62, rows 1, 2, 4, 6,
// 8, 13, 19, 23, 25 and 32 of stripe.md §2.5.)
func TestRulesAndOracleAgree(t *testing.T) {
	free := oneTime()
	free.Amount = 0
	freeSub := recurring()
	freeSub.Amount = 0
	platform := oneTime()
	platform.Account = ""
	live := oneTime()
	live.Live = true
	targets := map[string]scenario.Target{
		"one-time": oneTime(), "recurring": recurring(), "free": free, "free recurring": freeSub, "own account": platform, "live": live,
	}
	for _, s := range scenario.All() {
		for name, target := range targets {
			if _, err := s.Run(target, 1, start, scenario.V20231016); err != nil {
				continue // cannot happen to such a quote; TestAScenarioThatCannotHappenIsRefused
			}
			for _, v := range []scenario.Version{scenario.V20231016, scenario.Basil} {
				t.Run(fmt.Sprintf("%s/%s/%s", s.Name, name, v), func(t *testing.T) {
					for seed := range int64(20) {
						judge(t, s, target, v, seed+1)
					}
				})
			}
		}
	}
}

func judge(t *testing.T, s scenario.Scenario, target scenario.Target, v scenario.Version, seed int64) {
	t.Helper()
	b := run(t, s, target, seed, v)
	facts := newFold(target)
	for _, e := range shuffled(b.Events, seed) {
		facts.take(t, e)
	}
	state := quote.Derive(facts.account, facts.facts)
	flags := make([]string, len(state.Flags))
	for i, f := range state.Flags {
		flags[i] = string(f)
	}
	if string(state.Status) != b.Expect.Status || !slices.Equal(flags, b.Expect.Flags) {
		t.Errorf("seed %d: status %s flags %v, want %s %v\nfacts: %s", seed, state.Status, flags, b.Expect.Status, b.Expect.Flags, facts.facts.Encode())
	}
	paid := 0
	for _, e := range state.Due {
		if e.Event == event.NamePaid {
			paid++
			if e.Amount.Amount != target.Amount || e.Amount.Currency != target.Currency || e.Revision != target.Revision {
				t.Errorf("seed %d: quote.paid of %+v", seed, e)
			}
		}
	}
	if paid != b.Expect.PaidFacts {
		t.Errorf("seed %d: %d quote.paid due, want %d", seed, paid, b.Expect.PaidFacts)
	}
	if state.PaidAt.Before(b.PaidFrom) || state.PaidAt.After(b.PaidTo) || s.Name != "bank-debit" && !state.PaidAt.Equal(b.PaidFrom) {
		t.Errorf("seed %d: paid at %s, want %s (or, of a bank debit, until %s)", seed, state.PaidAt, b.PaidFrom, b.PaidTo)
	}
	if len(facts.waiting) > 0 && !unlinkable(s, target, v) {
		t.Errorf("seed %d: %d events never found their quote, the first a %s", seed, len(facts.waiting), facts.waiting[0].Type)
	}
	text := event.CardText(string(state.Status), state.PaidAt, time.UTC)
	if !strings.HasPrefix(text, b.Expect.CardText) {
		t.Errorf("seed %d: card %q, want it to begin with %q", seed, text, b.Expect.CardText)
	}
}

// unlinkable is the case in which Stripe itself tells no link: from Basil on an intent of a subscription is tied to its invoice
// by invoice_payment.paid alone, and a payment that fails has none. Its charge and intent wait for ever; session and invoice
// tell of the failure.
func unlinkable(s scenario.Scenario, target scenario.Target, v scenario.Version) bool {
	return s.Name == "bank-debit-failed" && target.Interval != "" && v == scenario.Basil
}

// shuffled is the events in an order of the seed, some of them twice or three times.
func shuffled(events []scenario.Event, seed int64) []scenario.Event {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	var all []scenario.Event
	for _, e := range events {
		for range 1 + random.IntN(3) {
			all = append(all, e)
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// fold is what the payments worker does, without its stores: link, wait, merge.
type fold struct {
	account string
	target  scenario.Target
	facts   quote.Facts
	waiting []stripeevent.Change
}

func newFold(target scenario.Target) *fold {
	f := &fold{account: target.Account, target: target}
	if f.account == "" {
		f.account = event.Platform
	}
	// The first revision was published for another amount: it must not matter.
	for n := 1; n <= target.Revision; n++ {
		amount := target.Amount
		if n < target.Revision {
			amount += 1000
		}
		f.facts.Merge(quote.RevisionFacts(quote.Revision{
			Seller: target.Seller, Number: n, Amount: quote.Money{Amount: amount, Currency: target.Currency}, Account: f.account, Mode: event.Mode(target.Live),
			PublishedAt: start.Add(time.Duration(n) * -time.Hour),
		}))
	}
	return f
}

func (f *fold) take(t *testing.T, e scenario.Event) {
	t.Helper()
	if !stripeevent.Wanted(e.Type) {
		return
	}
	c, err := stripeevent.Decode(e.Body)
	if err != nil {
		t.Fatalf("decode %s: %v", e.Type, err)
	}
	if c.EventID != e.ID || c.Type != e.Type || c.Livemode != f.target.Live {
		t.Errorf("%s decodes to %+v", e.Type, c)
	}
	if c.Claim == (stripeevent.Claim{}) && c.Ignored != "" {
		return
	}
	f.waiting = append(f.waiting, c)
	for again := true; again; {
		again = false
		objects := f.facts.Objects()
		var still []stripeevent.Change
		for _, c := range f.waiting {
			linked := c.Claim.Quote == f.target.Quote
			for _, name := range c.Names {
				linked = linked || slices.Contains(objects, name)
			}
			if !linked {
				still = append(still, c)
				continue
			}
			f.facts.Merge(c.Facts)
			again = true
		}
		f.waiting = still
	}
}
