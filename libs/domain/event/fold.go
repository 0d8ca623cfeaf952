package event

import (
	"fmt"

	"quittance.internal/libs/domain/quote"
)

// Fold folds one message of the QUOTES stream into the quote's aggregate.
// Messages must come in the order of the log. An event that this version does
// not know moves Sequence and nothing else; an error says that the message is
// none of a quote or cannot be decoded.
func Fold(a *quote.Aggregate, sequence uint64, subject string, body []byte) error {
	s, ok := ParseQuoteSubject(subject)
	if !ok {
		return fmt.Errorf("fold %q: not the subject of a quote event", subject)
	}
	env, err := Decode(body)
	if err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	if err := foldData(a, s.Event, env); err != nil {
		return fmt.Errorf("fold %s: %w", subject, err)
	}
	a.Sequence = max(a.Sequence, sequence)
	return nil
}

func foldData(a *quote.Aggregate, name string, env Envelope) error {
	switch name {
	case NameDrafted:
		return fold(env, a.Drafted)
	case NamePublished:
		return fold(env, a.Published)
	case NameRecalled:
		return fold(env, a.Recalled)
	case NameExpired:
		return fold(env, a.Expired)
	case NameExpiring:
		return fold(env, a.Expiring)
	case NamePaid:
		return fold(env, a.Paid)
	case NamePaymentProcessing:
		return fold(env, a.PaymentProcessing)
	case NamePaymentFailed:
		return fold(env, a.PaymentFailed)
	case NameCheckoutRequested:
		return fold(env, a.CheckoutRequested)
	case NameCheckoutOpened:
		return fold(env, a.CheckoutOpened)
	default:
		return nil
	}
}

func fold[T any](env Envelope, into func(T)) error {
	data, err := Data[T](env)
	if err != nil {
		return err
	}
	into(data)
	return nil
}
