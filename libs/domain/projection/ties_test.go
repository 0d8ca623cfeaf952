package projection_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
)

// Folding what is tied together, each into a projection of its own, is folding the whole: every quote's facts, what is unsent
// of it, how far the log has reached it, and the outcome of every message.
func TestWhatIsTiedTogetherFoldsToWhatTheWholeDoes(t *testing.T) {
	rules := projection.Rules{Mode: event.ModeTest}
	apart := 0
	for seed := range uint64(80) {
		h := newHistory(t, seed)
		h.random(6)
		h.shared()
		rnd := rand.New(rand.NewPCG(seed, 9))
		if seed%2 == 1 {
			rnd.Shuffle(len(h.messages), func(i, j int) { h.messages[i], h.messages[j] = h.messages[j], h.messages[i] })
		}
		whole := fold(h.messages)
		groups, untied := grouped(rules, h.messages)
		apart += len(groups)
		seen := map[projection.Place]bool{}
		keys := 0
		for _, messages := range groups {
			part := fold(messages)
			for _, k := range part.Keys() {
				keys++
				if part.Live(k) != whole.Live(k) || part.Reach(k) != whole.Reach(k) || fmt.Sprint(part.Unsent(k)) != fmt.Sprint(whole.Unsent(k)) {
					t.Fatalf("seed %d: %v = %s\nwant %s", seed, k, part.Facts(k).Encode(), whole.Facts(k).Encode())
				}
			}
			for at, o := range part.outcomes {
				seen[at] = true
				if o != whole.outcomes[at] {
					t.Fatalf("seed %d: outcome of %v = %+v, want %+v", seed, at, o, whole.outcomes[at])
				}
			}
		}
		if keys != len(whole.Keys()) {
			t.Fatalf("seed %d: %d quotes in parts, %d in the whole", seed, keys, len(whole.Keys()))
		}
		if len(seen)+len(untied) != len(whole.outcomes) {
			t.Fatalf("seed %d: %d messages in parts and %d untied, %d in the whole", seed, len(seen), len(untied), len(whole.outcomes))
		}
		if len(fold(untied).Keys())+fold(untied).Size() != 0 {
			t.Fatalf("seed %d: a message without ties changed something", seed)
		}
	}
	if apart < 300 {
		t.Errorf("only %d groups in all: the histories are too poor to prove anything", apart)
	}
}

// shared are objects that two quotes name, and what hangs on them: such quotes cannot be folded apart.
func (h *history) shared() {
	for i := range 2 {
		id := fmt.Sprintf("q_s%d", i)
		h.published(id, 1, 1000, event.Platform)
		h.stripeEvent("checkout.session.completed", event.Platform, session("cs_"+id, id, 1000, object{"payment_intent": "pi_shared"}))
	}
	h.stripeEvent("refund.created", event.Platform, refund("re_shared", "ch_shared", "", 300))
	h.stripeEvent("charge.succeeded", event.Platform, charge("ch_shared", "pi_shared", "", 1000, 0))
}

// grouped parts messages by what ties them together, each group in the order of the log.
func grouped(rules projection.Rules, messages []projection.Message) (groups map[int][]projection.Message, untied []projection.Message) {
	of, groups := map[string]int{}, map[int][]projection.Message{}
	for i, m := range messages {
		ties := tiesOf(rules, m)
		if len(ties) == 0 {
			untied = append(untied, m)
			continue
		}
		joined := []projection.Message{m}
		var old []int
		for _, tie := range ties {
			if g, ok := of[tie]; ok && !slices.Contains(old, g) {
				old = append(old, g)
			}
			of[tie] = i
		}
		for _, g := range old {
			joined = append(joined, groups[g]...)
			delete(groups, g)
			for tie, at := range of {
				if at == g {
					of[tie] = i
				}
			}
		}
		groups[i] = joined
	}
	place := func(m projection.Message) int {
		return slices.IndexFunc(messages, func(o projection.Message) bool { return o.Subject == m.Subject && o.Sequence == m.Sequence })
	}
	for _, g := range groups {
		slices.SortFunc(g, func(a, b projection.Message) int { return place(a) - place(b) })
	}
	return groups, untied
}

func tiesOf(rules projection.Rules, m projection.Message) []string {
	if len(m.Subject) > 6 && m.Subject[:6] == "quote." {
		e := projection.ReadQuote(m.Subject, m.Body)
		return e.Ties()
	}
	e := rules.ReadStripe(m.Subject, m.Body)
	return e.Ties()
}
