package payments_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// ending writes a drafted and published quote of 10.00 EUR that ends then.
func (r *rig) ending(id string, end time.Time) {
	r.t.Helper()
	at := time.Unix(1_700_000_000, 0).UTC()
	doc := quote.Document{Title: "Consulting", Deal: quote.Deal{ID: "d1"}, Currency: "eur", ExpiresAt: end.Format(time.RFC3339)}
	r.quoteEvent(event.QuoteSubject{Event: "drafted", Seller: "main", Quote: id, N: "1"}, event.Drafted{
		Seller: "main", QuoteID: id, Version: 1, Document: doc, DraftedAt: at,
	})
	r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: "1"}, event.Published{
		Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: "eur", Account: event.Platform, Mode: event.ModeTest,
		PublishedAt: at, ExpiresAt: end, URLToken: id, Document: doc,
	})
}

func (r *rig) expired(id string, end time.Time) {
	r.t.Helper()
	r.quoteEvent(event.QuoteSubject{Event: "expired", Seller: "main", Quote: id, N: "1"}, event.Expired{Seller: "main", QuoteID: id, Revision: 1, ExpiredAt: end})
}

// listed waits until the seller's list of that status, and none of the others, holds the quote.
func (r *rig) listed(id, status string, others ...string) {
	r.t.Helper()
	r.eventually(id+" is listed as "+status, func() error {
		for _, s := range append(others, status) {
			entries, err := r.read.List(r.t.Context(), redisquote.Query{Seller: "main", Status: s, Limit: 10})
			if err != nil {
				return err
			}
			if in := slices.ContainsFunc(entries, func(e redisquote.Entry) bool { return e.ID == id }); in != (s == status) {
				return fmt.Errorf("in the list %s: %t", s, in)
			}
		}
		return nil
	})
}

// R44: the event moves a quote to its list, by no clock; a rebuild comes to the same.
func TestAnExpiredQuoteMovesToItsList(t *testing.T) {
	r := newRig(t)
	end := time.Unix(1_700_086_400, 0).UTC()
	r.now = func() time.Time { return end.Add(-time.Hour) } // a worker whose clock is behind
	r.run()
	r.ending("q_1", end)
	r.ending("q_2", end)
	r.listed("q_1", "published", "expired")
	r.quoteEvent(event.QuoteSubject{Event: "expiring", Seller: "main", Quote: "q_1", N: "1"}, event.Expiring{
		Seller: "main", QuoteID: "q_1", Revision: 1, Amount: 1000, Currency: "eur", ExpiresAt: end, RemindedAt: end.Add(-72 * time.Hour), Mode: event.ModeTest, Account: event.Platform,
	})
	r.expired("q_1", end)
	r.listed("q_1", "expired", "published")
	r.listed("q_2", "published", "expired")
	r.drained()
	last, err := r.log.Read(t.Context(), event.StreamQuotes, "quote.expired.main.q_1.1")
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); sequence <= last.Sequence; sequence++ { // conservation: expiring and expired have outcomes like the others
		if o, err := r.read.Outcome(t.Context(), event.StreamQuotes, sequence); err != nil || o.Outcome != "applied" {
			t.Errorf("outcome of QUOTES:%d = %+v, %v, want applied", sequence, o, err)
		}
	}
	if err := r.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.listed("q_1", "expired", "published")
	r.listed("q_2", "published", "expired")
}

// R44, stripe.md row 34: money wins, whichever of the two the log holds first, and it is late only where it was paid late.
func TestExpiryAndPaymentEndRightInEitherOrder(t *testing.T) {
	r := newRig(t)
	r.run()
	paidAt := time.Unix(1_700_000_100, 0).UTC()
	n := 0
	for _, late := range []bool{true, false} {
		for _, expiryFirst := range []bool{true, false} {
			n++
			id, number := "q_"+strconv.Itoa(n), strconv.Itoa(n)
			end := paidAt.Add(time.Minute)
			if late {
				end = paidAt.Add(-time.Minute)
			}
			pay := func() {
				r.stripe("evt_"+number, "checkout.session.completed", "", session("cs_"+number, id, 1, 1000, "pi_"+number))
			}
			r.ending(id, end)
			if expiryFirst {
				r.expired(id, end)
				r.listed(id, "expired")
				pay()
			} else {
				pay()
				r.status(event.Platform, id, "paid")
				r.expired(id, end)
			}
			// Two batches that cross may leave it in a second index too, which readers pass over (see index).
			r.listed(id, "paid")
			r.drained()
			p := r.status(event.Platform, id, "paid")
			if got := slices.Contains(p.Flags, "late"); got != late {
				t.Errorf("%s: flags %v, want late %t", id, p.Flags, late)
			}
			if _, err := r.paidFact(id, 1); err != nil {
				t.Errorf("%s: no quote.paid: %v", id, err)
			}
		}
	}
}
