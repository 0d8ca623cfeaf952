package quote_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func doc(title string) quote.Document {
	return quote.Document{
		Title: title, Currency: "usd", LineItems: []quote.LineItem{line(1, 1000, 0)},
		Owner: quote.Owner{Email: "o@s.example", TimeZone: "UTC"},
	}
}

// drafted is a quote with one version.
func drafted(d quote.Document) *quote.Aggregate {
	a := &quote.Aggregate{}
	a.Drafted(quote.Drafted{Seller: "main", QuoteID: "q_1", Version: 1, Document: d, DraftedAt: noon})
	return a
}

func publish(t *testing.T, a *quote.Aggregate, key string) quote.Published {
	t.Helper()
	p, fresh, err := a.Publish(quote.Publication{Account: "platform", Mode: "test", URLToken: "tok", RequestKey: key, Now: noon})
	if err != nil || !fresh {
		t.Fatalf("Publish = %+v, %v, %v, want a publication", p, fresh, err)
	}
	a.Published(p)
	return p
}

func recall(t *testing.T, a *quote.Aggregate, key string) quote.Recalled {
	t.Helper()
	r, fresh, err := a.Recall(key, noon)
	if err != nil || !fresh {
		t.Fatalf("Recall = %+v, %v, %v, want a recall", r, fresh, err)
	}
	a.Recalled(r)
	return r
}

func refused(t *testing.T, err error, kind quote.Kind, code string) {
	t.Helper()
	refusal, ok := errors.AsType[*quote.Refusal](err)
	if !ok || refusal.Kind != kind || len(refusal.Reasons) != 1 || refusal.Reasons[0].Code != code || refusal.Reasons[0].Detail == "" {
		t.Errorf("error = %v (%+v), want a refusal of kind %d for %s", err, refusal, kind, code)
	}
}

func TestAQuoteThatDoesNotExistTakesNoCommand(t *testing.T) {
	a := &quote.Aggregate{}
	_, _, edit := a.Edit(doc("x"), noon)
	_, _, pub := a.Publish(quote.Publication{Now: noon})
	_, _, rec := a.Recall("", noon)
	for name, err := range map[string]error{"Edit": edit, "Publish": pub, "Recall": rec} {
		if !errors.Is(err, quote.ErrNotFound) {
			t.Errorf("%s = %v, want ErrNotFound", name, err)
		}
	}
}

// R26
func TestThePublishedQuoteIsChangedByRecallEditAndPublish(t *testing.T) {
	a := drafted(doc("one"))
	first := publish(t, a, "")
	if first.Revision != 1 || first.Amount != 1000 || first.Currency != "usd" || first.Version != 1 || first.Account != "platform" {
		t.Errorf("first publication = %+v", first)
	}
	_, _, err := a.Edit(doc("two"), noon)
	refused(t, err, quote.KindConflict, quote.CodePublished)

	recall(t, a, "")
	if a.StateAt(noon) != quote.LifecycleRecalled {
		t.Errorf("state = %s, want recalled", a.StateAt(noon))
	}
	changed := doc("two")
	changed.Discount = &quote.Discount{Percent: "10"}
	d, fresh, err := a.Edit(changed, noon)
	if err != nil || !fresh || d.Version != 2 {
		t.Fatalf("Edit = %+v, %v, %v", d, fresh, err)
	}
	a.Drafted(d)
	if second := publish(t, a, ""); second.Revision != 2 || second.Amount != 900 || second.Version != 2 || second.Document.Title != "two" {
		t.Errorf("second publication = %+v", second)
	}
}

func TestCommandsMayBeRepeated(t *testing.T) {
	a := drafted(doc("one"))
	if d, fresh, err := a.Edit(doc("one"), noon); fresh || err != nil {
		t.Errorf("edit without a change = %+v, %v, %v, want nothing to append", d, fresh, err)
	}
	first := publish(t, a, "k1")
	if p, fresh, err := a.Publish(quote.Publication{Now: noon, RequestKey: "k2", URLToken: "other"}); fresh || err != nil || p.URLToken != first.URLToken {
		t.Errorf("publish of a published quote = %+v, %v, %v, want the one in force", p, fresh, err)
	}
	recall(t, a, "r1")
	if r, fresh, err := a.Recall("", noon); fresh || err != nil || r.Revision != 1 {
		t.Errorf("recall of a recalled quote = %+v, %v, %v, want the one in force", r, fresh, err)
	}
}

// A retry that comes late must not do again what was undone meanwhile.
func TestALateRetryChangesNothing(t *testing.T) {
	a := drafted(doc("one"))
	publish(t, a, "k1")
	recall(t, a, "r1")
	if p, fresh, err := a.Publish(quote.Publication{Now: noon, RequestKey: "k1"}); fresh || err != nil || p.Revision != 1 {
		t.Errorf("publish with the old key = %+v, %v, %v, want revision 1", p, fresh, err)
	}
	publish(t, a, "k2")
	if r, fresh, err := a.Recall("r1", noon); fresh || err != nil || r.Revision != 1 {
		t.Errorf("recall with the old key = %+v, %v, %v, want revision 1's", r, fresh, err)
	}
	if a.StateAt(noon) != quote.LifecyclePublished {
		t.Errorf("state = %s, want published", a.StateAt(noon))
	}
}

