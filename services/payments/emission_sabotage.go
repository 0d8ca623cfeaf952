//go:build sabotage_emission

package payments

// mayEmit breaks the rule on purpose: it publishes on the transition only, so that a crash between commit and emission
// loses the fact. The crash proof must find that; no other build has this tag.
func mayEmit(s *settlement) bool { return s.changed }
