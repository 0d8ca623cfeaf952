package quote_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

func newScript() *script { return &script{&stripetest.Maker{Shape: stripetest.Shape2023}} }

// run delivers messages in their order.
func run(revisions []quote.Revision, messages ...message) *world {
	w := newWorld(revisions)
	for _, m := range messages {
		w.deliver(m)
	}
	return w
}

// The first version of the rules made a quote of zero refunded, as 0 < 0 is
// false.
func TestQuoteOfZeroIsPaidNotRefunded(t *testing.T) {
	r := revision(1)
	r.Amount.Amount = 0
	s := newScript()
	body := s.Event("checkout.session.completed", s.Session("cs_1", object{
		"status": "complete", "payment_status": "no_payment_required", "amount_total": 0, "metadata": ours(),
	}))
	again := s.Event("checkout.session.completed", s.Session("cs_2", object{
		"status": "complete", "payment_status": "no_payment_required", "amount_total": 0, "metadata": ours(),
	}))
	w := run([]quote.Revision{r}, append(events(t, body, again), published(r))...)
	state := w.state()
	if state.Status != quote.StatusPaid || len(state.Flags) > 0 || state.Refunded != 0 || !slices.Equal(w.subjects(), []string{"paid.1"}) {
		t.Errorf("state = %+v, emitted %v, want paid and nothing else", state, w.subjects())
	}
	if e := w.emitted["paid.1"]; e.Amount != (quote.Money{Currency: "pln"}) {
		t.Errorf("quote.paid amount = %v, want 0 PLN", e.Amount)
	}
}

// While it is open, a session of zero says no_payment_required too.
func TestOpenSessionOfZeroIsNotPaid(t *testing.T) {
	r := revision(1)
	r.Amount.Amount = 0
	s := newScript()
	body := s.Event("checkout.session.expired", s.Session("cs_1", object{
		"status": "expired", "payment_status": "no_payment_required", "amount_total": 0, "metadata": ours(),
	}))
	if state := run(nil, append(events(t, body), published(r))...).state(); state.Status != quote.StatusPending || len(state.Due) > 0 {
		t.Errorf("state = %s, due %v, want pending", state.Status, state.Due)
	}
}

// R27: a payment on a recalled revision is flagged; on one that a newer revision
// replaced it never counts.
func TestPaymentOfARecalledRevision(t *testing.T) {
	recalled := message{facts: quote.RecalledFacts(1)}
	t.Run("without a newer one it is paid, late", func(t *testing.T) {
		w := converge(t, []quote.Revision{revision(1)}, append(events(t, newScript().bought()...), recalled))
		if s := w.state(); s.Status != quote.StatusPaid || flags(s) != "late" || !slices.Equal(w.subjects(), []string{"paid.1"}) {
			t.Errorf("state = %s [%s], emitted %v", s.Status, flags(s), w.subjects())
		}
	})
	t.Run("with a newer one it asks for review", func(t *testing.T) {
		w := converge(t, []quote.Revision{revision(1), revision(2)}, append(events(t, newScript().bought()...), recalled))
		if s := w.state(); s.Status != quote.StatusReview || flags(s) != "superseded_payment" || len(w.emitted) > 0 || s.Revision != 2 {
			t.Errorf("state = %s [%s] of revision %d, emitted %v", s.Status, flags(s), s.Revision, w.subjects())
		}
	})
	t.Run("and no more once its money has gone back", func(t *testing.T) {
		s := newScript()
		w := converge(t, []quote.Revision{revision(1), revision(2)}, append(events(t, append(s.bought(), s.refunded("ch_1", "pi_1", 10000))...), recalled))
		if s := w.state(); s.Status != quote.StatusPending || len(s.Flags) > 0 {
			t.Errorf("state = %s [%s], want pending: revision 2 is payable", s.Status, flags(s))
		}
	})
	t.Run("both paid: paid, and the old one still asks for attention", func(t *testing.T) {
		s := newScript()
		second := s.Event("checkout.session.completed", s.done("cs_2", "pi_2", "paid").With(object{"metadata": stripetest.Metadata(seller, quoteID, 2)}))
		w := converge(t, []quote.Revision{revision(1), revision(2)}, events(t, append(s.bought(), second)...))
		if s := w.state(); s.Status != quote.StatusPaid || flags(s) != "superseded_payment" || s.Revision != 2 || !slices.Equal(w.subjects(), []string{"paid.2"}) {
			t.Errorf("state = %s [%s] of revision %d, emitted %v", s.Status, flags(s), s.Revision, w.subjects())
		}
	})
	t.Run("a newer revision on another account counts as well", func(t *testing.T) {
		moved := revision(2)
		moved.Account = "acct_1OTHER"
		w := converge(t, []quote.Revision{revision(1), moved}, events(t, newScript().bought()...))
		if s := w.state(); s.Status != quote.StatusReview || flags(s) != "superseded_payment" || len(w.emitted) > 0 || len(s.Due) > 0 {
			t.Errorf("state = %s [%s], emitted %v", s.Status, flags(s), w.subjects())
		}
	})
}

