package projection_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
)

// object is a Stripe object or event as JSON.
type object map[string]any

// history is messages in the order of the log: each stream counts for itself.
type history struct {
	tb       testing.TB
	rnd      *rand.Rand
	messages []projection.Message
	stripe   uint64
	quotes   uint64
}

func newHistory(tb testing.TB, seed uint64) *history {
	tb.Helper()
	return &history{tb: tb, rnd: rand.New(rand.NewPCG(seed, 1))}
}

var began = time.Unix(1_700_000_000, 0).UTC()

func (h *history) quoteEvent(name, id, n string, data any) projection.Message {
	h.tb.Helper()
	s := event.QuoteSubject{Event: name, Seller: "main", Quote: id, N: n}
	e, err := event.New(s, event.SourceQuotes, began, data)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.quotes++
	m := projection.Message{Subject: s.String(), Sequence: h.quotes, Time: began, Body: e.Encode()}
	h.messages = append(h.messages, m)
	return m
}

func (h *history) published(id string, n int, amount int64, account string) projection.Message {
	return h.quoteEvent(event.NamePublished, id, strconv.Itoa(n), event.Published{
		Seller: "main", QuoteID: id, Revision: n, Version: n, Amount: amount, Currency: "eur", Account: account, Mode: event.ModeTest, PublishedAt: began,
	})
}

// stripeEvent is an event about an object, as Stripe would send it.
func (h *history) stripeEvent(typ, account string, data object) projection.Message {
	h.tb.Helper()
	h.stripe++
	id := fmt.Sprintf("evt_%d", h.stripe)
	body := object{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": began.Unix() + int64(h.stripe), "type": typ, "livemode": false,
		"data": object{"object": data},
	}
	if account != event.Platform {
		body["account"] = account
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		h.tb.Fatal(err)
	}
	return h.raw(event.StripeSubject{Mode: event.ModeTest, Account: account, EventID: id, Type: typ}.String(), encoded)
}

func (h *history) raw(subject string, body []byte) projection.Message {
	m := projection.Message{Subject: subject, Sequence: h.stripe, Time: began.Add(time.Duration(h.stripe) * time.Second), Body: body}
	h.messages = append(h.messages, m)
	return m
}

func claim(id string, revision int) object {
	return object{"quote_id": id, "quote_revision": strconv.Itoa(revision), "seller": "main"}
}

func session(id, quoteID string, amount int64, more object) object {
	o := object{
		"id": id, "object": "checkout.session", "status": "complete", "payment_status": "paid", "amount_total": amount, "currency": "eur",
		"metadata": claim(quoteID, 1),
	}
	for k, v := range more {
		o[k] = v
	}
	return o
}

func charge(id, intent, invoice string, amount, refunded int64) object {
	return object{
		"id": id, "object": "charge", "amount": amount, "amount_captured": amount, "amount_refunded": refunded, "captured": true, "paid": true,
		"status": "succeeded", "currency": "eur", "payment_intent": intent, "invoice": orNull(invoice), "created": began.Unix() + 5, "metadata": object{},
	}
}

func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

func refund(id, chargeID, intent string, amount int64) object {
	return object{
		"id": id, "object": "refund", "amount": amount, "currency": "eur", "charge": chargeID, "payment_intent": orNull(intent), "status": "succeeded",
		"created": began.Unix() + 9,
	}
}

func intentOf(id, invoice string, amount int64) object {
	return object{
		"id": id, "object": "payment_intent", "status": "succeeded", "amount": amount, "amount_received": amount, "currency": "eur",
		"invoice": orNull(invoice), "metadata": object{},
	}
}

func invoice(id, quoteID, subscription, reason string, period int, amount int64) object {
	return object{
		"id": id, "object": "invoice", "status": "paid", "amount_paid": amount, "currency": "eur", "subscription": subscription,
		"billing_reason": reason, "period_end": began.Unix() + int64(period)*86400, "metadata": object{},
		"subscription_details": object{"metadata": claim(quoteID, 1)}, "status_transitions": object{"paid_at": began.Unix() + 7},
	}
}

// random plays the life of count quotes, with what does not belong to any.
func (h *history) random(count int) {
	for i := range count {
		id, account := fmt.Sprintf("q_%d", i), []string{event.Platform, "acct_1"}[h.rnd.IntN(2)]
		h.published(id, 1, 1000, account)
		h.oneTimeOrRecurring(id, account)
		h.end(id)
	}
	h.foreign()
}

