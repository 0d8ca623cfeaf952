package quote_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
)

// row is one line of stripe.md §2.5: what Stripe sends, in any order and any
// number of times, and where it ends.
type row struct {
	name   string
	bodies func(s *script) [][]byte
	// revisions are revision 1 alone unless set.
	revisions []quote.Revision
	status    quote.Status
	flags     string // separated by spaces
	emitted   string // subjects separated by spaces; "paid.1" makes the one mail
}

// script makes the events of a checkout.
type script struct{ *stripetest.Maker }

type object = stripetest.Object

// ours is the metadata of our checkout of revision 1.
func ours() object { return stripetest.Metadata(seller, quoteID, 1) }

// completed is checkout.session.completed in payment mode.
func (s *script) completed(id, intent, paymentStatus string) []byte {
	return s.Event("checkout.session.completed", s.done(id, intent, paymentStatus))
}

func (s *script) done(id, intent, paymentStatus string) object {
	return s.Session(id, object{"status": "complete", "payment_status": paymentStatus, "payment_intent": intent, "metadata": ours()})
}

func (s *script) asyncSucceeded(id, intent string) []byte {
	return s.Event("checkout.session.async_payment_succeeded", s.done(id, intent, "paid"))
}

func (s *script) asyncFailed(id, intent string) []byte {
	return s.Event("checkout.session.async_payment_failed", s.done(id, intent, "unpaid"))
}

// intentSucceeded is payment_intent.succeeded in payment mode.
func (s *script) intentSucceeded(id, charge string) []byte {
	return s.Event("payment_intent.succeeded", s.Intent(id, object{
		"status": "succeeded", "amount_received": 10000, "latest_charge": charge, "metadata": ours(),
	}))
}

func (s *script) intentProcessing(id, charge string) []byte {
	return s.Event("payment_intent.processing", s.Intent(id, object{"status": "processing", "latest_charge": charge, "metadata": ours()}))
}

func (s *script) intentFailed(id, charge string) []byte {
	return s.Event("payment_intent.payment_failed", s.Intent(id, object{
		"status": "requires_payment_method", "latest_charge": charge, "metadata": ours(),
		"last_payment_error": object{"charge": charge, "code": "card_declined", "type": "card_error"},
	}))
}

// charge is an event about a captured charge without metadata: only its intent
// leads to the quote.
func (s *script) charge(typ, id, intent string, over object) []byte {
	return s.Event(typ, s.Charge(id, object{"payment_intent": intent}.With(over)))
}

func (s *script) refunded(id, intent string, amount int) []byte {
	return s.charge("charge.refunded", id, intent, object{"amount_refunded": amount, "refunded": amount == 10000})
}

func (s *script) refund(typ, id, charge, intent, status string, amount int) []byte {
	return s.Event(typ, s.Refund(id, object{"charge": charge, "payment_intent": intent, "status": status, "amount": amount}))
}

func (s *script) dispute(typ, status string, transactions ...any) []byte {
	if transactions == nil {
		transactions = []any{}
	}
	return s.Event("charge.dispute."+typ, s.Dispute("dp_1", object{
		"charge": "ch_1", "payment_intent": "pi_1", "status": status, "balance_transactions": transactions,
	}))
}

// bought is a session paid by card: session and intent.
func (s *script) bought() [][]byte {
	return [][]byte{s.completed("cs_1", "pi_1", "paid"), s.intentSucceeded("pi_1", "ch_1")}
}

// subscribed is a session paid in subscription mode, and its first invoice.
func (s *script) subscribed() [][]byte {
	return [][]byte{
		s.Event("checkout.session.completed", s.Session("cs_1", object{
			"mode": "subscription", "status": "complete", "payment_status": "paid", "invoice": "in_1", "subscription": "sub_1", "metadata": ours(),
		})),
		s.invoice("invoice.paid", "in_1", s.PaidInvoice()),
	}
}

func (s *script) invoice(typ, id string, over object) []byte {
	return s.Event(typ, s.Invoice(id, "sub_1", "pi_"+id, "", ours(), over))
}

func (s *script) renewal(typ, id string, over object) []byte {
	return s.invoice(typ, id, object{"billing_reason": "subscription_cycle", "period_end": stripetest.Start + 2592000}.With(over))
}

func (s *script) subscription(typ, status string) []byte {
	return s.Event("customer.subscription."+typ, s.Subscription("sub_1", "in_1", object{"status": status, "metadata": ours()}))
}

