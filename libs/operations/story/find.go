package story

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// Find tells the stories behind an id.
func (t *Teller) Find(ctx context.Context, id, account string) ([]*Story, error) {
	switch {
	case strings.HasPrefix(id, "evt_") && plain(id):
		return t.ofEvent(ctx, id)
	case strings.HasPrefix(id, event.StreamStripe+":"), strings.HasPrefix(id, event.StreamQuotes+":"):
		return t.ofMessage(ctx, id)
	case strings.HasPrefix(id, event.StreamDead+":"):
		return t.ofLetter(ctx, id)
	case strings.Contains(id, "@"):
		return t.ofMail(ctx, strings.Trim(id, "<>"))
	case strings.Count(id, ".") >= 3:
		return t.ofMailKey(ctx, id)
	case !plain(id):
		return nil, advice.Of(advice.Usage, "quotectl explain --help", "%q is no id of ours", id)
	}
	s, err := t.ofQuote(ctx, id)
	if err == nil {
		return []*Story{s}, nil
	}
	if !errors.Is(err, natsstream.ErrNotFound) {
		return nil, err
	}
	return t.ofObject(ctx, id, account)
}

// ofLetter tells the story of the message that a dead letter is about.
func (t *Teller) ofLetter(ctx context.Context, ref string) ([]*Story, error) {
	r, err := Message(ctx, t.Log, ref)
	if err != nil {
		return nil, err
	}
	l, ok := event.ParseDeadSubject(r.Subject)
	if !ok || l.Stream != event.StreamStripe && l.Stream != event.StreamQuotes {
		return nil, advice.Missing("quotectl dead show "+ref, "%s is about no event of a quote: %s", ref, r.Subject)
	}
	return t.ofMessage(ctx, l.Stream+":"+strconv.FormatUint(l.Sequence, 10))
}

// ofEvent tells what became of a Stripe event.
func (t *Teller) ofEvent(ctx context.Context, id string) ([]*Story, error) {
	records, err := Events(ctx, t.Log, id)
	if err != nil {
		return nil, err
	}
	var stories []*Story
	for _, r := range records {
		s, err := t.ofRecord(ctx, r)
		if err != nil {
			return nil, err
		}
		stories = append(stories, s)
	}
	return stories, nil
}

// Events returns the stored messages of an event id: one, or several when the id was used by several accounts, or for
// different events (which ingress sets aside).
func Events(ctx context.Context, log *natsstream.Log, id string) ([]natsstream.Record, error) {
	records, err := log.ReadAll(ctx, event.StreamStripe, "stripe.*.*."+id+".>", "stripe.conflict.*.*."+id+".*")
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, advice.Missing("look in Stripe whether it was delivered; resend it from there", "event %s is not in the log: ingress has not stored it", id)
	}
	return records, nil
}

