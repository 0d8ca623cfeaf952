package sandbox

import (
	"fmt"
	"time"
)

func billingRoutes() []route {
	return []route{
		{"GET /v1/invoices/{id}", parseSpec(""), getter("invoice")},
		{"GET /v1/invoices", parseSpec(pageSpec + "subscription str\ncustomer str\nstatus enum draft|open|paid|uncollectible|void\ncreated range\n"), lister("invoice", "/v1/invoices", "subscription", "customer", "status")},
		{"GET /v1/subscriptions/{id}", parseSpec(""), getter("subscription")},
		{"GET /v1/subscriptions", parseSpec(pageSpec + "customer str\nstatus enum active|past_due|unpaid|canceled|incomplete|incomplete_expired|trialing|paused|all|ended\ncreated range\n"), listSubscriptions},
		{"POST /v1/subscriptions/{id}", parseSpec("metadata meta\ndescription empty\ncancel_at_period_end bool\nitems no\ncoupon no\ndefault_payment_method no\ntrial_end no"), updateSubscription},
		{"DELETE /v1/subscriptions/{id}", parseSpec("invoice_now bool\nprorate bool\ncancellation_details map"), cancelSubscription},
	}
}

func listSubscriptions(c *call) (any, error) {
	status := c.p.str("status")
	return c.page(c.all("subscription", func(o object) bool {
		own := o.str("status")
		ended := own == "canceled" || own == "incomplete_expired"
		switch {
		case c.p.has("customer") && o["customer"] != c.p["customer"]:
			return false
		case status == "all":
			return true
		case status == "ended":
			return ended
		case status == "":
			return own != "canceled"
		}
		return own == status
	}), "/v1/subscriptions")
}

func updateSubscription(c *call) (any, error) {
	o, err := c.find("subscription", c.id, "id")
	if err != nil {
		return nil, err
	}
	if o.str("status") == "canceled" && c.p.has("cancel_at_period_end") {
		return nil, refuse("", "", "A canceled subscription can only update its cancellation_details and metadata.")
	}
	c.change(o, "customer.subscription.updated", func() {
		if c.p.has("metadata") {
			o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
		}
		if c.p.has("description") {
			o["description"] = nilIfEmpty(c.p.str("description"))
		}
		if c.p.has("cancel_at_period_end") {
			o["cancel_at_period_end"], o["cancel_at"], o["canceled_at"] = c.p["cancel_at_period_end"], nil, nil
			if c.p.bool("cancel_at_period_end") {
				o["cancel_at"], o["canceled_at"] = o["current_period_end"], c.now()
			}
		}
	})
	return o, nil
}

func cancelSubscription(c *call) (any, error) {
	o, err := c.find("subscription", c.id, "id")
	if err != nil {
		return nil, err
	}
	if s := o.str("status"); s == "canceled" || s == "incomplete_expired" {
		return nil, missing("subscription", c.id, "id")
	}
	if c.p.bool("invoice_now") || c.p.bool("prorate") {
		return nil, unsupported("prorate", "proration")
	}
	c.end(o, "canceled", "cancellation_requested")
	return o, nil
}

// end ends a subscription.
func (w *world) end(o object, status, reason string) {
	o["status"], o["ended_at"], o["canceled_at"] = status, w.now(), w.now()
	o["cancellation_details"] = object{"comment": nil, "feedback": nil, "reason": reason}
	w.emit("customer.subscription.deleted", o)
}

// openSubscription makes customer, subscription and the open first invoice.
func (d *deal) openSubscription() {
	if d.customer == nil {
		d.customer = d.newCustomer(object{"email": d.who.email, "name": d.who.name})
		d.session["_customer"] = d.customer["id"]
	}
	d.emit("payment_method.attached", d.methodObject())
	d.change(d.customer, "customer.updated", func() {
		d.customer["invoice_settings"] = d.customer.obj("invoice_settings").with(object{"default_payment_method": d.methodID})
	})
	d.subscription = d.newSubscription()
	d.session["_subscription"] = d.subscription["id"]
	d.invoice = d.newInvoice(d.cart, "subscription_create", d.subscription.int("current_period_start"), d.subscription.int("current_period_start"))
	d.subscription["latest_invoice"] = d.invoice["id"]
	d.emit("invoice.created", d.invoice)
	d.finalize(d.invoice)
	d.emit("customer.subscription.created", d.subscription)
}

