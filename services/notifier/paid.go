package notifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

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

// facts are what a mail says beside the payment.
type facts struct {
	published event.Published
	// refund is one of the refund constants.
	refund string
}

// readFacts reads, in one look at the log, the revision that was paid (who owns the quote, what it says, what was due)
// and what is known of refunds. payments publishes a refund that it knows of before the quote.paid, so that the mail can
// say it. That the revision is not there yet is ordinary, since direct reads of a replicated stream may lag: the error is
// natsstream.ErrNotFound then, and no permanent one.
func readFacts(ctx context.Context, log reader, paid event.Paid) (facts, error) {
	subject := event.QuoteSubject{
		Event: event.NamePublished, Seller: paid.Seller, Quote: paid.QuoteID, N: strconv.Itoa(paid.Revision),
	}.String()
	refunds := "quote." + event.NameRefunded + "." + paid.Seller + "." + paid.QuoteID + ".*"
	records, err := log.ReadAll(ctx, event.StreamQuotes, subject, refunds)
	if err != nil {
		return facts{}, err
	}
	i := slices.IndexFunc(records, func(r natsstream.Record) bool { return r.Subject == subject })
	if i < 0 {
		return facts{}, fmt.Errorf("read %s: %w", subject, natsstream.ErrNotFound)
	}
	published, err := decodePublished(records[i].Data, newsOfPaid(paid))
	if err != nil {
		return facts{}, delivery.Permanent(fmt.Errorf("read %s: %w", subject, err))
	}
	return facts{published: published, refund: refundOf(paid, slices.Delete(records, i, i+1))}, nil
}

func decodePublished(body []byte, n news) (event.Published, error) {
	published, err := decode[event.Published](event.NamePublished, body)
	if err != nil {
		return event.Published{}, err
	}
	if published.Seller != n.seller || published.QuoteID != n.quote || published.Revision != n.revision || published.Currency == "" {
		return event.Published{}, errors.New("data names another quote, or no currency")
	}
	return published, nil
}

// refundOf tells what the quote's refunds come to for the paid revision: one of the refund constants.
func refundOf(paid event.Paid, records []natsstream.Record) string {
	refund := refundNone
	for _, record := range records {
		fact, err := decode[event.PaymentFact](event.NameRefunded, record.Data)
		switch {
		case err != nil:
			// Written by a newer version: that there is a refund is all that can be said.
			refund = refundSome
		case fact.Revision != paid.Revision:
		case fact.Full && isPaymentOf(paid, fact.Object):
			return refundWhole
		default:
			refund = refundSome
		}
	}
	return refund
}

// isPaymentOf reports whether the object is the payment that settled the quote, and not, say, a second one.
func isPaymentOf(paid event.Paid, object string) bool {
	return object != "" && (object == paid.PaymentIntent || object == paid.Invoice || object == paid.CheckoutSession)
}
