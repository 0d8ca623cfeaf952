package why

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/operations/signatures"
	"quittance.internal/libs/operations/story"
	"quittance.internal/libs/platform/deadletter"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/redisquote"
)

// lookAhead bounds how many of Stripe's messages in flight are read to see whether they name the quote.
const lookAhead = 1000

// Gatherer finds out what is known about a quote.
type Gatherer struct {
	Log    *natsstream.Log
	Reader *redisquote.Reader
	Rules  projection.Rules
	Now    func() time.Time
	// Signatures reads ingress's figures; nil where its address is not known.
	Signatures func(context.Context) (*signatures.Figures, error)
}

// Gather puts the situation of a quote together. A quote that the log does not know is no error.
func (g Gatherer) Gather(ctx context.Context, quoteID string) (Situation, error) {
	s := Situation{Quote: quoteID, Now: g.Now()}
	records, err := g.Log.ReadAll(ctx, event.StreamQuotes, "quote.*.*."+quoteID+".*")
	if err != nil {
		return s, err
	}
	var a quote.Aggregate
	for _, r := range records {
		if err := event.Fold(&a, r.Sequence, r.Subject, r.Data); err != nil {
			return s, err
		}
	}
	s.Exists, s.Revision, s.Lifecycle = len(records) > 0, a.Revision(), string(a.StateAt(s.Now))
	account := event.Platform
	if s.Revision > 0 {
		last := a.Revisions[len(a.Revisions)-1]
		account, s.ExpiresAt, s.StripeOff = last.Account, last.ExpiresAt, !last.Document.Payment.Stripe
		s.OfferedAt = last.PublishedAt
		if err := g.offer(ctx, &s, &a); err != nil {
			return s, err
		}
	}
	for _, step := range []func() error{
		func() error { return g.payments(ctx, &s, account) },
		func() error { return g.inFlight(ctx, &s, records) },
		func() error { return g.aside(ctx, &s) },
		func() error { return g.mail(ctx, &s, records) },
	} {
		if err := step(); err != nil {
			return s, err
		}
	}
	g.signatures(ctx, &s)
	return s, nil
}

// signatures asks ingress, whose silence is no fault of the question.
func (g Gatherer) signatures(ctx context.Context, s *Situation) {
	if g.Signatures == nil {
		s.NoSignatures = "ingress's figures are out of reach here; with INGRESS_ADMIN_URL quotectl reads them"
		return
	}
	var err error
	if s.Signatures, err = g.Signatures(ctx); err != nil {
		s.Signatures, s.NoSignatures = nil, err.Error()
	}
}

// offer finds out whether the quote can be checked out, and whether somebody did.
func (g Gatherer) offer(ctx context.Context, s *Situation, a *quote.Aggregate) error {
	last := a.Revisions[len(a.Revisions)-1]
	for _, c := range a.Checkouts(s.Revision) {
		if s.Checkouts++; s.Checkouts == 1 {
			s.OfferedAt = c.Request.RequestedAt
		}
		if c.Session != "" {
			s.Session, s.SessionEnds = c.Session, c.Request.ExpiresAt
		}
	}
	if s.Lifecycle != string(quote.LifecyclePublished) || s.StripeOff || len(a.Payments)+len(a.InFlight()) > 0 {
		return nil
	}
	records, err := g.Log.ReadAll(ctx, event.StreamSellers, event.SellerFilter(last.Seller), event.AccountFilter(last.Account))
	if err != nil {
		return err
	}
	var of seller.Aggregate
	for _, r := range records {
		if err := event.FoldSeller(&of, r.Sequence, r.Subject, r.Data); err != nil {
			return err
		}
	}
	policy := g.Rules.Policy
	if policy == nil {
		policy = quote.DefaultPolicy()
	}
	err = a.MayCheckOut(policy, of.Payee(event.Platform), g.Rules.Mode, s.Now)
	refusal, refused := errors.AsType[*quote.Refusal](err)
	if !refused {
		return err
	}
	for _, r := range refusal.Reasons {
		s.Refusals = append(s.Refusals, r.Detail)
	}
	return nil
}

