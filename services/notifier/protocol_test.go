package notifier_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/natsstream/natstest"
	"quittance.internal/services/notifier"
)

// errDied is what a crash at a step of the protocol panics with.
var errDied = errors.New("died")

// crash counts the steps of one process's life and ends it at one of them.
type crash struct {
	at, step int
}

func (c *crash) point() {
	if c.step++; c.step == c.at {
		panic(errDied)
	}
}

// mortalShelf is a ledger's store whose user dies before or after a write.
type mortalShelf struct {
	notifier.Shelf

	crash *crash
}

func (s mortalShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.crash.point()
	next, err := s.Shelf.Write(ctx, key, value, revision)
	s.crash.point()
	return next, err
}

// settings are a notifier's for protocol tests: real lease and waits, on a clock that the test moves.
func settings(c *clock, policy notifier.Policy) notifier.Config {
	n := new(atomic.Int64)
	return notifier.Config{
		From: testFrom, Ambiguous: policy, Now: c.Now, NewOwner: func() string { return fmt.Sprint("owner-", n.Add(1)) },
		Relay: notifier.Relay{SendTimeout: 5 * time.Second, DialTimeout: 5 * time.Second},
	}
}

// bringOut repeats the protocol as JetStream would until the mail has come to its end, moving the clock over the waits.
func bringOut(tb testing.TB, c *clock, s notifier.Sender, r notifier.Receipt) notifier.Entry {
	tb.Helper()
	for range 1000 {
		e, wait, err := s.SendReceipt(tb.Context(), r.Paid, 7)
		if err == nil && wait == 0 {
			return e
		}
		c.add(max(wait, time.Second))
	}
	tb.Fatal("the mail does not come to an end")
	return notifier.Entry{}
}

// dieOnce runs the protocol until the process dies or the mail is done; it reports whether it died.
func dieOnce(tb testing.TB, c *clock, s notifier.Sender, r notifier.Receipt) (died bool) {
	tb.Helper()
	defer func() {
		if p := recover(); p != nil && p != errDied { //nolint:errorlint // the very value
			panic(p)
		} else if p != nil {
			died = true
		}
	}()
	bringOut(tb, c, s, r)
	return false
}

// Row 4 of the fault matrix, and I6: a process that dies before or after any write of the ledger, or before or after the
// 250, and dies again at any step of its second life. R61 R34
func TestADeathAtAnyStepNeverBreaksTheBoundOnMails(t *testing.T) {
	log := natstest.Start(t).Log("a")
	shelf, err := notifier.OpenShelf(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	runs, none, twice, parked := 0, 0, 0, 0
	for _, policy := range []notifier.Policy{notifier.PolicyResend, notifier.PolicyPark} {
		first := 0
		for died := true; died; {
			first++
			for second, diedAgain := 0, true; diedAgain; {
				second++
				runs++
				r := paidQuote(runs)
				store(t, log, publishedMessage(t, r))
				f := newSMTPFake(t, script{})
				c := newClock()
				died = dieOnce(t, c, mortal(c, policy, log, shelf, f.relay(t), first), r)
				c.add(time.Second)
				diedAgain = dieOnce(t, c, mortal(c, policy, log, shelf, f.relay(t), second), r) && died
				e := bringOut(t, c, mortal(c, policy, log, shelf, f.relay(t), 0), r)
				mails := f.mails()
				checkI6(t, e, mails)
				if policy == notifier.PolicyPark && len(mails) > 1 {
					t.Errorf("%d mails under park", len(mails))
				}
				switch {
				case len(mails) == 0:
					none++
				case len(mails) == 2:
					twice++
				}
				if e.State == notifier.StateParked {
					parked++
				}
				if t.Failed() {
					t.Fatalf("policy %s, death at step %d, then at step %d", policy, first, second)
				}
				f.stop()
			}
		}
	}
	t.Logf("%d lives with up to two deaths: %d without a mail (parked), %d with two (one resend), %d parked", runs, none, twice, parked)
	if runs < 60 || twice == 0 || parked == 0 {
		t.Errorf("%d runs, %d doubled, %d parked: the test does not reach the window it is about", runs, twice, parked)
	}
}

// mortal makes a notifier that dies at that step; 0 is never.
func mortal(c *clock, policy notifier.Policy, log notifier.LogReader, shelf notifier.Shelf, relay notifier.Relay, at int) notifier.Sender {
	life := &crash{at: at}
	dial := notifier.Wrap(relay, func(send func() (string, error)) (string, error) {
		life.point()
		reply, err := send()
		life.point()
		return reply, err
	})
	return notifier.NewSender(settings(c, policy), log, mortalShelf{shelf, life}, dial)
}

// stand is a notifier over real stores and a fake server.
type stand struct {
	clock  *clock
	log    *natsstream.Log
	shelf  notifier.Shelf
	smtp   *smtpFake
	sender notifier.Sender
}

func newStand(t *testing.T, policy notifier.Policy, s script) stand {
	t.Helper()
	log := natstest.Start(t).Log("a")
	shelf, err := notifier.OpenShelf(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	f, c := newSMTPFake(t, s), newClock()
	relay := f.relay(t)
	return stand{clock: c, log: log, shelf: shelf, smtp: f, sender: notifier.NewSender(settings(c, policy), log, shelf, relay.Dial)}
}

// Row 32: the connection is lost after the final dot. G11
func TestAnUnansweredMailIsSentOnceMoreAfterTheWaitWithTheSameBytes(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{drop: "dot", once: true})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	e, wait, err := w.sender.SendReceipt(t.Context(), r.Paid, 7)
	if e.State != notifier.StateAmbiguous || wait != 15*time.Minute || err != nil || e.Ambiguous != 1 {
		t.Fatalf("SendReceipt = %+v, %v, %v, want ambiguous for 15 min", e, wait, err)
	}
	// Whatever is redelivered in the meantime sends nothing.
	for range 3 {
		w.clock.add(4 * time.Minute)
		if e, wait, err = w.sender.SendReceipt(t.Context(), r.Paid, 7); wait == 0 || err != nil {
			t.Fatalf("SendReceipt before its time = %+v, %v, %v, want a wait", e, wait, err)
		}
	}
	if n := len(w.smtp.mails()); n != 1 {
		t.Fatalf("%d mails before the resend is due, want 1", n)
	}
	e = bringOut(t, w.clock, w.sender, r)
	mails := w.smtp.mails()
	checkI6(t, e, mails)
	if len(mails) != 2 || e.State != notifier.StateSent || e.Resends != 1 || e.Attempts != 2 {
		t.Errorf("%d mails, entry %+v, want exactly one resend", len(mails), e)
	}
}

func TestASecondUnansweredAttemptIsForAnOperator(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{drop: "dot"})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	e := bringOut(t, w.clock, w.sender, r)
	checkI6(t, e, w.smtp.mails())
	if e.State != notifier.StateParked || e.Resends != 1 || e.Ambiguous != 2 || e.Reason == "" || len(w.smtp.mails()) != 2 {
		t.Errorf("%d mails, entry %+v, want it parked after one resend", len(w.smtp.mails()), e)
	}
}

