package quotes

import "quittance.internal/libs/domain/quote"

// flagTexts say what a flag means for the seller and what there is to do.
var flagTexts = map[quote.Flag]text{
	quote.FlagAttemptFailed:     text("An attempt to pay failed. The customer can try again; nothing is to be done."),
	quote.FlagCouponChanged:     text("The coupon of this quote was changed or deleted in Stripe, which can change what the customer pays. Recall the quote and publish it again."),
	quote.FlagDisputed:          text("The payment is disputed. Answer the dispute in Stripe before its deadline."),
	quote.FlagDuplicatePayment:  text("It was paid more than once. Refund the surplus in Stripe."),
	quote.FlagFraudWarning:      text("Stripe warns that this payment may be fraudulent. Look at it in Stripe."),
	quote.FlagInquiry:           text("The customer's bank asks about the payment; this may become a dispute. Answer it in Stripe."),
	quote.FlagLate:              text("It was paid after its expiry or its recall. The payment counts; check that you can still deliver."),
	quote.FlagMismatch:          text("A payment of another amount or currency has arrived. Compare it with the quote in Stripe."),
	quote.FlagPartiallyRefunded: text("A part of the payment was refunded."),
	quote.FlagRefetch:           text("The news from Stripe contradicts itself. Your operator compares it with Stripe (quotectl explain)."),
	quote.FlagRenewalPastDue:    text("The latest renewal of the subscription is not paid. Stripe tries again as set there."),
	quote.FlagSubscriptionEnded: text("The subscription has ended."),
	quote.FlagSuperseded:        text("A revision was paid that a newer one has replaced. Compare the two in Stripe."),
	quote.FlagUnknownQuote:      text("A payment names a revision that is not known here. Ask your operator (quotectl explain)."),
}

// flags are the findings beside the status in words; one of a newer version is
// shown by its name.
func (v view) flags(names []string) []string {
	words := make([]string, 0, len(names))
	for _, name := range names {
		word := name
		if key, ok := flagTexts[quote.Flag(name)]; ok {
			word = v.T(key)
		}
		words = append(words, word)
	}
	return words
}