// interval is how often the cart renews.
func (k *cart) interval() (string, int) {
	for _, l := range k.lines {
		if l.interval != "" {
			return l.interval, int(l.count)
		}
	}
	return "month", 1
}

// periods is the end of the n-th period after start.
func (k *cart) periods(start time.Time, n int) time.Time {
	interval, count := k.interval()
	count *= n
	switch interval {
	case "day":
		return start.AddDate(0, 0, count)
	case "week":
		return start.AddDate(0, 0, 7*count)
	case "year":
		return start.AddDate(count, 0, 0)
	}
	// The last day of a shorter month stands for the 29th to 31st.
	first := time.Date(start.Year(), start.Month()+time.Month(count), 1, start.Hour(), start.Minute(), start.Second(), 0, time.UTC)
	return first.AddDate(0, 0, min(start.Day(), first.AddDate(0, 1, -1).Day())-1)
}

func (d *deal) newSubscription() object {
	now := d.sim.now().Truncate(time.Second)
	id := d.sim.id("sub_1", 23)
	data := d.session.obj("_subscription_data")
	var items []object
	for _, l := range d.cart.lines {
		if l.interval == "" {
			continue
		}
		l.item["_subscription_item"] = d.sim.id("si_", 14)
		items = append(items, object{
			"id": l.item["_subscription_item"], "object": "subscription_item", "billing_thresholds": nil, "created": now.Unix(),
			"metadata": object{}, "plan": l.plan(d.cart.currency), "price": l.price, "quantity": l.quantity, "subscription": id, "tax_rates": []any{},
		})
	}
	o := d.add(nulls(`application application_fee_percent billing_thresholds cancel_at canceled_at days_until_due default_payment_method
		default_source description discount ended_at next_pending_invoice_item_invoice on_behalf_of pause_collection
		pending_invoice_item_interval pending_setup_intent pending_update schedule test_clock transfer_data trial_end trial_start`).with(object{
		"id": id, "object": "subscription", "automatic_tax": object{"enabled": false}, "billing_cycle_anchor": now.Unix(), "cancel_at_period_end": false,
		"cancellation_details": nulls("comment feedback reason"), "collection_method": "charge_automatically", "currency": d.cart.currency,
		"current_period_end": d.cart.periods(now, 1).Unix(), "current_period_start": now.Unix(), "customer": d.customer["id"],
		"default_tax_rates": []any{}, "items": list("/v1/subscription_items?subscription="+id, items), "latest_invoice": nil,
		"metadata": cloneValue(data.or("metadata", object{})), "payment_settings": nulls("payment_method_options payment_method_types").with(object{"save_default_payment_method": "off"}),
		"start_date": now.Unix(), "status": "incomplete", "trial_settings": object{"end_behavior": object{"missing_payment_method": "create_invoice"}},
		"_session": d.session["id"], "_periods": int64(1),
	}))
	if data.has("description") {
		o["description"] = data["description"]
	}
	if c := d.cart.coupon; c != nil && c.str("duration") != "once" {
		o["discount"] = object{
			"id": d.sim.id("di_1", 23), "object": "discount", "coupon": c, "customer": d.customer["id"], "start": now.Unix(), "end": nil,
			"subscription": id, "promotion_code": nil,
		}
	}
	return o
}

func (l *line) plan(currency string) object {
	return object{
		"id": l.price["id"], "object": "plan", "active": false, "amount": l.price["unit_amount"], "amount_decimal": l.price["unit_amount_decimal"],
		"billing_scheme": "per_unit", "currency": currency, "interval": l.interval, "interval_count": l.count, "metadata": object{},
		"product": l.price["product"], "usage_type": "licensed",
	}
}

// activate starts the subscription and plans its renewal.
func (d *deal) activate() {
	if d.subscription.str("status") != "incomplete" {
		return
	}
	d.change(d.subscription, "customer.subscription.updated", func() {
		d.subscription["status"], d.subscription["default_payment_method"] = "active", d.methodID
	})
	d.planRenewal()
}

