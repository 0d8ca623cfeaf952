package quote

import (
	"cmp"
	"slices"
)

// Merge joins g into f and reports whether f learned anything. Merging in any
// order, any grouping, any number of times gives the same facts.
func (f *Facts) Merge(g Facts) (changed bool) {
	var j joiner
	f.Revisions = joinList(&j, f.Revisions, g.Revisions, byNumber, joinRevision)
	f.Sessions = joinList(&j, f.Sessions, g.Sessions, bySessionID, joinSession)
	f.Intents = joinList(&j, f.Intents, g.Intents, byIntentID, joinIntent)
	f.Charges = joinList(&j, f.Charges, g.Charges, byChargeID, joinCharge)
	f.Invoices = joinList(&j, f.Invoices, g.Invoices, byInvoiceID, joinInvoice)
	f.Subscriptions = joinList(&j, f.Subscriptions, g.Subscriptions, bySubscriptionID, joinSubscription)
	f.Refunds = joinList(&j, f.Refunds, g.Refunds, byRefundID, joinRefund)
	f.Disputes = joinList(&j, f.Disputes, g.Disputes, byDisputeID, joinDispute)
	f.Coupons = joinList(&j, f.Coupons, g.Coupons, byCouponID, joinCoupon)
	f.Warnings = joinList(&j, f.Warnings, g.Warnings, byWarningID, joinWarning)
	f.Renewals = joinRenewals(&j, f.Renewals, g.Renewals)
	return j.changed
}

// joiner joins field by field and remembers whether any of them grew.
type joiner struct{ changed bool }

// joinRevision keeps the greater of two different publications of one number.
// The log holds at most one, so this decides only what must never happen, but
// the same way everywhere.
func joinRevision(j *joiner, dst, src *Revision) {
	recalled, expired := dst.Recalled, dst.Expired
	if compareRevision(src, dst) > 0 {
		*dst = *src
		dst.Recalled, dst.Expired = recalled, expired
		j.changed = true
	}
	j.or(&dst.Recalled, src.Recalled)
	j.or(&dst.Expired, src.Expired)
}

func compareRevision(a, b *Revision) int {
	return cmp.Or(
		cmp.Compare(a.Seller, b.Seller),
		a.PublishedAt.Compare(b.PublishedAt),
		a.ExpiresAt.Compare(b.ExpiresAt),
		cmp.Compare(a.Account, b.Account),
		cmp.Compare(a.Mode, b.Mode),
		cmp.Compare(a.Amount.Amount, b.Amount.Amount),
		cmp.Compare(a.Amount.Currency, b.Amount.Currency),
		cmp.Compare(a.Deal, b.Deal),
	)
}

func joinSession(j *joiner, dst, src *SessionFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Intents, src.Intents)
	j.set(&dst.Invoices, src.Invoices)
	j.set(&dst.Subscriptions, src.Subscriptions)
	j.first(&dst.Complete, src.Complete)
	j.first(&dst.Unpaid, src.Unpaid)
	j.first(&dst.Failed, src.Failed)
	j.first(&dst.Expired, src.Expired)
	j.settled(&dst.Settled, src.Settled)
}

func joinIntent(j *joiner, dst, src *IntentFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Charges, src.Charges)
	j.set(&dst.Invoices, src.Invoices)
	j.first(&dst.Processing, src.Processing)
	j.first(&dst.Failed, src.Failed)
	j.first(&dst.Canceled, src.Canceled)
	j.settled(&dst.Settled, src.Settled)
}

func joinCharge(j *joiner, dst, src *ChargeFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Intents, src.Intents)
	j.set(&dst.Invoices, src.Invoices)
	j.first(&dst.Pending, src.Pending)
	j.first(&dst.Failed, src.Failed)
	j.settled(&dst.Settled, src.Settled)
	dst.Refunded = joinList(j, dst.Refunded, src.Refunded, byPayment, joinReturned)
}

// joinReturned takes the greater amount with its time.
func joinReturned(j *joiner, dst, src *Returned) {
	switch {
	case src.Amount > dst.Amount:
		*dst = *src
		j.changed = true
	case src.Amount == dst.Amount:
		j.first(&dst.At, src.At)
	}
}

func joinInvoice(j *joiner, dst, src *InvoiceFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Subscriptions, src.Subscriptions)
	j.set(&dst.Intents, src.Intents)
	j.set(&dst.Charges, src.Charges)
	j.invoiceStatus(&dst.Status, src.Status)
	j.max(&dst.Attempts, src.Attempts)
	j.first(&dst.Failed, src.Failed)
	j.settled(&dst.Settled, src.Settled)
}

func joinSubscription(j *joiner, dst, src *SubscriptionFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.first(&dst.Ended, src.Ended)
}

