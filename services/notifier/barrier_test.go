package notifier_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

// With a barrier a claim that is stored could still be taken back by a power cut, and the mail be sent a second time.
func TestNoMailIsSentOnAClaimThatIsNotOnDisk(t *testing.T) {
	h := newHouse(t, script{})
	var hold sync.Mutex
	var syncs atomic.Int64
	cfg := h.config()
	cfg.Durability = natsstream.Durability{Mode: natsstream.DurabilityBarrier, StoreDir: h.nats.StoreDir(), Sync: func() error {
		syncs.Add(1)
		hold.Lock()
		defer hold.Unlock()
		return nil
	}}
	h.start(cfg)
	hold.Lock()
	h.pay(0, 1)
	eventually(t, func() bool { return syncs.Load() > 0 }, "the claim is being synced")
	if e := h.entry(0); e.State != notifier.StateSending {
		t.Errorf("entry %+v, want the claim stored", e)
	}
	if n := len(h.smtp.mails()); n != 0 {
		t.Errorf("%d mails before the claim was on disk, want none", n)
	}
	hold.Unlock()
	h.settled(0, 1, notifier.StateSent)
	h.oneEach(1)
}
