package quote

import "slices"

// statusRank orders payment statuses by what a seller must see first where a
// quote was published on several Stripe accounts.
var statusRank = []Status{
	StatusPending, StatusProcessing, StatusRefunded, StatusChargedBack, StatusPaid, StatusReview,
}

// Overall is the one status that a quote shows: that of its payments where any
// has begun, else the state that its commands brought it to. Payments are the
// statuses on each of its accounts; empty and unknown ones count as pending.
func Overall(state Lifecycle, payments ...Status) string {
	best := 0
	for _, p := range payments {
		best = max(best, slices.Index(statusRank, p))
	}
	if best == 0 {
		return string(state)
	}
	return string(statusRank[best])
}
