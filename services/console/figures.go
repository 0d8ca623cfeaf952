package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

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
	log   *natsstream.Log
	redis redis.UniversalClient
	now   func() time.Time
	every time.Duration

	mu      sync.Mutex
	last    counted
	asked   chan struct{} // wakes run; made by ask
	waiters chan struct{} // closed when the count under way is done
}

// counted is one count, or why there is none.
type counted struct {
	Accounts []*check.Account
	At       time.Time
	Took     time.Duration
	Err      error
}

// Conserved reports whether every message is accounted for.
func (c counted) Conserved() bool {
	return !slices.ContainsFunc(c.Accounts, func(a *check.Account) bool { return !a.Conserved() })
}

// read returns the last count, asks for another where it is old, and waits for the
// very first one as long as ctx allows.
func (b *books) read(ctx context.Context) counted {
	b.mu.Lock()
	b.prepare()
	last, waiters := b.last, b.waiters
	if b.now().Sub(last.At) >= b.every {
		select {
		case b.asked <- struct{}{}:
		default: // one is asked for already
		}
	}
	b.mu.Unlock()
	if !last.At.IsZero() {
		return last
	}
	select {
	case <-waiters:
	case <-ctx.Done():
		return counted{Err: errCounting}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

var errCounting = errors.New("still counting; load the page again in a moment")

func (b *books) prepare() {
	if b.asked == nil {
		b.asked, b.waiters = make(chan struct{}, 1), make(chan struct{})
	}
}

// run counts whenever it is asked to, until ctx ends.
func (b *books) run(ctx context.Context) {
	b.mu.Lock()
	b.prepare()
	b.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.asked:
		}
		begun := b.now()
		accounts, err := check.Books{Log: b.log, Redis: b.redis}.Conservation(ctx)
		b.mu.Lock()
		b.last = counted{Accounts: accounts, At: b.now(), Took: b.now().Sub(begun), Err: err}
		close(b.waiters)
		b.waiters = make(chan struct{})
		b.mu.Unlock()
	}
}
