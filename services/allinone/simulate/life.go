package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/projection"
	"quittance.internal/libs/domain/quote"
)

// began is when every schedule begins.
var began = time.Unix(1_700_000_000, 0).UTC()

// arrival is a message that comes into the log from outside: from ingress or from the quotes service.
type arrival struct {
	stream  string
	subject string
	id      string // of an event of the stream QUOTES
	body    []byte
}

// life is what happens to one quote, and what must come of it in any order and with any fault.
type life struct {
	name     string
	arrivals []arrival // those of QUOTES come in this order, the others in any
	// status is what the quote must come to, and paid the revision that there must be a quote.paid of; 0 for none. It is
	// written down by hand: everything else that is expected follows from the pure fold.
	status quote.Status
	paid   int
	// perhaps is a revision whose payment races with its successor's publication: the log decides whether there is a
	// quote.paid of it.
	perhaps int
	// undeliverable says that the owner has no address that we mail to.
	undeliverable bool
	// accountFact is the subject of what must be on the stream SELLERS; empty for nothing.
	accountFact string

	account, quote string
	want           []wanted
	due            map[string]bool               // subjects of the facts that must be in the log
	outcomes       map[string]projection.Outcome // by subject
}

// wanted is what Redis must show of the quote on one account.
type wanted struct {
	key  projection.Key
	live projection.Live
}

// object is a Stripe object or event as JSON.
type object map[string]any

const (
	seller    = "main"
	amount    = int64(1000)
	elsewhere = "acct_2"
)

// writer writes a life down. Each quote of each life has ids of its own.
type writer struct {
	life
	id     string
	events int
}

func (w *writer) quoteEvent(name string, n int, data any) {
	s := event.QuoteSubject{Event: name, Seller: seller, Quote: w.quote, N: strconv.Itoa(n)}
	e, err := event.New(s, event.SourceQuotes, began, data)
	if err != nil {
		panic(err)
	}
	w.arrivals = append(w.arrivals, arrival{event.StreamQuotes, s.String(), e.ID, e.Encode()})
}

func (w *writer) document() quote.Document {
	email := "ola@seller.example"
	if w.undeliverable {
		email = "ola@[127.0.0.1]"
	}
	return quote.Document{Title: "Consulting", Deal: quote.Deal{ID: "d1"}, Owner: quote.Owner{Name: "Ola", Email: email, TimeZone: "Europe/Warsaw"}}
}

func (w *writer) drafted() {
	w.quoteEvent(event.NameDrafted, 1, event.Drafted{Seller: seller, QuoteID: w.quote, Version: 1, Document: w.document(), DraftedAt: began})
}

func (w *writer) published(n int, due int64, account string) {
	w.quoteEvent(event.NamePublished, n, event.Published{
		Seller: seller, QuoteID: w.quote, Revision: n, Version: n, Amount: due, Currency: "eur", Account: account, Mode: event.ModeTest,
		PublishedAt: began, Document: w.document(),
	})
}

func (w *writer) recalled(n int) {
	w.quoteEvent(event.NameRecalled, n, event.Recalled{Seller: seller, QuoteID: w.quote, Revision: n, RecalledAt: began})
}

func (w *writer) expired(n int) {
	w.quoteEvent(event.NameExpired, n, event.Expired{Seller: seller, QuoteID: w.quote, Revision: n, ExpiredAt: began})
}

// stripe is an event about an object, as ingress stores it.
func (w *writer) stripe(typ string, data object) { w.stripeOf(w.account, event.ModeTest, typ, data) }

