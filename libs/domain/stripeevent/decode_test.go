package stripeevent_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

type object = stripetest.Object

func ours() object { return stripetest.Metadata("main", "q_1042", 3) }

var claim = stripeevent.Claim{Seller: "main", Quote: "q_1042", Revision: 3}

func maker() *stripetest.Maker { return &stripetest.Maker{Shape: stripetest.Shape2023} }

// decode is the change of an event that must decode.
func decode(t *testing.T, body []byte) stripeevent.Change {
	t.Helper()
	c, err := stripeevent.Decode(body)
	if err != nil {
		t.Fatalf("Decode = %v\n%s", err, body)
	}
	return c
}

// facts writes facts as the tests expect them.
func facts(c stripeevent.Change) string { return string(c.Facts.Encode()) }

func TestEventIsReadAroundTheObject(t *testing.T) {
	m := &stripetest.Maker{Shape: stripetest.ShapeBasil, Account: "acct_1A", Live: true}
	c := decode(t, m.Event("checkout.session.completed", m.Session("cs_1", object{"metadata": ours()})))
	c.Facts = quote.Facts{}
	want := stripeevent.Change{
		EventID: "evt_1QuittanceEvent00000", Type: "checkout.session.completed", Account: "acct_1A", APIVersion: "2025-03-31.basil",
		Livemode: true, Created: time.Unix(stripetest.Start, 0).UTC(), Object: "cs_1", Currency: "pln", Claim: claim,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("Decode = %+v, want %+v", c, want)
	}
	m.Account = ""
	if c := decode(t, m.Event("checkout.session.completed", m.Session("cs_1", nil))); c.Account != quote.PlatformAccount {
		t.Errorf("Account = %q of an event without one, want %q", c.Account, quote.PlatformAccount)
	}
}

