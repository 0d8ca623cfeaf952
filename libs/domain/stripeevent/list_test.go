package stripeevent_test

import (
	"slices"
	"testing"

	"quittance.internal/libs/domain/stripeevent"
)

// What an operator is told to subscribe to is what is decoded, no more and no less.
func TestListedTypesAreThoseThatAreWanted(t *testing.T) {
	list := stripeevent.PaymentTypes()
	if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) || !slices.Contains(list, "checkout.session.completed") {
		t.Errorf("PaymentTypes() = %v, want a sorted list without repetition", list)
	}
	for _, typ := range list {
		if !stripeevent.Wanted(typ) {
			t.Errorf("%s is listed and not wanted", typ)
		}
	}
	for _, typ := range stripeevent.AccountTypes() {
		if !stripeevent.AboutAccount(typ) {
			t.Errorf("%s is listed and about no account", typ)
		}
	}
}
