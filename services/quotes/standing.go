package quotes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/redisquote"
)

// standing is where a quote stands in the eyes of its seller: its own state,
// overruled by that of its payments once there are any.
type standing struct {
	Status string
	Flags  []string // sorted; never nil
	// PaidAt is zero while it was not paid; At is the time that belongs to
	// Status and is shown with it.
	PaidAt, At time.Time
	// Amount is what was paid, else what is due.
	Amount quote.Money
}

// accounts lists the Stripe accounts of the quote's revisions, each once.
func accounts(a *quote.Aggregate) []string {
	var list []string
	for _, r := range a.Revisions {
		if !slices.Contains(list, r.Account) {
			list = append(list, r.Account)
		}
	}
	return list
}

// standing reads the payments of a quote that was ever published. Redis may lag
// behind the log, but not the other way round: a payment that the log holds is
// settled, whatever Redis does not know yet.
func (s *Service) standing(ctx context.Context, a *quote.Aggregate) (standing, error) {
	var statuses []quote.Status
	states := map[quote.Status]quote.State{}
	flags := map[string]bool{}
	for _, account := range accounts(a) {
		status, state, err := s.payment(ctx, account, a)
		if err != nil {
			return standing{}, err
		}
		statuses = append(statuses, status)
		states[status] = state
		for _, f := range state.Flags {
			flags[string(f)] = true
		}
	}
	st := standing{Status: quote.Overall(a.StateAt(s.cfg.Now()), statuses...), Flags: []string{}}
	for f := range flags {
		st.Flags = append(st.Flags, f)
	}
	slices.Sort(st.Flags)
	state := states[quote.Status(st.Status)]
	st.PaidAt, st.Amount = state.PaidAt, amountDue(a)
	if len(a.Payments) > 0 {
		// The stored event has the word on when it was paid: the mail says the same.
		paid := a.Payments[0]
		st.PaidAt, st.Amount = paid.PaidAt, quote.Money{Amount: paid.Amount, Currency: paid.Currency}
	}
	switch quote.Status(st.Status) {
	case quote.StatusRefunded:
		st.At = state.RefundedAt
	case quote.StatusChargedBack:
		st.At = state.ChargedBackAt
	default:
		st.At = st.PaidAt
	}
	return st, nil
}

// written is where a quote stands right after its document was written, from the
// log alone: what is stored must not be answered with an error because Redis is
// away.
func (s *Service) written(a *quote.Aggregate) standing {
	st := standing{Status: string(a.StateAt(s.cfg.Now())), Flags: []string{}, Amount: amountDue(a)}
	if len(a.Payments) > 0 {
		st.Status, st.PaidAt = string(quote.StatusPaid), a.Payments[0].PaidAt
	}
	return st
}

// payment is the state of the quote's payments on one account.
func (s *Service) payment(ctx context.Context, account string, a *quote.Aggregate) (quote.Status, quote.State, error) {
	status, state := quote.StatusPending, quote.State{}
	p, err := s.reader.Payment(ctx, account, a.ID)
	if err != nil && !errors.Is(err, redisquote.ErrNotFound) {
		return "", quote.State{}, unavailable(err)
	}
	if err == nil && len(p.Facts) > 0 {
		facts, err := quote.DecodeFacts(p.Facts)
		if err != nil {
			return "", quote.State{}, fmt.Errorf("decode payments of %s on %s: %w", a.ID, account, err)
		}
		state = quote.Derive(account, facts)
		status = quote.Status(p.Status)
	}
	behind := status == quote.StatusPending || status == quote.StatusProcessing
	if behind && slices.ContainsFunc(a.Payments, func(p event.Paid) bool { return p.Account == account }) {
		status = quote.StatusPaid
	}
	return status, state, nil
}

// amountDue is what the last publication asks for, or a publication would.
func amountDue(a *quote.Aggregate) quote.Money {
	if a.Lifecycle != quote.LifecycleDraft && len(a.Revisions) > 0 {
		last := a.Revisions[len(a.Revisions)-1]
		return quote.Money{Amount: last.Amount, Currency: last.Currency}
	}
	due, err := a.Document.DueAtCheckout()
	if err != nil { // Decode lets no such document in
		return quote.Money{Currency: a.Document.Currency}
	}
	return due
}

// mayReplace refuses to change what the customer sees while Redis knows of a
// payment. The log was asked already; Redis knows more, such as a payment that
// needs a person to look at it.
func (s *Service) mayReplace(ctx context.Context, a *quote.Aggregate) error {
	for _, account := range accounts(a) {
		status, _, err := s.payment(ctx, account, a)
		if err != nil {
			return err
		}
		switch status {
		case quote.StatusProcessing:
			return quote.Conflict(quote.CodeInFlight, "R27", "A payment of this quote is in flight; wait until it has succeeded or failed.")
		case quote.StatusPaid, quote.StatusRefunded, quote.StatusChargedBack, quote.StatusReview:
			return quote.Conflict(quote.CodePaid, "R27", "Money was received for this quote (status "+string(status)+").")
		case quote.StatusPending:
		}
	}
	return nil
}