func join(parts ...[][]byte) [][]byte { return slices.Concat(parts...) }

// R60: whatever the order, however often, in whichever shape: one result.
func TestEveryOrderOfAPaymentEndsTheSame(t *testing.T) {
	t.Parallel()
	for _, r := range slices.Concat(rowsOfPayments(), rowsOfRefundsAndDisputes(), rowsOfSubscriptions(), rowsOfTheQuote()) {
		for _, shape := range stripetest.Shapes {
			t.Run(r.name+"/"+string(shape), func(t *testing.T) {
				t.Parallel()
				s := &script{&stripetest.Maker{Shape: shape}}
				revisions := r.revisions
				if revisions == nil {
					revisions = []quote.Revision{revision(1)}
				}
				w := converge(t, revisions, events(t, r.bodies(s)...))
				state := w.state()
				if got := flags(state); state.Status != r.status || got != r.flags {
					t.Errorf("state = %s [%s], want %s [%s]", state.Status, got, r.status, r.flags)
				}
				want := strings.Fields(r.emitted)
				slices.Sort(want)
				if got := w.subjects(); !slices.Equal(got, want) {
					t.Errorf("emitted %v, want %v", got, want)
				}
			})
		}
	}
}

func flags(s quote.State) string {
	all := make([]string, 0, len(s.Flags))
	for _, f := range s.Flags {
		all = append(all, string(f))
	}
	return strings.Join(all, " ")
}

func rowsOfPayments() []row {
	const delayed = "payment_processing.cs_1 payment_processing.py_1"
	failed := func(s *script) [][]byte {
		return [][]byte{s.completed("cs_1", "pi_1", "unpaid"), s.asyncFailed("cs_1", "pi_1"), s.intentFailed("pi_1", "py_1")}
	}
	return []row{
		{
			name: "row 1: card payment", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.charge("charge.succeeded", "ch_1", "pi_1", nil)})
			},
		},
		{
			name: "row 2: delayed method, success before completion", status: quote.StatusPaid, emitted: "paid.1 " + delayed,
			bodies: func(s *script) [][]byte {
				return [][]byte{s.completed("cs_1", "pi_1", "unpaid"), s.intentProcessing("pi_1", "py_1"), s.asyncSucceeded("cs_1", "pi_1")}
			},
		},
		{
			name: "row 3: delayed method in flight", status: quote.StatusProcessing, emitted: delayed,
			bodies: func(s *script) [][]byte {
				return [][]byte{s.completed("cs_1", "pi_1", "unpaid"), s.intentProcessing("pi_1", "py_1")}
			},
		},
		{
			name: "row 4: delayed method failed, payable again", status: quote.StatusPending, flags: "attempt_failed",
			emitted: "payment_processing.cs_1 payment_failed.cs_1 payment_failed.py_1",
			bodies:  failed,
		},
		{
			name: "row 5: failed, then a second session paid", status: quote.StatusPaid,
			emitted: "payment_processing.cs_1 payment_failed.cs_1 payment_failed.py_1 paid.1",
			bodies: func(s *script) [][]byte {
				return join(failed(s), [][]byte{s.completed("cs_2", "pi_2", "paid")})
			},
		},
		{
			name: "row 18: session 1 expired after session 2 paid", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.completed("cs_2", "pi_2", "paid"),
					s.Event("checkout.session.expired", s.Session("cs_1", object{"status": "expired", "metadata": ours()})),
				}
			},
		},
		{
			name: "row 19: two sessions paid", status: quote.StatusPaid, flags: "duplicate_payment", emitted: "paid.1 duplicate_payment.1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.completed("cs_2", "pi_2", "paid"), s.intentSucceeded("pi_2", "ch_2")})
			},
		},
		{
			name: "row 20: two sessions paid, one fully refunded", status: quote.StatusPaid, emitted: "paid.1 duplicate_payment.1 refunded.pi_2",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{
					s.completed("cs_2", "pi_2", "paid"), s.intentSucceeded("pi_2", "ch_2"), s.refunded("ch_2", "pi_2", 10000),
				})
			},
		},
		{
			name: "row 30: failed twice, 3DS, succeeded", status: quote.StatusPaid, emitted: "paid.1 payment_failed.ch_1 payment_failed.ch_2",
			bodies: func(s *script) [][]byte {
				return [][]byte{
					s.intentFailed("pi_1", "ch_1"), s.intentFailed("pi_1", "ch_2"),
					s.Event("payment_intent.requires_action", s.Intent("pi_1", object{"status": "requires_action", "metadata": ours()})),
					s.intentSucceeded("pi_1", "ch_3"),
				}
			},
		},
		{
			name: "row 31: two event ids, same type and object", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join(s.bought(), [][]byte{s.intentSucceeded("pi_1", "ch_1"), s.completed("cs_1", "pi_1", "paid")})
			},
		},
		{
			name: "row 35: account deauthorized, payment events still arrive", status: quote.StatusPaid, emitted: "paid.1",
			bodies: func(s *script) [][]byte {
				return join([][]byte{s.Event("account.application.deauthorized", object{"id": "ca_1", "object": "application", "name": "Quotes"})}, s.bought())
			},
		},
	}
}

