package projection_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
)

// Folding into the part of the state that messages bear on gives what folding into the whole gives: for every history, what
// stands before, and selection.
func TestAPartialProjectionFoldsAsTheWholeOneDoes(t *testing.T) {
	for seed := range uint64(60) {
		h := newHistory(t, seed)
		h.random(10)
		h.rnd.Shuffle(len(h.messages), func(i, j int) { h.messages[i], h.messages[j] = h.messages[j], h.messages[i] })
		cut := h.rnd.IntN(len(h.messages) + 1)
		whole := fold(h.messages[:cut])
		var selected []projection.Message
		for _, m := range h.messages {
			if h.rnd.IntN(3) > 0 {
				selected = append(selected, m)
			}
		}
		part, rounds := foldPart(t, whole.Projection, selected)
		whole.outcomes = map[projection.Place]projection.Outcome{}
		for _, m := range selected {
			whole.Fold(m)
		}
		for _, k := range part.Folded() {
			if have, want := part.Live(k), whole.Live(k); have != want {
				t.Errorf("seed %d: %v = %+v, the whole has %+v", seed, k, have, want)
			}
			if have, want := len(part.Unsent(k)), len(whole.Unsent(k)); have != want {
				t.Errorf("seed %d: %d emissions of %v are unsent, the whole has %d", seed, have, k, want)
			}
		}
		for at, o := range part.outcomes {
			if want := whole.outcomes[at]; o.Kind != want.Kind && (!o.Folded() || !want.Folded()) {
				t.Errorf("seed %d: outcome of %+v = %+v, the whole has %+v", seed, at, o, want)
			}
		}
		if rounds > 9 {
			t.Errorf("seed %d took %d rounds", seed, rounds)
		}
	}
}

func foldPart(t *testing.T, whole *projection.Projection, selected []projection.Message) (*folded, int) {
	t.Helper()
	base := projection.NewPartial(projection.Config{Rules: projection.Rules{Mode: event.ModeTest}})
	for round := 1; ; round++ {
		part := &folded{outcomes: map[projection.Place]projection.Outcome{}}
		part.Projection = base.Clone(part.decided)
		for _, m := range selected {
			part.Fold(m)
		}
		missing := part.Missing()
		if missing.None() {
			return part, round
		}
		base.SeedFrom(whole, missing)
		if round == 50 {
			t.Fatal("there is always something missing")
		}
	}
}