// The facts of each kind, in both shapes where they are the same.
func TestFactsComeFromTheSnapshot(t *testing.T) {
	const org = `"claims":["main/3"],"test":true`
	const at = "1795168800"
	settled := func(rank int, when, event string) string {
		return `"settled":[{"amount":10000,"currency":"pln","rank":` + fmt.Sprint(rank) + `,"at":` + when + `,"event":"` + event + `"}]`
	}
	const evt = "evt_1QuittanceEvent00000"
	for name, test := range map[string]struct {
		typ   string
		over  object
		kind  func(m *stripetest.Maker, over object) object
		facts string
		names []string
	}{
		"session completed unpaid": {
			"checkout.session.completed",
			object{"status": "complete", "payment_intent": "pi_1"},
			session,
			`{"sessions":[{"id":"cs_1",` + org + `,"intents":["pi_1"],"complete":` + at + `,"unpaid":` + at + `}]}`, nil,
		},
		"session paid, links expanded": {
			"checkout.session.completed",
			object{
				"status": "complete", "payment_status": "paid", "payment_intent": object{"id": "pi_1", "object": "payment_intent"},
				"invoice": object{"id": "in_1"}, "subscription": object{"id": "sub_1"},
			},
			session,
			`{"sessions":[{"id":"cs_1",` + org + `,"intents":["pi_1"],"invoices":["in_1"],"subscriptions":["sub_1"],"complete":` + at + `,` + settled(2, at, evt) + `}]}`, nil,
		},
		"session whose delayed payment failed": {
			"checkout.session.async_payment_failed",
			object{"status": "complete"},
			session,
			`{"sessions":[{"id":"cs_1",` + org + `,"complete":` + at + `,"unpaid":` + at + `,"failed":` + at + `}]}`, nil,
		},
		"session whose delayed payment succeeded, by its name alone": {
			"checkout.session.async_payment_succeeded",
			object{"status": nil, "payment_status": nil},
			session,
			`{"sessions":[{"id":"cs_1",` + org + `,"complete":` + at + `,` + settled(2, at, evt) + `}]}`, nil,
		},
		"session expired": {
			"checkout.session.expired",
			object{"status": "expired"},
			session,
			`{"sessions":[{"id":"cs_1",` + org + `,"expired":` + at + `}]}`, nil,
		},
		"intent succeeded": {
			"payment_intent.succeeded",
			object{"status": "succeeded", "amount_received": 10000, "latest_charge": object{"id": "ch_1"}, "metadata": ours()},
			intent,
			`{"intents":[{"id":"pi_1",` + org + `,"charges":["ch_1"],` + settled(2, at, evt) + `}]}`, nil,
		},
		"intent of 2022 and before, with its charges": {
			"payment_intent.succeeded",
			object{
				"status": "succeeded", "amount_received": 10000, "metadata": ours(),
				"charges": object{"object": "list", "data": []any{object{"id": "ch_2"}, object{"id": "ch_1"}}},
			},
			intent,
			`{"intents":[{"id":"pi_1",` + org + `,"charges":["ch_1","ch_2"],` + settled(2, at, evt) + `}]}`, nil,
		},
		"intent in flight is its charge's": {
			"payment_intent.processing",
			object{"status": "processing", "latest_charge": "py_1", "metadata": ours()},
			intent,
			`{"intents":[{"id":"pi_1",` + org + `,"charges":["py_1"]}],"charges":[{"id":"py_1","test":true,"intents":["pi_1"],"pending":` + at + `}]}`, nil,
		},
		"intent failed": {
			"payment_intent.payment_failed",
			object{"status": "requires_payment_method", "last_payment_error": object{"charge": "ch_1"}, "metadata": ours()},
			intent,
			`{"intents":[{"id":"pi_1",` + org + `,"charges":["ch_1"],"failed":` + at + `}],"charges":[{"id":"ch_1","test":true,"intents":["pi_1"],"failed":` + at + `}]}`, nil,
		},
		"intent canceled": {
			"payment_intent.canceled",
			object{"status": "canceled", "metadata": ours()},
			intent,
			`{"intents":[{"id":"pi_1",` + org + `,"canceled":` + at + `}]}`, nil,
		},
		"charge with metadata": {
			"charge.succeeded",
			object{"payment_intent": "pi_1", "metadata": ours()},
			charge,
			`{"charges":[{"id":"ch_1",` + org + `,"intents":["pi_1"],` + settled(1, "1795168770", evt) + `}]}`, nil,
		},
		"charge without metadata": {
			"charge.succeeded",
			object{"payment_intent": "pi_1"},
			charge,
			`{"charges":[{"id":"ch_1","test":true,"intents":["pi_1"],` + settled(1, "1795168770", evt) + `}]}`,
			[]string{"ch_1", "pi_1"},
		},
		"charge partly captured": {
			"charge.captured",
			object{"amount": 12000, "amount_captured": 10000},
			charge,
			`{"charges":[{"id":"ch_1","test":true,` + settled(1, "1795168770", evt) + `}]}`,
			[]string{"ch_1"},
		},
		"charge refunded, the refunds embedded": {
			"charge.refunded",
			object{
				"payment_intent": "pi_1", "amount_refunded": 4000,
				"refunds": object{"object": "list", "data": []any{
					object{"id": "re_1", "object": "refund", "amount": 4000, "currency": "pln", "charge": "ch_1", "created": 1795168799, "status": "succeeded"},
				}},
			},
			charge,
			`{"charges":[{"id":"ch_1","test":true,"intents":["pi_1"],` + settled(1, "1795168770", evt) + `,"refunded":[{"payment":"pi_1","amount":4000,"at":` + at + `}]}],` +
				`"refunds":[{"id":"re_1","test":true,"charges":["ch_1"],"intents":["pi_1"],"payments":["pi_1"],"money":{"amount":4000,"currency":"pln"},"at":1795168799,"done":` + at + `}]}`,
			[]string{"ch_1", "pi_1"},
		},
		"charge failed": {
			"charge.failed",
			object{"status": "failed", "paid": false, "captured": false},
			charge,
			`{"charges":[{"id":"ch_1","test":true,"failed":` + at + `}]}`,
			[]string{"ch_1"},
		},
		"charge expired without capture": {
			"charge.expired",
			object{"captured": false, "amount_captured": 0},
			charge,
			`{"charges":[{"id":"ch_1","test":true,"failed":` + at + `}]}`,
			[]string{"ch_1"},
		},
		"refund pending": {
			"refund.created",
			object{"charge": "ch_1", "payment_intent": "pi_1", "status": "pending", "metadata": ours()},
			refund,
			`{"refunds":[{"id":"re_1","test":true,"charges":["ch_1"],"intents":["pi_1"],"payments":["pi_1"],"money":{"amount":10000,"currency":"pln"},"at":` + at + `}]}`,
			[]string{"ch_1", "pi_1"},
		},
		"refund failed": {
			"refund.failed",
			object{"charge": "ch_1", "status": "failed"},
			refund,
			`{"refunds":[{"id":"re_1","test":true,"charges":["ch_1"],"payments":["ch_1"],"money":{"amount":10000,"currency":"pln"},"at":` + at + `,"dead":` + at + `}]}`,
			[]string{"ch_1"},
		},
		"refund canceled": {
			"refund.updated",
			object{"charge": "ch_1", "status": "canceled"},
			refund,
			`{"refunds":[{"id":"re_1","test":true,"charges":["ch_1"],"payments":["ch_1"],"money":{"amount":10000,"currency":"pln"},"at":` + at + `,"dead":` + at + `}]}`,
			[]string{"ch_1"},
		},
		"dispute": {
			"charge.dispute.funds_withdrawn",
			object{"charge": "ch_1", "payment_intent": "pi_1", "balance_transactions": []any{
				stripetest.Transaction("txn_2", 10000, 0), stripetest.Transaction("txn_1", -10000, 1500),
			}},
			dispute,
			`{"disputes":[{"id":"dp_1","test":true,"charges":["ch_1"],"intents":["pi_1"],"money":{"amount":10000,"currency":"pln"},` +
				`"statuses":[{"name":"needs_response","since":` + at + `}],"transactions":[{"id":"txn_1","amount":-10000},{"id":"txn_2","amount":10000}]}]}`,
			[]string{"ch_1", "pi_1"},
		},
		"subscription deleted": {
			"customer.subscription.deleted",
			object{"status": "canceled", "metadata": ours()},
			subscription,
			`{"subscriptions":[{"id":"sub_1",` + org + `,"ended":` + at + `}]}`, nil,
		},
		"subscription never begun": {
			"customer.subscription.updated",
			object{"status": "incomplete_expired", "metadata": ours()},
			subscription,
			`{"subscriptions":[{"id":"sub_1",` + org + `,"ended":` + at + `}]}`, nil,
		},
		"subscription past due": {
			"customer.subscription.updated",
			object{"status": "past_due", "metadata": ours()},
			subscription,
			`{"subscriptions":[{"id":"sub_1",` + org + `}]}`, nil,
		},
	} {
		for _, shape := range stripetest.Shapes {
			m := &stripetest.Maker{Shape: shape}
			c := decode(t, m.Event(test.typ, test.kind(m, test.over)))
			if got := facts(c); got != test.facts || !slices.Equal(c.Names, test.names) || c.Ignored != "" {
				t.Errorf("%s at %s:\ngot  %s names %v %s\nwant %s names %v", name, shape, got, c.Names, c.Ignored, test.facts, test.names)
			}
		}
	}
}

