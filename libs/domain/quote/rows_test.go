package quote_test

import (
	"slices"
	"strings"
	"testing"

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
