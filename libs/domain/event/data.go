package event

import "quittance.internal/libs/domain/quote"

// The data of the quote's events. The types live in package quote, which folds
// them; here they get their envelope.
type (
	// Drafted is the data of quote.drafted.
	Drafted = quote.Drafted
	// Published is the data of quote.published: the whole document snapshot.
	Published = quote.Published
	// Recalled is the data of quote.recalled.
	Recalled = quote.Recalled
	// Expired is the data of quote.expired.
	Expired = quote.Expired
	// Expiring is the data of quote.expiring. No personal data.
	Expiring = quote.Expiring
	// CheckoutRequested is the data of quote.checkout_requested.
	CheckoutRequested = quote.CheckoutRequested
	// CheckoutOpened is the data of quote.checkout_opened.
	CheckoutOpened = quote.CheckoutOpened
	// Paid is the data of quote.paid. No personal data.
	Paid = quote.Paid
	// PaymentFact is the data of the facts beside quote.paid. No personal data.
	PaymentFact = quote.PaymentFact
)