func (w *writer) stripeOf(account, mode, typ string, data object) {
	w.events++
	id := fmt.Sprintf("evt_%s_%d", w.id, w.events)
	body := object{
		"id": id, "object": "event", "api_version": "2023-10-16", "created": began.Unix() + int64(w.events), "type": typ,
		"livemode": mode == event.ModeLive, "data": object{"object": data},
	}
	if account != event.Platform {
		body["account"] = account
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.raw(event.StripeSubject{Mode: mode, Account: account, EventID: id, Type: typ}.String(), encoded)
}

func (w *writer) raw(subject string, body []byte) {
	w.arrivals = append(w.arrivals, arrival{stream: event.StreamStripe, subject: subject, body: body})
}

func (w *writer) claim(revision int) object {
	return object{"quote_id": w.quote, "quote_revision": strconv.Itoa(revision), "seller": seller}
}

func (w *writer) session(n string, revision int, total int64, more object) object {
	o := object{
		"id": "cs_" + w.id + n, "object": "checkout.session", "mode": "payment", "status": "complete", "payment_status": "paid",
		"amount_total": total, "currency": "eur", "metadata": w.claim(revision),
	}
	maps.Copy(o, more)
	return o
}

func (w *writer) charge(n, invoice string, paid, refunded int64) object {
	return object{
		"id": "ch_" + w.id + n, "object": "charge", "amount": paid, "amount_captured": paid, "amount_refunded": refunded, "captured": true,
		"paid": true, "status": "succeeded", "currency": "eur", "payment_intent": "pi_" + w.id + n, "invoice": orNull(invoice),
		"created": began.Unix() + 5, "metadata": object{},
	}
}

func (w *writer) intent(n, invoice string, paid int64) object {
	return object{
		"id": "pi_" + w.id + n, "object": "payment_intent", "status": "succeeded", "amount": paid, "amount_received": paid, "currency": "eur",
		"invoice": orNull(invoice), "metadata": object{},
	}
}

func (w *writer) refund(n string, back int64) object {
	return object{
		"id": "re_" + w.id + n, "object": "refund", "amount": back, "currency": "eur", "charge": "ch_" + w.id + n, "payment_intent": nil,
		"status": "succeeded", "created": began.Unix() + 9,
	}
}

func (w *writer) invoice(n, reason string, period int) object {
	return object{
		"id": "in_" + w.id + n, "object": "invoice", "status": "paid", "amount_paid": amount, "currency": "eur", "subscription": "sub_" + w.id,
		"billing_reason": reason, "period_end": began.Unix() + int64(period)*86400, "metadata": object{},
		"subscription_details": object{"metadata": w.claim(1)}, "status_transitions": object{"paid_at": began.Unix() + 7},
	}
}

func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// oneTime is a payment in full: three events that tell it, each in its own way.
func (w *writer) oneTime(revision int, total int64) {
	w.stripe("checkout.session.completed", w.session("", revision, total, object{"payment_intent": "pi_" + w.id}))
	w.stripe("charge.succeeded", w.charge("", "", total, 0))
	w.stripe("payment_intent.succeeded", w.intent("", "", total))
}

// lives are the kinds of lives. Each is written for one quote on one account.
var lives = []struct {
	name   string
	status quote.Status
	paid   int
	write  func(w *writer)
}{
	{"one event", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
	{"paid", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.oneTime(1, amount)
	}},
	{"drafted and paid", quote.StatusPaid, 1, func(w *writer) {
		w.drafted()
		w.published(1, amount, w.account)
		w.oneTime(1, amount)
	}},
	{"refunded", quote.StatusRefunded, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.oneTime(1, amount)
		w.stripe("refund.created", w.refund("", amount))
		w.stripe("charge.refunded", w.charge("", "", amount, amount))
	}},
	{"refunded in part", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
		w.stripe("refund.created", w.refund("", 400)) // names a charge that names an intent: a chain of three
		w.stripe("charge.succeeded", w.charge("", "", amount, 0))
	}},
	{"disputed", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.oneTime(1, amount)
		w.stripe("charge.dispute.created", object{
			"id": "dp_" + w.id, "object": "dispute", "amount": amount, "currency": "eur", "charge": "ch_" + w.id, "status": "needs_response",
		})
	}},
	{"subscription with a renewal", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"mode": "subscription", "subscription": "sub_" + w.id, "invoice": "in_" + w.id}))
		w.stripe("invoice.paid", w.invoice("", "subscription_create", 30))
		w.stripe("charge.succeeded", w.charge("", "in_"+w.id, amount, 0))
		w.stripe("invoice.paid", w.invoice("r", "subscription_cycle", 60))
		w.stripe("charge.succeeded", w.charge("r", "in_"+w.id+"r", amount, 0))
		w.stripe("payment_intent.succeeded", w.intent("r", "in_"+w.id+"r", amount))
	}},
	{"bank debit", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		more := object{"payment_intent": "pi_" + w.id, "payment_status": "unpaid"}
		w.stripe("checkout.session.completed", w.session("", 1, amount, more))
		w.stripe("checkout.session.async_payment_succeeded", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
	{"another amount", quote.StatusReview, 0, func(w *writer) {
		w.published(1, amount, w.account)
		w.oneTime(1, amount-100)
	}},
	{"paid twice", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.oneTime(1, amount)
		w.stripe("checkout.session.completed", w.session("b", 1, amount, object{"payment_intent": "pi_" + w.id + "b"}))
	}},
	{"expired and paid", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.expired(1)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
	{"recalled, published anew and paid", quote.StatusPaid, 2, func(w *writer) {
		w.published(1, amount, w.account)
		w.recalled(1)
		w.published(2, amount+200, w.account)
		w.oneTime(2, amount+200)
	}},
	{"paid while it was published anew", quote.StatusReview, 0, func(w *writer) {
		w.perhaps = 1
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
		w.recalled(1)
		w.published(2, amount+200, elsewhere)
	}},
	{"never published", quote.StatusPending, 0, func(w *writer) {
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
	{"paid by another's events", quote.StatusPending, 0, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripeOf(elsewhere, event.ModeTest, "checkout.session.completed", w.session("x", 1, amount, object{"payment_intent": "pi_" + w.id}))
		w.stripeOf(w.account, event.ModeLive, "checkout.session.completed", w.session("l", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
	{"foreign and unreadable events", quote.StatusPaid, 1, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
		w.stripe("charge.succeeded", w.charge("foreign", "", 5, 0))
		w.stripe("customer.created", object{"id": "cus_1", "object": "customer"})
		w.raw("stripe.unreadable."+w.id, []byte(`?`))
		w.raw("stripe.test.platform.evt_broken_"+w.id+".invoice.paid", []byte(`{"id":`))
	}},
	{"an account is switched off", quote.StatusPending, 0, func(w *writer) {
		w.published(1, amount, w.account)
		w.stripeOf(elsewhere, event.ModeTest, "account.updated", object{"id": elsewhere, "object": "account", "charges_enabled": false})
	}},
	{"paid, and the owner cannot be mailed", quote.StatusPaid, 1, func(w *writer) {
		w.undeliverable = true
		w.published(1, amount, w.account)
		w.stripe("checkout.session.completed", w.session("", 1, amount, object{"payment_intent": "pi_" + w.id}))
	}},
}

// accounts are where a life may happen; they alternate.
var accounts = []string{event.Platform, "acct_1"}

// A short life is lived by more quotes than a long one: most of what can go wrong needs few events, and more schedules fit
// into a minute.
const (
	copies      = 2
	shortCopies = 5
	short       = 3 // events at most
)

// writeLives writes every kind of life, for different quotes.
func writeLives() []*life {
	var all []*life
	for kind, l := range lives {
		for n := 0; n < copies || n < shortCopies && len(all[len(all)-1].arrivals) <= short; n++ {
			id := fmt.Sprintf("%d%c", kind, 'a'+n)
			w := &writer{id: id, life: life{name: l.name, status: l.status, paid: l.paid, account: accounts[(kind+n)%2], quote: "q" + id}}
			l.write(w)
			w.expect()
			all = append(all, &w.life)
		}
	}
	return all
}

// expect works out by the pure fold what must come of a life, and holds it against what was written down.
func (l *life) expect() {
	l.outcomes = map[string]projection.Outcome{}
	places := map[projection.Place]string{}
	p := projection.New(projection.Config{
		Rules:   projection.Rules{Mode: event.ModeTest},
		Decided: func(at projection.Place, o projection.Outcome) { l.decided(places[at], o) },
	})
	for i, a := range l.arrivals {
		if s, ok := event.ParseStripeSubject(a.subject); ok && s.Type == "account.updated" {
			l.accountFact = event.SellerSubject(event.NameAccountUpdated, s.Account, s.EventID)
		}
		at := projection.Place{Stripe: a.stream == event.StreamStripe, Sequence: uint64(i + 1)}
		places[at] = a.subject
		p.Fold(projection.Message{Subject: a.subject, Sequence: at.Sequence, Time: began, Body: a.body})
	}
	l.due = map[string]bool{}
	for _, k := range p.Keys() {
		l.want = append(l.want, wanted{k, p.Live(k)})
		for _, e := range p.State(k).Due {
			l.due[event.QuoteSubject{Event: e.Event, Seller: e.Seller, Quote: k.Quote, N: e.N}.String()] = true
		}
	}
	status := p.State(projection.Key{Account: l.account, Quote: l.quote}).Status
	paid := slices.ContainsFunc([]int{1, 2}, func(n int) bool { return n == l.paid && l.due[l.paidSubject(n)] })
	if status != l.status || paid != (l.paid > 0) {
		panic(fmt.Sprintf("the life %q comes to %s, paid %t by the pure fold; written down is %s and revision %d", l.name, status, paid, l.status, l.paid))
	}
}

func (l *life) decided(subject string, o projection.Outcome) {
	if !l.outcomes[subject].Stands() {
		l.outcomes[subject] = o
	}
}

func (l *life) paidSubject(n int) string {
	return event.QuoteSubject{Event: event.NamePaid, Seller: seller, Quote: l.quote, N: strconv.Itoa(n)}.String()
}