// payments reads what the projection holds of the quote.
func (g Gatherer) payments(ctx context.Context, s *Situation, account string) error {
	touches, err := g.Reader.Touches(ctx, account, s.Quote)
	if err != nil {
		return err
	}
	s.Events = len(touches)
	p, err := g.Reader.Payment(ctx, account, s.Quote)
	if errors.Is(err, redisquote.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	facts, err := quote.DecodeFacts(orEmpty(p.Facts))
	if err != nil {
		return fmt.Errorf("decode facts of %s: %w", s.Quote, err)
	}
	state := quote.Derive(account, facts)
	s.Status, s.Flags = string(state.Status), p.Flags
	s.PaidDue = slices.ContainsFunc(state.Due, func(e quote.Emission) bool { return e.Event == quote.EventPaid && e.Revision == s.Revision })
	return nil
}

func orEmpty(facts []byte) []byte {
	if len(facts) == 0 {
		return []byte("{}")
	}
	return facts
}

// inFlight counts the messages naming the quote that payments has not worked on. Its own are known; those of Stripe's are
// looked through, the first of them only where payments is far behind.
func (g Gatherer) inFlight(ctx context.Context, s *Situation, own []natsstream.Record) error {
	for _, name := range []string{event.StreamQuotes, event.StreamStripe} {
		stream, err := g.Log.JetStream().Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("look up stream %s: %w", name, err)
		}
		c, err := stream.Consumer(ctx, natsstream.DurablePayments)
		if err != nil {
			return fmt.Errorf("look up consumer %s of %s: %w", natsstream.DurablePayments, name, err)
		}
		behind, err := natsstream.ReadBehind(ctx, stream, c.CachedInfo())
		if err != nil {
			return err
		}
		if behind.Oldest == 0 {
			continue
		}
		records := own
		if name == event.StreamStripe {
			if records, err = g.Log.Scan(ctx, name, behind.Oldest, lookAhead); err != nil {
				return err
			}
			if behind.Waiting > lookAhead {
				s.Unseen = behind.Waiting - lookAhead
			}
		}
		for _, r := range records {
			if r.Sequence < behind.Oldest || !s.names(r.Subject, r.Data) {
				continue
			}
			switch _, err := g.Reader.Outcome(ctx, name, r.Sequence); {
			case errors.Is(err, redisquote.ErrNotFound):
				s.InFlight++
			case err != nil:
				return err
			}
		}
	}
	return nil
}

// names reports whether a message is about the quote: its subject or its metadata say so.
func (s *Situation) names(subject string, body []byte) bool {
	return strings.Contains(subject, "."+s.Quote+".") || bytes.Contains(body, []byte(`"`+s.Quote+`"`))
}

// aside finds messages that name the quote and became no fact: open dead letters of payments, and events of the other mode.
func (g Gatherer) aside(ctx context.Context, s *Situation) error {
	book := deadletter.NewBook(g.Log)
	if err := book.Advance(ctx); err != nil {
		return err
	}
	for l := range book.Letters() {
		if l.Consumer != natsstream.DurablePayments || l.State == deadletter.Resolved {
			continue
		}
		r, err := g.Log.ReadSequence(ctx, l.Stream, l.Sequence)
		if errors.Is(err, natsstream.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if s.names(r.Subject, r.Data) {
			s.Aside = append(s.Aside, Aside{story.Reference(r), projection.Dead, l.Reason})
		}
	}
	other := map[string]string{event.ModeTest: event.ModeLive, event.ModeLive: event.ModeTest}[g.Rules.Mode]
	wrong, err := g.Log.ReadAll(ctx, event.StreamStripe, "stripe."+other+".>")
	if err != nil {
		return nil // more than one answer holds: then they are many, and not what this quote lacks
	}
	for _, r := range wrong {
		if s.names(r.Subject, r.Data) {
			s.Aside = append(s.Aside, Aside{story.Reference(r), projection.Refused, other + "-mode event in a deployment of mode " + g.Rules.Mode})
		}
	}
	return nil
}

// mail follows quote.paid of the last revision to the mail server.
func (g Gatherer) mail(ctx context.Context, s *Situation, records []natsstream.Record) error {
	var paid natsstream.Record
	for _, r := range records {
		if q, _ := event.ParseQuoteSubject(r.Subject); q.Event == event.NamePaid && q.N == strconv.Itoa(s.Revision) {
			paid = r
		}
	}
	if paid.Sequence == 0 {
		return nil
	}
	s.PaidFact = story.Reference(paid)
	c, err := g.Log.JetStream().Consumer(ctx, event.StreamQuotes, natsstream.DurableNotifier)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", natsstream.DurableNotifier, err)
	}
	s.NotifierBehind = c.CachedInfo().AckFloor.Stream < paid.Sequence
	l, _, err := deadletter.Find(ctx, g.Log, deadletter.Key{Consumer: natsstream.DurableNotifier, Stream: event.StreamQuotes, Sequence: paid.Sequence})
	if err == nil && l.State != deadletter.Resolved {
		s.NotifierDead = l.Reason
	} else if err != nil && !errors.Is(err, natsstream.ErrNotFound) {
		return err
	}
	subject, _ := event.ParseQuoteSubject(paid.Subject)
	key := subject.Seller + "." + s.Quote + "." + subject.N + ".paid"
	var newest time.Time
	return (&story.Teller{Log: g.Log}).EachMail(ctx, subject.Seller+"."+s.Quote+"."+subject.N+".>", func(k string, e story.MailEntry) {
		if !strings.HasPrefix(k, key) || s.Mail != nil && e.UpdatedAt.Before(newest) {
			return
		}
		newest = e.UpdatedAt
		s.Mail = &Mail{
			Key: k, State: e.State, Code: e.Code, Reply: mask.Text(e.Reply), Reason: e.Reason, Attempts: e.Attempts, NotBefore: e.NotBefore, SentAt: e.AcceptedAt,
		}
	})
}
