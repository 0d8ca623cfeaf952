package selection

import (
	"path"
	"slices"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// Event is one message of the log and what became of it.
type Event struct {
	Record natsstream.Record
	// ID is Stripe's event id, "" where the message has none. Type has "quote." in front for the quotes' own events.
	ID, Type string
	// Account is platform or acct_…, "" where neither the subject nor the outcome tells it. Quote likewise.
	Account, Quote string
	// Outcome is zero while Decided is false.
	Outcome redisquote.Outcome
	Decided bool
}

// Word is the outcome's word, OutcomePending while there is none.
func (e Event) Word() string {
	if !e.Decided {
		return OutcomePending
	}
	return e.Outcome.Outcome
}

// Failed reports whether somebody should look: dead, refused or parked.
func (e Event) Failed() bool { return slices.Contains(failed, e.Word()) }

// Source is how the message came in: one of event's Source constants, "" where it does not say.
func (e Event) Source() string { return e.Record.Header.Get(event.HeaderSource) }

// Describe reads off a message what its subject tells.
func Describe(r natsstream.Record) Event {
	e := Event{Record: r}
	if s, ok := event.ParseStripeSubject(r.Subject); ok {
		e.ID, e.Type, e.Account = s.EventID, s.Type, s.Account
		return e
	}
	if s, ok := event.ParseQuoteSubject(r.Subject); ok {
		e.Type, e.Quote = "quote."+s.Event, s.Quote
		return e
	}
	parts := strings.Split(r.Subject, ".")
	if len(parts) > 1 {
		e.Type = parts[1] // unreadable or conflict
	}
	if e.Type == "conflict" && len(parts) > 4 {
		e.Account, e.ID = parts[3], parts[4]
	}
	return e
}

// decided completes what the subject did not tell.
func (e *Event) decided(o redisquote.Outcome, ok bool) {
	e.Outcome, e.Decided = o, ok
	if e.Account == "" {
		e.Account = o.Account
	}
	if e.Quote == "" {
		e.Quote = o.Quote
	}
}

// fits reports whether one of the patterns fits, or there is none.
func fits(patterns []string, text string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, text)
		return err == nil && ok
	})
}

func among(values []string, text string) bool {
	return len(values) == 0 || slices.Contains(values, text)
}

// takesMessage judges by the message alone; account and quote may still be unknown then.
func (s *Selection) takesMessage(e Event) bool {
	r := e.Record
	return among(s.IDs, e.ID) && fits(s.Types, e.Type) && fits(s.Sources, e.Source()) && (e.Account == "" || fits(s.Accounts, e.Account)) &&
		(s.Since.IsZero() || !r.Time.Before(s.Since)) && (s.Until.IsZero() || r.Time.Before(s.Until))
}

// takesOutcome judges by what became of the message.
func (s *Selection) takesOutcome(e Event) bool {
	return among(s.Outcomes, e.Word()) && fits(s.Accounts, e.Account)
}
