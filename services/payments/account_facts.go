package payments

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

// readAccount takes an event about a Stripe account. It bears on no quote of this worker's: what it says becomes a fact on
// the stream SELLERS, which the quotes service folds (R11).
func (it *item) readAccount(e projection.StripeEvent) {
	var err error
	if it.account, err = accountFact(e); err != nil {
		it.decide(projection.Dead, err.Error())
	}
}

// accountFact makes the fact of an event. The account is that of the subject, which ingress took from the signed body, so
// that one merchant's event can say nothing about another's account (R76).
func accountFact(e projection.StripeEvent) (*natsstream.Message, error) {
	change := e.About
	name := event.NameAccountUpdated
	var data any = seller.AccountUpdated{Account: e.Account, Activated: change.Activated, At: change.Created, StripeEvent: e.Outcome.EventID}
	if change.Deauthorized {
		name = event.NameAccountDeauthorized
		data = seller.AccountDeauthorized{Account: e.Account, At: change.Created, StripeEvent: e.Outcome.EventID}
	}
	envelope, err := event.NewAccountFact(name, e.Account, e.Outcome.EventID, change.Created, data)
	if err != nil {
		return nil, fmt.Errorf("make fact of account %s: %w", e.Account, err)
	}
	return &natsstream.Message{
		Subject: event.SellerSubject(name, e.Account, e.Outcome.EventID), ID: envelope.ID, Data: envelope.Encode(),
		Header: nats.Header{event.HeaderContentType: []string{event.ContentType}},
	}, nil
}

// publishAccounts stores what the batch's events say of accounts. The log refuses a second copy.
func (b *batch) publishAccounts(ctx context.Context) {
	var items []*item
	var messages []natsstream.Message
	for _, it := range b.items {
		if it.account != nil && it.err == nil {
			items, messages = append(items, it), append(messages, *it.account)
		}
	}
	if len(messages) == 0 {
		return
	}
	for i, r := range b.w.events.Facts(ctx, messages) {
		switch it := items[i]; {
		case r.Err != nil:
			it.err = r.Err
		case r.Stored.Taken:
			it.decide(projection.Corroborated, "the log holds this fact already")
		default:
			b.stored = append(b.stored, it.account.Subject)
			b.w.log.Info("fact published", zap.String("subject", it.account.Subject), zap.Uint64("seq", r.Stored.Sequence))
		}
	}
}
