package notifier

import (
	"context"
	"errors"
	"fmt"

	"quittance.internal/libs/domain/delivery"
	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/natsstream"
)

// reader is what the notifier reads of the log besides its own consumer.
type reader interface {
	Read(ctx context.Context, stream, subject string) (natsstream.Record, error)
	ReadAll(ctx context.Context, stream string, filters ...string) ([]natsstream.Record, error)
}

// decodePaid reads a quote.paid. Its errors are permanent: the same bytes never decode better.
func decodePaid(subject string, body []byte) (event.Paid, error) {
	name, ok := event.ParseQuoteSubject(subject)
	if !ok || name.Event != event.NamePaid {
		return event.Paid{}, delivery.Permanent(fmt.Errorf("read quote.paid: subject %q is not of a quote.paid", subject))
	}
	paid, err := decode[event.Paid](event.NamePaid, body)
	if err != nil {
		return event.Paid{}, delivery.Permanent(fmt.Errorf("read %s: %w", subject, err))
	}
	n, ok := name.Number()
	switch {
	case !ok || paid.Seller != name.Seller || paid.QuoteID != name.Quote || paid.Revision != n:
		err = errors.New("data names another quote than the subject")
	case paid.PaidAt.IsZero():
		err = errors.New("data is without paid_at")
	}
	if err != nil {
		return event.Paid{}, delivery.Permanent(fmt.Errorf("read %s: %w", subject, err))
	}
	return paid, nil
}

// decode opens an envelope of the named event in the one version that this notifier knows. A new version means a new
// meaning, and a mail must not say what is not so.
func decode[T any](name string, body []byte) (T, error) {
	var none T
	envelope, err := event.Decode(body)
	if err != nil {
		return none, err
	}
	if envelope.Event() != name {
		return none, fmt.Errorf("is a %s, want quote.%s", envelope.Type, name)
	}
	if schema := event.Schema(name, 1); envelope.DataSchema != schema {
		return none, fmt.Errorf("dataschema is %q, want %s", envelope.DataSchema, schema)
	}
	return event.Data[T](envelope)
}

// readPublished reads the revision that was paid: who owns the quote, what it says, what was due. Not there yet is
// ordinary, since direct reads of a replicated stream may lag: the error is then no permanent one.
func readPublished(ctx context.Context, log reader, paid event.Paid) (event.Published, error) {
	subject := event.QuoteSubject{
		Event: event.NamePublished, Seller: paid.Seller, Quote: paid.QuoteID, N: fmt.Sprint(paid.Revision),
	}.String()
	record, err := log.Read(ctx, event.StreamQuotes, subject)
	if err != nil {
		return event.Published{}, err
	}
	published, err := decode[event.Published](event.NamePublished, record.Data)
	if err != nil {
		return event.Published{}, delivery.Permanent(fmt.Errorf("read %s: %w", subject, err))
	}
	if published.Seller != paid.Seller || published.QuoteID != paid.QuoteID || published.Revision != paid.Revision || published.Currency == "" {
		return event.Published{}, delivery.Permanent(fmt.Errorf("read %s: data names another quote, or no currency", subject))
	}
	return published, nil
}

// readRefund tells what the log holds of refunds of the paid revision: one of the refund constants. payments publishes a
// refund that it knows of before the quote.paid, so that the mail can say it.
func readRefund(ctx context.Context, log reader, paid event.Paid) (string, error) {
	filter := event.QuoteSubject{Event: event.NameRefunded, Seller: paid.Seller, Quote: paid.QuoteID, N: "any"}.String()
	filter = filter[:len(filter)-len("any")] + "*"
	records, err := log.ReadAll(ctx, event.StreamQuotes, filter)
	if err != nil {
		return "", err
	}
	refund := refundNone
	for _, record := range records {
		fact, err := decode[event.PaymentFact](event.NameRefunded, record.Data)
		switch {
		case err != nil:
			// Written by a newer version: that there is a refund is all that can be said.
			refund = firstOf(refund, refundSome)
		case fact.Revision != paid.Revision:
		case fact.Full && isPaymentOf(paid, fact.Object):
			return refundWhole, nil
		default:
			refund = refundSome
		}
	}
	return refund, nil
}

// isPaymentOf reports whether the object is the payment that settled the quote, and not, say, a second one.
func isPaymentOf(paid event.Paid, object string) bool {
	return object != "" && (object == paid.PaymentIntent || object == paid.Invoice || object == paid.CheckoutSession)
}
