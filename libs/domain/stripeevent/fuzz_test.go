package stripeevent_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"testing"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/stripeevent"
)

var validToken = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)

// seeds are events of every kind in both shapes.
func seeds() [][]byte {
	var all [][]byte
	for _, shape := range stripetest.Shapes {
		m := &stripetest.Maker{Shape: shape, Account: "acct_1A"}
		paid := object{"status": "complete", "payment_status": "paid", "payment_intent": "pi_1", "metadata": ours()}
		all = append(all,
			m.Event("checkout.session.completed", m.Session("cs_1", paid)),
			m.Event("payment_intent.succeeded", m.Intent("pi_1", object{"status": "succeeded", "amount_received": 10000, "latest_charge": "ch_1", "metadata": ours()})),
			m.Event("payment_intent.payment_failed", m.Intent("pi_1", object{"last_payment_error": object{"charge": "ch_1"}, "invoice": "in_1"})),
			m.Event("charge.refunded", m.Charge("ch_1", object{"payment_intent": "pi_1", "amount_refunded": 4000, "refunds": object{"data": []any{m.Refund("re_1", nil)}}})),
			m.Event("refund.failed", m.Refund("re_1", object{"charge": "ch_1", "payment_intent": "pi_1"})),
			m.Event("charge.dispute.closed", m.Dispute("dp_1", object{"charge": "ch_1", "status": "lost", "balance_transactions": []any{stripetest.Transaction("txn_1", -10000, 1500)}})),
			m.Event("invoice.paid", m.Invoice("in_1", "sub_1", "pi_1", "ch_1", ours(), m.PaidInvoice())),
			m.Event("invoice.payment_failed", m.Invoice("in_2", "sub_1", "pi_2", "", ours(), object{"billing_reason": "subscription_cycle"})),
			m.Event("invoice_payment.paid", m.InvoicePayment("inpay_1", "in_1", "pi_1")),
			m.Event("customer.subscription.deleted", m.Subscription("sub_1", "in_1", object{"metadata": ours()})),
			m.Event("coupon.updated", object{"id": "c_1", "object": "coupon", "metadata": ours()}),
			m.Event("review.closed", object{"id": "prv_1", "object": "review", "charge": "ch_1", "open": false}),
		)
	}
	return all
}

// No payload, however odd, may crash the worker or pass anything on that cannot
// stand in a key.
func FuzzDecode(f *testing.F) {
	for _, body := range seeds() {
		f.Add(body)
		var small bytes.Buffer
		if err := json.Compact(&small, body); err != nil {
			f.Fatal(err)
		}
		f.Add(small.Bytes())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		c, err := stripeevent.Decode(body)
		if !bytes.Equal(before, body) {
			t.Fatal("Decode wrote to the body")
		}
		var small bytes.Buffer
		if json.Compact(&small, body) == nil {
			c2, err2 := stripeevent.Decode(small.Bytes())
			if !reflect.DeepEqual(c, c2) || text(err) != text(err2) {
				t.Fatalf("Decode depends on space: %+v, %v and %+v, %v", c, err, c2, err2)
			}
		} else if err == nil {
			t.Fatalf("Decode accepts what is not JSON: %q", body)
		}
		switch err.(type) { //nolint:errorlint // the documented errors come unwrapped
		case nil:
			checkChange(t, c)
		case *stripeevent.MalformedError, *stripeevent.RefusedError:
			if c.Facts.Digest() != "" {
				t.Fatalf("a refused event has facts %s", c.Facts.Encode())
			}
		default:
			t.Fatalf("Decode = %v, an undocumented error", err)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func checkChange(t *testing.T, c stripeevent.Change) {
	t.Helper()
	linked := c.Claim != (stripeevent.Claim{})
	if (c.Ignored == "") != (c.Facts.Digest() != "") || (c.Ignored == "" && linked == (len(c.Names) > 0)) {
		t.Fatalf("ignored %q, facts %s, claim %+v, names %v", c.Ignored, c.Facts.Encode(), c.Claim, c.Names)
	}
	tokens := append([]string{c.EventID, c.Account}, append(c.Names, c.Facts.Objects()...)...)
	if linked {
		tokens = append(tokens, c.Claim.Seller, c.Claim.Quote)
	}
	for _, id := range tokens {
		if !validToken.MatchString(id) {
			t.Fatalf("%q of %+v is no token", id, c)
		}
	}
	encoded := c.Facts.Encode()
	back, err := quote.DecodeFacts(encoded)
	if err != nil || !reflect.DeepEqual(back, c.Facts) {
		t.Fatalf("facts do not survive their encoding: %v\n%s", err, encoded)
	}
	if back.Merge(c.Facts) {
		t.Fatalf("merging the same facts again changed them: %s", encoded)
	}
	back.Merge(quote.RevisionFacts(quote.Revision{Seller: c.Claim.Seller, Number: max(c.Claim.Revision, 1), Account: c.Account, Mode: quote.ModeTest}))
	quote.Derive(c.Account, back)
}

// The session event of a card checkout, 3.6 KB as Stripe indents it.
func BenchmarkDecode(b *testing.B) {
	m := maker()
	for name, body := range map[string][]byte{
		"session": m.Event("checkout.session.completed", m.Session("cs_test_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0", object{
			"status": "complete", "payment_status": "paid", "payment_intent": "pi_3QAbCdEfGhIjKlMn0pQrStUv", "metadata": ours(),
		})),
		"charge":     m.Event("charge.succeeded", m.Charge("ch_3QAbCdEfGhIjKlMn0pQrStUv", object{"payment_intent": "pi_3QAbCdEfGhIjKlMn0pQrStUv"})),
		"not ours":   m.Event("invoice.paid", m.Invoice("in_1", "sub_1", "pi_1", "ch_1", object{}, m.PaidInvoice())),
		"not wanted": m.Event("invoice.created", m.Invoice("in_1", "sub_1", "pi_1", "ch_1", ours(), nil)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := stripeevent.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
