package invariants

import (
	"context"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
)

// stateSent is the ledger's word for a mail that a server has accepted.
const stateSent = "sent"

// mails judges I6 by the ledger and, where a mail server has counted, by what it accepted.
func (r *run) mails(ctx context.Context, p *paidFacts) error {
	line := r.line("I6")
	line.Looked = len(p.facts)
	if r.Mails == nil {
		line.NotChecked = "how many mails a server accepted nobody has counted: judged by the ledger"
	}
	// The floor before the ledger: the notifier acknowledges after it has written there.
	floor, err := r.Log.AckFloor(ctx, event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		return err
	}
	entries := map[string]story.MailEntry{}
	t := story.Teller{Log: r.Log}
	if err := t.EachMail(ctx, ">", func(key string, e story.MailEntry) { entries[key] = e }); err != nil {
		return err
	}
	known := map[string]bool{}
	for s, fact := range p.facts {
		key := s.Seller + "." + s.Quote + "." + s.N + "." + event.NamePaid
		e, there := entries[key]
		next := "quotectl explain " + s.Quote + " --why-no-email"
		switch {
		case fact.sequence > floor && (!there || !e.Final()):
			line.InFlight++
		case !there:
			r.fail("I6", next, "the notifier has acknowledged %s, and the ledger has no entry of its mail", s)
		case !e.Final():
			r.fail("I6", next, "the notifier has acknowledged %s, and its mail is %s", s, e.State)
		}
	}
	for key, e := range entries {
		known[e.MessageID] = true
		parts := strings.Split(key, ".")
		if len(parts) < 4 {
			continue
		}
		r.accepted(key, e, "quotectl mail show "+parts[1])
		s := event.QuoteSubject{Event: event.NamePaid, Seller: parts[0], Quote: parts[1], N: parts[2]}
		if parts[3] != event.NamePaid || p.facts[s] != nil {
			continue
		}
		switch _, err := r.Log.Read(ctx, event.StreamQuotes, s.String()); {
		case isNotFound(err):
			r.fail("I6", "quotectl explain "+parts[1], "the ledger has mail %s, and the log no %s", key, s)
		case err != nil:
			return err
		}
	}
	for id, n := range r.Mails {
		if !known[id] {
			r.fail("I6", "quotectl mail list", "%d mails %s were accepted, and the ledger knows of none", n, id)
		}
	}
	return nil
}

// accepted holds a mail against how often a server has accepted it: once, once more where an attempt ended without an answer. Each
// attempt without an answer may have been accepted, the one resend too; two at the most.
func (r *run) accepted(key string, e story.MailEntry, next string) {
	if e.Resends > 1 {
		r.fail("I6", next, "mail %s was sent %d times in spite of an attempt without an answer, once is allowed", key, e.Resends)
	}
	if r.Mails == nil {
		return
	}
	n, most := r.Mails[e.MessageID], min(e.Ambiguous, 2)
	if e.State == stateSent || !e.Final() {
		most = min(e.Ambiguous, 1) + 1
	}
	if n > most || e.State == stateSent && n == 0 {
		r.fail("I6", next, "mail %s was accepted %d times: it is %s, with %d attempts without an answer", key, n, e.State, e.Ambiguous)
	}
}
