package quote

import (
	"cmp"
	"slices"
	"strings"
)

// joinList joins two sorted lists: elements that order finds equal are joined,
// the others stand side by side. It writes to neither list; the result is a
// itself when b adds nothing, and may be b itself when a is empty.
func joinList[T any](j *joiner, a, b []T, order func(a, b *T) int, join func(j *joiner, dst, src *T)) []T {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		j.changed = true
		return b
	}
	joined, own := a, false
	for k := range b {
		at, found := search(joined, &b[k], order)
		if !found {
			if !own {
				joined = slices.Clip(joined) // so that Insert copies
			}
			joined, own = slices.Insert(joined, at, b[k]), true
			j.changed = true
			continue
		}
		element, before := joined[at], j.changed
		j.changed = false
		join(j, &element, &b[k])
		if !j.changed {
			j.changed = before
			continue
		}
		if !own {
			joined, own = slices.Clone(joined), true
		}
		joined[at] = element
	}
	return joined
}

// search finds the place of want.
func search[T any](list []T, want *T, order func(a, b *T) int) (at int, found bool) {
	return find(list, func(have *T) int { return order(have, want) })
}

// find is a binary search by pointer: elements are large.
func find[T any](list []T, order func(*T) int) (at int, found bool) {
	low, high := 0, len(list)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch c := order(&list[mid]); {
		case c == 0:
			return mid, true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, false
}

// sorted reports whether list is in strictly rising order.
func sorted[T any](list []T, order func(a, b *T) int) bool {
	for i := 1; i < len(list); i++ {
		if order(&list[i-1], &list[i]) >= 0 {
			return false
		}
	}
	return true
}

func byText(a, b *string) int                     { return strings.Compare(*a, *b) }
func byNumber(a, b *Revision) int                 { return cmp.Compare(a.Number, b.Number) }
func bySessionID(a, b *SessionFact) int           { return strings.Compare(a.ID, b.ID) }
func byIntentID(a, b *IntentFact) int             { return strings.Compare(a.ID, b.ID) }
func byChargeID(a, b *ChargeFact) int             { return strings.Compare(a.ID, b.ID) }
func byInvoiceID(a, b *InvoiceFact) int           { return strings.Compare(a.ID, b.ID) }
func bySubscriptionID(a, b *SubscriptionFact) int { return strings.Compare(a.ID, b.ID) }
func byRefundID(a, b *RefundFact) int             { return strings.Compare(a.ID, b.ID) }
func byDisputeID(a, b *DisputeFact) int           { return strings.Compare(a.ID, b.ID) }
func byCouponID(a, b *CouponFact) int             { return strings.Compare(a.ID, b.ID) }
func byWarningID(a, b *WarningFact) int           { return strings.Compare(a.ID, b.ID) }
func byRenewalID(a, b *RenewalFact) int           { return strings.Compare(a.ID, b.ID) }
func byPayment(a, b *Returned) int                { return strings.Compare(a.Payment, b.Payment) }
func byName(a, b *Seen) int                       { return strings.Compare(a.Name, b.Name) }
func byTransactionID(a, b *Transaction) int       { return strings.Compare(a.ID, b.ID) }
func byMoney(a, b *Settlement) int {
	return cmp.Or(strings.Compare(a.Currency, b.Currency), cmp.Compare(a.Amount, b.Amount))
}
