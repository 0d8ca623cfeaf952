package quote_test

import (
	"testing"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
)

// R76, row 22: right metadata from another account, or in the other mode,
// changes nothing.
func TestEventsOfAnotherAccountOrModeChangeNothing(t *testing.T) {
	r := revision(1)
	t.Run("another account", func(t *testing.T) {
		foreign := &script{&stripetest.Maker{Shape: stripetest.Shape2023, Account: "acct_1OTHER"}}
		w := converge(t, []quote.Revision{r}, events(t, foreign.bought()...))
		if s := w.state(); s.Status != quote.StatusPending || len(s.Flags) > 0 || len(w.emitted) > 0 {
			t.Errorf("state = %s %v, emitted %v, want pending and nothing", s.Status, s.Flags, w.subjects())
		}
		other := quote.Derive("acct_1OTHER", w.facts[keyOf("acct_1OTHER", quoteID)])
		if other.Status != quote.StatusPending || len(other.Due) > 0 || len(other.Flags) > 0 {
			t.Errorf("on the other account: %+v, want pending and nothing due", other)
		}
	})
	t.Run("live event, refused by the worker", func(t *testing.T) {
		live := &script{&stripetest.Maker{Shape: stripetest.Shape2023, Live: true}}
		w := converge(t, []quote.Revision{r}, events(t, live.bought()...))
		if s := w.state(); s.Status != quote.StatusPending || len(w.emitted) > 0 || w.refused == 0 {
			t.Errorf("state = %s, emitted %v, refused %d", s.Status, w.subjects(), w.refused)
		}
	})
	t.Run("live event, folded nevertheless", func(t *testing.T) {
		live := &script{&stripetest.Maker{Shape: stripetest.Shape2023, Live: true}}
		f := quote.RevisionFacts(r)
		for _, m := range events(t, live.bought()...) {
			f.Merge(m.change.Facts)
		}
		if s := quote.Derive(quote.PlatformAccount, f); s.Status != quote.StatusPending || len(s.Due) > 0 || len(s.Flags) > 0 {
			t.Errorf("state = %+v, want pending and nothing due", s)
		}
	})
	t.Run("live metadata does not make a test charge ours", func(t *testing.T) {
		live := &script{&stripetest.Maker{Shape: stripetest.Shape2023, Live: true}}
		f := quote.RevisionFacts(r)
		for _, m := range events(t, live.intentSucceeded("pi_1", "ch_1"), newScript().charge("charge.succeeded", "ch_1", "pi_1", nil)) {
			f.Merge(m.change.Facts)
		}
		if s := quote.Derive(quote.PlatformAccount, f); s.Status != quote.StatusPending || len(s.Due) > 0 {
			t.Errorf("state = %+v, want pending and nothing due", s)
		}
	})
	t.Run("another seller", func(t *testing.T) {
		s := newScript()
		body := s.Event("checkout.session.completed", s.done("cs_1", "pi_1", "paid").With(object{"metadata": stripetest.Metadata("mallory", quoteID, 1)}))
		w := run([]quote.Revision{r}, append(events(t, body), published(r))...)
		if s := w.state(); s.Status != quote.StatusPending || len(w.emitted) > 0 || flags(s) != "unknown_quote" {
			t.Errorf("state = %s %v, emitted %v", s.Status, s.Flags, w.subjects())
		}
	})
	t.Run("a live dispute of a test payment", func(t *testing.T) {
		s := newScript()
		messages := events(t, s.bought()...)
		s.Live = true
		f := quote.RevisionFacts(r)
		for _, m := range append(messages, events(t, s.dispute("closed", "lost"), s.refunded("ch_1", "pi_1", 10000))...) {
			f.Merge(m.change.Facts)
		}
		if s := quote.Derive(quote.PlatformAccount, f); s.Status != quote.StatusPaid || len(s.Flags) > 0 {
			t.Errorf("state = %s %v, want paid", s.Status, s.Flags)
		}
	})
}
