package quote

import (
	"errors"
	"slices"
	"time"
)

// Expiring says that a published revision will run out soon and is not paid. It
// is said once per revision, and never of one that is paid or being paid. Its n
// is Revision. No personal data.
type Expiring struct {
	Seller   string `json:"seller"`
	QuoteID  string `json:"quote_id"`
	Revision int    `json:"revision"`
	DealID   string `json:"deal_id"`
	Amount   int64  `json:"amount"` // due, minor units
	Currency string `json:"currency"`
	// ExpiresAt is the last second at which it can be paid; UTC.
	ExpiresAt  time.Time `json:"expires_at"`
	RemindedAt time.Time `json:"reminded_at"` // when it was said; UTC
	Mode       string    `json:"mode"`
	Account    string    `json:"account"`
}

// EarlyError says that a timer has come before its time, as the clock of the
// caller goes.
type EarlyError struct {
	Due time.Time // when it is time
}

// Error is for the log.
func (e *EarlyError) Error() string { return "not before " + e.Due.UTC().Format(time.RFC3339) }

// ExpiredFrom is the first moment at which the revision has surely expired: its
// last second is over. False for one that never expires.
func (p Published) ExpiredFrom() (time.Time, bool) {
	return p.ExpiresAt.Add(time.Second), !p.ExpiresAt.IsZero()
}

// RemindFrom is when to say that the revision is about to expire: before its
// end. False when that is never: it does not expire, it was published later than
// that, it is not paid through us, or before is zero.
func (p Published) RemindFrom(before time.Duration) (time.Time, bool) {
	at := p.ExpiresAt.Add(-before)
	return at, before > 0 && p.Document.Payment.Stripe && !p.ExpiresAt.IsZero() && !p.PublishedAt.After(at)
}

// Expiring folds a reminder.
func (a *Aggregate) Expiring(e Expiring) { a.reminded = append(a.reminded, e.Revision) }

// onOffer is the revision if it is the last one, published still, and no payment
// of the quote is settled.
func (a *Aggregate) onOffer(revision int) (Published, bool) {
	if revision < 1 || a.Revision() != revision || a.Lifecycle != LifecyclePublished || len(a.Payments) > 0 {
		return Published{}, false
	}
	return a.Revisions[len(a.Revisions)-1], true
}

// Expire decides on recording that a revision ran out. It returns the Expired to
// append; false when there is nothing to say: the revision is recalled,
// published anew, paid, or said to be expired already. An *EarlyError says that
// its last second is not over; a *Refusal that a payment is in flight, which must
// succeed or fail first.
func (a *Aggregate) Expire(revision int, now time.Time) (Expired, bool, error) {
	r, ok := a.onOffer(revision)
	from, ends := r.ExpiredFrom()
	switch {
	case !ok || !ends:
		return Expired{}, false, nil
	case now.Before(from):
		return Expired{}, false, &EarlyError{Due: from}
	}
	if err := a.Unpaid(); err != nil {
		return Expired{}, false, err
	}
	return Expired{Seller: a.Seller, QuoteID: a.ID, Revision: revision, ExpiredAt: r.ExpiresAt}, true, nil
}

// Remind decides on saying that a revision is about to expire. It returns the
// Expiring to append; false when there is nothing to say: it was said, the
// revision is no longer on offer, it is being paid, it has run out, or RemindFrom
// says never. An *EarlyError says that it is not time yet.
func (a *Aggregate) Remind(revision int, before time.Duration, now time.Time) (Expiring, bool, error) {
	r, ok := a.onOffer(revision)
	from, wanted := r.RemindFrom(before)
	switch {
	case !ok || !wanted || slices.Contains(a.reminded, revision) || now.After(r.ExpiresAt) || len(a.InFlight()) > 0:
		return Expiring{}, false, nil
	case now.Before(from):
		return Expiring{}, false, &EarlyError{Due: from}
	}
	return Expiring{
		Seller: a.Seller, QuoteID: a.ID, Revision: revision, DealID: r.Document.Deal.ID, Amount: r.Amount, Currency: r.Currency,
		ExpiresAt: r.ExpiresAt, RemindedAt: now.UTC(), Mode: r.Mode, Account: r.Account,
	}, true, nil
}

// Early returns when it is time, if err says that it is too early.
func Early(err error) (time.Time, bool) {
	e, ok := errors.AsType[*EarlyError](err)
	if !ok {
		return time.Time{}, false
	}
	return e.Due, true
}
