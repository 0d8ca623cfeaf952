package notifier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/services/notifier"
)

// clock is a clock that moves only when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 10, 2, 13, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// paidQuote is the sample receipt for another quote.
func paidQuote(n int) notifier.Receipt {
	r := sample()
	id := fmt.Sprintf("q_%d", n)
	r.Paid.QuoteID, r.Published.QuoteID = id, id
	r.Published.Document.Title = "Quote " + strconv.Itoa(n)
	r.Key = notifier.MailKey("main", id, 2, 0)
	return r
}

func encode(tb testing.TB, name, n string, at time.Time, quote string, data any) natsstream.Message {
	tb.Helper()
	s := event.QuoteSubject{Event: name, Seller: "main", Quote: quote, N: n}
	e, err := event.New(s, event.SourcePayments, at, data)
	if err != nil {
		tb.Fatal(err)
	}
	return natsstream.Message{Subject: s.String(), ID: e.ID, Data: e.Encode()}
}

func publishedMessage(tb testing.TB, r notifier.Receipt) natsstream.Message {
	tb.Helper()
	return encode(tb, event.NamePublished, strconv.Itoa(r.Published.Revision), r.Published.PublishedAt, r.Published.QuoteID, r.Published)
}

func paidMessage(tb testing.TB, r notifier.Receipt) natsstream.Message {
	tb.Helper()
	return encode(tb, event.NamePaid, strconv.Itoa(r.Paid.Revision), r.Paid.PaidAt, r.Paid.QuoteID, r.Paid)
}

// store puts messages on the log, which may be coming back from a restart.
func store(tb testing.TB, log *natsstream.Log, messages ...natsstream.Message) {
	tb.Helper()
	for _, m := range messages {
		var stored natsstream.Stored
		tries := 0
		eventually(tb, func() (ok bool) {
			var err error
			stored, err = log.Fact(tb.Context(), m)
			tries++
			return err == nil
		}, "store "+m.Subject)
		if stored.Taken && tries == 1 {
			tb.Fatalf("store %s: the subject is taken", m.Subject)
		}
	}
}

// memoryLog is the log's reading side in memory, for tests in virtual time, where no socket may be.
type memoryLog struct{ records map[string]natsstream.Record }

func newMemoryLog(tb testing.TB, receipts ...notifier.Receipt) memoryLog {
	tb.Helper()
	l := memoryLog{records: map[string]natsstream.Record{}}
	for _, r := range receipts {
		m := publishedMessage(tb, r)
		l.records[m.Subject] = natsstream.Record{Stream: event.StreamQuotes, Subject: m.Subject, Data: m.Data}
	}
	return l
}

func (l memoryLog) Read(_ context.Context, _, subject string) (natsstream.Record, error) {
	if r, ok := l.records[subject]; ok {
		return r, nil
	}
	return natsstream.Record{}, natsstream.ErrNotFound
}

func (l memoryLog) ReadAll(_ context.Context, _ string, filters ...string) ([]natsstream.Record, error) {
	var found []natsstream.Record
	for _, f := range filters {
		if r, ok := l.records[f]; ok {
			found = append(found, r)
		}
	}
	return found, nil
}

// memoryShelf is a ledger's store in memory, with the revisions of a real one.
type memoryShelf struct {
	mu        sync.Mutex
	values    map[string][]byte
	revisions map[string]uint64
	last      uint64
}

func newMemoryShelf() *memoryShelf {
	return &memoryShelf{values: map[string][]byte{}, revisions: map[string]uint64{}}
}

func (s *memoryShelf) Read(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revisions[key] == 0 {
		return nil, 0, notifier.ErrNoEntry
	}
	return s.values[key], s.revisions[key], nil
}

func (s *memoryShelf) Write(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revisions[key] != revision {
		return 0, notifier.ErrTaken
	}
	s.last++
	s.values[key], s.revisions[key] = value, s.last
	return s.last, nil
}

// entryOf reads a ledger entry.
func entryOf(tb testing.TB, s notifier.Shelf, key string) notifier.Entry {
	tb.Helper()
	var b []byte
	eventually(tb, func() (ok bool) {
		var err error
		b, _, err = s.Read(tb.Context(), key)
		return err == nil || errors.Is(err, notifier.ErrNoEntry)
	}, "read ledger entry "+key)
	if b == nil {
		return notifier.Entry{}
	}
	e, err := notifier.DecodeEntry(b)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// checkI6 is invariant I6 of reliability.md §4.1 for one mail: accepted mails m with 1 <= m <= 1 + resends, m = 1 where no
// attempt was ambiguous, m = 0 only where the mail is rejected or parked; and all copies are the same bytes.
func checkI6(tb testing.TB, e notifier.Entry, mails []accepted) {
	tb.Helper()
	m := len(mails)
	if e.Resends > 1 || m > 1+e.Resends {
		tb.Errorf("%d mails accepted, %d resends: at most one resend, and one mail more than resends (%+v)", m, e.Resends, e)
	}
	if e.State == notifier.StateSent && m == 0 {
		tb.Errorf("the ledger says sent, the server has nothing (%+v)", e)
	}
	if e.Ambiguous == 0 && e.State == notifier.StateSent && m != 1 {
		tb.Errorf("%d mails accepted without an ambiguous attempt (%+v)", m, e)
	}
	if m == 0 && e.State != notifier.StateRejected && e.State != notifier.StateParked {
		tb.Errorf("no mail, and nobody is told: %+v", e)
	}
	for _, mail := range mails {
		if string(mail.data) != string(mails[0].data) {
			tb.Errorf("a second copy has other bytes:\n%s\n%s", mails[0].data, mail.data)
		}
	}
}

// refundMessage is a quote.refunded of the receipt's quote.
func refundMessage(tb testing.TB, r notifier.Receipt, object string, revision int, full bool) natsstream.Message {
	tb.Helper()
	return encode(tb, event.NameRefunded, object, r.Paid.PaidAt, r.Paid.QuoteID, event.PaymentFact{
		Seller: r.Paid.Seller, QuoteID: r.Paid.QuoteID, Revision: revision, Object: object, Full: full, Amount: 100, Currency: r.Paid.Currency,
		OccurredAt: r.Paid.PaidAt, Mode: r.Paid.Mode, Account: r.Paid.Account,
	})
}

// messageIDOf reads the Message-ID of a mail, without angle brackets.
func messageIDOf(tb testing.TB, wire []byte) string {
	tb.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(wire))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Trim(msg.Header.Get("Message-Id"), "<>")
}