func (d *deal) planRenewal() {
	d.sim.at(time.Unix(d.subscription.int("current_period_end"), 0).UTC(), d.renew)
}

// Knob of one subscription: what its next renewals come to.
const renewalFails = "_renewal_fails"

// retryRenewal is when a failed renewal is tried again; Stripe chooses such times by itself.
const retryRenewal = 72 * time.Hour

// renew bills the next period, or ends a subscription that was cancelled for the period's end.
func (d *deal) renew() {
	o := d.subscription
	if s := o.str("status"); s != "active" && s != "past_due" {
		return
	}
	if o.bool("cancel_at_period_end") {
		d.end(o, "canceled", "cancellation_requested")
		return
	}
	n := o.int("_periods") + 1
	k := d.cart.renewal(o.obj("discount") != nil && d.couponLasts(o))
	from, to := o.int("current_period_start"), o.int("current_period_end")
	next := *d
	next.cart = k
	next.invoice = d.newInvoice(k, "subscription_cycle", from, to)
	next.invoice["subscription_details"] = object{"metadata": o.obj("metadata").clone()}
	d.emit("invoice.created", next.invoice)
	d.change(o, "customer.subscription.updated", func() {
		o["_periods"], o["current_period_start"], o["latest_invoice"] = n, to, next.invoice["id"]
		o["current_period_end"] = d.cart.periods(time.Unix(o.int("billing_cycle_anchor"), 0).UTC(), int(n)).Unix()
	})
	d.planRenewal()
	// The draft is open for changes during an hour.
	d.sim.at(d.sim.now().Add(time.Hour), func() { next.collect() })
}

// couponLasts reports whether a coupon of several months still applies.
func (d *deal) couponLasts(o object) bool {
	c := d.cart.coupon
	if c.str("duration") != "repeating" {
		return true
	}
	end := time.Unix(o.int("start_date"), 0).UTC().AddDate(0, int(c.int("duration_in_months")), 0)
	return d.sim.now().Before(end)
}

// collect finalizes and charges the invoice of a renewal.
func (d *deal) collect() {
	if d.invoice.str("status") == "draft" {
		d.finalize(d.invoice)
		d.intent = nil
	}
	if s := d.subscription.str("status"); s == "canceled" || d.invoice.str("status") != "open" {
		return
	}
	if d.cart.total == 0 {
		d.payInvoice(d.invoice, nil)
		return
	}
	if d.intent == nil {
		d.intent = d.newIntent(d.cart.total)
		d.intent["description"] = "Subscription update"
		d.invoice["payment_intent"] = d.intent["id"]
	}
	if d.subscription.bool(renewalFails) {
		d.decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
		if d.subscription.str("status") == "active" {
			d.change(d.subscription, "customer.subscription.updated", func() { d.subscription["status"] = "past_due" })
		}
		d.sim.at(d.sim.now().Add(retryRenewal), d.collect)
		return
	}
	charge := d.newCharge("succeeded")
	d.balance(charge)
	d.emit("charge.succeeded", charge)
	d.settleIntent()
	d.payInvoice(d.invoice, charge)
	if d.subscription.str("status") == "past_due" {
		d.change(d.subscription, "customer.subscription.updated", func() { d.subscription["status"] = "active" })
	}
}

// abandon ends what an attempt in an expired session has left open.
func (w *world) abandon(session object) {
	o := w.get("subscription", session.str("_subscription"))
	if o == nil || o.str("status") != "incomplete" {
		return
	}
	w.change(o, "customer.subscription.updated", func() { o["status"], o["ended_at"] = "incomplete_expired", w.now() })
	if invoice := w.get("invoice", o.str("latest_invoice")); invoice.str("status") == "open" {
		invoice["status"] = "void"
		invoice["status_transitions"] = invoice.obj("status_transitions").with(object{"voided_at": w.now()})
		w.emit("invoice.voided", invoice)
	}
}

func invoiceNumber(prefix string, n int) string { return fmt.Sprintf("%s-%04d", prefix, n) }