// R27
func TestNothingChangesUnderASettledPayment(t *testing.T) {
	a := drafted(doc("one"))
	publish(t, a, "")
	a.Paid(quote.Paid{Revision: 1, PaidAt: noon})
	_, _, err := a.Recall("", noon)
	refused(t, err, quote.KindConflict, quote.CodePaid)

	late := drafted(doc("one"))
	publish(t, late, "")
	recall(t, late, "")
	late.Paid(quote.Paid{Revision: 1, PaidAt: noon})
	_, _, err = late.Edit(doc("two"), noon)
	refused(t, err, quote.KindConflict, quote.CodePaid)
	_, _, err = late.Publish(quote.Publication{Now: noon})
	refused(t, err, quote.KindConflict, quote.CodePaid)
}

// R27
func TestAnAttemptIsInFlightUntilItsOwnFailure(t *testing.T) {
	processing := func(object string) quote.PaymentFact { return quote.PaymentFact{Object: object} }
	failed := func(object, session, intent string) quote.PaymentFact {
		return quote.PaymentFact{Object: object, CheckoutSession: session, PaymentIntent: intent}
	}
	for name, tt := range map[string]struct {
		fold func(*quote.Aggregate)
		open bool
	}{
		"processing": {func(a *quote.Aggregate) { a.PaymentProcessing(processing("cs_1")) }, true},
		"then failed": {func(a *quote.Aggregate) {
			a.PaymentProcessing(processing("cs_1"))
			a.PaymentFailed(failed("cs_1", "cs_1", "pi_1"))
		}, false},
		"another one failed": {func(a *quote.Aggregate) {
			a.PaymentProcessing(processing("cs_1"))
			a.PaymentFailed(failed("ch_2", "cs_2", "pi_2"))
		}, true},
		"a declined card before the bank debit of the same session": {func(a *quote.Aggregate) {
			a.PaymentProcessing(processing("cs_1"))
			a.PaymentFailed(failed("ch_1", "cs_1", "pi_1"))
		}, true},
		"the failure told first": {func(a *quote.Aggregate) {
			a.PaymentFailed(failed("cs_1", "cs_1", "pi_1"))
			a.PaymentProcessing(processing("cs_1"))
		}, false},
		"failure without a name": {func(a *quote.Aggregate) {
			a.PaymentProcessing(processing(""))
			a.PaymentFailed(failed("", "", ""))
		}, true},
	} {
		a := drafted(doc("one"))
		publish(t, a, "")
		tt.fold(a)
		_, fresh, err := a.Recall("", noon)
		if !tt.open {
			if err != nil || !fresh {
				t.Errorf("%s: Recall = %v, %v, want a recall", name, fresh, err)
			}
			continue
		}
		refused(t, err, quote.KindConflict, quote.CodeInFlight)
	}
}

// R44
func TestAQuotePastItsExpiryIsExpired(t *testing.T) {
	d := doc("one")
	d.ExpiresAt = "2026-11-20T12:00:00Z"
	a := drafted(d)
	publish(t, a, "")
	for at, want := range map[time.Time]quote.Lifecycle{
		noon: quote.LifecyclePublished, noon.Add(time.Nanosecond): quote.LifecycleExpired,
	} {
		if got := a.StateAt(at); got != want {
			t.Errorf("StateAt(%v) = %s, want %s", at, got, want)
		}
	}
	later := noon.Add(time.Hour)
	_, _, err := a.Publish(quote.Publication{Now: later})
	refused(t, err, quote.KindInvalid, quote.CodeExpiryPassed)

	d.ExpiresAt = "2026-12-20"
	edited, fresh, err := a.Edit(d, later)
	if err != nil || !fresh {
		t.Fatalf("Edit of an expired quote = %v, %v", fresh, err)
	}
	a.Drafted(edited)
	a.Expired(quote.Expired{Revision: 1}) // the timer of revision 1 comes late
	if p, fresh, err := a.Publish(quote.Publication{Now: later}); err != nil || !fresh || p.Revision != 2 {
		t.Errorf("Publish with a later expiry = %+v, %v, %v, want revision 2", p, fresh, err)
	}

	b := drafted(doc("one"))
	publish(t, b, "")
	b.Expired(quote.Expired{Revision: 1})
	if b.StateAt(noon) != quote.LifecycleExpired {
		t.Errorf("state = %s, want expired", b.StateAt(noon))
	}
	recall(t, b, "")
}

func TestADraftCannotBeRecalled(t *testing.T) {
	_, _, err := drafted(doc("one")).Recall("", noon)
	refused(t, err, quote.KindConflict, quote.CodeNotPublished)
}

