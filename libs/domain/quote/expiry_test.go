package quote_test

import (
	"fmt"
	"testing"
	"time"

	"quittance.internal/libs/domain/quote"
)

// until is the last second of the quotes here: noon and four days.
var until = noon.Add(4 * 24 * time.Hour)

// ending is a published quote that ends then.
func ending(t *testing.T, change func(*quote.Document)) *quote.Aggregate {
	t.Helper()
	d := doc("Ends")
	d.ExpiresAt, d.Payment.Stripe = until.Format(time.RFC3339), true
	if change != nil {
		change(&d)
	}
	a := drafted(d)
	publish(t, a, "")
	return a
}

func TestARevisionExpiresWhenItsLastSecondIsOver(t *testing.T) { // R44
	a := ending(t, nil)
	for _, now := range []time.Time{noon, until, until.Add(999 * time.Millisecond)} {
		_, due, err := a.Expire(1, now)
		if at, early := quote.Early(err); due || !early || !at.Equal(until.Add(time.Second)) {
			t.Errorf("Expire at %v = %v, %v, want it to be early", now, due, err)
		}
	}
	e, due, err := a.Expire(1, until.Add(time.Second))
	if err != nil || !due || e != (quote.Expired{Seller: "main", QuoteID: "q_1", Revision: 1, ExpiredAt: until}) {
		t.Fatalf("Expire = %+v, %v, %v", e, due, err)
	}
	a.Expired(e)
	if a.Lifecycle != quote.LifecycleExpired {
		t.Errorf("the quote is %s, want expired", a.Lifecycle)
	}
	if _, due, err := a.Expire(1, until.Add(time.Hour)); due || err != nil {
		t.Errorf("Expire again = %v, %v, want nothing to say", due, err)
	}
}

// R27, R44: what is no longer on offer, or paid, neither expires nor is reminded of; a payment in flight is waited for.
func TestATimerOfWhatIsNoLongerOnOfferSaysNothing(t *testing.T) {
	after := until.Add(time.Hour)
	for name, given := range map[string]func(a *quote.Aggregate){
		"recalled": func(a *quote.Aggregate) { a.Recalled(quote.Recalled{Revision: 1}) },
		"published again": func(a *quote.Aggregate) {
			a.Recalled(quote.Recalled{Revision: 1})
			next := a.Revisions[0]
			next.Revision, next.ExpiresAt = 2, until.Add(24*time.Hour)
			a.Published(next)
		},
		"edited":      func(a *quote.Aggregate) { a.Drafted(quote.Drafted{Version: 2}) },
		"paid":        func(a *quote.Aggregate) { a.Paid(quote.Paid{Revision: 1}) },
		"nothing yet": func(a *quote.Aggregate) { *a = quote.Aggregate{} },
	} {
		a := ending(t, nil)
		given(a)
		if _, due, err := a.Expire(1, after); due || err != nil {
			t.Errorf("%s: Expire = %v, %v, want nothing to say", name, due, err)
		}
		if _, due, err := a.Remind(1, 72*time.Hour, until.Add(-time.Hour)); due || err != nil {
			t.Errorf("%s: Remind = %v, %v, want nothing to say", name, due, err)
		}
	}
	a := ending(t, nil)
	a.PaymentProcessing(quote.PaymentFact{Object: "cs_1"})
	_, due, err := a.Expire(1, after)
	if refused(t, err, quote.KindConflict, quote.CodeInFlight); due {
		t.Error("expires while a payment is in flight")
	}
	if _, due, err := a.Remind(1, 72*time.Hour, until.Add(-time.Hour)); due || err != nil {
		t.Errorf("Remind while a payment is in flight = %v, %v, want nothing to say", due, err)
	}
	a.PaymentFailed(quote.PaymentFact{Object: "cs_1"})
	if _, due, err := a.Expire(1, after); !due || err != nil {
		t.Errorf("Expire after the attempt failed = %v, %v, want an expiry", due, err)
	}
}

func TestAReminderIsDueOnceAndInItsWindow(t *testing.T) {
	const before = 72 * time.Hour
	from := until.Add(-before)
	for name, tt := range map[string]struct {
		change func(*quote.Document)
		before time.Duration
		now    time.Time
		want   string
	}{
		"in the window":    {nil, before, from, "due"},
		"its last second":  {nil, before, until, "due"},
		"over":             {nil, before, until.Add(time.Second), "never"},
		"early":            {nil, before, from.Add(-time.Second), "early"},
		"switched off":     {nil, 0, from, "never"},
		"published later":  {nil, 97 * time.Hour, from, "never"},
		"published then":   {nil, 96 * time.Hour, from, "due"},
		"without an end":   {func(d *quote.Document) { d.ExpiresAt = "" }, before, from, "never"},
		"not paid with us": {func(d *quote.Document) { d.Payment.Stripe = false }, before, from, "never"},
	} {
		a := ending(t, tt.change)
		e, due, err := a.Remind(1, tt.before, tt.now)
		got := "never"
		if at, early := quote.Early(err); early {
			if got = "early"; !at.Equal(from) {
				t.Errorf("%s: early until %v, want %v", name, at, from)
			}
		} else if err != nil {
			t.Errorf("%s: Remind = %v", name, err)
		}
		if due {
			got = "due"
			want := quote.Expiring{
				Seller: "main", QuoteID: "q_1", Revision: 1, Amount: 1000, Currency: "usd", ExpiresAt: until, RemindedAt: tt.now, Mode: "test", Account: "platform",
			}
			if e != want {
				t.Errorf("%s: %+v, want %+v", name, e, want)
			}
			a.Expiring(e)
			if _, again, err := a.Remind(1, tt.before, tt.now); again || err != nil {
				t.Errorf("%s: said twice (%v)", name, err)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if got := fmt.Sprint(&quote.EarlyError{Due: noon}); got != "not before 2026-11-20T12:00:00Z" {
		t.Errorf("EarlyError is %q", got)
	}
}
