package scenario

import (
	"crypto/sha512"
	"fmt"
	"strconv"
	"time"
)

// script collects the events of one run.
type script struct {
	target  Target
	seed    int64
	start   time.Time
	version Version

	payments         int
	events           []Event
	paidFrom, paidTo time.Time
	session          string
	err              error
}

// basil reports whether the events are rendered in the newer shape.
func (s *script) basil() bool { return s.version == Basil }

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// id makes an identifier of n letters and digits after the prefix. It depends on the seed, the revision and the label, not
// on the scenario or the API version: the same seed gives the same payment to "paid" and to "refund", and another rendering
// keeps its event's id, as it does at Stripe when two endpoints have different versions.
func (s *script) id(prefix, label string, n int) string {
	t := s.target
	key := strconv.FormatInt(s.seed, 10) + "\x00" + t.Account + "\x00" + t.Quote + "\x00" + strconv.Itoa(t.Revision) + "\x00" + label
	sum := sha512.Sum512([]byte(key))
	letters := make([]byte, n)
	for i := range letters {
		letters[i] = alphabet[int(sum[i%len(sum)])%len(alphabet)]
	}
	return prefix + string(letters)
}

// emit adds the event typ about obj. label tells the events of one run apart; previous holds the earlier values of changed
// fields and is nil where nothing changed.
func (s *script) emit(at time.Time, label, typ string, obj, previous object) {
	if s.err != nil {
		return
	}
	data := object{"object": obj}
	if previous != nil {
		data["previous_attributes"] = previous
	}
	event := object{
		"id":               s.id("evt_", label+"/"+typ, 24),
		"object":           "event",
		"api_version":      string(s.version),
		"created":          at.Unix(),
		"data":             data,
		"livemode":         s.target.Live,
		"pending_webhooks": 1,
		"request":          object{"id": s.id("req_", label+"/request", 14), "idempotency_key": nil},
		"type":             typ,
	}
	if s.target.Account != "" {
		event["account"] = s.target.Account
	}
	body, err := event.render()
	if err != nil {
		s.err = fmt.Errorf("render %s: %w", typ, err)
		return
	}
	id, _ := event["id"].(string)
	s.events = append(s.events, Event{ID: id, Type: typ, Created: at, Body: body})
}

// paid notes between which seconds of the payment its settling objects and events are dated.
func (p *payment) paid(first, last int) {
	if p.paidFrom.IsZero() {
		p.paidFrom = p.after(first)
	}
	p.paidTo = p.after(last)
}

// metadata is what our checkout gives to Stripe.
func (s *script) metadata() object {
	return object{
		"quote_id":       s.target.Quote,
		"quote_revision": strconv.Itoa(s.target.Revision),
		"seller":         s.target.Seller,
	}
}

// mode returns "live" or "test", as it stands in the identifiers of sessions.
func (s *script) mode() string {
	if s.target.Live {
		return "live"
	}
	return "test"
}

// payment is one Checkout Session and what came of it. Its identifiers are made at once; whether an object appears in an
// event is another matter.
type payment struct {
	*script
	label  string
	start  time.Time
	method string // Stripe's name of the payment method

	session, intent, charge, customer, paymentMethod  string
	invoice, subscription, item, line, price, product string
}

// newPayment begins the next payment of the script; the second one starts 20 seconds after the first.
func (s *script) newPayment(kind, method string) *payment {
	s.payments++
	label := kind + strconv.Itoa(s.payments)
	p := &payment{
		script: s, label: label, method: method,
		start: s.start.Add(time.Duration(s.payments-1) * 20 * time.Second),
	}
	charge := "ch_3"
	if method != "card" {
		charge = "py_3" // Stripe's prefix for charges of bank debits
	}
	p.session = s.id("cs_"+s.mode()+"_a1", label+"/session", 56)
	p.intent = s.id("pi_3", label+"/intent", 23)
	p.charge = s.id(charge, label+"/charge", 23)
	p.customer = s.id("cus_", label+"/customer", 14)
	p.paymentMethod = s.id("pm_1", label+"/method", 23)
	p.invoice = s.id("in_1", label+"/invoice", 23)
	p.subscription = s.id("sub_1", label+"/subscription", 23)
	p.item = s.id("si_", label+"/item", 14)
	p.line = s.id("il_1", label+"/line", 23)
	p.price = s.id("price_1", label+"/price", 23)
	p.product = s.id("prod_", label+"/product", 14)
	if s.session == "" {
		s.session = p.session
	}
	return p
}

// after is the time d seconds into the payment.
func (p *payment) after(seconds int) time.Time {
	return p.start.Add(time.Duration(seconds) * time.Second)
}

// send emits an event of this payment.
func (p *payment) send(seconds int, typ string, obj, previous object) {
	p.emit(p.after(seconds), p.label, typ, obj, previous)
}