// ofRecord tells the part of its quote's story that a stored Stripe event led to, or, without a quote, what was decided.
func (t *Teller) ofRecord(ctx context.Context, r natsstream.Record) (*Story, error) {
	id, _ := EventOf(r)
	alone := &Story{Flags: []string{}, zone: time.UTC}
	if err := t.addStripeRecord(ctx, alone, r); err != nil {
		return nil, err
	}
	alone.finish()
	if t.Reader == nil {
		return alone, nil
	}
	o, err := t.Reader.Outcome(ctx, event.StreamStripe, r.Sequence)
	if errors.Is(err, redisquote.ErrNotFound) || err == nil && o.Quote == "" {
		return alone, nil
	}
	if err != nil {
		return nil, err
	}
	whole, err := t.ofQuote(ctx, o.Quote)
	if errors.Is(err, natsstream.ErrNotFound) {
		return alone, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(whole.Steps, func(st Step) bool { return st.Ref == Reference(r) }) {
		whole.Steps = append(whole.Steps, alone.Steps...) // a repetition is not listed among the quote's events
	}
	if !whole.only(id) {
		return alone, nil
	}
	return whole, nil
}

// ofMessage tells the story behind STREAM:sequence.
func (t *Teller) ofMessage(ctx context.Context, ref string) ([]*Story, error) {
	r, err := Message(ctx, t.Log, ref)
	if err != nil {
		return nil, err
	}
	if r.Stream == event.StreamStripe {
		s, err := t.ofRecord(ctx, r)
		return []*Story{s}, err
	}
	subject, ok := event.ParseQuoteSubject(r.Subject)
	if !ok {
		return nil, fmt.Errorf("%s has subject %s, which is no quote's", ref, r.Subject)
	}
	s, err := t.ofQuote(ctx, subject.Quote)
	return []*Story{s}, err
}

// Message reads the message that STREAM:sequence names.
func Message(ctx context.Context, log *natsstream.Log, ref string) (natsstream.Record, error) {
	stream, number, _ := strings.Cut(ref, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 {
		return natsstream.Record{}, advice.Of(advice.Usage, "give a stream and a number, such as STRIPE:88120: quotectl events list shows them as PLACE", "%q is not of the form STRIPE:88120", ref)
	}
	r, err := log.ReadSequence(ctx, stream, seq)
	if errors.Is(err, natsstream.ErrNotFound) {
		next := "quotectl events list --stream " + stream
		switch stream {
		case event.StreamDead:
			next = "quotectl dead list --letters"
		case event.StreamStripe, event.StreamQuotes:
		default:
			next = "quotectl doctor"
		}
		return natsstream.Record{}, advice.Missing(next, "%s: the log has no such message", ref)
	}
	return r, err
}

// ofMail tells the story of the quote that a mail is about.
func (t *Teller) ofMail(ctx context.Context, messageID string) ([]*Story, error) {
	var quoteID string
	err := t.EachMail(ctx, ">", func(key string, e MailEntry) {
		if parts := strings.Split(key, "."); e.MessageID == messageID && len(parts) > 1 {
			quoteID = parts[1]
		}
	})
	if err != nil {
		return nil, err
	}
	if quoteID == "" {
		return nil, advice.Missing("quotectl mail list -o wide", "no mail of ours has the Message-ID <%s>", messageID)
	}
	s, err := t.ofQuote(ctx, quoteID)
	return []*Story{s}, err
}

// ofMailKey tells the story of the quote that a mail of the ledger is about; key is <seller>.<quote>.<revision>.<kind>….
func (t *Teller) ofMailKey(ctx context.Context, key string) ([]*Story, error) {
	parts := strings.Split(key, ".")
	for _, part := range parts {
		if !event.ValidToken(part) {
			return nil, advice.Of(advice.Usage, "quotectl explain --help", "%q is no id of ours", key)
		}
	}
	found := false
	if err := t.EachMail(ctx, key, func(string, MailEntry) { found = true }); err != nil {
		return nil, err
	}
	if !found {
		return nil, advice.Missing("quotectl mail show "+parts[1], "the ledger has no mail %s", key)
	}
	s, err := t.ofQuote(ctx, parts[1])
	return []*Story{s}, err
}

// ofObject tells the story of the quotes that an object of Stripe's belongs to.
func (t *Teller) ofObject(ctx context.Context, id, account string) ([]*Story, error) {
	if t.Reader == nil {
		return nil, advice.New(advice.Next(t.NoReader), "%s is no quote's id, and without Redis nothing else can be looked up: %w", id, t.NoReader)
	}
	quotes, err := t.Reader.LinkedQuotes(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if len(quotes) == 0 {
		next := "quotectl explain " + id + " --account acct_…"
		if strings.HasPrefix(id, "q_") {
			next = "quotectl quotes list"
		}
		return nil, advice.Missing(next, "%s is neither a quote nor an object of Stripe's account %q that belongs to a quote", id, account)
	}
	var stories []*Story
	for _, q := range quotes {
		s, err := t.ofQuote(ctx, q)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		stories = append(stories, s)
	}
	if len(stories) == 0 {
		return nil, advice.Missing("quotectl explain <event id>", "%s belongs to the quote %s, of which the log knows nothing", id, strings.Join(quotes, ", "))
	}
	return stories, nil
}

// plain refuses an id that could not be one, before it is put into a subject.
func plain(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}