func TestFactsWithoutAPublicationArePendingUntilItIsKnown(t *testing.T) {
	w := run([]quote.Revision{revision(1)}, events(t, newScript().bought()...)...)
	if s := w.state(); s.Status != quote.StatusPending || flags(s) != "unknown_quote" || len(s.Due) > 0 {
		t.Errorf("state = %s [%s], want pending [unknown_quote]", s.Status, flags(s))
	}
	w.deliver(published(revision(1)))
	if s := w.state(); s.Status != quote.StatusPaid || len(s.Flags) > 0 {
		t.Errorf("state = %s [%s], want paid", s.Status, flags(s))
	}
}

// R33: paid when it was paid, not when it was told: the charge's or invoice's
// own time if there is one.
func TestPaidTimeIsTheBestKnownThenTheEarliest(t *testing.T) {
	s := newScript()
	s.Event("ping", object{"id": "x"}) // the first event's time is Start + 1
	session, intent := s.completed("cs_1", "pi_1", "paid"), s.intentSucceeded("pi_1", "ch_1")
	charge := s.charge("charge.succeeded", "ch_1", "pi_1", nil)
	messages := append(events(t, intent), published(revision(1)))
	at := func(m ...message) string { return clock(run(nil, m...).state().PaidAt) }
	if got := at(messages...); got != "2s" {
		t.Errorf("paid at %s by the intent alone, want 2s", got)
	}
	messages = append(messages, events(t, session)...)
	if got := at(messages...); got != "1s" {
		t.Errorf("paid at %s by session and intent, want the earlier 1s", got)
	}
	messages = append(messages, events(t, charge)...)
	if got := at(messages...); got != "-30s" {
		t.Errorf("paid at %s with the charge, want its own -30s", got)
	}
	later := s.charge("charge.succeeded", "ch_1", "pi_1", object{"created": stripetest.Start + 900})
	if got := at(append(events(t, session, intent, later), published(revision(1)))...); got != "900s" {
		t.Errorf("paid at %s with a charge later than the events, want its own 900s", got)
	}
	state := run(nil, messages...).state()
	want := quote.PaymentIDs{Session: "cs_1", Intent: "pi_1", Event: "evt_1QuittanceEvent00003"}
	if state.Payment != want || state.Deal != "deal_7" || state.Seller != seller || state.Revision != 1 {
		t.Errorf("state = %+v, want payment %+v", state, want)
	}
}

// R44: the last second at which a quote can be paid is not late.
func TestPaidInTheLastSecondIsNotLate(t *testing.T) {
	for second, want := range map[int64]string{0: "", -1: "late"} {
		r := revision(1)
		r.ExpiresAt = time.Unix(stripetest.Start+second, 0)
		s := newScript()
		state := run(nil, append(events(t, s.completed("cs_1", "pi_1", "paid")), published(r))...).state()
		if got := flags(state); got != want {
			t.Errorf("paid %d s after the expiry: [%s], want [%s]", -second, got, want)
		}
	}
}

