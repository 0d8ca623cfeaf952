//go:build sabotage_emission

package payments

import (
	"slices"

	"quittance.internal/libs/domain/quote"
)

// mayEmit breaks the rule on purpose: it publishes on the transition only, when this very commit made the fact true, so
// that a crash between commit and emission loses it. The crash proof must find that; no other build has this tag.
func mayEmit(s *settlement, e quote.Emission) bool {
	return !slices.ContainsFunc(quote.Derive(s.account, s.loaded).Due, func(old quote.Emission) bool { return old.Event == e.Event && old.N == e.N })
}