func TestUnderParkAnUnansweredMailIsNotSentAgain(t *testing.T) {
	w := newStand(t, notifier.PolicyPark, script{drop: "dot", once: true})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	e := bringOut(t, w.clock, w.sender, r)
	w.clock.add(24 * time.Hour)
	if again := bringOut(t, w.clock, w.sender, r); again != e || e.State != notifier.StateParked || e.Resends != 0 {
		t.Errorf("entry %+v, later %+v, want it parked and left alone", e, again)
	}
	if n := len(w.smtp.mails()); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

// The resend must repeat the bytes. Where they would differ, because settings or build changed, it is an operator's.
func TestAMailWithOtherBytesIsNeverTheResend(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{drop: "dot", once: true})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	if _, _, err := w.sender.SendReceipt(t.Context(), r.Paid, 7); err != nil {
		t.Fatal(err)
	}
	changed := settings(w.clock, notifier.PolicyResend)
	changed.From.Name = "Renamed"
	relay := w.smtp.relay(t)
	e := bringOut(t, w.clock, notifier.NewSender(changed, w.log, w.shelf, relay.Dial), r)
	if e.State != notifier.StateParked || e.Reason == "" || len(w.smtp.mails()) != 1 {
		t.Errorf("%d mails, entry %+v, want it parked", len(w.smtp.mails()), e)
	}
}

// A refund that becomes known between the attempts does not change the words of the mail.
func TestWhatIsSaidOfRefundsIsFixedByTheFirstClaim(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{drop: "dot", once: true})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	if _, _, err := w.sender.SendReceipt(t.Context(), r.Paid, 7); err != nil {
		t.Fatal(err)
	}
	store(t, w.log, refundMessage(t, r, "pi_1", 2, true))
	e := bringOut(t, w.clock, w.sender, r)
	checkI6(t, e, w.smtp.mails())
	if len(w.smtp.mails()) != 2 || e.Refund != "" {
		t.Errorf("%d mails, entry %+v, want two without the refund", len(w.smtp.mails()), e)
	}
}

// R64
func TestRefusalsForGoodAreVisibleAndFinal(t *testing.T) {
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "dot"} {
		t.Run(verb, func(t *testing.T) {
			w := newStand(t, notifier.PolicyResend, script{reply: map[string]string{verb: "550 5.7.1 <owner@seller.example> refused"}})
			r := paidQuote(1)
			store(t, w.log, publishedMessage(t, r))
			e, wait, err := w.sender.SendReceipt(t.Context(), r.Paid, 7)
			if e.State != notifier.StateRejected || wait != 0 || err != nil || e.Code != 550 || e.Attempts != 1 || len(w.smtp.mails()) != 0 {
				t.Errorf("SendReceipt = %+v, %v, %v, want rejected at once", e, wait, err)
			}
			if e.Reply == "" || e.Reply != notifier.MaskAddresses(e.Reply) {
				t.Errorf("reply %q, want the server's words without addresses", e.Reply)
			}
		})
	}
}

