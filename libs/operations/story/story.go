// Package story tells what happened to a quote, step by step: commands, webhooks, where they lie in the log, what was
// decided, the events that followed, the mails.
//
// It reads the log, the mail ledger and the projection, changes nothing and renders nothing; quotectl and the console do
// that. E-mail addresses are masked here, so that no caller can forget it.
package story

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/logging"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// Step is one thing that happened.
type Step struct {
	At time.Time `json:"at"`
	// AfterMS is how long after the first step, in milliseconds.
	AfterMS float64 `json:"after_ms"`
	// Kind is command, webhook, log, decision, event or mail.
	Kind string `json:"kind"`
	// Ref can be given to explain again: an event id, STREAM:sequence, a Message-ID.
	Ref     string `json:"ref"`
	Summary string `json:"summary"`
	// Detail holds what the summary says as fields.
	Detail map[string]any `json:"detail,omitempty"`

	cause string // the Stripe event that led here, where one is known
	rank  int    // order of steps of the same moment
}

// Story is all that is known of one quote, or of one event that no quote is known for.
type Story struct {
	Quote    string   `json:"quote,omitempty"`
	Seller   string   `json:"seller,omitempty"`
	Revision int      `json:"revision,omitempty"`
	Card     string   `json:"card,omitempty"`
	Status   string   `json:"status,omitempty"`
	Flags    []string `json:"flags"`
	Amount   int64    `json:"amount"`
	Currency string   `json:"currency,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Account  string   `json:"account,omitempty"`
	Steps    []Step   `json:"steps"`
	// Notes say what could not be looked up.
	Notes []string `json:"notes,omitempty"`

	zone  *time.Location // of the quote's owner: the card's day is in it
	owner string         // the owner's address, masked
}

// Teller puts stories together. Without a Reader the stories say what they lack.
type Teller struct {
	Log *natsstream.Log
	// Reader is nil where there is no Redis, and NoReader then says why.
	Reader   *redisquote.Reader
	NoReader error
}

// ofQuote tells the story of a quote; it returns natsstream.ErrNotFound when the log has none of that name.
func (t *Teller) ofQuote(ctx context.Context, id string) (*Story, error) {
	records, err := t.Log.ReadAll(ctx, event.StreamQuotes, "quote.*.*."+id+".*")
	if err != nil {
		return nil, err
	}
	s := &Story{Quote: id, Flags: []string{}, zone: time.UTC}
	accounts := map[string]bool{}
	for _, r := range records {
		if err := s.addQuoteRecord(r, accounts); err != nil {
			return nil, err
		}
	}
	if err := t.addPayments(ctx, s, accounts); err != nil {
		return nil, err
	}
	if len(s.Steps) == 0 {
		return nil, fmt.Errorf("quote %s: %w", id, natsstream.ErrNotFound)
	}
	if s.Seller != "" {
		if err := t.addMails(ctx, s); err != nil {
			return nil, err
		}
	}
	s.finish()
	return s, nil
}

// finish orders the steps and counts the time from the first.
func (s *Story) finish() {
	slices.SortStableFunc(s.Steps, func(a, b Step) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.rank, b.rank))
	})
	for i := range s.Steps {
		s.Steps[i].At = s.Steps[i].At.UTC()
		s.Steps[i].AfterMS = float64(s.Steps[i].At.Sub(s.Steps[0].At).Microseconds()) / 1000
	}
}

// The order of steps that carry the same time.
const (
	rankCommand = iota
	rankWebhook
	rankLog
	rankDecision
	rankEvent
	rankMail
)

// addQuoteRecord adds one message of the QUOTES stream: a command of the quote, or a fact that payments published.
func (s *Story) addQuoteRecord(r natsstream.Record, accounts map[string]bool) error {
	subject, ok := event.ParseQuoteSubject(r.Subject)
	if !ok {
		return nil
	}
	envelope, err := event.Decode(r.Data)
	if err != nil {
		return fmt.Errorf("decode %s: %w", Reference(r), err)
	}
	s.Seller = subject.Seller
	st := Step{At: r.Time, Kind: "event", Ref: Reference(r), rank: rankEvent, Detail: map[string]any{
		"event": subject.Event, "n": subject.N, "sequence": r.Sequence, "id": envelope.ID, "time": envelope.Time,
	}}
	switch subject.Event {
	case event.NameDrafted, event.NamePublished, event.NameRecalled, event.NameExpired:
		st.Kind, st.rank = "command", rankCommand
		st.Summary, err = s.command(subject, envelope, accounts)
	default:
		st.Summary, st.cause, err = s.fact(subject, envelope, st.Detail)
	}
	if err != nil {
		return err
	}
	s.Steps = append(s.Steps, st)
	return nil
}

func (s *Story) command(subject event.QuoteSubject, envelope event.Envelope, accounts map[string]bool) (string, error) {
	if subject.Event == event.NameDrafted {
		return "drafted version " + subject.N, nil
	}
	if subject.Event != event.NamePublished {
		return subject.Event + " revision " + subject.N, nil
	}
	p, err := event.Data[event.Published](envelope)
	if err != nil {
		return "", err
	}
	accounts[p.Account] = true
	if p.Revision > s.Revision {
		s.Revision, s.Amount, s.Currency, s.Mode, s.Account = p.Revision, p.Amount, p.Currency, p.Mode, p.Account
		s.owner = logging.Mask(p.Document.Owner.Email)
		if zone, err := p.Document.Zone(); err == nil {
			s.zone = zone
		}
	}
	return fmt.Sprintf("published revision %d  %s on account %s", p.Revision, money(p.Amount, p.Currency), p.Account), nil
}

// fact describes quote.paid or one of its siblings, and names the Stripe event that led to it.
func (s *Story) fact(subject event.QuoteSubject, envelope event.Envelope, detail map[string]any) (summary, cause string, err error) {
	d, err := event.Data[event.PaymentFact](envelope) // quote.paid has the same names for what is read here
	if err != nil {
		return "", "", err
	}
	detail["amount"], detail["currency"], detail["stripe_event"] = d.Amount, d.Currency, d.StripeEvent
	summary = envelope.Type + " " + subject.N
	if d.Currency != "" { // what a customer does before he pays has no amount
		summary += "  " + money(d.Amount, d.Currency)
	}
	if subject.Event == event.NameExpiring {
		e, err := event.Data[event.Expiring](envelope)
		if err != nil {
			return "", "", err
		}
		detail["expires_at"] = e.ExpiresAt
		summary += "  not paid, expires " + e.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return summary, d.StripeEvent, nil
}

// addPayments adds the Stripe events that touched the quote on any of its accounts, with the decisions about them, and the
// status that came of them.
func (t *Teller) addPayments(ctx context.Context, s *Story, accounts map[string]bool) error {
	if t.Reader == nil {
		s.Notes = append(s.Notes, fmt.Sprintf("%v: the Stripe events, the decisions about them and the status are left out", t.NoReader))
		return nil
	}
	if len(accounts) == 0 {
		q, err := t.Reader.Quote(ctx, s.Quote)
		if err != nil && !errors.Is(err, redisquote.ErrNotFound) {
			return err
		}
		for _, account := range append(q.Accounts(), event.Platform) { // events of an unknown quote lie on the deployment's own account
			accounts[account] = true
		}
	}
	for account := range accounts {
		touches, err := t.Reader.Touches(ctx, account, s.Quote)
		if err != nil {
			return err
		}
		seen := map[uint64]bool{} // a message stands under several fields
		for _, touch := range touches {
			if seen[touch.Sequence] {
				continue
			}
			seen[touch.Sequence] = true
			r, err := t.Log.ReadSequence(ctx, event.StreamStripe, touch.Sequence)
			if err != nil {
				s.Notes = append(s.Notes, fmt.Sprintf("STRIPE:%d (%s): %v", touch.Sequence, touch.EventID, err))
				continue
			}
			if err := t.addStripeRecord(ctx, s, r); err != nil {
				return err
			}
		}
		if err := t.addStatus(ctx, s, account); err != nil {
			return err
		}
	}
	return nil
}

// addStatus takes the status from the account of the newest revision.
func (t *Teller) addStatus(ctx context.Context, s *Story, account string) error {
	if s.Account != "" && account != s.Account {
		return nil
	}
	p, err := t.Reader.Payment(ctx, account, s.Quote)
	if errors.Is(err, redisquote.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.Status, s.Account = p.Status, account
	s.Flags = append([]string{}, p.Flags...)
	if s.Card, err = Card(p, account, s.Revision, s.zone); err != nil {
		return fmt.Errorf("card of %s: %w", s.Quote, err)
	}
	return nil
}

// Card is the text of the card of a quote whose newest revision is paid to that account, R33's Paid: [date].
func Card(p redisquote.Payment, account string, revision int, zone *time.Location) (string, error) {
	facts, err := quote.DecodeFacts(p.Facts)
	if err != nil {
		return "", err
	}
	return event.CardText(p.Status, statusTime(quote.Derive(account, facts), p, revision), zone), nil
}

// statusTime is the time that belongs to the status. Of a paid quote the stored quote.paid has the word.
func statusTime(state quote.State, p redisquote.Payment, revision int) time.Time {
	switch p.Status {
	case "refunded":
		return state.RefundedAt
	case "charged_back":
		return state.ChargedBackAt
	}
	if mark, ok := p.Marks[event.NamePaid+"."+strconv.Itoa(revision)]; ok {
		return mark.At
	}
	return state.PaidAt
}

// addStripeRecord adds one message of the STRIPE stream: how it came in, where it lies, and what was decided.
func (t *Teller) addStripeRecord(ctx context.Context, s *Story, r natsstream.Record) error {
	id, typ := EventOf(r)
	h := r.Header
	received, err := time.Parse(time.RFC3339Nano, h.Get(event.HeaderReceivedAt))
	if err != nil {
		received = r.Time // written by something older or other than ingress
	}
	s.Steps = append(s.Steps, Step{
		At: received, Kind: "webhook", Ref: id, rank: rankWebhook, cause: id,
		Summary: fmt.Sprintf("%s  secret %s  source %s", typ, dash(h.Get(event.HeaderSecretName)), dash(h.Get(event.HeaderSource))),
		Detail: map[string]any{
			"event_id": id, "type": typ, "secret": h.Get(event.HeaderSecretName), "source": h.Get(event.HeaderSource),
			"api_version": h.Get(event.HeaderAPIVersion),
		},
	}, Step{
		At: r.Time, Kind: "log", Ref: Reference(r), rank: rankLog, cause: id,
		Summary: "sha256 " + shortHash(h.Get(event.HeaderBodySHA256)),
		Detail:  map[string]any{"sequence": r.Sequence, "sha256": h.Get(event.HeaderBodySHA256), "bytes": len(r.Data), "subject": r.Subject},
	})
	if t.Reader == nil {
		return nil
	}
	o, err := t.Reader.Outcome(ctx, event.StreamStripe, r.Sequence)
	if errors.Is(err, redisquote.ErrNotFound) {
		s.Notes = append(s.Notes, Reference(r)+" is not decided yet: is the payments worker running and not behind?")
		return nil
	}
	if err != nil {
		return err
	}
	s.Steps = append(s.Steps, decision(id, o))
	return nil
}

func decision(id string, o redisquote.Outcome) Step {
	summary := o.Outcome
	if o.Before != o.After {
		summary += "  " + dash(o.Before) + " → " + o.After
	}
	if o.Reason != "" {
		summary += "  " + o.Reason
	}
	if o.Handler != "" {
		summary += "  handler " + o.Handler
	}
	return Step{
		At: o.At, Kind: "decision", Ref: id, rank: rankDecision, cause: id, Summary: summary,
		Detail: map[string]any{
			"outcome": o.Outcome, "before": o.Before, "after": o.After, "reason": o.Reason, "handler": o.Handler, "quote": o.Quote,
		},
	}
}

// causeOf is the Stripe event behind the quote.paid of that sequence.
func (s *Story) causeOf(sequence uint64) string {
	ref := event.StreamQuotes + ":" + strconv.FormatUint(sequence, 10)
	for _, st := range s.Steps {
		if st.Ref == ref {
			return st.cause
		}
	}
	return ""
}

// only keeps the steps that the Stripe event led to; it returns false when there are none.
func (s *Story) only(eventID string) bool {
	s.Steps = slices.DeleteFunc(s.Steps, func(st Step) bool { return st.cause != eventID })
	if len(s.Steps) == 0 {
		return false
	}
	s.finish()
	return true
}

// EventOf reads id and type off the subject.
func EventOf(r natsstream.Record) (id, typ string) {
	if subject, ok := event.ParseStripeSubject(r.Subject); ok {
		return subject.EventID, subject.Type
	}
	parts := strings.Split(r.Subject, ".")
	if len(parts) >= 5 && parts[1] == "conflict" {
		return parts[4], "conflict"
	}
	if subject, ok := event.ParseQuoteSubject(r.Subject); ok {
		return Reference(r), "quote." + subject.Event
	}
	return Reference(r), strings.Join(parts[1:min(2, len(parts))], "")
}

// Reference is a stored message's name for people: STRIPE:88120.
func Reference(r natsstream.Record) string {
	return r.Stream + ":" + strconv.FormatUint(r.Sequence, 10)
}

func money(amount int64, currency string) string {
	return quote.Money{Amount: amount, Currency: currency}.String()
}

// dash stands for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func shortHash(sum string) string {
	if len(sum) <= 12 {
		return dash(sum)
	}
	return sum[:12] + "…"
}
