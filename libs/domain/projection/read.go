package projection

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

var defaultPolicy = sync.OnceValue(quote.DefaultPolicy)

// Rules are what a deployment decides by.
type Rules struct {
	// Mode is the one Stripe mode of the deployment; events of the other are
	// refused (R76).
	Mode string
	// Policy says in which currencies nothing is paid (R52). Nil means
	// quote.DefaultPolicy.
	Policy *quote.Policy
}

// StripeEvent is what a message of the stream STRIPE says.
type StripeEvent struct {
	// Outcome is decided where its Kind is set; else Change has facts to fold.
	Outcome Outcome
	// Account is the one in the subject, which ingress took from the signed body.
	Account string
	Change  stripeevent.Change
	// About is what an event about the account itself says (R11): a fact of the
	// seller's, which bears on no quote here.
	About *stripeevent.AccountChange
}

// ReadStripe decides what can be decided of a Stripe event by itself. No body
// makes it panic. What is of no interest is told by its subject, without
// decoding.
func (r Rules) ReadStripe(subject string, body []byte) (e StripeEvent) {
	defer func() {
		if p := recover(); p != nil {
			e.decide(Dead, fmt.Sprintf("panic: %v", p))
		}
	}()
	s, ok := event.ParseStripeSubject(subject)
	switch {
	case !ok && strings.HasPrefix(subject, "stripe.conflict."):
		e.decide(Refused, "another event was stored under this id before; see ingress's log")
		return e
	case !ok:
		e.decide(Dead, "signed body without a usable id, type or account")
		return e
	}
	e.Account, e.Outcome.EventID, e.Outcome.Type = s.Account, s.EventID, s.Type
	switch {
	case s.Mode != r.Mode:
		e.decide(Refused, s.Mode+"-mode event in a deployment of mode "+r.Mode)
		return e
	case stripeevent.AboutAccount(s.Type):
		e.about(body)
		return e
	case !stripeevent.Wanted(s.Type):
		e.decide(Ignored, "type says nothing about a quote")
		return e
	}
	change, err := stripeevent.Decode(body)
	if e.undecodable(err) {
		return e
	}
	e.Change = change
	switch {
	case change.Claim != stripeevent.Claim{}:
		r.checkCurrency(&e)
	case change.Ignored != "":
		e.decide(Ignored, change.Ignored)
	}
	return e
}

// about reads an event about an account. It is applied until the log says that
// it held the fact already.
func (e *StripeEvent) about(body []byte) {
	change, err := stripeevent.DecodeAccount(body)
	switch {
	case e.undecodable(err):
	case change.Ignored != "":
		e.decide(Ignored, change.Ignored)
	default:
		e.About, e.Outcome.Account = &change, e.Account
		e.decide(Applied, "")
	}
}

// undecodable decides an event that cannot, or must not, be read.
func (e *StripeEvent) undecodable(err error) bool {
	if refused, ok := errors.AsType[*stripeevent.RefusedError](err); ok {
		e.decide(Refused, refused.Error())
	} else if err != nil {
		e.decide(Dead, err.Error())
	}
	return err != nil
}

func (e *StripeEvent) decide(kind, reason string) { e.Outcome.Kind, e.Outcome.Reason = kind, reason }

// Key is where an event belongs that says so itself.
func (e *StripeEvent) Key() (Key, bool) {
	return Key{e.Account, e.Change.Claim.Quote}, e.Change.Claim != stripeevent.Claim{}
}

// checkCurrency sets an event of ours aside that is in a currency in which nothing can be paid (R52): no checkout of ours
// made it, and somebody has to look at the money. With another policy a replay takes it.
func (r Rules) checkCurrency(e *StripeEvent) {
	policy := r.Policy
	if policy == nil {
		policy = defaultPolicy()
	}
	if why, excluded := policy.ExcludedCurrency(e.Change.Currency); excluded {
		e.Outcome.Account, e.Outcome.Quote = e.Account, e.Change.Claim.Quote
		e.decide(Dead, "payment in a currency that cannot be paid by Stripe ("+why.Rule+"): "+why.Detail)
	}
}

// QuoteEvent is what a message of the stream QUOTES says. Of Drafted, Published
// and Mark at most one is set.
type QuoteEvent struct {
	// Outcome is decided, as dead, where its Kind is set.
	Outcome  Outcome
	Subject  event.QuoteSubject
	Envelope event.Envelope

	Drafted   *event.Drafted
	Published *event.Published
	Mark      *Mark
	// Recalled and Expired are the revision that was.
	Recalled, Expired int
}

// Mark says that the log holds an emission, or another message of a quote that
// bears on no fact. At is the time that it carries: for paid, the payment's.
type Mark struct {
	// Name is "<event>.<n>".
	Name, Account, ID string
	At                time.Time
}

// ReadQuote reads a quote's own event.
func ReadQuote(subject string, body []byte) (e QuoteEvent) {
	s, ok := event.ParseQuoteSubject(subject)
	if !ok {
		e.dead(errors.New("subject of an unknown form"))
		return e
	}
	e.Subject = s
	envelope, err := event.Decode(body)
	if err != nil {
		e.dead(err)
		return e
	}
	e.Envelope = envelope
	e.Outcome.EventID, e.Outcome.Type, e.Outcome.Quote = envelope.ID, envelope.Type, s.Quote
	if err := e.data(); err != nil {
		e.dead(err)
	}
	return e
}

func (e *QuoteEvent) dead(err error) { e.Outcome.Kind, e.Outcome.Reason = Dead, err.Error() }

func (e *QuoteEvent) data() error {
	switch e.Subject.Event {
	case event.NameDrafted:
		d, err := event.Data[event.Drafted](e.Envelope)
		e.Drafted = &d
		return err
	case event.NamePublished:
		p, err := event.Data[event.Published](e.Envelope)
		if n, _ := e.Subject.Number(); err == nil && (p.QuoteID != e.Subject.Quote || p.Revision != n) {
			return fmt.Errorf("revision %d of quote %q under the subject of another", p.Revision, p.QuoteID)
		}
		e.Published = &p
		return err
	case event.NameRecalled, event.NameExpired:
		n, ok := e.Subject.Number()
		if !ok {
			return fmt.Errorf("%q is no revision", e.Subject.N)
		}
		if e.Subject.Event == event.NameRecalled {
			e.Recalled = n
		} else {
			e.Expired = n
		}
		return nil
	}
	fact, err := event.Data[event.PaymentFact](e.Envelope) // every other event has the same name for the account
	if err != nil {
		return err
	}
	if !event.ValidToken(fact.Account) {
		return fmt.Errorf("account %q is not a valid token", fact.Account)
	}
	e.Outcome.Account = fact.Account
	e.Mark = &Mark{Name: e.Subject.Event + "." + e.Subject.N, Account: fact.Account, ID: e.Envelope.ID, At: e.Envelope.Time}
	return nil
}

// RevisionOf is what a publication says about payments.
func RevisionOf(p event.Published, recalled, expired bool) quote.Revision {
	return quote.Revision{
		Seller: p.Seller, Number: p.Revision, Amount: quote.Money{Amount: p.Amount, Currency: p.Currency}, Account: p.Account, Mode: p.Mode,
		Deal: p.Document.Deal.ID, PublishedAt: p.PublishedAt, ExpiresAt: p.ExpiresAt, Recalled: recalled, Expired: expired,
	}
}