func TestAMailPutOffIsTriedForThreeDaysAndThenRejected(t *testing.T) {
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "dot"} {
		t.Run(verb, func(t *testing.T) {
			w := newStand(t, notifier.PolicyResend, script{reply: map[string]string{verb: "451 4.7.1 come back later"}})
			r := paidQuote(1)
			store(t, w.log, publishedMessage(t, r))
			began := w.clock.Now()
			e, wait, err := w.sender.SendReceipt(t.Context(), r.Paid, 7)
			if wait != 5*time.Minute || err != nil || e.Code != 451 {
				t.Errorf("SendReceipt = %+v, %v, %v, want the next attempt in 5 min", e, wait, err)
			}
			e = bringOut(t, w.clock, w.sender, r)
			if took := w.clock.Now().Sub(began); e.State != notifier.StateRejected || took < 72*time.Hour || took > 74*time.Hour || e.Ambiguous != 0 {
				t.Errorf("after %v: %+v, want rejected after three days", took, e)
			}
			if e.Attempts < 50 || e.Attempts > 100 {
				t.Errorf("%d attempts in three days, want about one an hour", e.Attempts)
			}
		})
	}
}

func TestGreylistingIsSatOut(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{reply: map[string]string{"RCPT": "451 4.7.1 greylisted"}, once: true})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	e := bringOut(t, w.clock, w.sender, r)
	if e.State != notifier.StateSent || e.Attempts != 2 || len(w.smtp.mails()) != 1 || e.Ambiguous != 0 {
		t.Errorf("%d mails, entry %+v, want one by the second attempt", len(w.smtp.mails()), e)
	}
}

// A kept connection that died in the meantime costs no attempt: nothing of the mail was said.
func TestAStaleConnectionIsReplacedWithinTheAttempt(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	for n := range 3 {
		r := paidQuote(n)
		store(t, w.log, publishedMessage(t, r))
		e, wait, err := w.sender.SendReceipt(t.Context(), r.Paid, 7)
		if e.State != notifier.StateSent || wait != 0 || err != nil || e.Attempts != 1 {
			t.Fatalf("mail %d: %+v, %v, %v, want it sent by the first attempt", n, e, wait, err)
		}
		w.smtp.cutAll()
		eventually(t, func() bool { return w.smtp.open() == 0 }, "the connection is cut")
	}
	w.smtp.set(script{reply: map[string]string{"MAIL": "421 4.3.0 too many mails on this connection"}, once: true})
	r := paidQuote(4)
	store(t, w.log, publishedMessage(t, r))
	if e, wait, err := w.sender.SendReceipt(t.Context(), r.Paid, 7); e.State != notifier.StateClaimed || wait == 0 || err != nil {
		t.Errorf("421 on a new connection: %+v, %v, %v, want it put off", e, wait, err)
	}
}

// Rows 32 and 33: a server that is away, or takes a byte now and then, costs the mail nothing but time.
func TestAServerThatIsAwayOrTricklesNeverMakesAMailAmbiguousBeforeItsData(t *testing.T) {
	w := newStand(t, notifier.PolicyResend, script{})
	r := paidQuote(1)
	store(t, w.log, publishedMessage(t, r))
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay := w.smtp.relay(t)
	relay.Port = dead.Addr().(*net.TCPAddr).Port
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	away := notifier.NewSender(settings(w.clock, notifier.PolicyResend), w.log, w.shelf, relay.Dial)
	e, _, err := away.SendReceipt(t.Context(), r.Paid, 7)
	if err == nil || e.State != notifier.StateClaimed || !e.LeaseUntil.IsZero() || e.Attempts != 0 {
		t.Errorf("SendReceipt to nobody = %+v, %v, want the claim given back", e, err)
	}
	w.smtp.set(script{bytewise: 50 * time.Millisecond})
	slow := w.smtp.relay(t)
	cfg := settings(w.clock, notifier.PolicyResend)
	cfg.Relay.SendTimeout = 200 * time.Millisecond
	trickle := notifier.NewSender(cfg, w.log, w.shelf, slow.Dial)
	began := time.Now()
	e, _, err = trickle.SendReceipt(t.Context(), r.Paid, 7)
	if err == nil || e.State != notifier.StateClaimed || e.Attempts != 1 || time.Since(began) > 4*time.Second {
		t.Errorf("SendReceipt to a trickle = %+v, %v after %v, want it given back at the deadline", e, err, time.Since(began))
	}
	w.smtp.set(script{})
	if e = bringOut(t, w.clock, w.sender, r); e.State != notifier.StateSent || e.Ambiguous != 0 || len(w.smtp.mails()) != 1 {
		t.Errorf("%d mails, entry %+v, want one", len(w.smtp.mails()), e)
	}
}
