package notifier

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// The kinds of mail. Each is the name of the event that it tells of, and the end of its keys in the ledger.
const (
	kindPaid     = event.NamePaid
	kindExpiring = event.NameExpiring
)

// news is what one mail tells: the event behind it. Of paid and expiring, the one that kind names is set.
type news struct {
	kind     string
	paid     event.Paid
	expiring event.Expiring

	seller, quote string
	revision      int
	mode          string
	// at is the date of the mail: when it was paid, or when the reminder was due.
	at time.Time
}

// decodeNews reads an event that a mail tells of. Its errors are permanent: the same bytes never decode better.
func decodeNews(subject string, body []byte) (news, error) {
	name, ok := event.ParseQuoteSubject(subject)
	if ok && name.Event == event.NameExpiring {
		return decodeExpiring(name, body)
	}
	paid, err := decodePaid(subject, body)
	if err != nil {
		return news{}, err
	}
	return newsOfPaid(paid), nil
}

func newsOfPaid(p event.Paid) news {
	return news{kind: kindPaid, paid: p, seller: p.Seller, quote: p.QuoteID, revision: p.Revision, mode: p.Mode, at: p.PaidAt}
}

func decodeExpiring(name event.QuoteSubject, body []byte) (news, error) {
	e, err := decode[event.Expiring](event.NameExpiring, body)
	if err != nil {
		return news{}, delivery.Permanent(fmt.Errorf("read %s: %w", name, err))
	}
	if n, ok := name.Number(); !ok || e.Seller != name.Seller || e.QuoteID != name.Quote || e.Revision != n {
		return news{}, delivery.Permanent(fmt.Errorf("read %s: data names another quote than the subject", name))
	}
	if e.ExpiresAt.IsZero() || e.RemindedAt.IsZero() {
		return news{}, delivery.Permanent(fmt.Errorf("read %s: data is without its times", name))
	}
	return newsOfExpiring(e), nil
}

func newsOfExpiring(e event.Expiring) news {
	return news{
		kind: kindExpiring, expiring: e, seller: e.Seller, quote: e.QuoteID, revision: e.Revision, mode: e.Mode, at: e.RemindedAt,
	}
}

// key is the mail's key in the ledger; resend counts what operators asked for.
func (n news) key(resend int) string { return mailKey(n.seller, n.quote, n.revision, n.kind, resend) }

// read reads what the mail says beside the event itself. overtaken is why it must not be sent any more; empty when it may.
func (n news) read(ctx context.Context, log reader, now time.Time) (known facts, overtaken string, err error) {
	if n.kind == kindPaid {
		known, err = readFacts(ctx, log, n.paid)
		return known, "", err
	}
	return readReminder(ctx, log, n, now)
}

// readReminder reads, in one look at the log, the revision that is about to expire, and whether anything has happened since
// that makes the reminder wrong: a mail may have waited for its server for days.
func readReminder(ctx context.Context, log reader, n news, now time.Time) (known facts, overtaken string, err error) {
	subject := func(name string) string {
		return event.QuoteSubject{Event: name, Seller: n.seller, Quote: n.quote, N: strconv.Itoa(n.revision)}.String()
	}
	names := []string{event.NamePublished, event.NamePaid, event.NameRecalled, event.NameExpired}
	filters := make([]string, len(names))
	for i, name := range names {
		filters[i] = subject(name)
	}
	records, err := log.ReadAll(ctx, event.StreamQuotes, filters...)
	if err != nil {
		return facts{}, "", err
	}
	find := func(name string) int {
		return slices.IndexFunc(records, func(r natsstream.Record) bool { return r.Subject == subject(name) })
	}
	i := find(event.NamePublished)
	if i < 0 {
		return facts{}, "", fmt.Errorf("read %s: %w", subject(event.NamePublished), natsstream.ErrNotFound)
	}
	if known.published, err = decodePublished(records[i].Data, n); err != nil {
		return facts{}, "", delivery.Permanent(fmt.Errorf("read %s: %w", subject(event.NamePublished), err))
	}
	switch {
	case find(event.NamePaid) >= 0:
		overtaken = "the quote was paid meanwhile"
	case find(event.NameRecalled) >= 0:
		overtaken = "the quote was recalled meanwhile"
	case find(event.NameExpired) >= 0 || now.After(n.expiring.ExpiresAt):
		overtaken = "the quote has expired meanwhile"
	}
	return known, overtaken, nil
}
