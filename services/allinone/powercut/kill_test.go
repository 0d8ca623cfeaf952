//go:build linux

package powercut_test

import (
	"testing"

	"quittance.internal/libs/platform/barrier/barriertest"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/testsize"
)

// The world of the power cuts without the cuts, which need root. That an acknowledged message was written at all before its
// PubAck, and not only handed to the server, is natsstream's TestAnAcknowledgedMessageIsInItsBlockFile.
func TestKilledServersLoseNothingThatWasAcknowledged(t *testing.T) {
	rounds := testsize.Of(t, 3, 40, 400)
	w := newWorld(t, setup{name: "barrier, killed only", nodes: 1, lazy: true, durability: natsstream.DurabilityBarrier, folded: true}, 1,
		func() store { return plainFolder(barriertest.Dir(t)) })
	for range rounds {
		if lost := w.missing(webhooks, w.round()); len(lost) > 0 {
			t.Fatalf("%d acknowledged events are lost, %s first", len(lost), subject(lost[0]))
		}
	}
	if rounds > 3 { // what a killed payments held comes again after AckWait
		w.equal()
	}
	if lost := w.missing(webhooks, w.stripe.acknowledged()); len(lost) > 0 {
		t.Errorf("%d acknowledged events are gone by the end", len(lost))
	}
	t.Logf("%d rounds, %d acknowledged, none lost", rounds, len(w.stripe.acknowledged()))
}
