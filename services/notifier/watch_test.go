package notifier_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"quittance.internal/services/notifier"
)

// An owner whose clock was far ahead dies while it sends. The one who comes after it, by a clock that is right, keeps the lease by
// its own watch, and does not wait for the time that stands in the entry.
func TestALeaseOfAClockFarAheadEndsLikeAnyOther(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	const lease = 15 * time.Minute
	ahead := newClock()
	ahead.add(400 * 24 * time.Hour)
	standing, dead := make(chan struct{}), make(chan struct{})
	first := notifier.NewSender(settings(ahead, notifier.PolicyResend), w.log, w.shelf, notifier.Wrap(w.smtp.relay(t), func(func() (string, error)) (string, error) {
		close(standing)
		<-dead
		return "", io.ErrUnexpectedEOF
	}))
	var gone sync.WaitGroup
	gone.Go(func() { _, _, _ = first.SendReceipt(t.Context(), r.Paid, 7) })
	<-standing
	own := settings(w.clock, notifier.PolicyResend)
	own.NewOwner = func() string { return "other" }
	relay := w.smtp.relay(t)
	second := notifier.NewSender(own, w.log, w.shelf, relay.Dial)
	began := w.clock.Now()
	for {
		e, wait, err := second.SendReceipt(t.Context(), r.Paid, 7)
		if err != nil {
			t.Fatal(err)
		}
		if e.Final() {
			break
		}
		if wait <= 0 || wait > time.Hour {
			t.Fatalf("the mail waits for %s, with the entry %+v", wait, e)
		}
		if n := len(w.smtp.mails()); n > 0 && w.clock.Now().Sub(began) < lease {
			t.Fatalf("%d mails within the lease of the first owner", n)
		}
		w.clock.add(wait)
	}
	if took := w.clock.Now().Sub(began); took < lease || took > 2*lease {
		t.Errorf("it took %s until the mail was sent, want a lease and the wait of a resend", took)
	}
	close(dead)
	gone.Wait()
	e := bringOut(t, w.clock, second, r)
	if len(w.smtp.mails()) != 1 || e.State != notifier.StateSent || e.Ambiguous != 1 {
		t.Errorf("%d mails, entry %+v; want one, sent after one attempt without an answer", len(w.smtp.mails()), e)
	}
}
