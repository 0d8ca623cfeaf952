package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/mail"
	"quittance.internal/libs/operations/story"
)

const (
	mailStream = "KV_" + event.BucketMail
	mailPrefix = "$KV." + event.BucketMail + "."
	// maxResends is how often the notifier sends one mail again, and ledgersAtOnce for how many mails all of that fits into one
	// answer of the server.
	maxResends    = 20
	ledgersAtOnce = 45
)

// predictMails says of each quote what becomes of the mails about it.
func (s System) predictMails(ctx context.Context, work *projection.Projection, p *prediction, resend bool) error {
	var filters []string
	mails := map[int][]Mail{}
	for i, q := range p.quotes {
		for _, m := range mailsOf(work, q) {
			mails[i] = append(mails[i], m)
			filters = append(filters, mailPrefix+m.Key)
		}
	}
	ledger, err := s.ledger(ctx, filters, resend)
	if err != nil {
		return err
	}
	for i := range p.quotes {
		q := &p.quotes[i]
		for _, m := range mails[i] {
			q.Mails = append(q.Mails, m.decide(ledger, resend))
		}
		if len(q.Mails) == 0 {
			q.Mails = append(q.Mails, Mail{What: HeldNone})
		}
	}
	return nil
}

// mailsOf lists the mails that there are, or would be, about a quote: one of each quote.paid.
func mailsOf(work *projection.Projection, q Quote) []Mail {
	k := projection.Key{Account: q.Account, Quote: q.Quote}
	state := work.State(k)
	var all []Mail
	add := func(seller, n, what string) {
		revision, err := strconv.Atoi(n)
		if err != nil || seller == "" {
			return
		}
		key := fmt.Sprintf("%s.%s.%d.%s", seller, q.Quote, revision, event.NamePaid)
		for _, m := range all {
			if m.Key == key {
				return
			}
		}
		all = append(all, Mail{Key: key, What: what, seller: seller, quote: q.Quote, revision: revision})
	}
	superseded := map[string]bool{}
	for _, subject := range q.Superseded {
		superseded[subject] = true
	}
	for _, subject := range q.Facts {
		if fact, ok := event.ParseQuoteSubject(subject); ok && fact.Event == quote.EventPaid {
			add(fact.Seller, fact.N, MailFirst)
		}
	}
	for name := range work.Marks(k) {
		if n, ok := strings.CutPrefix(name, quote.EventPaid+"."); ok {
			add(state.Seller, n, HeldUnderWay)
		}
	}
	for _, e := range state.Due { // in the log, though Redis may have lost the mark
		subject := event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: q.Quote, N: e.N}
		if e.Event == quote.EventPaid && !superseded[subject.String()] {
			add(e.Seller, e.N, HeldUnderWay)
		}
	}
	return all
}

// ledger reads the entries of mails, and with again those of their resends.
func (s System) ledger(ctx context.Context, filters []string, again bool) (map[string]story.MailEntry, error) {
	chunk := subjectsAtOnce
	if again {
		chunk = ledgersAtOnce
	}
	entries := map[string]story.MailEntry{}
	for from := 0; from < len(filters); from += chunk {
		part := filters[from:min(from+chunk, len(filters))]
		if again {
			wide := make([]string, 0, 2*len(part))
			for _, f := range part {
				wide = append(wide, f, f+".*")
			}
			part = wide
		}
		records, err := s.Log.ReadAll(ctx, mailStream, part...)
		if err != nil {
			return nil, fmt.Errorf("read the mail ledger: %w", err)
		}
		for _, r := range records {
			if r.Header.Get("KV-Operation") != "" {
				continue // removed
			}
			var e story.MailEntry
			if err := json.Unmarshal(r.Data, &e); err != nil {
				return nil, fmt.Errorf("decode entry %s of the mail ledger: %w", strings.TrimPrefix(r.Subject, mailPrefix), err)
			}
			entries[strings.TrimPrefix(r.Subject, mailPrefix)] = e
		}
	}
	return entries, nil
}

// decide says what becomes of a mail, by the ledger. A mail that would be sent again has the key of the entry that it gets.
func (m Mail) decide(ledger map[string]story.MailEntry, resend bool) Mail {
	first := m.Key
	e, there := ledger[first]
	if !there {
		return m // first, or the notifier has not come to it
	}
	last := e
	for n := 1; ; n++ {
		next, ok := ledger[first+"."+strconv.Itoa(n)]
		if !ok {
			m.number = n
			break
		}
		last = next
	}
	switch {
	case !last.Final():
		m.What = HeldUnderWay
	case resend && m.number > maxResends:
		m.What = HeldOften
	case resend:
		m.Key, m.What = first+"."+strconv.Itoa(m.number), MailAgain
	case e.State == "sent":
		m.What = HeldSent
	case e.State == "rejected":
		m.What = HeldRejected
	default:
		m.What = HeldParked
	}
	return m
}

// send has one mail sent again, unless the ledger says that it was: a run that was cut off between the mail and its own note
// goes on without a second one.
func (r *Runner) send(ctx context.Context, key, reason string) (string, error) {
	entries, err := r.ledger(ctx, []string{mailPrefix + key}, false)
	if err != nil {
		return "", err
	}
	if e, there := entries[key]; there && e.Final() {
		return e.State, nil
	}
	parts := strings.Split(key, ".")
	if len(parts) != 5 {
		return "", fmt.Errorf("%q is not the key of a resend", key)
	}
	// Number is which resend is meant: the notifier sends no later one, so that a request that is repeated is never a second
	// mail.
	request := mail.Request{Seller: parts[0], Quote: parts[1], Kind: parts[3], Reason: reason}
	if request.Revision, err = strconv.Atoi(parts[2]); err == nil {
		request.Number, err = strconv.Atoi(parts[4])
	}
	if err != nil {
		return "", fmt.Errorf("%q is not the key of a resend: %w", key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	answer, err := mail.Ask(ctx, r.Conn, request)
	switch {
	case err != nil:
		return "", err
	case answer.Entry == nil:
		return "", fmt.Errorf("mail %s: %s", key, answer.Error)
	case answer.Key != key:
		return "", fmt.Errorf("mail %s: the notifier went on with %s", key, answer.Key)
	}
	return answer.Entry.State, nil
}
