package payments_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

// R52: whatever kind of event it is, and even if the quote was in that currency.
func TestAPaymentInAnExcludedCurrencyIsSetAsideWithTheReason(t *testing.T) {
	r := newRig(t)
	r.run()
	for i, tt := range []struct{ currency, rule string }{{"huf", "R49"}, {"KWD", "R50"}} {
		id := fmt.Sprint("q_", i)
		r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: id, N: "1"}, event.Published{
			Seller: "main", QuoteID: id, Revision: 1, Version: 1, Amount: 1000, Currency: strings.ToLower(tt.currency), Account: event.Platform, Mode: event.ModeTest,
		})
		paid := session("cs_"+id, id, 1, 1000, "pi_"+id)
		intent := object{"id": "pi_" + id, "object": "payment_intent", "status": "succeeded", "amount": 1000, "amount_received": 1000, "metadata": metadata(id, 1)}
		taken := charge("ch_"+id, "pi_"+id, 1000, 0)
		taken["metadata"] = metadata(id, 1)
		for typ, o := range map[string]object{"checkout.session.completed": paid, "payment_intent.succeeded": intent, "charge.succeeded": taken} {
			o["currency"] = tt.currency
			seq := r.stripe("evt_"+id+strings.ReplaceAll(typ, ".", ""), typ, "", o)
			out := r.outcome(seq, "dead")
			if out.Quote != id || !strings.Contains(out.Reason, tt.rule) || !strings.Contains(out.Reason, strings.ToUpper(tt.currency)) {
				t.Errorf("%s in %s: outcome %+v, want %s and the quote", typ, tt.currency, out, tt.rule)
			}
			rec, err := r.log.Read(t.Context(), event.StreamDead, fmt.Sprintf("dead.payments.STRIPE.%d.1", seq))
			if err != nil || !strings.Contains(rec.Header.Get(natsstream.HeaderDeadReason), tt.rule) || !strings.Contains(string(rec.Data), "cs_") && typ == "checkout.session.completed" {
				t.Errorf("%s in %s: dead letter %v, %v", typ, tt.currency, rec.Header, err)
			}
		}
		r.status(event.Platform, id, "pending")
		if _, err := r.paidFact(id, 1); !errors.Is(err, natsstream.ErrNotFound) {
			t.Errorf("%s: quote.paid = %v, want none", tt.currency, err)
		}
	}
	// What is not ours may be in any currency.
	foreign := session("cs_9", "q_9", 1, 1000, "pi_9")
	delete(foreign, "metadata")
	foreign["currency"] = "huf"
	r.outcome(r.stripe("evt_foreign", "checkout.session.completed", "", foreign), "ignored")
}

// R52: the policy is data; where it lets the currency in, the payment counts.
func TestAnotherPolicyTakesTheCurrency(t *testing.T) {
	r := newRig(t)
	open := *quote.DefaultPolicy()
	open.Excluded = nil
	r.policy = &open
	r.run()
	r.quoteEvent(event.QuoteSubject{Event: "published", Seller: "main", Quote: "q_1", N: "1"}, event.Published{
		Seller: "main", QuoteID: "q_1", Revision: 1, Version: 1, Amount: 1000, Currency: "huf", Account: event.Platform, Mode: event.ModeTest,
	})
	paid := session("cs_1", "q_1", 1, 1000, "pi_1")
	paid["currency"] = "huf"
	r.stripe("evt_1", "checkout.session.completed", "", paid)
	r.status(event.Platform, "q_1", "paid")
}
