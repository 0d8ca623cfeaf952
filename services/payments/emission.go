//go:build !sabotage_emission

package payments

// mayEmit reports whether a quote's due facts are to be published with this commit: always. A fact that is true and not
// in the log is published, whether or not this very commit made it true; see rule 3 in docs/guarantees.md.
func mayEmit(*settlement) bool { return true }
