package notifier_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wneessen/go-mail"

	"quittance.internal/services/notifier"
)

// fleet dials couriers and remembers what became of them.
type fleet struct {
	dialled, quit, dropped atomic.Int64
	dead                   atomic.Bool
	err                    error
}

func (f *fleet) dial(context.Context) (notifier.Courier, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.dialled.Add(1)
	return notifier.CourierFuncs{
		OnAlive: func() bool { return !f.dead.Load() }, OnQuit: func() { f.quit.Add(1) }, OnDrop: func() { f.dropped.Add(1) },
	}, nil
}

func (f *fleet) expect(t *testing.T, dialled, quit, dropped int64) {
	t.Helper()
	if f.dialled.Load() != dialled || f.quit.Load() != quit || f.dropped.Load() != dropped {
		t.Errorf("dialled %d, quit %d, dropped %d, want %d, %d, %d", f.dialled.Load(), f.quit.Load(), f.dropped.Load(), dialled, quit, dropped)
	}
}

func mustTake(t *testing.T, p notifier.Pool) notifier.Loan {
	t.Helper()
	l, err := p.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAConnectionCarriesAHundredMails(t *testing.T) {
	f := &fleet{}
	p := notifier.NewPool(4, f.dial, time.Now)
	for range 250 {
		p.Put(mustTake(t, p), false)
	}
	f.expect(t, 3, 2, 0)
}

func TestABrokenConnectionIsNotKept(t *testing.T) {
	f := &fleet{}
	p := notifier.NewPool(1, f.dial, time.Now)
	p.Put(mustTake(t, p), true)
	p.Put(mustTake(t, p), false)
	f.expect(t, 2, 0, 1)
}

func TestAnIdleConnectionIsAskedAndThenReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		p := notifier.NewPool(4, f.dial, time.Now)
		p.Put(mustTake(t, p), false)
		time.Sleep(30 * time.Second)
		p.Put(mustTake(t, p), false) // it answers
		f.expect(t, 1, 0, 0)
		f.dead.Store(true)
		time.Sleep(30 * time.Second)
		p.Put(mustTake(t, p), false) // it does not
		f.expect(t, 2, 0, 1)
	})
}

func TestIdleConnectionsAreClosedAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		p := notifier.NewPool(4, f.dial, time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		var sweeper sync.WaitGroup
		sweeper.Go(func() { p.Sweep(ctx) })
		a, b := mustTake(t, p), mustTake(t, p)
		p.Put(a, false)
		time.Sleep(40 * time.Second)
		p.Put(b, false)
		time.Sleep(40 * time.Second)
		f.expect(t, 2, 1, 0)
		cancel()
		sweeper.Wait()
		f.expect(t, 2, 2, 0)
	})
}

func TestTheWaitForAConnectionHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{}
		p := notifier.NewPool(1, f.dial, time.Now)
		held := mustTake(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := p.Take(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 45*time.Second {
			t.Errorf("Take = %v after %v, want the deadline", err, time.Since(began))
		}
		p.Put(held, false)
		p.Put(mustTake(t, p), false)
		f.err = errors.New("relay is down")
		time.Sleep(2 * time.Minute)
		for range 3 { // a failed dial gives its place back
			if _, err := p.Take(t.Context()); !errors.Is(err, f.err) {
				t.Errorf("Take = %v, want the dial's error", err)
			}
		}
	})
}

func TestNeverMoreConnectionsThanThePoolHasPlaces(t *testing.T) {
	f := &fleet{}
	var open, most atomic.Int64
	dial := func(ctx context.Context) (notifier.Courier, error) {
		most.Store(max(most.Load(), open.Add(1)))
		c, err := f.dial(ctx)
		funcs := c.(notifier.CourierFuncs)
		funcs.OnDrop = func() { open.Add(-1) }
		funcs.OnQuit = func() { open.Add(-1) }
		funcs.OnSend = func(context.Context, *mail.Msg) (string, error) { return "", nil }
		return funcs, err
	}
	p := notifier.NewPool(3, dial, time.Now)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 200 {
				l, err := p.Take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				p.Put(l, (n+i)%7 == 0)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Errorf("%d connections at one time, want at most 3", most.Load())
	}
}

// Row 32 in virtual time: the relay is away for six hours. G14
func TestSixHoursWithoutARelayCostNothingButTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, back := time.Now(), time.Now().Add(6*time.Hour)
		var sent, dials int
		dial := func(context.Context) (notifier.Courier, error) {
			dials++
			if time.Now().Before(back) {
				return nil, errors.New("connection refused")
			}
			return notifier.CourierFuncs{OnSend: func(context.Context, *mail.Msg) (string, error) { sent++; return "ok", nil }}, nil
		}
		r, shelf := sample(), newMemoryShelf()
		s := notifier.NewSender(notifier.Config{From: testFrom, NewOwner: func() string { return "o" }}, newMemoryLog(t, r), shelf, dial)
		for attempt := uint64(1); ; attempt++ {
			_, wait, err := s.SendReceipt(t.Context(), r.Paid, 1)
			if err == nil && wait == 0 {
				break
			}
			if err != nil {
				wait = notifier.Trouble(attempt)
			}
			time.Sleep(wait)
		}
		e := entryOf(t, shelf, r.Key)
		late := time.Since(back)
		if sent != 1 || e.State != notifier.StateSent || e.Ambiguous != 0 || late > time.Minute {
			t.Errorf("%d mails, %v after the relay came back, %+v, want one within a minute", sent, late, e)
		}
		if dials > 400 {
			t.Errorf("%d dials in %v, want about one a minute", dials, time.Since(start))
		}
	})
}

// While the ledger's server is away, what is known is kept and written as soon as it can be.
func TestASentMailIsRecordedOnceTheLedgerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shelf := &awayShelf{memoryShelf: newMemoryShelf()}
		sent := 0
		dial := func(context.Context) (notifier.Courier, error) {
			return notifier.CourierFuncs{OnSend: func(context.Context, *mail.Msg) (string, error) {
				sent++
				shelf.backAt = time.Now().Add(10 * time.Minute)
				return "ok", nil
			}}, nil
		}
		r := sample()
		s := notifier.NewSender(notifier.Config{From: testFrom, NewOwner: func() string { return "o" }}, newMemoryLog(t, r), shelf, dial)
		e, wait, err := s.SendReceipt(t.Context(), r.Paid, 1)
		if e.State != notifier.StateSent || wait != 0 || err != nil || sent != 1 {
			t.Errorf("SendReceipt = %+v, %v, %v, want sent", e, wait, err)
		}
		if got := entryOf(t, shelf, r.Key); got.State != notifier.StateSent || got.Ambiguous != 0 {
			t.Errorf("ledger says %+v, want sent", got)
		}
	})
}

// awayShelf fails until backAt.
type awayShelf struct {
	*memoryShelf

	backAt time.Time
}

func (s *awayShelf) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	if time.Now().Before(s.backAt) {
		return nil, 0, errors.New("no servers available")
	}
	return s.memoryShelf.Read(ctx, key)
}

func (s *awayShelf) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if time.Now().Before(s.backAt) {
		return 0, errors.New("no servers available")
	}
	return s.memoryShelf.Write(ctx, key, value, revision)
}
