package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/check"
	"quittance.internal/libs/platform/natsstream"
)

// scanPage is how many messages are read at a time.
const scanPage = 1000

// day counts what was paid today. It reads each message of QUOTES of the day
// once, and goes on from there the next time. It is safe for concurrent use.
type day struct {
	log  *natsstream.Log
	zone *time.Location

	mu    sync.Mutex
	date  string
	next  uint64
	count int
	sums  map[string]int64 // by currency, minor units
}

// paid is what was paid on one day.
type paid struct {
	Count int
	Sums  []quote.Money // by currency
}

// read counts the quotes whose payment has today's date. A quote.paid is stored
// after the payment that it tells of, so nothing of today stands before today's
// first message.
func (d *day) read(ctx context.Context, now time.Time) (paid, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now = now.In(d.zone)
	if date := now.Format(time.DateOnly); date != d.date || d.next == 0 {
		year, month, day := now.Date()
		first, err := d.log.SequenceAt(ctx, event.StreamQuotes, time.Date(year, month, day, 0, 0, 0, 0, d.zone))
		if errors.Is(err, natsstream.ErrNotFound) {
			return paid{}, nil
		}
		if err != nil {
			return paid{}, err
		}
		d.date, d.next, d.count, d.sums = date, first, 0, map[string]int64{}
	}
	for {
		records, err := d.log.Scan(ctx, event.StreamQuotes, d.next, scanPage)
		if err != nil {
			return paid{}, err
		}
		for _, r := range records {
			if err := d.add(r); err != nil {
				return paid{}, err
			}
			d.next = r.Sequence + 1
		}
		if len(records) < scanPage {
			break
		}
	}
	p := paid{Count: d.count}
	for currency, amount := range d.sums {
		p.Sums = append(p.Sums, quote.Money{Amount: amount, Currency: currency})
	}
	slices.SortFunc(p.Sums, func(a, b quote.Money) int { return strings.Compare(a.Currency, b.Currency) })
	return p, nil
}

func (d *day) add(r natsstream.Record) error {
	subject, ok := event.ParseQuoteSubject(r.Subject)
	if !ok || subject.Event != event.NamePaid {
		return nil
	}
	envelope, err := event.Decode(r.Data)
	if err != nil {
		return fmt.Errorf("read QUOTES:%d: %w", r.Sequence, err)
	}
	p, err := event.Data[event.Paid](envelope)
	if err != nil {
		return fmt.Errorf("read QUOTES:%d: %w", r.Sequence, err)
	}
	if p.PaidAt.In(d.zone).Format(time.DateOnly) == d.date {
		d.count++
		d.sums[p.Currency] += p.Amount
	}
	return nil
}

// books keeps the last count of what became of every message. To count reads
// every outcome, so it is done in the background, when somebody looks, and not
// more often than every so often.
type books struct {
	count func(context.Context) ([]*check.Account, error)
	now   func() time.Time
	every time.Duration

	asked chan struct{} // wakes run
	first chan struct{} // closed when there is a count
	mu    sync.Mutex
	last  counted
}

func newBooks(count func(context.Context) ([]*check.Account, error), now func() time.Time, every time.Duration) *books {
	return &books{count: count, now: now, every: every, asked: make(chan struct{}, 1), first: make(chan struct{})}
}

// counted is one count, or why there is none.
type counted struct {
	Accounts []*check.Account
	At       time.Time
	Err      error
}

// Conserved reports whether every message is accounted for.
func (c counted) Conserved() bool {
	return !slices.ContainsFunc(c.Accounts, func(a *check.Account) bool { return !a.Conserved() })
}

// old reports whether it is time for another count.
func (b *books) old() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Sub(b.last.At) >= b.every
}

// read returns the last count, asks for another where it is old, and waits for the
// very first one as long as ctx allows.
func (b *books) read(ctx context.Context) counted {
	if b.old() {
		select {
		case b.asked <- struct{}{}:
		default: // one is asked for already
		}
	}
	select {
	case <-b.first:
	case <-ctx.Done():
		return counted{Err: errCounting}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

var errCounting = errors.New("still counting; load the page again in a moment")

// run counts whenever it is asked to, until ctx ends.
func (b *books) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.asked:
		}
		if !b.old() {
			continue // it was asked for while the last count was under way
		}
		accounts, err := b.count(ctx)
		b.mu.Lock()
		if b.last.At.IsZero() {
			close(b.first)
		}
		b.last = counted{Accounts: accounts, At: b.now(), Err: err}
		b.mu.Unlock()
	}
}
