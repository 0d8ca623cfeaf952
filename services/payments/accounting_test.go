package payments_test

import (
	"strconv"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/redisquote"
	"quittance.internal/services/payments"
)

// Conservation as a metric: a message that was acknowledged and has no outcome is counted, in a block that is complete and
// in the last one.
func TestAnAcknowledgedMessageWithoutAnOutcomeIsCounted(t *testing.T) {
	r := newRig(t)
	stop := r.run()
	const messages = 1200
	for i := range messages {
		r.stripe("evt_"+strconv.Itoa(i), "customer.created", "", object{"id": "cus_1", "object": "customer"})
	}
	r.drained()
	stop()
	drop := func(sequence uint64) {
		t.Helper()
		key := redisquote.NewKeys("g1").Outcomes(event.StreamStripe, sequence)
		if n, err := r.cache.HDel(t.Context(), key, strconv.FormatUint(sequence, 10)).Result(); err != nil || n != 1 {
			t.Fatalf("HDEL %d = %d, %v", sequence, n, err)
		}
	}
	first, second, err := payments.Unaccounted(t.Context(), r.config(), event.StreamStripe, func() { drop(1100); drop(1101) })
	if err != nil || first != 0 || second != 2 {
		t.Errorf("unaccounted = %d, then %d, %v, want none, then the two of the last block", first, second, err)
	}
	drop(5)
	if first, _, err = payments.Unaccounted(t.Context(), r.config(), event.StreamStripe, func() {}); err != nil || first != 3 {
		t.Errorf("unaccounted = %d, %v, want 3", first, err)
	}
}