func rowsOfRefundsAndDisputes() []row {
	paid := func(rest func(s *script) [][]byte) func(s *script) [][]byte {
		return func(s *script) [][]byte { return join(s.bought(), rest(s)) }
	}
	return []row{
		{
			name: "row 6: fully refunded before the payment is known", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte { return [][]byte{s.refunded("ch_1", "pi_1", 10000)} }),
		},
		{
			name: "row 7: refund before anything links it", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{s.refund("refund.created", "re_1", "ch_1", "pi_1", "succeeded", 10000)}
			}),
		},
		{
			name: "row 8: partly refunded", status: quote.StatusPaid, flags: "partially_refunded", emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte { return [][]byte{s.refunded("ch_1", "pi_1", 4000)} }),
		},
		{
			name: "row 9: refunded 40, then 100", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{s.refunded("ch_1", "pi_1", 4000), s.refunded("ch_1", "pi_1", 10000)}
			}),
		},
		{
			name: "row 10: refund succeeded, failed later", status: quote.StatusPaid, emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{
					s.refund("refund.created", "re_1", "ch_1", "pi_1", "succeeded", 10000), s.refunded("ch_1", "pi_1", 10000),
					s.refund("refund.failed", "re_1", "ch_1", "pi_1", "failed", 10000),
				}
			}),
		},
		{
			name: "row 11: refund A failed, refund B succeeded", status: quote.StatusRefunded, emitted: "paid.1 refunded.pi_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{
					s.refund("refund.updated", "re_1", "ch_1", "pi_1", "failed", 10000),
					s.refund("refund.created", "re_2", "ch_1", "pi_1", "succeeded", 10000), s.refunded("ch_1", "pi_1", 10000),
				}
			}),
		},
		{
			name: "row 12: dispute opened", status: quote.StatusPaid, flags: "disputed", emitted: "paid.1 disputed.dp_1",
			bodies: paid(func(s *script) [][]byte { return [][]byte{s.dispute("created", "needs_response")} }),
		},
		{
			name: "row 13: dispute lost", status: quote.StatusChargedBack, emitted: "paid.1 disputed.dp_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{
					s.dispute("created", "needs_response"), s.dispute("funds_withdrawn", "needs_response", withdrawn),
					s.dispute("closed", "lost", withdrawn),
				}
			}),
		},
		{
			name: "row 14: dispute won", status: quote.StatusPaid, emitted: "paid.1 disputed.dp_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{
					s.dispute("funds_withdrawn", "needs_response", withdrawn), s.dispute("funds_reinstated", "under_review", withdrawn, reinstated),
					s.dispute("closed", "won", withdrawn, reinstated),
				}
			}),
		},
		{
			name: "row 15: lost, reversed later", status: quote.StatusPaid, emitted: "paid.1 disputed.dp_1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{s.dispute("closed", "lost", withdrawn), s.dispute("closed", "won", withdrawn, reinstated)}
			}),
		},
		{
			name: "row 16: won and lost, no transactions", status: quote.StatusChargedBack, flags: "refetch", emitted: "paid.1 disputed.dp_1",
			bodies: paid(func(s *script) [][]byte { return [][]byte{s.dispute("closed", "lost"), s.dispute("closed", "won")} }),
		},
		{
			name: "row 17: inquiry closed", status: quote.StatusPaid, emitted: "paid.1",
			bodies: paid(func(s *script) [][]byte {
				return [][]byte{s.dispute("created", "warning_needs_response"), s.dispute("closed", "warning_closed")}
			}),
		},
	}
}

var (
	withdrawn  = stripetest.Transaction("txn_1", -10000, 1500)
	reinstated = stripetest.Transaction("txn_2", 10000, 0)
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