func TestTimesOfRefundAndChargeback(t *testing.T) {
	s := newScript()
	refund := append(s.bought(), s.refund("refund.created", "re_1", "ch_1", "pi_1", "succeeded", 4000), s.refund("refund.created", "re_2", "ch_1", "pi_1", "succeeded", 6000))
	if state := converge(t, []quote.Revision{revision(1)}, events(t, refund...)).state(); clock(state.RefundedAt) != "3s" || state.Refunded != 10000 {
		t.Errorf("refunded %d at %s, want 10000 at 3s, the last refund", state.Refunded, clock(state.RefundedAt))
	}
	s = newScript()
	lost := append(s.bought(), s.dispute("created", "needs_response"), s.dispute("closed", "lost", withdrawn))
	if state := converge(t, []quote.Revision{revision(1)}, events(t, lost...)).state(); clock(state.ChargedBackAt) != "3s" {
		t.Errorf("charged back at %s, want 3s", clock(state.ChargedBackAt))
	}
}

// What cannot be told apart by name alone, in every order.
func TestFurtherSequencesConverge(t *testing.T) {
	t.Parallel()
	r := revision(1)
	for _, test := range []row{
		{
			name: "authorized, not captured", status: quote.StatusProcessing, emitted: "payment_processing.ch_1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.Event("payment_intent.requires_action", s.Intent("pi_1", object{"status": "requires_capture", "latest_charge": "ch_1", "metadata": ours()})),
					s.charge("charge.succeeded", "ch_1", "pi_1", object{"captured": false, "amount_captured": 0}),
				}
			},
		},
		{
			name: "authorized, captured", status: quote.StatusPaid, emitted: "payment_processing.ch_1 paid.1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.charge("charge.succeeded", "ch_1", "pi_1", object{"captured": false, "amount_captured": 0, "metadata": ours()}),
					s.charge("charge.captured", "ch_1", "pi_1", nil),
				}
			},
		},
		{
			name: "authorized, released", status: quote.StatusPending, flags: "attempt_failed", emitted: "payment_processing.ch_1 payment_failed.ch_1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.charge("charge.succeeded", "ch_1", "pi_1", object{"captured": false, "amount_captured": 0, "metadata": ours()}),
					s.charge("charge.refunded", "ch_1", "pi_1", object{"captured": false, "amount_captured": 0, "amount_refunded": 10000, "refunded": true}),
				}
			},
		},
		{
			name: "intent in flight without a charge, canceled", status: quote.StatusPending, emitted: "payment_processing.pi_1 payment_failed.pi_1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.Event("payment_intent.processing", s.Intent("pi_1", object{"status": "processing", "metadata": ours()})),
					s.Event("payment_intent.canceled", s.Intent("pi_1", object{"status": "canceled", "metadata": ours()})),
				}
			},
		},
		{
			name: "authorized, then canceled", status: quote.StatusPending, emitted: "payment_processing.ch_1 payment_failed.ch_1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.charge("charge.succeeded", "ch_1", "pi_1", object{"captured": false, "amount_captured": 0, "metadata": ours()}),
					s.Event("payment_intent.canceled", s.Intent("pi_1", object{"status": "canceled", "metadata": ours()})),
				}
			},
		},
		{
			name: "canceled and succeeded: success wins", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.intentSucceeded("pi_1", "ch_1"), s.Event("payment_intent.canceled", s.Intent("pi_1", object{"status": "canceled", "metadata": ours()})),
				}
			},
		},
		{
			name: "card failed, then a bank debit in flight", status: quote.StatusProcessing,
			emitted: "payment_failed.ch_1 payment_processing.cs_1 payment_processing.py_2",
			bodies: func(s *script) [][]byte {
				return [][]byte{s.intentFailed("pi_1", "ch_1"), s.completed("cs_1", "pi_1", "unpaid"), s.intentProcessing("pi_1", "py_2")}
			},
		},
		{
			name: "one-time payment with an invoice, refunded", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_1",
			bodies: func(s *script) [][]byte {
				s.Shape = stripetest.ShapeBasil // whose invoice need not name its payment
				return [][]byte{
					s.Event("checkout.session.completed", s.done("cs_1", "pi_1", "paid").With(object{"invoice": "in_1"})), s.intentSucceeded("pi_1", "ch_1"),
					s.Event("invoice.paid", s.Invoice("in_1", "", "", "", ours(), s.PaidInvoice().With(object{"billing_reason": "manual"}))),
					s.refunded("ch_1", "pi_1", 10000),
				}
			},
		},
		{
			name: "inquiry open", status: quote.StatusPaid, flags: "inquiry", emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.dispute("created", "warning_needs_response")})
			},
		},
		{
			name: "lost, reversed at another exchange rate", status: quote.StatusChargedBack, flags: "refetch", emitted: "paid.1 disputed.dp_1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{
					s.dispute("closed", "lost", withdrawn), s.dispute("closed", "won", withdrawn, stripetest.Transaction("txn_2", 9900, 0)),
				})
			},
		},
		{
			name: "duplicate, one lost to a dispute", status: quote.StatusPaid, emitted: "paid.1 duplicate_payment.1 disputed.dp_1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.completed("cs_2", "pi_2", "paid"), s.dispute("closed", "lost", withdrawn)})
			},
		},
		{
			name: "mismatch, then paid as asked", status: quote.StatusPaid, flags: "mismatch", emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.Event("checkout.session.completed", s.done("cs_1", "pi_1", "paid").With(object{"amount_total": 9000})), s.completed("cs_2", "pi_2", "paid"),
				}
			},
		},
		{
			name: "fraud warning and a closed review", status: quote.StatusPaid, flags: "fraud_warning", emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				review := object{"id": "prv_1", "object": "review", "charge": "ch_1", "payment_intent": "pi_1", "open": true, "reason": "rule"}
				return join(s.bought(), [][]byte{
					s.Event("radar.early_fraud_warning.created", object{"id": "issfr_1", "object": "radar.early_fraud_warning", "charge": "ch_1", "actionable": true}),
					s.Event("review.opened", review), s.Event("review.closed", review.With(object{"open": false})),
				})
			},
		},
		{
			// R25
			name: "our coupon deleted in Stripe", status: quote.StatusPending, flags: "coupon_changed",
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("coupon.deleted", object{"id": "quittance_1", "object": "coupon", "metadata": ours()})}
			},
		},
		{
			name: "settled without a readable amount", status: quote.StatusReview, flags: "mismatch refetch",
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("checkout.session.completed", s.done("cs_1", "pi_1", "paid").With(object{"amount_total": "100.00"}))}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := converge(t, []quote.Revision{r}, events(t, test.bodies(newScript())...))
			want := strings.Fields(test.emitted)
			slices.Sort(want)
			if s := w.state(); s.Status != test.status || flags(s) != test.flags || !slices.Equal(w.subjects(), want) {
				t.Errorf("state = %s [%s], emitted %v, want %s [%s], %v", s.Status, flags(s), w.subjects(), test.status, test.flags, want)
			}
		})
	}
}

