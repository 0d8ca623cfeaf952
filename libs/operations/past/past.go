// Package past says how a quote stood at another time: what was true then by Stripe's own times, or what was known here
// then. The two differ by whatever came late.
//
// It folds the messages that bear on the quote with libs/domain/projection, those up to the time and all of them; which
// messages those are Redis tells. It changes nothing. quotectl and the console call it.
package past

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// Axis is the kind of time that is asked about.
type Axis string

const (
	// True is what was so: a Stripe event counts from the second in which Stripe made it, a quote's own from its time.
	True Axis = "as_of"
	// Known is what the log held: a message counts from when it was stored.
	Known Axis = "as_known_at"
)

// Standing is how a quote stood.
type Standing struct {
	// Status is the one that people see: published, paid, …; empty before the quote existed.
	Status   string     `json:"status"`
	Revision int        `json:"revision"`
	Account  string     `json:"account,omitempty"`
	Card     string     `json:"card,omitempty"`
	Flags    []string   `json:"flags"`
	PaidAt   *time.Time `json:"paid_at"`
	Amount   int64      `json:"amount"` // of the revision, minor units
	Refunded int64      `json:"refunded"`
	Currency string     `json:"currency,omitempty"`
	// Facts are the quote's facts that the log held, such as paid.1; by Known only those count that were stored by then.
	Facts []string `json:"facts"`
	// Messages are those that it follows from: of QUOTES and of STRIPE.
	Messages int    `json:"messages"`
	Digest   string `json:"digest,omitempty"`
}

// View is a quote at a time and now.
type View struct {
	Quote string    `json:"quote"`
	Axis  Axis      `json:"axis"`
	At    time.Time `json:"at"`
	Then  Standing  `json:"then"`
	Now   Standing  `json:"now"`
	// Earlier are the messages that it stood on, Later those that made the difference; each oldest first.
	Earlier []Message `json:"earlier"`
	Later   []Message `json:"later"`
}

// Message is one of those, as explain takes it.
type Message struct {
	Ref  string    `json:"ref"`
	Type string    `json:"type"`
	At   time.Time `json:"at"` // by the axis
}

// Line is one thing about a quote, then and now, for people.
type Line struct{ Name, Then, Now string }

// Lines are the two side by side, with times as clock writes them.
func (v *View) Lines(clock func(time.Time) string) []Line {
	t, n := v.Then.texts(clock), v.Now.texts(clock)
	lines := make([]Line, len(t))
	for i, name := range []string{"status", "card", "flags", "paid at", "amount", "refunded", "revision", "account", "facts stored", "messages"} {
		lines[i] = Line{name, t[i], n[i]}
	}
	return lines
}

func (s *Standing) texts(clock func(time.Time) string) [10]string {
	var paid, amount, refunded, revision string
	if s.PaidAt != nil {
		paid = clock(*s.PaidAt)
	}
	if s.Currency != "" {
		amount = quote.Money{Amount: s.Amount, Currency: s.Currency}.String()
		refunded = quote.Money{Amount: s.Refunded, Currency: s.Currency}.String()
	}
	if s.Revision > 0 {
		revision = strconv.Itoa(s.Revision)
	}
	return [...]string{
		s.Status, s.Card, strings.Join(s.Flags, ", "), paid, amount, refunded, revision, s.Account, strings.Join(s.Facts, ", "), strconv.Itoa(s.Messages),
	}
}

// Archive is where the past is read.
type Archive struct {
	Log    *natsstream.Log
	Reader *redisquote.Reader
	Rules  projection.Rules
	Now    func() time.Time
}

// At returns how a quote stood at a time. It returns an advice.NotFound when there is no such quote.
func (a Archive) At(ctx context.Context, quoteID string, axis Axis, at time.Time) (*View, error) {
	if !event.ValidToken(quoteID) { // it becomes a part of a filter
		return nil, advice.Of(advice.Usage, "quotectl quotes list", "%q is no quote's id", quoteID)
	}
	messages, err := a.messages(ctx, quoteID)
	if err != nil {
		return nil, err
	}
	v := &View{Quote: quoteID, Axis: axis, At: at.UTC(), Earlier: []Message{}, Later: []Message{}}
	var then []message
	for _, m := range messages {
		when := m.known
		if axis == True {
			when = m.made
		}
		told := Message{Ref: m.ref, Type: m.typ, At: when.UTC()}
		if !when.After(at) {
			then = append(then, m)
			v.Earlier = append(v.Earlier, told)
			continue
		}
		v.Later = append(v.Later, told)
	}
	for _, list := range [][]Message{v.Earlier, v.Later} {
		slices.SortStableFunc(list, func(x, y Message) int { return x.At.Compare(y.At) })
	}
	if v.Then, err = a.standing(quoteID, then, at); err != nil {
		return nil, err
	}
	v.Now, err = a.standing(quoteID, messages, a.Now())
	return v, err
}

