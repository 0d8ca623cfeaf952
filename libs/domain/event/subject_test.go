package event_test

import (
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
)

func TestSubjectsAreTheOnesOfTheArchitecture(t *testing.T) {
	long := strings.Repeat("a", 128)
	for _, tt := range []struct{ got, want string }{
		{event.StripeSubject{Mode: "test", Account: "platform", EventID: "evt_1", Type: "checkout.session.completed"}.String(), "stripe.test.platform.evt_1.checkout.session.completed"},
		{event.StripeSubject{Mode: "live", Account: "acct_1", EventID: long, Type: "charge"}.String(), "stripe.live.acct_1." + long + ".charge"},
		{event.StripeSubject{Mode: "prod", Account: "acct_1", EventID: "evt_1", Type: "charge"}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "a.b", EventID: "evt_1", Type: "charge"}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: "evt-1", Type: "charge"}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: long + "a", Type: "charge"}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: "evt_1", Type: "charge..x"}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: "evt_1", Type: "charge."}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: "evt_1", Type: ""}.String(), ""},
		{event.StripeSubject{Mode: "test", Account: "acct_1", EventID: "evt_1", Type: "charge.>"}.String(), ""},
		{event.UnreadableSubject("ab12"), "stripe.unreadable.ab12"},
		{event.UnreadableSubject("a b"), ""},
		{event.ConflictSubject("test", "platform", "evt_1", "ab12"), "stripe.conflict.test.platform.evt_1.ab12"},
		{event.QuoteSubject{Event: "paid", Seller: "main", Quote: "q_1", N: "2"}.String(), "quote.paid.main.q_1.2"},
		{event.QuoteSubject{Event: "paid", Seller: "*", Quote: "q_1", N: "2"}.String(), ""},
		{event.QuoteSubject{Event: "paid", Seller: "main", Quote: "q_1"}.String(), ""},
		{event.QuoteFilter("main", "q_1"), "quote.*.main.q_1.*"},
		{event.QuoteFilter("*", "q_1"), ""},
		{event.QuoteFilter("main", ">"), ""},
		{event.SellerSubject("connected", "main", "1"), "seller.connected.main.1"},
		{event.DeadSubject("payments", "STRIPE", 18446744073709551615, 2), "dead.payments.STRIPE.18446744073709551615.2"},
		{event.JournalSubject("replay"), "journal.replay"},
	} {
		if tt.got != tt.want {
			t.Errorf("subject = %q, want %q", tt.got, tt.want)
		}
	}
}

// R58, R62: what is stored once per subject is stored once per fact.
func FuzzParseStripeSubject(f *testing.F) {
	f.Add("test", "platform", "evt_1", "checkout.session.completed")
	f.Add("live", "acct_1", "evt_1", "charge")
	f.Add("unreadable", "a", "b", "c")
	f.Add("test", "a", "b", "c.d..e")
	f.Fuzz(func(t *testing.T, mode, account, id, typ string) {
		s := event.StripeSubject{Mode: mode, Account: account, EventID: id, Type: typ}
		if subject := s.String(); subject != "" {
			if got, ok := event.ParseStripeSubject(subject); !ok || got != s {
				t.Errorf("ParseStripeSubject(%q) = %+v, %v, want %+v", subject, got, ok, s)
			}
		}
		raw := strings.Join([]string{"stripe", mode, account, id, typ}, ".")
		if got, ok := event.ParseStripeSubject(raw); ok && got.String() != raw {
			t.Errorf("ParseStripeSubject(%q) = %+v, which writes %q", raw, got, got.String())
		}
	})
}

// R62
func FuzzParseQuoteSubject(f *testing.F) {
	f.Add("paid", "main", "q_1", "1")
	f.Add("payment_failed", "main", "q_1", "ch_1")
	f.Add("a.b", "main", "q_1", "")
	f.Fuzz(func(t *testing.T, name, seller, id, n string) {
		s := event.QuoteSubject{Event: name, Seller: seller, Quote: id, N: n}
		if subject := s.String(); subject != "" {
			if got, ok := event.ParseQuoteSubject(subject); !ok || got != s {
				t.Errorf("ParseQuoteSubject(%q) = %+v, %v, want %+v", subject, got, ok, s)
			}
		}
		raw := strings.Join([]string{"quote", name, seller, id, n}, ".")
		if got, ok := event.ParseQuoteSubject(raw); ok && got.String() != raw {
			t.Errorf("ParseQuoteSubject(%q) = %+v, which writes %q", raw, got, got.String())
		}
	})
}