func joinRefund(j *joiner, dst, src *RefundFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Charges, src.Charges)
	j.set(&dst.Intents, src.Intents)
	j.set(&dst.Payments, src.Payments)
	j.money(&dst.Money, src.Money)
	j.first(&dst.At, src.At)
	j.first(&dst.Done, src.Done)
	j.first(&dst.Dead, src.Dead)
}

func joinDispute(j *joiner, dst, src *DisputeFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Charges, src.Charges)
	j.set(&dst.Intents, src.Intents)
	j.money(&dst.Money, src.Money)
	dst.Statuses = joinList(j, dst.Statuses, src.Statuses, byName,
		func(j *joiner, dst, src *Seen) { j.first(&dst.Since, src.Since) })
	dst.Transactions = joinList(j, dst.Transactions, src.Transactions, byTransactionID,
		func(j *joiner, dst, src *Transaction) {
			if src.Amount > dst.Amount {
				dst.Amount, j.changed = src.Amount, true
			}
		})
}

func joinCoupon(j *joiner, dst, src *CouponFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.first(&dst.Changed, src.Changed)
	j.first(&dst.Deleted, src.Deleted)
}

func joinWarning(j *joiner, dst, src *WarningFact) {
	j.origin(&dst.Origin, &src.Origin)
	j.set(&dst.Charges, src.Charges)
	j.set(&dst.Intents, src.Intents)
	j.first(&dst.Opened, src.Opened)
	j.first(&dst.Closed, src.Closed)
}

// joinRenewals keeps the one with the greatest (PeriodEnd, ID); facts of one
// invoice and period join. That is a lexicographic product of a chain and a
// join, so again a join.
func joinRenewals(j *joiner, a, b []RenewalFact) []RenewalFact {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		j.changed = true
		return b
	}
	switch cmp.Or(cmp.Compare(b[0].PeriodEnd, a[0].PeriodEnd), cmp.Compare(b[0].ID, a[0].ID)) {
	case -1:
		return a
	case 1:
		j.changed = true
		return b
	}
	joined, before := a[0], j.changed
	j.changed = false
	j.origin(&joined.Origin, &b[0].Origin)
	j.invoiceStatus(&joined.Status, b[0].Status)
	j.max(&joined.Attempts, b[0].Attempts)
	j.first(&joined.Failed, b[0].Failed)
	if !j.changed {
		j.changed = before
		return a
	}
	return []RenewalFact{joined}
}

func (j *joiner) origin(dst, src *Origin) {
	j.set(&dst.Claims, src.Claims)
	j.or(&dst.Live, src.Live)
	j.or(&dst.Test, src.Test)
}

func (j *joiner) or(dst *bool, src bool) {
	if src && !*dst {
		*dst, j.changed = true, true
	}
}

func (j *joiner) max(dst *int, src int) {
	if src > *dst {
		*dst, j.changed = src, true
	}
}

// first joins by minimum, never (0) giving way.
func (j *joiner) first(dst *Moment, src Moment) {
	if src != 0 && (*dst == 0 || src < *dst) {
		*dst, j.changed = src, true
	}
}

func (j *joiner) money(dst *Money, src Money) {
	if cmp.Or(cmp.Compare(src.Amount, dst.Amount), cmp.Compare(src.Currency, dst.Currency)) > 0 {
		*dst, j.changed = src, true
	}
}

// invoiceStatuses in rising rank.
var invoiceStatuses = [...]string{"", "draft", "open", "uncollectible", "void", "paid"}

func (j *joiner) invoiceStatus(dst *string, src string) {
	if slices.Index(invoiceStatuses[:], src) > slices.Index(invoiceStatuses[:], *dst) {
		*dst, j.changed = src, true
	}
}

// set joins by union; like joinList it writes to neither set.
func (j *joiner) set(dst *Set, src Set) {
	if len(*dst) == 0 && len(src) > 0 {
		*dst, j.changed = src, true
		return
	}
	for _, v := range src {
		if at, found := slices.BinarySearch(*dst, v); !found {
			*dst, j.changed = slices.Insert(slices.Clip(*dst), at, v), true
		}
	}
}

func (j *joiner) settled(dst *[]Settlement, src []Settlement) {
	*dst = joinList(j, *dst, src, byMoney, joinSettlement)
}

// joinSettlement takes the minimum of (rank, time, event).
func joinSettlement(j *joiner, dst, src *Settlement) {
	if compareSettlement(src, dst) < 0 {
		dst.Rank, dst.At, dst.Event, j.changed = src.Rank, src.At, src.Event, true
	}
}

// compareSettlement puts the better time first.
func compareSettlement(a, b *Settlement) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.At, b.At), cmp.Compare(a.Event, b.Event))
}