// R46: any number of renewals takes the memory of one.
func TestRenewalsTakeTheMemoryOfOne(t *testing.T) {
	s := newScript()
	messages := append(events(t, s.subscribed()...), published(revision(1)))
	first := run(nil, messages...)
	var sizes []int
	for month := range 36 {
		messages = append(messages, events(t, s.renewal("invoice.paid", fmt.Sprintf("in_%03d", month+2),
			s.PaidInvoice().With(object{"period_end": stripetest.Start + 2592000*(month+1)})))...)
		w := run(nil, messages...)
		f := w.facts[keyOf(quote.PlatformAccount, quoteID)]
		sizes = append(sizes, len(f.Encode()))
		if len(f.Renewals) != 1 || f.Renewals[0].ID != fmt.Sprintf("in_%03d", month+2) {
			t.Fatalf("after %d renewals: %+v", month+1, f.Renewals)
		}
		if slices.Contains(f.Objects(), f.Renewals[0].ID) || !slices.Equal(f.RenewalObjects(), []string{f.Renewals[0].ID}) {
			t.Fatalf("Objects = %v, RenewalObjects = %v", f.Objects(), f.RenewalObjects())
		}
		if s := w.state(); s.Status != quote.StatusPaid || !s.PaidAt.Equal(first.state().PaidAt) || len(w.emitted) != 1 {
			t.Fatalf("after %d renewals: %s paid at %s, emitted %v", month+1, s.Status, s.PaidAt, w.subjects())
		}
	}
	if slices.Min(sizes) != slices.Max(sizes) {
		t.Errorf("sizes = %v, want all the same", sizes)
	}
}