// A subject that can be read is the one that is written of what was read: two subjects never mean the same.
func FuzzParseDeadAndTimerSubjects(f *testing.F) {
	for _, subject := range []string{
		"dead.payments.STRIPE.88120.1", "deadstate.payments.STRIPE.88120.2", "dead.payments.STRIPE.088120.1", "dead.payments.STRIPE.1.+1",
		"timer.due.expiry.main.q_1.1", "timer.due.expiry.main.q_1.01", "timer.at.expiry.main.q_1.1", "dead....",
	} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		if d, ok := event.ParseDeadSubject(subject); ok {
			written := event.DeadSubject(d.Consumer, d.Stream, d.Sequence, d.N)
			if d.Decision {
				written = event.DeadStateSubject(d.Consumer, d.Stream, d.Sequence, d.N)
			}
			if written != subject {
				t.Errorf("ParseDeadSubject(%q) = %+v, which writes %q", subject, d, written)
			}
		}
		if timer, ok := event.ParseTimerDue(subject); ok && timer.Due() != subject {
			t.Errorf("ParseTimerDue(%q) = %+v, which writes %q", subject, timer, timer.Due())
		}
	})
}

func TestSubjectsOfUnreadableAndConflictingEventsAreNoEvents(t *testing.T) {
	for _, subject := range []string{
		"", "stripe", "stripe.test.a.b", "stripe.unreadable.ab12", "stripe.conflict.test.platform.evt_1.ab12", "stripe.test.a.b.", "quote.paid.main.q_1.1",
	} {
		if got, ok := event.ParseStripeSubject(subject); ok {
			t.Errorf("ParseStripeSubject(%q) = %+v, want false", subject, got)
		}
	}
	for _, subject := range []string{"", "quote", "quote.paid.main.q_1", "quote.paid.main.q_1.1.2", "quote.*.main.q_1.1", "seller.a.b.c.d"} {
		if got, ok := event.ParseQuoteSubject(subject); ok {
			t.Errorf("ParseQuoteSubject(%q) = %+v, want false", subject, got)
		}
	}
}

func TestNumberTakesOneSpellingOnly(t *testing.T) {
	for n, want := range map[string]int{"1": 1, "12": 12, "0": 0, "01": 0, "+1": 0, "-1": 0, "": 0, "ch_1": 0, "99999999999999999999": 0} {
		got, ok := event.QuoteSubject{N: n}.Number()
		if got != want || ok != (want > 0) {
			t.Errorf("Number of %q = %d, %v, want %d", n, got, ok, want)
		}
	}
}

// R62
func FuzzIDsAreInjective(f *testing.F) {
	f.Add("paid", "main", "q_1", "1", "paid", "main", "q_", "11")
	f.Add("a", "1:b", "", "c", "a1:b", "", "", "c")
	f.Fuzz(func(t *testing.T, e1, s1, q1, n1, e2, s2, q2, n2 string) {
		same := [4]string{e1, s1, q1, n1} == [4]string{e2, s2, q2, n2}
		if got := event.ID(e1, s1, q1, n1) == event.ID(e2, s2, q2, n2); got != same {
			t.Errorf("ID(%q, %q, %q, %q) == ID(%q, %q, %q, %q) is %v", e1, s1, q1, n1, e2, s2, q2, n2, got)
		}
	})
}

// R62: the id is part of the contract with subscribers; it may never change.
func TestIDOfAKnownFactIsWhatItAlwaysWas(t *testing.T) {
	const want = "57caa4a599091d54d4ac75a2739ead6edf6eb7321900006957e0cd6541b83bde"
	if got := event.ID("paid", "main", "q_1", "1"); got != want {
		t.Errorf("ID = %s, want %s", got, want)
	}
}
