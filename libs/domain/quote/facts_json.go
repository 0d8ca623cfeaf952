package quote

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"quittance.internal/libs/domain/jsonscan"
)

var errTrailing = errors.New("something behind the facts")

// Encode writes f as canonical JSON: equal facts give equal bytes. Lists are
// sorted, empty fields left out; the zero Facts is {}. It is what encoding/json
// makes of f, faster.
func (f Facts) Encode() []byte { return f.AppendJSON(make([]byte, 0, 1<<10)) }

// AppendJSON appends what Encode returns to out.
func (f Facts) AppendJSON(out []byte) []byte {
	c := coder{out: append(out, '{')}
	f.fields(&c)
	return append(c.out, '}')
}

// DecodeFacts reads what Encode wrote. Fields that this version does not know
// are an error, and so are lists out of order: writing such facts back would
// lose what a newer version knew.
func DecodeFacts(b []byte) (Facts, error) {
	var f Facts
	c := coder{reading: true, in: jsonscan.NewCursor(b)}
	c.members(f.fields)
	if c.err == nil && !c.in.Done() {
		c.err = errTrailing
	}
	if c.err != nil {
		return Facts{}, fmt.Errorf("decode facts: %w", c.err)
	}
	return f, nil
}

// Digest is the hexadecimal SHA-256 of the encoding; "" when nothing is known.
// Facts only grow, so a quote's digest never returns to an earlier one.
func (f Facts) Digest() string { return DigestOf(f.Encode()) }