func session(m *stripetest.Maker, over object) object {
	return m.Session("cs_1", object{"metadata": ours()}.With(over))
}
func intent(m *stripetest.Maker, over object) object  { return m.Intent("pi_1", over) }
func charge(m *stripetest.Maker, over object) object  { return m.Charge("ch_1", over) }
func refund(m *stripetest.Maker, over object) object  { return m.Refund("re_1", over) }
func dispute(m *stripetest.Maker, over object) object { return m.Dispute("dp_1", over) }
func subscription(m *stripetest.Maker, over object) object {
	return m.Subscription("sub_1", "in_1", over)
}

// An invoice says the same in both shapes; only the older one names the charge,
// which its intent names anyway.
func TestBothShapesOfAnInvoiceSayTheSame(t *testing.T) {
	for name, over := range map[string]func(m *stripetest.Maker) object{
		"first, paid":   func(m *stripetest.Maker) object { return m.PaidInvoice() },
		"first, failed": func(*stripetest.Maker) object { return object{"attempt_count": 1} },
		"renewal, paid": func(m *stripetest.Maker) object {
			return m.PaidInvoice().With(object{"billing_reason": "subscription_cycle"})
		},
		"renewal, failed": func(*stripetest.Maker) object {
			return object{"billing_reason": "subscription_cycle", "attempt_count": 2}
		},
		"upgrade":       func(*stripetest.Maker) object { return object{"billing_reason": "subscription_update"} },
		"by hand":       func(*stripetest.Maker) object { return object{"billing_reason": "manual"} },
		"uncollectible": func(*stripetest.Maker) object { return object{"status": "uncollectible"} },
	} {
		for _, typ := range []string{"invoice.paid", "invoice.payment_failed", "invoice.voided"} {
			var all []string
			for _, shape := range stripetest.Shapes {
				m := &stripetest.Maker{Shape: shape}
				c := decode(t, m.Event(typ, m.Invoice("in_1", "sub_1", "pi_1", "ch_1", ours(), over(m))))
				if c.Claim != claim {
					t.Errorf("%s at %s: Claim = %+v, want %+v", name, shape, c.Claim, claim)
				}
				for i := range c.Facts.Invoices {
					c.Facts.Invoices[i].Charges = nil
				}
				all = append(all, facts(c))
			}
			if all[0] != all[1] {
				t.Errorf("%s, %s: the shapes differ:\n%s\n%s", name, typ, all[0], all[1])
			}
			if first := strings.HasPrefix(all[0], `{"invoices"`); first != strings.HasPrefix(name, "first") && name != "uncollectible" {
				t.Errorf("%s: %s", name, all[0])
			}
		}
	}
}

