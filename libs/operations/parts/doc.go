// Package parts folds a log of any length in little memory. It keeps what the messages say about payments in temporary
// files, finds which messages are tied together (projection.StripeEvent.Ties), and folds them part by part with
// libs/domain/projection, each part into a projection of its own. For every quote that gives what folding all of them into
// one gives: that fold stays the specification, and a test holds the two equal on random histories.
//
// Memory is that of one part, whatever the number of messages, up to about twenty million of them; then a part is a 256th of the
// log, since no more than maxFiles are open at once. What is tied together is never folded apart, so a quote is as large as it
// is. The files hold facts: ids, amounts, times, and no personal data.
//
// It reads no stream and no Redis; the verifier (package rebuild) calls it.
package parts
