// Package quote is the vocabulary of the product and its rules: what a quote
// is, what money is, what has to be paid, and what the payment facts of a quote
// mean.
//
//   - Money, Document and Total: the quote as its seller writes it.
//   - Aggregate and its decide functions: which command a quote allows, folded
//     from the quote's own events.
//   - Facts, Merge and Derive: what is known of its payment; the order in which
//     it became known never matters.
//
// # Money
//
// Amounts are whole minor units of their currency, as Stripe counts them
// (Exponent): none for JPY, two for PLN, and two for UGX and ISK too, whose
// amounts must be whole units nevertheless (Step). There is no floating point.
// These are all the rules of rounding:
//
//   - A line is quantity times unit amount less the line's own discount. It is
//     exact, as all three are whole numbers.
//   - A discount in percent is rounded once, on the sum of the lines, half a minor
//     unit away from zero. One by amount is taken as it is, at most the sum.
//   - The tax is an amount that the seller gives. It is never discounted.
//   - What is due is the sum of those rounded parts (Document.Total). Nothing else
//     is rounded anywhere.
//   - Where a part is no multiple of the currency's Step, publishing refuses it: it
//     is not rounded behind the seller's back.
//   - Stripe is sent lines whose unit amounts multiply to exactly the line's price,
//     the tax as a line, and the discount as a coupon by amount, already rounded
//     (Document.CheckoutLines). So Stripe has nothing left to round.
//
// It does no I/O, reads no clock and draws no random numbers: every caller
// passes them in. The quotes service, the payments worker and the operator's
// tools call it. It imports the standard library alone.
package quote
