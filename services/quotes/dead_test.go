package quotes_test

import (
	"errors"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
)

// R69: what a chore could not do is tried again when an operator asks, out of the
// letter's own bytes.
func TestADeadLetterOfAChoreIsTriedAgain(t *testing.T) {
	f := start(t)
	log := f.nats.Log("test")
	poison, err := log.Fact(t.Context(), natsstream.Message{Subject: "quote.published.main.q_poison.1", Data: []byte("no event")})
	if err != nil {
		t.Fatal(err)
	}
	id := f.create(t)
	f.publish(t, id)
	good, err := log.Read(t.Context(), event.StreamQuotes, "quote.published.main."+id+".1")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.SetAside(t.Context(), natsstream.DeadLetter{Consumer: natsstream.DurablePlanner, Record: good, Reason: "a bug of yesterday", Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	retry := func(seq uint64) (a deadletter.Answer) {
		eventually(t, "quotes answers for its letter", func() bool {
			a, err = deadletter.Ask(t.Context(), f.nats.Conn("operator"), deadletter.Request{
				Verb: deadletter.VerbRetry, Who: "ada@desk", Why: "fixed",
				Key: deadletter.Key{Consumer: natsstream.DurablePlanner, Stream: event.StreamQuotes, Sequence: seq},
			})
			return !errors.Is(err, deadletter.ErrNobody) && !strings.Contains(a.Error, natsstream.ErrNotFound.Error())
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := retry(good.Sequence); a.Error != "" || a.Letter.State != deadletter.Resolved {
		t.Errorf("retry = %+v, want it resolved", a)
	}
	if a := retry(poison.Sequence); !strings.Contains(a.Error, "set aside again") || a.Letter.Rounds != 2 || a.Letter.State != deadletter.Open {
		t.Errorf("retry of what is no event = %+v, want a second round", a)
	}
}
