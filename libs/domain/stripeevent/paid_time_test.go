package stripeevent_test

import (
	"fmt"
	"testing"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

// R33: a bank debit is paid when the money came, not when the customer gave the order days before.
func TestADelayedMethodIsPaidWhenItSucceeds(t *testing.T) {
	const begun, told = 1_760_000_000, 1_760_300_000
	charge := func(typ, method string) quote.Settlement {
		t.Helper()
		c, err := stripeevent.Decode([]byte(fmt.Sprintf(`{"id":"evt_1","type":%q,"created":%d,"data":{"object":{"id":"ch_1","object":"charge",
			"amount":100,"amount_captured":100,"captured":true,"status":"succeeded","currency":"eur","created":%d,"payment_intent":"pi_1",
			"payment_method_details":{"type":%q}}}}`, typ, told, begun, method)))
		if err != nil || len(c.Facts.Charges) != 1 || len(c.Facts.Charges[0].Settled) != 1 {
			t.Fatalf("Decode = %+v, %v, want one settled charge", c, err)
		}
		return c.Facts.Charges[0].Settled[0]
	}
	for _, test := range []struct {
		typ, method string
		rank        int
		at          int64
	}{
		{"charge.succeeded", "card", quote.RankExact, begun},
		{"charge.updated", "card", quote.RankExact, begun},
		{"charge.succeeded", "sepa_debit", quote.RankExact, told},
		{"charge.updated", "sepa_debit", quote.RankBegun, begun},
		{"charge.succeeded", "a method of tomorrow", quote.RankExact, begun},
	} {
		if got := charge(test.typ, test.method); got.Rank != test.rank || got.At != test.at {
			t.Errorf("%s by %s: rank %d at %d, want rank %d at %d", test.typ, test.method, got.Rank, got.At, test.rank, test.at)
		}
	}
}
