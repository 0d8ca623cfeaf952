package quote_test

import (
	"testing"

	"quittance.internal/libs/domain/quote"
)

func TestAQuoteShowsItsPaymentOnceOneHasBegun(t *testing.T) {
	tests := []struct {
		state    quote.Lifecycle
		payments []quote.Status
		want     string
	}{
		{quote.LifecycleDraft, nil, "draft"},
		{quote.LifecyclePublished, []quote.Status{quote.StatusPending}, "published"},
		{quote.LifecycleExpired, []quote.Status{""}, "expired"},
		{quote.LifecyclePublished, []quote.Status{quote.StatusProcessing}, "processing"},
		{quote.LifecycleRecalled, []quote.Status{quote.StatusPaid}, "paid"},
		{quote.LifecyclePublished, []quote.Status{quote.StatusPending, quote.StatusPaid}, "paid"},
		{quote.LifecyclePublished, []quote.Status{quote.StatusPaid, quote.StatusReview}, "review"},
		{quote.LifecyclePublished, []quote.Status{"from a newer version"}, "published"},
	}
	for _, test := range tests {
		if got := quote.Overall(test.state, test.payments...); got != test.want {
			t.Errorf("Overall(%s, %v) = %s, want %s", test.state, test.payments, got, test.want)
		}
	}
}
