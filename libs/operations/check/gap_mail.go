package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
)

// States of the mail ledger that the notifier writes and Gap tells apart; all others are on their way.
const (
	mailSent     = "sent"
	mailDropped  = "dropped"
	mailRejected = "rejected"
	mailParked   = "parked"
)

// mails compares the facts quote.paid with the ledger, and looks for mails that do not go out. It returns how many facts
// there are.
func (g Gap) mails(ctx context.Context, v *Verdict) (int, error) {
	entries := map[string]story.MailEntry{}
	t := story.Teller{Log: g.Log}
	if err := t.EachMail(ctx, ">", func(key string, e story.MailEntry) { entries[key] = e }); err != nil {
		return 0, err
	}
	stream, err := g.Log.JetStream().Stream(ctx, event.StreamQuotes)
	if err != nil {
		return 0, advice.New("quotectl declare", "look up stream %s: %w", event.StreamQuotes, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("quote."+event.NamePaid+".>"))
	if err != nil {
		return 0, fmt.Errorf("list the facts quote.paid: %w", err)
	}
	unsent := 0
	for subject := range info.State.Subjects {
		s, ok := event.ParseQuoteSubject(subject)
		if !ok {
			continue
		}
		if _, there := entries[s.Seller+"."+s.Quote+"."+s.N+"."+event.NamePaid]; there {
			continue
		}
		fact, err := g.Log.Read(ctx, event.StreamQuotes, subject)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return 0, err
		}
		age := g.Now.Sub(fact.Time)
		if level := g.Mail.Level(age); level != OK {
			unsent++
			g.name(v, unsent, level, "quotectl explain "+s.Quote+" --why-no-email", "%s revision %s was paid %s ago and nobody has begun its mail", s.Quote, s.N, wait(age))
		}
	}
	stuck := g.stuck(v, entries)
	v.Measures = append(v.Measures, Measure{Name: "facts_without_mail", Value: float64(unsent), Warn: 1, Critical: 1},
		Measure{Name: "mails_not_sent", Value: float64(stuck), Warn: 1, Critical: 1})
	return len(info.State.Subjects), nil
}

// stuck tells of the mails that were begun and do not go out, and returns how many there are.
func (g Gap) stuck(v *Verdict, entries map[string]story.MailEntry) int {
	answered := map[string]bool{} // mails that an operator's resend has replaced
	for key, e := range entries {
		if parts := strings.Split(key, "."); len(parts) == 5 && e.State == mailSent {
			answered[strings.Join(parts[:4], ".")] = true
		}
	}
	n := 0
	for key, e := range entries {
		parts := strings.Split(key, ".")
		if len(parts) < 4 || answered[strings.Join(parts[:4], ".")] {
			continue
		}
		next := "quotectl explain " + parts[1] + " --why-no-email"
		switch e.State {
		case mailSent, mailDropped:
		case mailRejected, mailParked: // final: somebody has to act, whatever its age
			n++
			g.name(v, n, Warning, next, "mail %s was %s %s ago: %s", key, e.State, wait(g.Now.Sub(e.UpdatedAt)), because(e))
		default:
			if level := g.Mail.Level(g.Now.Sub(e.FirstAt)); level != OK {
				n++
				g.name(v, n, level, next, "mail %s is on its way for %s (%s, %d attempts): %s", key, wait(g.Now.Sub(e.FirstAt)), e.State, e.Attempts, because(e))
			}
		}
	}
	return n
}

// because is why a mail is not sent, in the server's words or the notifier's.
func because(e story.MailEntry) string {
	switch {
	case e.Reply != "":
		return mask.Text(e.Reply)
	case e.Reason != "":
		return mask.Text(e.Reason)
	}
	return "no reason is recorded"
}

// name is a finding of a kind, up to gapsNamed of them.
func (g Gap) name(v *Verdict, n int, l Level, next, format string, args ...any) {
	switch {
	case n < gapsNamed:
		v.find(l, next, format, args...)
	case n == gapsNamed:
		v.find(l, "quotectl check gap -o json", "more mails are missing than are named here; the measures have the number")
	}
}