func TestInvoiceOfAOneTimePaymentIsNoRenewal(t *testing.T) {
	for _, shape := range stripetest.Shapes {
		m := &stripetest.Maker{Shape: shape}
		c := decode(t, m.Event("invoice.paid", m.Invoice("in_1", "", "pi_1", "", ours(), m.PaidInvoice().With(object{"billing_reason": "manual"}))))
		if len(c.Facts.Invoices) != 1 || len(c.Facts.Invoices[0].Settled) != 1 || len(c.Facts.Renewals) != 0 || c.Claim != claim {
			t.Errorf("at %s: %s", shape, facts(c))
		}
		if at := c.Facts.Invoices[0].Settled[0]; at.Rank != quote.RankExact || at.At != stripetest.Start-20 {
			t.Errorf("paid at %+v, want the invoice's own time", at)
		}
	}
}

func TestInvoicePaymentLinksIntentAndInvoice(t *testing.T) {
	m := &stripetest.Maker{Shape: stripetest.ShapeBasil}
	c := decode(t, m.Event("invoice_payment.paid", m.InvoicePayment("inpay_1", "in_1", "pi_1")))
	if got := facts(c); got != `{"intents":[{"id":"pi_1","test":true,"invoices":["in_1"]}]}` || !slices.Equal(c.Names, []string{"pi_1", "in_1"}) {
		t.Errorf("facts %s names %v", got, c.Names)
	}
	byCharge := m.InvoicePayment("inpay_1", "in_1", "").With(object{"payment": object{"type": "charge", "charge": "ch_1"}})
	c = decode(t, m.Event("invoice_payment.paid", byCharge))
	if got := facts(c); got != `{"charges":[{"id":"ch_1","test":true,"invoices":["in_1"]}]}` || !slices.Equal(c.Names, []string{"ch_1", "in_1"}) {
		t.Errorf("facts %s names %v", got, c.Names)
	}
	c = decode(t, m.Event("invoice_payment.paid", m.InvoicePayment("inpay_1", "in_1", "").With(object{"payment": object{"type": "out_of_band_payment"}})))
	if c.Ignored != stripeevent.IgnoredNothing {
		t.Errorf("Ignored = %q, facts %s", c.Ignored, facts(c))
	}
}

// R57: an unknown version is read as far as it is known; wrong types count as
// absent.
func TestUnknownVersionsAndWrongTypesAreTolerated(t *testing.T) {
	m := &stripetest.Maker{Shape: "2031-01-01.zeppelin"}
	c := decode(t, m.Event("checkout.session.completed", m.Session("cs_1", object{
		"status": "complete", "payment_status": "paid", "metadata": ours(), "payment_intent": []any{"pi_1"}, "invoice": 12, "subscription": true,
		"currency": "PLN", "created": "yesterday", "customer_details": "gone",
	})))
	want := `{"sessions":[{"id":"cs_1","claims":["main/3"],"test":true,"complete":1795168800,"settled":[{"amount":10000,"currency":"pln","rank":2,"at":1795168800,"event":"evt_1QuittanceEvent00000"}]}]}`
	if got := facts(c); got != want || c.APIVersion != "2031-01-01.zeppelin" {
		t.Errorf("facts at %s = %s\nwant %s", c.APIVersion, got, want)
	}
	odd := `{"id":"evt_1","type":"charge.dispute.closed","created":-5,"livemode":"yes","api_version":null,"data":{"object":{"id":"dp_1","object":"dispute",
		"amount":1.5,"currency":"zł","charge":{"id":"ch_1"},"status":{},"balance_transactions":[1,null,{"id":"txn_1"},{"amount":5},"txn_2"],"balance_transactions_x":{}}}}`
	c = decode(t, []byte(odd))
	if got := facts(c); got != `{"disputes":[{"id":"dp_1","test":true,"charges":["ch_1"],"money":{"amount":0,"currency":""}}]}` || !c.Created.IsZero() {
		t.Errorf("facts = %s", got)
	}
}

