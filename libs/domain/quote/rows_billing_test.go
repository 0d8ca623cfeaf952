package quote_test

import (
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
)

func rowsOfSubscriptions() []row {
	failedFirst := func(s *script) []byte {
		return s.invoice("invoice.payment_failed", "in_1", object{"attempt_count": 1, "attempted": true})
	}
	failedRenewal := func(s *script) []byte {
		return s.renewal("invoice.payment_failed", "in_2", object{"attempt_count": 1, "attempted": true})
	}
	return []row{
		{
			name: "row 25: first invoice failed, then paid", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.subscribed(), [][]byte{failedFirst(s), s.subscription("updated", "active"), s.subscription("created", "incomplete")})
			},
		},
		{
			name: "row 26: first invoice failed, incomplete_expired", status: quote.StatusPending, flags: "attempt_failed subscription_ended",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					failedFirst(s), s.subscription("updated", "incomplete_expired"), s.subscription("created", "incomplete"),
					s.Event("checkout.session.expired", s.Session("cs_1", object{"mode": "subscription", "status": "expired", "subscription": "sub_1", "metadata": ours()})),
				}
			},
		},
		{
			name: "row 27: renewal failed", status: quote.StatusPaid, flags: "renewal_past_due", emitted: "paid.1",
			bodies: func(s *script) [][]byte { return join(s.subscribed(), [][]byte{failedRenewal(s)}) },
		},
		{
			name: "row 28: renewal failed, then paid", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.subscribed(), [][]byte{failedRenewal(s), s.renewal("invoice.paid", "in_2", s.PaidInvoice())})
			},
		},
		{
			name: "row 29: subscription deleted, late update", status: quote.StatusPaid, flags: "subscription_ended", emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.subscribed(), [][]byte{s.subscription("deleted", "canceled"), s.subscription("updated", "active")})
			},
		},
		{
			name: "row 32: invoice.paid and invoice.payment_succeeded", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.subscribed(), [][]byte{s.invoice("invoice.payment_succeeded", "in_1", s.PaidInvoice())})
			},
		},
		{
			name: "refund of a subscription, linked through invoice payment, intent and charge", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_in_1",
			bodies: func(s *script) [][]byte {
				// Basil's invoice does not always embed its payments.
				session, invoice := s.subscribed()[0], s.invoice("invoice.paid", "in_1", s.PaidInvoice().With(object{"payments": nil, "payment_intent": nil}))
				intent := object{"status": "succeeded", "amount_received": 10000, "latest_charge": "ch_1", "invoice": "in_1"}
				return [][]byte{
					session, invoice, s.Event("invoice_payment.paid", s.InvoicePayment("inpay_1", "in_1", "pi_in_1")),
					s.Event("payment_intent.succeeded", s.Intent("pi_in_1", intent)),
					s.charge("charge.succeeded", "ch_1", "pi_in_1", nil),
					s.Event("refund.created", s.Refund("re_1", object{"charge": "ch_1", "payment_intent": "pi_in_1"})),
				}
			},
		},
		{
			name: "a renewal's payment leaves the quote alone", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.subscribed(), [][]byte{
					s.renewal("invoice.paid", "in_2", s.PaidInvoice()), s.Event("invoice_payment.paid", s.InvoicePayment("inpay_2", "in_2", "pi_in_2")),
					s.Event("payment_intent.succeeded", s.Intent("pi_in_2", object{
						"status": "succeeded", "amount_received": 10000, "latest_charge": "ch_2", "invoice": "in_2",
					})),
				})
			},
		},
	}
}

func rowsOfTheQuote() []row {
	expired := revision(1)
	expired.ExpiresAt = time.Unix(stripetest.Start-60, 0)
	other := func(over object) func(s *script) [][]byte {
		return func(s *script) [][]byte {
			return [][]byte{
				s.Event("checkout.session.completed", s.done("cs_1", "pi_1", "paid").With(over)),
				s.Event("payment_intent.succeeded", s.Intent("pi_1", object{
					"status": "succeeded", "amount_received": 10000, "latest_charge": "ch_1", "metadata": ours(),
				}.With(object{"amount_received": over["amount_total"], "currency": over["currency"]}))),
			}
		}
	}
	free := revision(1)
	free.Amount.Amount = 0
	return []row{
		{
			name: "row 21: another amount", status: quote.StatusReview, flags: "mismatch",
			bodies: other(object{"amount_total": 9000, "currency": "pln"}),
		},
		{
			name: "row 21: another currency", status: quote.StatusReview, flags: "mismatch",
			bodies: other(object{"amount_total": 10000, "currency": "eur"}),
		},
		{
			// The session alone settles the quote, as in row 2, so quote.paid is
			// due in every order; the contradiction still asks for review.
			name: "row 21: session says 100, intent 90", status: quote.StatusReview, flags: "mismatch", emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return [][]byte{s.completed("cs_1", "pi_1", "paid"), s.Event("payment_intent.succeeded", s.Intent("pi_1", object{
					"status": "succeeded", "amount": 9000, "amount_received": 9000, "latest_charge": "ch_1", "metadata": ours(),
				}))}
			},
		},
		{
			name: "row 23: nothing due", status: quote.StatusPaid, emitted: "paid.1", revisions: []quote.Revision{free},
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("checkout.session.completed", s.Session("cs_1", object{
					"status": "complete", "payment_status": "no_payment_required", "amount_total": 0, "metadata": ours(),
				}))}
			},
		},
		{
			name: "row 23: nothing due, said to be paid", status: quote.StatusPaid, emitted: "paid.1", revisions: []quote.Revision{free},
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("checkout.session.completed", s.Session("cs_1", object{
					"status": "complete", "payment_status": "paid", "amount_total": 0, "metadata": ours(),
				}))}
			},
		},
		{
			name: "row 24: no payment required of an amount", status: quote.StatusPending,
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("checkout.session.completed", s.Session("cs_1", object{
					"status": "complete", "payment_status": "no_payment_required", "metadata": ours(),
				}))}
			},
		},
		{
			name: "row 24: a trial that charges nothing", status: quote.StatusReview, flags: "mismatch",
			bodies: func(s *script) [][]byte {
				return [][]byte{s.Event("checkout.session.completed", s.Session("cs_1", object{
					"mode": "subscription", "status": "complete", "payment_status": "no_payment_required", "amount_total": 0, "metadata": ours(),
				}))}
			},
		},
		{
			name: "row 33: revision 1 paid after revision 2 was published", status: quote.StatusReview, flags: "superseded_payment",
			revisions: []quote.Revision{revision(1), revision(2)},
			bodies:    func(s *script) [][]byte { return s.bought() },
		},
		{
			name: "row 34: completed after the expiry", status: quote.StatusPaid, flags: "late", emitted: "paid.1",
			revisions: []quote.Revision{expired},
			bodies:    func(s *script) [][]byte { return s.bought() },
		},
		{
			name: "row 34: charged before the expiry, told after it", status: quote.StatusPaid, emitted: "paid.1",
			revisions: []quote.Revision{expired},
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.charge("charge.succeeded", "ch_1", "pi_1", object{"created": stripetest.Start - 90})})
			},
		},
	}
}
