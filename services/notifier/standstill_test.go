package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"quittance.internal/services/notifier"
)

// Row 6: an owner of the lease that stood still loses it, and a mail of its that was accepted all the same is not sent
// again if that becomes known in time.
func TestAnOwnerThatStoodStillLosesItsLease(t *testing.T) {
	for _, tt := range []struct {
		name string
		// wakes is how long the first owner stands still after it wrote "sending".
		wakes time.Duration
		mails int
		state notifier.State
	}{
		{"before the resend is due", 20 * time.Minute, 1, notifier.StateSent},
		{"after the resend", 40 * time.Minute, 2, notifier.StateSent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newStand(t, notifier.PolicyResend, script{})
			r := paidQuote(1)
			store(t, w.log, publishedMessage(t, r))
			standing, wake := make(chan struct{}), make(chan struct{})
			slow := notifier.NewSender(settings(w.clock, notifier.PolicyResend), w.log, w.shelf, notifier.Wrap(w.smtp.relay(t),
				func(send func() (string, error)) (string, error) {
					close(standing)
					<-wake
					return send()
				}))
			var wg sync.WaitGroup
			var own notifier.Entry
			wg.Go(func() { own, _, _ = slow.SendReceipt(t.Context(), r.Paid, 7) })
			<-standing
			other := settings(w.clock, notifier.PolicyResend)
			other.AmbiguousAfter, other.NewOwner = 30*time.Minute, func() string { return "other" }
			relay := w.smtp.relay(t)
			second := notifier.NewSender(other, w.log, w.shelf, relay.Dial)
			for passed := time.Duration(0); passed < tt.wakes; passed += time.Minute {
				if _, _, err := second.SendReceipt(t.Context(), r.Paid, 7); err != nil {
					t.Fatal(err)
				}
				w.clock.add(time.Minute)
			}
			close(wake)
			wg.Wait()
			e := bringOut(t, w.clock, second, r)
			checkI6(t, e, w.smtp.mails())
			if len(w.smtp.mails()) != tt.mails || e.State != tt.state || own.State != tt.state {
				t.Errorf("%d mails, entry %+v (first owner saw %s), want %d and %s", len(w.smtp.mails()), e, own.State, tt.mails, tt.state)
			}
		})
	}
}

// A write whose answer is lost, or that is answered as a conflict with itself, was made all the same.
func TestALostAnswerOfTheLedgerIsNoSecondMail(t *testing.T) {
	for name, answer := range map[string]error{"timeout": context.DeadlineExceeded, "conflict with itself": notifier.ErrTaken} {
		t.Run(name, func(t *testing.T) {
			w := newStand(t, notifier.PolicyResend, script{})
			r := paidQuote(1)
			store(t, w.log, publishedMessage(t, r))
			relay := w.smtp.relay(t)
			s := notifier.NewSender(settings(w.clock, notifier.PolicyResend), w.log, deafShelf{w.shelf, answer}, relay.Dial)
			e, wait, err := s.SendReceipt(t.Context(), r.Paid, 7)
			if e.State != notifier.StateSent || wait != 0 || err != nil || e.Ambiguous != 0 || len(w.smtp.mails()) != 1 {
				t.Errorf("SendReceipt = %+v, %v, %v with %d mails, want one mail, sent", e, wait, err, len(w.smtp.mails()))
			}
		})
	}
}

// deafShelf stores, and never hears the answer.
type deafShelf struct {
	notifier.Shelf

	answer error
}

func (s deafShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if _, err := s.Shelf.Write(ctx, key, value, revision); err != nil {
		return 0, err
	}
	return 0, s.answer
}

// Eight notifiers, each given every quote at once.
func TestRacingNotifiersSendOneMailEach(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	const quotes, racers = 40, 8
	for n := range quotes {
		store(t, w.log, publishedMessage(t, paidQuote(n)))
	}
	relay := w.smtp.relay(t)
	var wg sync.WaitGroup
	for racer := range racers {
		wg.Go(func() {
			cfg := settings(w.clock, notifier.PolicyResend)
			cfg.NewOwner = func() string { return fmt.Sprintf("racer-%d-%p", racer, new(int64)) }
			s := notifier.NewSender(cfg, w.log, w.shelf, relay.Dial)
			for n := range quotes {
				_, _, _ = s.SendReceipt(t.Context(), paidQuote(n).Paid, 7)
			}
		})
	}
	wg.Wait()
	mails := map[string]int{}
	for _, m := range w.smtp.mails() {
		mails[string(m.data)]++
	}
	for n := range quotes {
		if e := entryOf(t, w.shelf, paidQuote(n).Key); e.State != notifier.StateSent || e.Attempts != 1 || e.Ambiguous != 0 {
			t.Errorf("quote %d: %+v, want sent by one attempt", n, e)
		}
	}
	if len(mails) != quotes || len(w.smtp.mails()) != quotes {
		t.Errorf("%d mails, %d different, want %d of each", len(w.smtp.mails()), len(mails), quotes)
	}
}

