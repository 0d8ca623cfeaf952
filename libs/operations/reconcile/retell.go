package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/stripegate"
)

// syntheticPrefix begins the id of every event that was made of an object.
const syntheticPrefix = "evt_reconciled_"

// retold is an event that Stripe never told us, made of an object as it is now.
type retold struct {
	id, typ, object string
	body            []byte
}

// fields are what is read of an object here; what it means is stripeevent's business.
type fields struct {
	ID, Object, Status string
	PaymentStatus      string `json:"payment_status"`
	PaymentIntent      string `json:"payment_intent"`
	LatestCharge       string `json:"latest_charge"`
	Invoice            string
	Subscription       string
	BalanceTransaction string `json:"balance_transaction"`
	Created            int64
	ExpiresAt          int64           `json:"expires_at"`
	LastPaymentError   json.RawMessage `json:"last_payment_error"`
	StatusTransitions  struct {
		PaidAt int64 `json:"paid_at"`
	} `json:"status_transitions"`
}

// fieldsOf reads an object; what is not there, or of another kind, is empty.
func fieldsOf(body []byte) fields {
	var f fields
	_ = json.Unmarshal(body, &f) // one field that is odd leaves the others
	return f
}

// retell makes of a session, and of the intent, charge and invoice that it names, the events that Stripe would have made:
// nothing of one that is still open. They are the same for the same objects, so that entering them twice is entering them
// once; and their time is when the money came, never now.
func (c *comparison) retell(ctx context.Context, account string, session []byte) ([]retold, error) {
	s := fieldsOf(session)
	if s.Status == "expired" {
		return c.made(account, "checkout.session.expired", cmp.Or(s.ExpiresAt, s.Created), session)
	}
	if s.Status != "complete" {
		return nil, nil
	}
	at := s.Created
	var parts []retold
	for _, id := range []string{s.PaymentIntent, s.Invoice} {
		if id == "" {
			continue
		}
		more, when, err := c.part(ctx, account, id)
		if err != nil {
			return nil, err
		}
		parts, at = append(parts, more...), max(at, when)
	}
	first, err := c.made(account, "checkout.session.completed", at, session)
	return append(first, parts...), err
}

// part retells an intent with its charge, or an invoice; at is when its money came, 0 where none did.
func (c *comparison) part(ctx context.Context, account, id string) (all []retold, at int64, err error) {
	body, err := c.object(ctx, account, id)
	if stripegate.Missing(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	o := fieldsOf(body)
	if o.Object == "invoice" {
		if o.Status != "paid" {
			return nil, 0, nil
		}
		all, err = c.made(account, "invoice.paid", cmp.Or(o.StatusTransitions.PaidAt, o.Created), body)
		return all, o.StatusTransitions.PaidAt, err
	}
	at = o.Created
	if o.LatestCharge != "" {
		charge, when, err := c.charge(ctx, account, o.LatestCharge)
		if err != nil {
			return nil, 0, err
		}
		all, at = charge, cmp.Or(when, at)
	}
	if typ := intentType(o); typ != "" {
		intent, err := c.made(account, typ, at, body)
		if err != nil {
			return nil, 0, err
		}
		all = append(intent, all...)
	}
	return all, at, nil
}

// intentType is the event that says an intent's status; none for one that waits for its customer.
func intentType(o fields) string {
	switch o.Status {
	case "succeeded", "processing", "canceled":
		return "payment_intent." + o.Status
	case "requires_payment_method":
		if len(o.LastPaymentError) > 0 && string(o.LastPaymentError) != "null" {
			return "payment_intent.payment_failed"
		}
	}
	return ""
}

// charge retells a charge. When its money came is what the balance says: a delayed method's charge is days older.
func (c *comparison) charge(ctx context.Context, account, id string) (all []retold, at int64, err error) {
	body, err := c.object(ctx, account, id)
	if stripegate.Missing(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	o := fieldsOf(body)
	at = o.Created
	if stripegate.Readable(o.BalanceTransaction) {
		switch txn, err := c.object(ctx, account, o.BalanceTransaction); {
		case err == nil:
			at = cmp.Or(fieldsOf(txn).Created, at)
		case errors.Is(err, stripegate.ErrUnavailable):
			return nil, 0, err
		}
	}
	typ := map[string]string{"succeeded": "charge.succeeded", "pending": "charge.pending", "failed": "charge.failed"}[o.Status]
	if typ == "" {
		return nil, at, nil
	}
	all, err = c.made(account, typ, at, body)
	return all, at, err
}

// made makes an event of an object. Its id is a hash of what it says.
func (c *comparison) made(account, typ string, created int64, object []byte) ([]retold, error) {
	var data struct {
		Object json.RawMessage `json:"object"`
	}
	data.Object = object
	e := struct {
		ID              string  `json:"id"`
		Object          string  `json:"object"`
		Account         string  `json:"account,omitempty"`
		APIVersion      string  `json:"api_version"`
		Created         int64   `json:"created"`
		Data            any     `json:"data"`
		Livemode        bool    `json:"livemode"`
		PendingWebhooks int     `json:"pending_webhooks"`
		Request         *string `json:"request"`
		Type            string  `json:"type"`
	}{Object: "event", APIVersion: stripegate.APIVersion, Created: created, Data: data, Livemode: c.cfg.Mode == event.ModeLive, Type: typ}
	if account != event.Platform {
		e.Account = account
	}
	said, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", typ, err)
	}
	sum := sha256.Sum256(said)
	e.ID = syntheticPrefix + hex.EncodeToString(sum[:16])
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", typ, err)
	}
	return []retold{{id: e.ID, typ: typ, object: fieldsOf(object).ID, body: body}}, nil
}