func (h *history) oneTimeOrRecurring(id, account string) {
	pi, ch, in, sub := "pi_"+id, "ch_"+id, "in_"+id, "sub_"+id
	if h.rnd.IntN(2) == 0 {
		amount := []int64{1000, 1000, 900}[h.rnd.IntN(3)]
		h.stripeEvent("checkout.session.completed", account, session("cs_"+id, id, amount, object{"payment_intent": pi}))
		h.stripeEvent("charge.succeeded", account, charge(ch, pi, "", amount, 0))
		h.stripeEvent("payment_intent.succeeded", account, intentOf(pi, "", amount))
	} else {
		h.stripeEvent("checkout.session.completed", account, session("cs_"+id, id, 1000, object{"subscription": sub, "invoice": in}))
		h.stripeEvent("invoice.paid", account, invoice(in, id, sub, "subscription_create", 30, 1000))
		h.stripeEvent("payment_intent.succeeded", account, intentOf(pi, in, 1000))
		h.stripeEvent("charge.succeeded", account, charge(ch, pi, in, 1000, 0))
		for n := range h.rnd.IntN(3) {
			s := fmt.Sprintf("%s_%d", id, n)
			h.stripeEvent("charge.succeeded", account, charge("ch_"+s, "pi_"+s, "in_"+s, 1000, 0))
			h.stripeEvent("payment_intent.succeeded", account, intentOf("pi_"+s, "in_"+s, 1000))
			h.stripeEvent("invoice.paid", account, invoice("in_"+s, id, sub, "subscription_cycle", 60+30*n, 1000))
		}
	}
	switch h.rnd.IntN(4) {
	case 0:
		h.stripeEvent("refund.created", account, refund("re_"+id, ch, "", 400))
		h.stripeEvent("charge.refunded", account, charge(ch, pi, "", 1000, 400))
	case 1:
		h.stripeEvent("charge.dispute.created", account, object{
			"id": "dp_" + id, "object": "dispute", "amount": 1000, "currency": "eur", "charge": ch, "status": "needs_response",
		})
	}
}

func (h *history) end(id string) {
	switch h.rnd.IntN(5) {
	case 0:
		h.quoteEvent(event.NameRecalled, id, "1", event.Recalled{Seller: "main", QuoteID: id, Revision: 1})
		h.published(id, 2, 1200, "acct_2")
	case 1:
		h.quoteEvent(event.NameExpired, id, "1", event.Expired{Seller: "main", QuoteID: id, Revision: 1})
	case 2:
		h.quoteEvent(event.NamePaid, id, "1", event.Paid{Seller: "main", QuoteID: id, Revision: 1, Account: event.Platform, PaidAt: began})
	}
}

// foreign is what belongs to no quote of ours, and what cannot be read.
func (h *history) foreign() {
	h.stripeEvent("charge.succeeded", event.Platform, charge("ch_other", "pi_other", "", 5, 0))
	h.stripeEvent("checkout.session.completed", event.Platform, object{"id": "cs_other", "object": "checkout.session", "metadata": object{}})
	h.stripeEvent("customer.created", event.Platform, object{"id": "cus_1", "object": "customer"})
	h.stripeEvent("account.updated", "acct_1", object{"id": "acct_1", "object": "account", "charges_enabled": true})
	h.stripeEvent("payment_intent.succeeded", event.Platform, object{"id": "pi_minus", "object": "payment_intent", "amount_received": -5, "currency": "eur", "status": "succeeded"})
	h.stripeEvent("checkout.session.completed", event.Platform, session("cs_unknown", "q_unknown", 7, nil))
	h.stripeEvent("checkout.session.completed", event.Platform, func() object {
		o := session("cs_huf", "q_0", 100, nil)
		o["currency"] = "huf"
		return o
	}())
	h.stripe++
	h.raw("stripe.live.platform.evt_live.checkout.session.completed", []byte(`{}`))
	h.stripe++
	h.raw("stripe.unreadable.abc", []byte(`?`))
	h.stripe++
	h.raw("stripe.conflict.test.platform.evt_1.abc", []byte(`{}`))
	h.stripe++
	h.raw("stripe.test.platform.evt_broken.invoice.paid", []byte(`{"id":`))
	h.quotes++
	h.messages = append(h.messages, projection.Message{Subject: "quote.published.main.q_0.9", Sequence: h.quotes, Body: []byte("{}")})
}

// folded is a projection with what it told of each message.
type folded struct {
	*projection.Projection
	outcomes map[projection.Place]projection.Outcome
}

func newFolded() *folded {
	f := &folded{outcomes: map[projection.Place]projection.Outcome{}}
	f.Projection = projection.New(projection.Config{Rules: projection.Rules{Mode: event.ModeTest}, Decided: f.decided})
	return f
}

func (f *folded) decided(at projection.Place, o projection.Outcome) {
	if !f.outcomes[at].Stands() {
		f.outcomes[at] = o
	}
}

func fold(messages []projection.Message) *folded {
	f := newFolded()
	for _, m := range messages {
		f.Fold(m)
	}
	return f
}

func (f *folded) root() string {
	root := projection.NewRoot()
	for _, k := range f.Keys() {
		root.Add(k, f.Live(k))
	}
	return root.String()
}

func (f *folded) status(account, id string) quote.Status {
	return f.State(projection.Key{Account: account, Quote: id}).Status
}
