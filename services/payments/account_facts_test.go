package payments_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/platform/natsstream"
)

func account(id string, activated bool) object {
	return object{"id": id, "object": "account", "charges_enabled": activated}
}

// R11, R76
func TestAnAccountsEventsBecomeFactsOfThatAccount(t *testing.T) {
	r := newRig(t)
	r.run()
	for _, tt := range []struct {
		id, typ, account string
		object           object
		outcome, subject string
	}{
		{"evt_1", "account.updated", "acct_a", account("acct_a", false), "applied", "seller.account_updated.acct_a.evt_1"},
		{"evt_2", "account.application.deauthorized", "acct_a", object{"id": "ca_1", "object": "application"}, "applied", "seller.account_deauthorized.acct_a.evt_2"},
		{"evt_3", "account.updated", "", account("acct_own", false), "applied", "seller.account_updated.platform.evt_3"},
		{"evt_4", "account.updated", "acct_b", account("acct_a", false), "refused", ""}, // a thief's word on another's account
		{"evt_5", "account.updated", "acct_b", object{"id": "acct_b", "object": "account"}, "ignored", ""},
	} {
		seq := r.stripe(tt.id, tt.typ, tt.account, tt.object)
		o := r.outcome(seq, tt.outcome)
		if tt.subject == "" {
			continue
		}
		record, err := r.log.Read(t.Context(), event.StreamSellers, tt.subject)
		if err != nil {
			t.Fatalf("%s: %v", tt.id, err)
		}
		a := &seller.Aggregate{}
		a.Connected(seller.Connected{Account: "acct_a", At: time.Unix(1_700_000_000, 0)})
		if err := event.FoldSeller(a, record.Sequence, record.Subject, record.Data); err != nil {
			t.Errorf("%s: fold its fact: %v", tt.id, err)
		}
		if c := a.Connection(); tt.account == "acct_a" && c.Activated && !c.Deauthorized || tt.account == "" && (!c.Activated || c.Deauthorized) {
			t.Errorf("%s: connection of acct_a after it = %+v", tt.id, c)
		}
		if tt.account != "" && o.Account != tt.account || o.Quote != "" {
			t.Errorf("%s: outcome %+v", tt.id, o)
		}
	}
	if _, err := r.log.Read(t.Context(), event.StreamSellers, "seller.*.acct_b.*"); !errors.Is(err, natsstream.ErrNotFound) {
		t.Errorf("facts of acct_b: %v, want none", err)
	}
}

// A fact that the log holds is not stored again: neither by a redelivery after a crash nor by a projection that is folded anew.
func TestAnAccountsFactIsStoredOnce(t *testing.T) { // R11, R61
	r := newRig(t)
	stop := r.run()
	seq := r.stripe("evt_1", "account.updated", "acct_a", account("acct_a", false))
	r.outcome(seq, "applied")
	r.drained()
	stop()
	if err := r.cache.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.outcome(seq, "corroborated")
	r.eventually("one fact", func() error {
		records, err := r.log.ReadAll(t.Context(), event.StreamSellers, event.AccountFilter("acct_a"))
		if err == nil && len(records) != 1 {
			err = fmt.Errorf("%d facts", len(records))
		}
		return err
	})
}

// Our metadata on an account mean nothing: merchants write there what they like.
func TestAnAccountsEventTouchesNoQuote(t *testing.T) { // R76
	r := newRig(t)
	r.run()
	r.published("q_1", 1, 1000, "acct_a")
	r.status("acct_a", "q_1", "pending")
	o := account("acct_a", false)
	o["metadata"] = metadata("q_1", 1)
	r.outcome(r.stripe("evt_1", "account.updated", "acct_a", o), "applied")
	r.drained()
	if p := r.status("acct_a", "q_1", "pending"); len(p.Flags) != 0 {
		t.Errorf("flags = %v", p.Flags)
	}
}
