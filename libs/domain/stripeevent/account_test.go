package stripeevent_test

import (
	"errors"
	"testing"
	"time"

	"quittance.internal/libs/domain/internal/stripetest"
	"quittance.internal/libs/domain/stripeevent"
)

// R6, R11, R76
func TestAnAccountsEventsAreRead(t *testing.T) {
	m := &stripetest.Maker{Shape: stripetest.ShapeBasil, Account: "acct_1A"}
	own := maker()
	application := object{"id": "ca_1", "object": "application"}
	account := func(id string, on any) object { return object{"id": id, "object": "account", "charges_enabled": on} }
	for name, tt := range map[string]struct {
		body []byte
		want stripeevent.AccountChange
	}{
		"activated":          {m.Event("account.updated", account("acct_1A", true)), stripeevent.AccountChange{Account: "acct_1A", Activated: true}},
		"not activated":      {m.Event("account.updated", account("acct_1A", false)), stripeevent.AccountChange{Account: "acct_1A"}},
		"our own":            {own.Event("account.updated", account("acct_1Own", false)), stripeevent.AccountChange{Account: "platform"}},
		"says nothing of it": {m.Event("account.updated", account("acct_1A", "yes")), stripeevent.AccountChange{Account: "acct_1A", Ignored: "nothing to fold"}},
		"withdrawn":          {m.Event("account.application.deauthorized", application), stripeevent.AccountChange{Account: "acct_1A", Deauthorized: true}},
		"our own's":          {own.Event("account.application.deauthorized", application), stripeevent.AccountChange{Account: "platform", Ignored: "not ours"}},
		"another type":       {m.Event("account.external_account.created", account("acct_1A", true)), stripeevent.AccountChange{Account: "acct_1A", Ignored: "nothing to fold"}},
	} {
		got, err := stripeevent.DecodeAccount(tt.body)
		if err != nil || got.EventID == "" || got.Created.Before(time.Unix(stripetest.Start, 0)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		got.EventID, got.Created = "", time.Time{}
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	for name, body := range map[string][]byte{
		"of another account": m.Event("account.updated", account("acct_1B", false)),
		"without a time":     []byte(`{"id":"evt_1","type":"account.updated","account":"acct_1A","data":{"object":{"id":"acct_1A","charges_enabled":false}}}`),
		"of a hostile name":  m.Event("account.updated", account("acct 1", false)),
	} {
		if _, err := stripeevent.DecodeAccount(body); !isRefused(err) {
			t.Errorf("%s: %v, want a *RefusedError", name, err)
		}
	}
	if _, err := stripeevent.DecodeAccount([]byte(`{"type":"account.updated"}`)); !isMalformed(err) {
		t.Errorf("without an id: %v", err)
	}
	for _, typ := range stripeevent.AccountTypes() {
		if !stripeevent.AboutAccount(typ) {
			t.Errorf("%s is listed and not read", typ)
		}
	}
	for typ, want := range map[string]bool{"account.updated": true, "account.application.deauthorized": true, "account.application.authorized": false, "charge.succeeded": false} {
		if stripeevent.AboutAccount(typ) != want {
			t.Errorf("AboutAccount(%s) = %t", typ, !want)
		}
	}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*stripeevent.RefusedError](err)
	return ok
}

// An edit that takes our metadata away, or writes another quote there, is an edit of our coupon.
func TestAnEditOfTheMetadataIsAnEditOfOurCoupon(t *testing.T) { // R25
	m := maker()
	edited := func(metadata, before object) []byte {
		e := m.Event("coupon.updated", object{"id": "quittance_q_1042_3", "object": "coupon", "metadata": metadata})
		return stripetest.WithPrevious(e, object{"metadata": before})
	}
	for name, body := range map[string][]byte{
		"all taken away":    edited(object{}, ours()),
		"one taken away":    edited(object{"seller": "main", "quote_id": "q_1042"}, object{"quote_revision": "3"}),
		"another quote's":   edited(object{"seller": "main", "quote_id": "q_7", "quote_revision": "3"}, object{"quote_id": "q_1042"}),
		"something else":    edited(ours(), object{"note": nil}),
		"the name, no more": m.Event("coupon.updated", object{"id": "quittance_q_1042_3", "object": "coupon", "metadata": ours()}),
		"deleted":           m.Event("coupon.deleted", object{"id": "quittance_q_1042_3", "object": "coupon", "metadata": ours()}),
	} {
		if c := decode(t, body); c.Claim != claim || len(c.Facts.Coupons) != 1 {
			t.Errorf("%s: claim %+v, facts %s", name, c.Claim, facts(c))
		}
	}
	if c := decode(t, edited(object{"seller": "main"}, object{"note": "x"})); c.Ignored != "not ours" {
		t.Errorf("another's coupon: %+v", c)
	}
}