func TestWhatCannotBeSummedCannotBePublished(t *testing.T) {
	d := doc("one")
	d.LineItems = []quote.LineItem{line(2, math.MaxInt64, 0)}
	_, _, err := drafted(d).Publish(quote.Publication{Now: noon})
	refused(t, err, quote.KindInvalid, quote.CodeOverflow)

	d = doc("one")
	d.ExpiresAt = "soon"
	_, _, err = drafted(d).Publish(quote.Publication{Now: noon})
	refused(t, err, quote.KindInvalid, quote.CodeExpiry)
}

func TestVersionsAreLimited(t *testing.T) {
	a := drafted(doc("one"))
	for i := 2; i <= quote.MaxVersions; i++ {
		d, _, err := a.Edit(doc(fmt.Sprint(i)), noon)
		if err != nil {
			t.Fatal(err)
		}
		a.Drafted(d)
	}
	_, _, err := a.Edit(doc("one more"), noon)
	refused(t, err, quote.KindConflict, quote.CodeVersionsSpent)
}

// Random histories: revisions and versions count up by one, a paid quote keeps
// its revision, and no command is taken in a state that forbids it.
func TestRandomHistoriesKeepTheRules(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		a, now := drafted(doc("0")), noon
		for step := range 40 {
			now = now.Add(time.Duration(r.IntN(3)) * time.Hour)
			before, revision, version := a.StateAt(now), a.Revision(), a.Version
			open := len(a.Payments) > 0 || len(a.InFlight()) > 0
			object := fmt.Sprint("cs_", r.IntN(3))
			switch r.IntN(6) {
			case 0:
				d := doc(fmt.Sprint(r.IntN(4)))
				if r.IntN(2) == 0 {
					d.ExpiresAt = now.Add(3 * time.Hour).Format(time.RFC3339)
				}
				if e, fresh, err := a.Edit(d, now); err == nil && fresh {
					if before == quote.LifecyclePublished || open || e.Version != version+1 {
						t.Fatalf("seed %d step %d: edited to %d in state %s, payments open: %v", seed, step, e.Version, before, open)
					}
					a.Drafted(e)
				}
			case 1:
				if p, fresh, err := a.Publish(quote.Publication{Now: now}); err == nil && fresh {
					if before == quote.LifecyclePublished || open || p.Revision != revision+1 {
						t.Fatalf("seed %d step %d: published %d in state %s, payments open: %v", seed, step, p.Revision, before, open)
					}
					a.Published(p)
				}
			case 2:
				if c, fresh, err := a.Recall("", now); err == nil && fresh {
					if revision == 0 || open || c.Revision != revision {
						t.Fatalf("seed %d step %d: recalled %d of %d, payments open: %v", seed, step, c.Revision, revision, open)
					}
					a.Recalled(c)
				}
			case 3:
				a.PaymentProcessing(quote.PaymentFact{Object: object})
			case 4:
				a.PaymentFailed(quote.PaymentFact{Object: object})
			default:
				if revision > 0 && r.IntN(4) == 0 {
					a.Paid(quote.Paid{Revision: revision})
				}
			}
		}
	}
}

// A seller may save a quote before its lines; only offering it needs them.
func TestADraftWithoutLinesCannotBePublished(t *testing.T) {
	d, reasons := quote.Decode([]byte(full))
	if reasons != nil {
		t.Fatal(reasons)
	}
	d, reasons = d.Patch([]byte(`{"line_items":[],"discount":null,"tax":null,"expires_at":null}`))
	if reasons != nil {
		t.Fatalf("Patch = %+v, want a draft without lines", reasons)
	}
	for _, p := range []*quote.Policy{nil, quote.DefaultPolicy()} {
		_, _, err := drafted(d).Publish(quote.Publication{Now: noon, Policy: p, Payee: entitled})
		if refusal, ok := errors.AsType[*quote.Refusal](err); !ok || said(refusal.Reasons) != "no_line_items  line_items" {
			t.Errorf("Publish = %v, want no_line_items alone", err)
		}
	}
}

// R19
func TestAReviewSaysWhatPublishSays(t *testing.T) {
	d, _ := quote.Decode([]byte(full))
	d, reasons := d.Patch([]byte(`{"currency":"huf","expires_at":"2020-01-01","line_items":[{"name":"Gift","quantity":1,"unit_amount":0},
		{"name":"Hosting","quantity":1,"unit_amount":90000,"recurring":{"interval":"month","term":"2 years"}}]}`))
	if reasons != nil {
		t.Fatal(reasons)
	}
	p := quote.Publication{Now: noon, Policy: quote.DefaultPolicy(), Payee: entitled}
	verdict := drafted(d).Review(p)
	_, _, err := drafted(d).Publish(p)
	refusal, ok := errors.AsType[*quote.Refusal](err)
	if !ok || said(refusal.Reasons) != said(verdict.Refusals) || len(verdict.Refusals) != 4 {
		t.Errorf("Publish = %v, Review = %s", err, said(verdict.Refusals))
	}
	if said(verdict.Warnings) != "three_d_secure_missing R15 payment.three_d_secure, tax_on_first_charge R41 tax, discount_once_recurring R41 discount" {
		t.Errorf("warnings = %s", said(verdict.Warnings))
	}
}
