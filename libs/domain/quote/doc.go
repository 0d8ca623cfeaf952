// Package quote is the vocabulary of the product and its rules: what a quote
// is, what money is, what has to be paid, and what the payment facts of a quote
// mean.
//
//   - Money, Document and Total: the quote as its seller writes it.
//   - Aggregate and its decide functions: which command a quote allows, folded
//     from the quote's own events.
//   - Facts, Merge and Derive: what is known of its payment; the order in which
//     it became known never matters.
//
// It does no I/O, reads no clock and draws no random numbers: every caller
// passes them in. The quotes service, the payments worker and the operator's
// tools call it. It imports the standard library alone.
package quote
