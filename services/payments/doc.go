// Package payments turns what the log says into what is true of each quote.
//
// Its one job: read the streams STRIPE and QUOTES, fold every message into the payment facts of its quote, commit facts
// and status to Redis, and publish the facts that follow from them, quote.paid first of all. It decides nothing by
// itself: what a Stripe event says is stripeevent's, what a set of facts means is quote.Derive's. It sends no mail,
// talks to no Stripe API, and holds no state of its own: Redis is a projection that it can fold again from the log at any
// moment, and does when it finds it empty, behind, or another server's.
//
// The way of a message: consume.go takes a batch, settle_quote.go leads it through decode, route (route.go), load, fold,
// link (link.go) and commit (commit.go, commit.lua), quote_paid.go publishes what is due, outcome.go records what became
// of every message, and only then is it acknowledged. repair.go watches Redis and folds again.
package payments