// DigestOf is Digest for callers that hold the encoding already.
func DigestOf(encoded []byte) string {
	if len(encoded) <= len("{}") {
		return ""
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

func (f *Facts) fields(c *coder) {
	list(c, "revisions", &f.Revisions, byNumber, (*Revision).fields)
	list(c, "sessions", &f.Sessions, bySessionID, (*SessionFact).fields)
	list(c, "intents", &f.Intents, byIntentID, (*IntentFact).fields)
	list(c, "charges", &f.Charges, byChargeID, (*ChargeFact).fields)
	list(c, "invoices", &f.Invoices, byInvoiceID, (*InvoiceFact).fields)
	list(c, "subscriptions", &f.Subscriptions, bySubscriptionID, (*SubscriptionFact).fields)
	list(c, "refunds", &f.Refunds, byRefundID, (*RefundFact).fields)
	list(c, "disputes", &f.Disputes, byDisputeID, (*DisputeFact).fields)
	list(c, "coupons", &f.Coupons, byCouponID, (*CouponFact).fields)
	list(c, "warnings", &f.Warnings, byWarningID, (*WarningFact).fields)
	list(c, "renewals", &f.Renewals, byRenewalID, (*RenewalFact).fields)
}

func (r *Revision) fields(c *coder) {
	c.required("number", &r.Number)
	c.text("seller", &r.Seller)
	c.object("amount", r.Amount.fields)
	c.text("account", &r.Account)
	c.text("mode", &r.Mode)
	c.text("deal", &r.Deal)
	c.time("published_at", &r.PublishedAt)
	c.time("expires_at", &r.ExpiresAt)
	c.flag("recalled", &r.Recalled)
	c.flag("expired", &r.Expired)
}

// fields are all written, as Money's own tags say.
func (m *Money) fields(c *coder) {
	c.requiredInteger("amount", &m.Amount)
	c.requiredText("currency", &m.Currency)
}

func (o *Origin) fields(c *coder) {
	c.set("claims", &o.Claims)
	c.flag("live", &o.Live)
	c.flag("test", &o.Test)
}

func (s *Settlement) fields(c *coder) {
	c.requiredInteger("amount", &s.Amount)
	c.text("currency", &s.Currency)
	c.required("rank", &s.Rank)
	c.integer("at", &s.At)
	c.text("event", &s.Event)
}

func (s *SessionFact) fields(c *coder) {
	c.requiredText("id", &s.ID)
	s.Origin.fields(c)
	c.set("intents", &s.Intents)
	c.set("invoices", &s.Invoices)
	c.set("subscriptions", &s.Subscriptions)
	c.moment("complete", &s.Complete)
	c.moment("unpaid", &s.Unpaid)
	c.moment("failed", &s.Failed)
	c.moment("expired", &s.Expired)
	list(c, "settled", &s.Settled, byMoney, (*Settlement).fields)
}

func (i *IntentFact) fields(c *coder) {
	c.requiredText("id", &i.ID)
	i.Origin.fields(c)
	c.set("charges", &i.Charges)
	c.set("invoices", &i.Invoices)
	c.moment("processing", &i.Processing)
	c.moment("failed", &i.Failed)
	c.moment("canceled", &i.Canceled)
	list(c, "settled", &i.Settled, byMoney, (*Settlement).fields)
}

func (h *ChargeFact) fields(c *coder) {
	c.requiredText("id", &h.ID)
	h.Origin.fields(c)
	c.set("intents", &h.Intents)
	c.set("invoices", &h.Invoices)
	c.moment("pending", &h.Pending)
	c.moment("failed", &h.Failed)
	list(c, "settled", &h.Settled, byMoney, (*Settlement).fields)
	list(c, "refunded", &h.Refunded, byPayment, (*Returned).fields)
}

func (r *Returned) fields(c *coder) {
	c.requiredText("payment", &r.Payment)
	c.requiredInteger("amount", &r.Amount)
	c.moment("at", &r.At)
}

func (i *InvoiceFact) fields(c *coder) {
	c.requiredText("id", &i.ID)
	i.Origin.fields(c)
	c.set("subscriptions", &i.Subscriptions)
	c.set("intents", &i.Intents)
	c.set("charges", &i.Charges)
	c.text("status", &i.Status)
	c.count("attempts", &i.Attempts)
	c.moment("failed", &i.Failed)
	list(c, "settled", &i.Settled, byMoney, (*Settlement).fields)
}

func (r *RenewalFact) fields(c *coder) {
	c.requiredText("id", &r.ID)
	c.integer("period_end", &r.PeriodEnd)
	r.Origin.fields(c)
	c.text("status", &r.Status)
	c.count("attempts", &r.Attempts)
	c.moment("failed", &r.Failed)
}

func (s *SubscriptionFact) fields(c *coder) {
	c.requiredText("id", &s.ID)
	s.Origin.fields(c)
	c.moment("ended", &s.Ended)
}

func (r *RefundFact) fields(c *coder) {
	c.requiredText("id", &r.ID)
	r.Origin.fields(c)
	c.set("charges", &r.Charges)
	c.set("intents", &r.Intents)
	c.set("payments", &r.Payments)
	c.object("money", r.Money.fields)
	c.moment("at", &r.At)
	c.moment("done", &r.Done)
	c.moment("dead", &r.Dead)
}

func (d *DisputeFact) fields(c *coder) {
	c.requiredText("id", &d.ID)
	d.Origin.fields(c)
	c.set("charges", &d.Charges)
	c.set("intents", &d.Intents)
	c.object("money", d.Money.fields)
	list(c, "statuses", &d.Statuses, byName, (*Seen).fields)
	list(c, "transactions", &d.Transactions, byTransactionID, (*Transaction).fields)
}

func (s *Seen) fields(c *coder) {
	c.requiredText("name", &s.Name)
	c.moment("since", &s.Since)
}

func (t *Transaction) fields(c *coder) {
	c.requiredText("id", &t.ID)
	c.requiredInteger("amount", &t.Amount)
}

func (f *CouponFact) fields(c *coder) {
	c.requiredText("id", &f.ID)
	f.Origin.fields(c)
	c.moment("changed", &f.Changed)
	c.moment("deleted", &f.Deleted)
}

func (w *WarningFact) fields(c *coder) {
	c.requiredText("id", &w.ID)
	w.Origin.fields(c)
	c.set("charges", &w.Charges)
	c.set("intents", &w.Intents)
	c.moment("opened", &w.Opened)
	c.moment("closed", &w.Closed)
}
