package stripeevent_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/stripeevent"
)

// R5: what our checkout did not create is left alone, unless it may be linked.
func TestWhatIsNotOursIsIgnored(t *testing.T) {
	old, basil := maker(), &stripetest.Maker{Shape: stripetest.ShapeBasil}
	for name, test := range map[string]struct {
		body    []byte
		ignored string
		names   []string
	}{
		"session":                 {old.Event("checkout.session.completed", old.Session("cs_1", object{"client_reference_id": "q_1042"})), "not ours", nil},
		"session of another tool": {old.Event("checkout.session.completed", old.Session("cs_1", object{"metadata": object{"quote_id": "hs 12/7", "seller": "x"}})), "not ours", nil},
		"metadata of another type": {old.Event("checkout.session.completed", old.Session("cs_1", object{
			"metadata": object{"quote_id": "q_1", "quote_revision": 1, "seller": "main"},
		})), "not ours", nil},
		"invoice":              {old.Event("invoice.paid", old.Invoice("in_1", "sub_1", "pi_1", "ch_1", object{}, nil)), "not ours", nil},
		"invoice at basil":     {basil.Event("invoice.paid", basil.Invoice("in_1", "sub_1", "pi_1", "", object{}, nil)), "not ours", nil},
		"subscription":         {old.Event("customer.subscription.updated", old.Subscription("sub_1", "in_1", nil)), "not ours", nil},
		"coupon":               {old.Event("coupon.updated", object{"id": "SUMMER-25 %", "object": "coupon", "metadata": object{}}), "not ours", nil},
		"intent, old shape":    {old.Event("payment_intent.succeeded", old.Intent("pi_1", nil)), "not ours", nil},
		"intent of an invoice": {old.Event("payment_intent.succeeded", old.Intent("pi_1", object{"invoice": "in_1"})), "", []string{"pi_1", "in_1"}},
		"intent at basil":      {basil.Event("payment_intent.succeeded", basil.Intent("pi_1", nil)), "", []string{"pi_1"}},
		"refund of nothing":    {old.Event("refund.created", old.Refund("re_1", nil)), "not ours", nil},
		"dispute of nothing":   {old.Event("charge.dispute.created", old.Dispute("dp_1", nil)), "not ours", nil},
		"unknown type":         {old.Event("tax_rate.created", object{"id": "txr_1"}), "nothing to fold", nil},
		"account":              {old.Event("account.updated", object{"id": "acct_1A", "object": "account"}), "nothing to fold", nil},
		"thin event":           {[]byte(`{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2026-01-01T00:00:00Z"}`), "nothing to fold", nil},
	} {
		c := decode(t, test.body)
		if c.Ignored != test.ignored || !slices.Equal(c.Names, test.names) || (c.Ignored == "") != (c.Facts.Digest() != "") {
			t.Errorf("%s: Ignored = %q, Names = %v, facts %s, want %q, %v", name, c.Ignored, c.Names, facts(c), test.ignored, test.names)
		}
	}
}

