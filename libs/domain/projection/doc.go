// Package projection is what services/payments makes of the log, as one pure
// in-memory fold: messages of STRIPE and QUOTES go in, in any order and any
// number of times, and out come the facts of each quote on each Stripe account,
// what links Stripe's objects to quotes, which changes wait for such a link, and
// what became of every message.
//
// Its one job is to be the executable specification of the projection in Redis
// (docs/guarantees.md, I7). The rules that decide about a single message are
// here once, for both: Rules.ReadStripe and ReadQuote. How payments spreads the
// work over batches, instances and Redis slots is its own; a conformance test
// holds the two equal. The operator's tools verify, plan and travel in time with
// it. It reads and writes nothing.
package projection