// message is one that bears on the quote, with both of its times.
type message struct {
	projection.Message
	ref, typ    string
	known, made time.Time
}

// messages are the quote's own events, and the Stripe events that bear on it.
func (a Archive) messages(ctx context.Context, quoteID string) ([]message, error) {
	records, err := a.Log.ReadAll(ctx, event.StreamQuotes, "quote.*.*."+quoteID+".*")
	if err != nil {
		return nil, err
	}
	q, err := a.Reader.Quote(ctx, quoteID)
	if err != nil && !errors.Is(err, redisquote.ErrNotFound) {
		return nil, err
	}
	seen := map[uint64]bool{}
	for _, account := range append(q.Accounts(), event.Platform) { // events of an unknown quote lie on the deployment's own account
		touches, err := a.Reader.Touches(ctx, account, quoteID)
		if err != nil {
			return nil, err
		}
		for _, t := range touches {
			if seen[t.Sequence] {
				continue
			}
			seen[t.Sequence] = true
			r, err := a.Log.ReadSequence(ctx, event.StreamStripe, t.Sequence)
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
	}
	if len(records) == 0 {
		return nil, advice.Missing("quotectl quotes list", "there is no quote %s, and no event names it", quoteID)
	}
	all := make([]message, len(records))
	for i, r := range records {
		all[i] = a.read(r)
	}
	return all, nil
}

// read finds out a message's times. One that tells no time of its own counts from when it was stored.
func (a Archive) read(r natsstream.Record) message {
	m := message{
		Message: projection.Message{Subject: r.Subject, Sequence: r.Sequence, Time: r.Time, Body: r.Data},
		ref:     story.Reference(r), known: r.Time, made: r.Time,
	}
	if r.Stream == event.StreamStripe {
		e := a.Rules.ReadStripe(r.Subject, r.Data)
		m.typ = e.Outcome.Type
		if !e.Change.Created.IsZero() {
			m.made = e.Change.Created
		}
		return m
	}
	e := projection.ReadQuote(r.Subject, r.Data)
	m.typ = e.Outcome.Type
	if !e.Envelope.Time.IsZero() {
		m.made = e.Envelope.Time
	}
	return m
}

// standing folds messages.
func (a Archive) standing(quoteID string, messages []message, at time.Time) (Standing, error) {
	s := Standing{Flags: []string{}, Facts: []string{}, Messages: len(messages)}
	p := projection.New(projection.Config{Rules: a.Rules})
	var aggregate quote.Aggregate
	for _, m := range messages {
		p.Fold(m.Message)
		if _, own := event.ParseQuoteSubject(m.Subject); own {
			if err := event.Fold(&aggregate, m.Sequence, m.Subject, m.Body); err != nil {
				return s, err
			}
		}
	}
	statuses := []quote.Status{}
	account := event.Platform
	for _, k := range p.Keys() {
		statuses = append(statuses, p.State(k).Status)
		account = k.Account
	}
	if n := len(aggregate.Revisions); n > 0 {
		account = aggregate.Revisions[n-1].Account
	}
	s.Status = quote.Overall(aggregate.StateAt(at), statuses...)
	k := projection.Key{Account: account, Quote: quoteID}
	if !p.Known(k) {
		return s, nil
	}
	s.fill(p, k, zoneOf(&aggregate))
	return s, nil
}

func (s *Standing) fill(p *projection.Projection, k projection.Key, zone *time.Location) {
	state := p.State(k)
	s.Revision, s.Account, s.Amount, s.Currency, s.Refunded = state.Revision, k.Account, state.Amount.Amount, state.Amount.Currency, state.Refunded
	s.Digest = p.Live(k).Digest
	for _, f := range state.Flags {
		s.Flags = append(s.Flags, string(f))
	}
	for name := range p.Marks(k) {
		s.Facts = append(s.Facts, name)
	}
	slices.Sort(s.Facts)
	shown := state.PaidAt
	if !state.PaidAt.IsZero() {
		s.PaidAt = &state.PaidAt
	}
	switch state.Status {
	case quote.StatusRefunded:
		shown = state.RefundedAt
	case quote.StatusChargedBack:
		shown = state.ChargedBackAt
	case quote.StatusPending, quote.StatusProcessing, quote.StatusPaid, quote.StatusReview:
	}
	s.Card = event.CardText(s.Status, shown, zone)
}

// zoneOf is the time zone of the quote's owner.
func zoneOf(a *quote.Aggregate) *time.Location {
	document := a.Document
	if n := len(a.Revisions); n > 0 {
		document = a.Revisions[n-1].Document
	}
	if zone, err := document.Zone(); err == nil {
		return zone
	}
	return time.UTC
}
