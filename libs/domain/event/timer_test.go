package event_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
)

func TestATimersSubjectLeadsBackToIt(t *testing.T) { // R44
	want := event.Timer{Kind: event.TimerExpiry, Seller: "main", Quote: "q_1", Revision: 12}
	if want.At() != "timer.at.expiry.main.q_1.12" || want.Due() != "timer.due.expiry.main.q_1.12" {
		t.Errorf("subjects are %s and %s", want.At(), want.Due())
	}
	if got, ok := event.ParseTimerDue(want.Due()); !ok || got != want {
		t.Errorf("ParseTimerDue(%s) = %+v, %v", want.Due(), got, ok)
	}
	for _, subject := range []string{
		"", "timer", want.At(), "timer.due.expiry.main.q_1", "timer.due.expiry.main.q_1.0", "timer.due.expiry.main.q_1.01", "timer.due.expiry.main.q_1.x",
		"timer.due.expiry.main.q_1.1.2", "timer.due.expiry.*.q_1.1", "quote.due.expiry.main.q_1.1",
	} {
		if got, ok := event.ParseTimerDue(subject); ok {
			t.Errorf("ParseTimerDue(%q) = %+v, want false", subject, got)
		}
	}
	if s := (event.Timer{Kind: "expiry", Seller: "a.b", Quote: "q_1", Revision: 1}).At(); s != "" {
		t.Errorf("subject of an invalid seller = %q", s)
	}
}