// Keys are compared with their case, and of two equal ones the last counts.
func TestKeysAreComparedWithTheirCase(t *testing.T) {
	c := decode(t, []byte(`{"id":"evt_0","ID":"evt_x","id":"evt_1","Type":"charge.failed","type":"charge.succeeded","TYPE":"refund.created","livemode":false,"Livemode":true,
		"created":1795168800,"data":{"object":{"id":"ch_0","amount":5}},"data":{"object":{"id":"ch_9","object":"charge","Status":"failed","status":"succeeded",
		"Amount":1,"amount":2,"amount":10000,"currency":"pln","created":1795168770,"ID":"ch_2","i\u0064":"ch_1"}}}`))
	want := `{"charges":[{"id":"ch_1","test":true,"settled":[{"amount":10000,"currency":"pln","rank":1,"at":1795168770,"event":"evt_1"}]}]}`
	if got := facts(c); got != want || c.EventID != "evt_1" || c.Type != "charge.succeeded" || c.Livemode {
		t.Errorf("Decode = %s %s live %v, facts %s\nwant %s", c.EventID, c.Type, c.Livemode, got, want)
	}
}

func TestNoPersonalDataBecomesAFact(t *testing.T) {
	m := maker()
	for _, body := range [][]byte{
		m.Event("checkout.session.completed", m.Session("cs_1", object{"metadata": ours(), "status": "complete", "payment_status": "paid"})),
		m.Event("charge.succeeded", m.Charge("ch_1", object{"metadata": ours()})),
		m.Event("invoice.paid", m.Invoice("in_1", "sub_1", "pi_1", "ch_1", ours(), m.PaidInvoice())),
	} {
		got := facts(decode(t, body))
		for _, private := range []string{"anna", "Anna", "example.com", "4242", "Długa"} {
			if strings.Contains(got, private) {
				t.Errorf("facts hold %q: %s", private, got)
			}
		}
	}
}

func TestEmbeddedListsAreBounded(t *testing.T) {
	m := maker()
	var refunds []any
	for n := range 5000 {
		refunds = append(refunds, object{"id": fmt.Sprintf("re_%05d", n), "object": "refund", "amount": 1, "currency": "pln", "status": "succeeded"})
	}
	c := decode(t, m.Event("charge.refunded", m.Charge("ch_1", object{"amount_refunded": 5000, "refunds": object{"data": refunds}})))
	if got := len(c.Facts.Refunds); got != 100 {
		t.Errorf("refunds = %d, want the first 100", got)
	}
}

// stripe.md §2.2; the events of accounts are not about quotes.
func TestWantedTypes(t *testing.T) {
	for _, typ := range strings.Fields(`checkout.session.completed checkout.session.async_payment_succeeded checkout.session.async_payment_failed
		checkout.session.expired payment_intent.succeeded payment_intent.processing payment_intent.payment_failed payment_intent.canceled
		payment_intent.requires_action charge.succeeded charge.updated charge.captured charge.failed charge.pending charge.expired charge.refunded
		refund.created refund.updated refund.failed charge.refund.updated charge.dispute.created charge.dispute.updated charge.dispute.closed
		charge.dispute.funds_withdrawn charge.dispute.funds_reinstated invoice.paid invoice.payment_succeeded invoice_payment.paid
		invoice.payment_failed invoice.payment_action_required invoice.finalization_failed invoice.voided invoice.marked_uncollectible
		customer.subscription.created customer.subscription.updated customer.subscription.deleted customer.subscription.paused
		customer.subscription.resumed coupon.deleted coupon.updated radar.early_fraud_warning.created review.opened review.closed`) {
		if !stripeevent.Wanted(typ) {
			t.Errorf("Wanted(%s) = false", typ)
		}
	}
	for _, typ := range []string{"", "charge", "Charge.succeeded", "invoice.created", "account.updated", "account.application.deauthorized", "quote.accepted", "v1.billing.meter.no_meter_found"} {
		if stripeevent.Wanted(typ) {
			t.Errorf("Wanted(%s) = true", typ)
		}
	}
}
