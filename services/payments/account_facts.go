package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/domain/stripeevent"
	"quittance.internal/libs/platform/natsstream"
)

// decodeAccount reads an event about a Stripe account. It bears on no quote of this worker's: what it says becomes a fact
// on the stream SELLERS, which the quotes service folds (R11).
func (b *batch) decodeAccount(it *item, subject event.StripeSubject) {
	change, err := stripeevent.DecodeAccount(it.record.Data)
	if refused, ok := errors.AsType[*stripeevent.RefusedError](err); ok {
		it.decide(outcomeRefused, refused.Error())
		return
	}
	if err == nil && change.Ignored == "" {
		it.account, err = accountFact(subject, change)
	}
	switch {
	case err != nil:
		it.decide(outcomeDead, err.Error())
	case change.Ignored != "":
		it.decide(outcomeIgnored, change.Ignored)
	default:
		it.out.Account = subject.Account
		it.decide(outcomeApplied, "") // until the log says that it held the fact already
	}
}

// accountFact makes the fact of an event. The account is that of the subject, which ingress took from the signed body, so
// that one merchant's event can say nothing about another's account (R76).
func accountFact(subject event.StripeSubject, change stripeevent.AccountChange) (*natsstream.Message, error) {
	name := event.NameAccountUpdated
	var data any = seller.AccountUpdated{Account: subject.Account, Activated: change.Activated, At: change.Created, StripeEvent: subject.EventID}
	if change.Deauthorized {
		name = event.NameAccountDeauthorized
		data = seller.AccountDeauthorized{Account: subject.Account, At: change.Created, StripeEvent: subject.EventID}
	}
	envelope, err := event.NewAccountFact(name, subject.Account, subject.EventID, change.Created, data)
	if err != nil {
		return nil, fmt.Errorf("make fact of account %s: %w", subject.Account, err)
	}
	return &natsstream.Message{
		Subject: event.SellerSubject(name, subject.Account, subject.EventID), ID: envelope.ID, Data: envelope.Encode(),
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
	for i, r := range b.w.logs.Facts(ctx, messages) {
		switch it := items[i]; {
		case r.Err != nil:
			it.err = r.Err
		case r.Stored.Taken:
			it.decide(outcomeCorroborated, "the log holds this fact already")
		default:
			b.w.log.Info("fact published", zap.String("subject", it.account.Subject), zap.Uint64("seq", r.Stored.Sequence))
		}
	}
}