func TestObjectsAreWhatLaterFactsMayLinkTo(t *testing.T) {
	s := newScript()
	var f quote.Facts
	for _, m := range events(t, append(s.subscribed(), s.charge("charge.succeeded", "ch_1", "pi_9", nil), s.subscription("created", "active"))...) {
		f.Merge(m.change.Facts)
	}
	want := []string{"ch_1", "cs_1", "in_1", "pi_9", "pi_in_1", "sub_1"}
	if got := f.Objects(); !slices.Equal(got, want) {
		t.Errorf("Objects = %v, want %v", got, want)
	}
	f.Merge(quote.Facts{Intents: []quote.IntentFact{{ID: "pi_2", Invoices: quote.Set{"in_2"}}}, Renewals: []quote.RenewalFact{{ID: "in_2"}}})
	want = []string{"ch_1", "cs_1", "in_1", "pi_2", "pi_9", "pi_in_1", "sub_1"}
	if got := f.Objects(); !slices.Equal(got, want) {
		t.Errorf("Objects = %v, want %v: not the renewal in_2", got, want)
	}
	if got := f.Currencies(); !slices.Equal(got, []string{"pln"}) {
		t.Errorf("Currencies = %v, want pln", got)
	}
}

func TestRevisionFactsKeepTimesToTheSecondInUTC(t *testing.T) {
	r := revision(1)
	warsaw := time.FixedZone("CET", 3600)
	r.PublishedAt = time.Date(2026, 11, 20, 10, 0, 0, 5e8, warsaw)
	got := quote.RevisionFacts(r).Revisions[0]
	if want := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC); got.PublishedAt != want {
		t.Errorf("PublishedAt = %v, want %v", got.PublishedAt, want)
	}
	r.ExpiresAt = time.Time{}
	if got := quote.RevisionFacts(r).Revisions[0].ExpiresAt; !got.IsZero() {
		t.Errorf("ExpiresAt = %v, want none", got)
	}
}

func TestNoFactsArePending(t *testing.T) {
	s := quote.Derive(quote.PlatformAccount, quote.Facts{})
	if s.Status != quote.StatusPending || len(s.Flags) > 0 || len(s.Due) > 0 || s.Revision != 0 {
		t.Errorf("Derive of nothing = %+v", s)
	}
}

// The times of Stripe that nobody could read give way to the publication's.
func TestEmissionsAlwaysHaveATime(t *testing.T) {
	for typ, paymentStatus := range map[string]string{"checkout.session.completed": "paid", "checkout.session.async_payment_failed": "unpaid"} {
		s := newScript()
		body := s.Event(typ, s.done("cs_1", "pi_1", paymentStatus).With(object{"created": "soon"}))
		change, err := stripeevent.Decode([]byte(strings.Replace(string(body), `"created": 1795168800`, `"created": null`, 1)))
		if err != nil || !change.Created.IsZero() {
			t.Fatalf("Decode = %+v, %v", change, err)
		}
		state := run(nil, message{change: change}, published(revision(1))).state()
		if len(state.Due) == 0 {
			t.Errorf("nothing is due after %s", typ)
		}
		for _, e := range state.Due {
			if !e.At.Equal(revision(1).PublishedAt) {
				t.Errorf("%s at %v, want the publication", e.Event, e.At)
			}
		}
	}
}