func TestHostileContentIsRefused(t *testing.T) {
	m := maker()
	body := func(over object) []byte {
		return m.Event("checkout.session.completed", m.Session("cs_1", object{"metadata": ours()}.With(over)))
	}
	metadata := func(over object) []byte { return body(object{"metadata": ours().With(over)}) }
	for name, test := range map[string]struct {
		body   []byte
		reason string
	}{
		"negative amount":        {body(object{"amount_total": -1}), "negative amount"},
		"amount beyond int64":    {body(object{"amount_total": json.Number("92233720368547758080")}), "amount out of range"},
		"amount beyond reason":   {body(object{"amount_total": int64(stripeevent.MaxAmount) + 1}), "amount out of range"},
		"negative beyond int64":  {body(object{"amount_total": json.Number("-92233720368547758080")}), "amount out of range"},
		"seller with a dot":      {metadata(object{"seller": "main.paid"}), "malformed quote in metadata"},
		"seller with a wildcard": {metadata(object{"seller": ">"}), "malformed quote in metadata"},
		"quote with braces":      {metadata(object{"quote_id": "q}{1"}), "malformed quote in metadata"},
		"quote too long":         {metadata(object{"quote_id": strings.Repeat("q", 129)}), "malformed quote in metadata"},
		"revision zero":          {metadata(object{"quote_revision": "0"}), "malformed quote in metadata"},
		"revision negative":      {metadata(object{"quote_revision": "-1"}), "malformed quote in metadata"},
		"revision with a sign":   {metadata(object{"quote_revision": "+1"}), "malformed quote in metadata"},
		"revision with a zero":   {metadata(object{"quote_revision": "01"}), "malformed quote in metadata"},
		"revision too large":     {metadata(object{"quote_revision": "2147483648"}), "malformed quote in metadata"},
		"revision no number":     {metadata(object{"quote_revision": "1.0"}), "malformed quote in metadata"},
		"object id":              {body(object{"id": "cs 1"}), "malformed id of an object"},
		"object without an id":   {body(object{"id": 7}), "no usable id"},
		"linked id":              {body(object{"payment_intent": "pi_1*"}), "malformed id of an object"},
		"expanded linked id":     {body(object{"payment_intent": object{"id": "pi.1"}}), "malformed id of an object"},
		"another object":         {m.Event("charge.succeeded", m.Refund("re_1", nil)), "data.object is not a charge"},
		"negative refund":        {m.Event("refund.created", m.Refund("re_1", object{"charge": "ch_1", "amount": -5})), "negative amount"},
		"transaction":            {m.Event("charge.dispute.closed", m.Dispute("dp_1", object{"charge": "ch_1", "balance_transactions": []any{stripetest.Transaction("txn_1", -stripeevent.MaxAmount-1, 0)}})), "amount out of range"},
	} {
		c, err := stripeevent.Decode(test.body)
		refused, ok := errors.AsType[*stripeevent.RefusedError](err)
		if !ok || !strings.Contains(refused.Reason, test.reason) {
			t.Errorf("%s: Decode = %v, want a *RefusedError with %q", name, err, test.reason)
		}
		if c.Facts.Digest() != "" || c.EventID == "" || c.Claim != (stripeevent.Claim{}) || len(c.Names) > 0 {
			t.Errorf("%s: a refused change has %+v", name, c)
		}
	}
}

func TestBodiesThatAreNoEventsAreMalformed(t *testing.T) {
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"id":"evt_1"}`, `{"type":"charge.succeeded"}`, `{"id":1,"type":"charge.succeeded"}`, `{"id":"evt 1","type":"charge.succeeded"}`,
		`{"id":"evt_1","type":5}`, `{"id":"evt_1","type":"charge.succeeded"}`, `{"id":"evt_1","type":"charge.succeeded","data":null}`,
		`{"id":"evt_1","type":"charge.succeeded","data":{}}`, `{"id":"evt_1","type":"charge.succeeded","data":{"object":[]}}`,
		`{"id":"evt_1","type":"charge.succeeded","data":{"object":{}}}`, `{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_1"}}`,
		`{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_1"}}} x`, `{"ID":"evt_1","Type":"charge.succeeded"}`,
		`{"id":"evt_1","type":"charge.succeeded","account":"platform","data":{"object":{"id":"ch_1"}}}`,
		`{"id":"evt_1","type":"charge.succeeded","account":7,"data":{"object":{"id":"ch_1"}}}`,
		`{"id":"evt_1","type":"charge.succeeded","account":"acct.1","data":{"object":{"id":"ch_1"}}}`,
		strings.Repeat(`{"data":`, 20000),
	} {
		if c, err := stripeevent.Decode([]byte(body)); !isMalformed(err) {
			t.Errorf("Decode(%.80s) = %+v, %v, want a *MalformedError", body, c, err)
		}
	}
}

func isMalformed(err error) bool {
	_, ok := errors.AsType[*stripeevent.MalformedError](err)
	return ok
}