// The same owner, standing still before "sending": its compare-and-set fails, and it sends nothing at all.
func TestAnOwnerThatStoodStillBeforeSendingSendsNothing(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	relay := w.smtp.relay(t)
	standing, wake := make(chan struct{}), make(chan struct{})
	slow := notifier.NewSender(settings(w.clock, notifier.PolicyResend), w.log, w.shelf, func(ctx context.Context) (notifier.Courier, error) {
		close(standing)
		<-wake
		return relay.Dial(ctx)
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, err := slow.SendReceipt(t.Context(), r.Paid, 7); !errors.Is(err, notifier.ErrTaken) {
			t.Errorf("SendReceipt without the lease = %v, want ErrTaken", err)
		}
	})
	<-standing
	cfg := settings(w.clock, notifier.PolicyResend)
	cfg.NewOwner = func() string { return "other" }
	e := bringOut(t, w.clock, notifier.NewSender(cfg, w.log, w.shelf, relay.Dial), r)
	close(wake)
	wg.Wait()
	if checkI6(t, e, w.smtp.mails()); e.State != notifier.StateSent || e.Ambiguous != 0 || e.Owner != "" {
		t.Errorf("entry %+v, want sent without doubt", e)
	}
}

// jumpShelf lets the clock jump once "sending" is written: the process stood still right there.
type jumpShelf struct {
	notifier.Shelf

	clock *clock
	jump  time.Duration
}

func (s *jumpShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	next, err := s.Shelf.Write(ctx, key, value, revision)
	if e, decodeErr := notifier.DecodeEntry(value); decodeErr == nil && e.State == notifier.StateSending {
		s.clock.add(s.jump)
		s.jump = 0
	}
	return next, err
}

func TestNothingIsSentAfterTheLeaseHasEnded(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	relay := w.smtp.relay(t)
	s := notifier.NewSender(settings(w.clock, notifier.PolicyResend), w.log, &jumpShelf{w.shelf, w.clock, 20 * time.Minute}, relay.Dial)
	if e, _, err := s.SendReceipt(t.Context(), r.Paid, 7); err == nil || e.State != notifier.StateClaimed || len(w.smtp.mails()) != 0 {
		t.Errorf("SendReceipt after the lease = %+v, %v with %d mails, want it given back", e, err, len(w.smtp.mails()))
	}
	e := bringOut(t, w.clock, s, r)
	if checkI6(t, e, w.smtp.mails()); e.State != notifier.StateSent || e.Ambiguous != 0 {
		t.Errorf("entry %+v, want sent without doubt", e)
	}
}

// What a stop of the service cuts off is still written down as what it is.
func TestAMailThatIsCutOffIsRecordedAsWhatItIs(t *testing.T) {
	for verb, want := range map[string]notifier.State{"RCPT": notifier.StateClaimed, "dot": notifier.StateAmbiguous} {
		t.Run(verb, func(t *testing.T) {
			w := newStand(t, notifier.PolicyResend, script{hang: verb, once: true})
			r := paidQuote(1)
			store(t, w.log, publishedMessage(t, r))
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _, _, _ = w.sender.SendReceipt(ctx, r.Paid, 7) })
			eventually(t, func() bool { return w.smtp.hanging() }, "the server hangs")
			cancel()
			wg.Wait()
			if e := entryOf(t, w.shelf, r.Key); e.State != want || !e.LeaseUntil.IsZero() {
				t.Errorf("cut off at %s: %+v, want %s and no lease", verb, e, want)
			}
			e := bringOut(t, w.clock, w.sender, r)
			checkI6(t, e, w.smtp.mails())
		})
	}
}
