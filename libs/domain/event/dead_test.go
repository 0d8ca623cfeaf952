package event_test

import (
	"testing"

	"quittance.internal/libs/domain/event"
)

func TestDeadSubjectsAreReadBack(t *testing.T) {
	for subject, want := range map[string]event.DeadLetter{
		event.DeadSubject("payments", "STRIPE", 88120, 2):      {Consumer: "payments", Stream: "STRIPE", Sequence: 88120, N: 2},
		event.DeadStateSubject("payments", "STRIPE", 88120, 1): {Consumer: "payments", Stream: "STRIPE", Sequence: 88120, N: 1, Decision: true},
	} {
		if got, ok := event.ParseDeadSubject(subject); !ok || got != want {
			t.Errorf("ParseDeadSubject(%s) = %+v, %t, want %+v", subject, got, ok, want)
		}
	}
	for _, subject := range []string{"", "dead.a.B.1", "dead.a.B.0.1", "dead.a.B.1.0", "dead.a.B.x.1", "quote.a.B.1.1", "dead.a b.B.1.1", "dead.a.B.1.1.1"} {
		if got, ok := event.ParseDeadSubject(subject); ok {
			t.Errorf("ParseDeadSubject(%s) = %+v, want none", subject, got)
		}
	}
}
