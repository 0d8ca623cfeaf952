package stripeevent

import (
	"errors"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/quote"
)

// decoder reads one event. The body is scanned once: what may matter of it is
// noted as raw bytes, since Stripe writes the type behind the object, and
// interpreted afterwards.
type decoder struct {
	event   [eventFields][]byte
	object  members // of data.object
	before  []byte  // data.previous_attributes
	change  *Change
	origin  quote.Origin
	created int64        // of the event, in Unix seconds; 0 if unusable
	since   quote.Moment // created, or the next best
	refused string       // the first reason to refuse the event
}

// refuse notes a reason to refuse the whole event; the first one counts.
func (d *decoder) refuse(reason string) {
	if d.refused == "" {
		d.refused = reason
	}
}

// Members of an event.
const (
	eventID = iota
	eventType
	eventAccount
	eventVersion
	eventLivemode
	eventCreated
	eventFields
)

// field is a member of an object that some kind of object needs.
type field int

const (
	fieldNone field = iota
	fieldID
	fieldObject
	fieldStatus
	fieldPaymentStatus
	fieldAmount
	fieldAmountTotal
	fieldAmountReceived
	fieldAmountCaptured
	fieldAmountRefunded
	fieldAmountPaid
	fieldCurrency
	fieldCreated
	fieldLivemode
	fieldMetadata
	fieldPaid
	fieldCaptured
	fieldRefunded
	fieldOpen
	fieldPaymentIntent
	fieldInvoice
	fieldSubscription
	fieldCharge
	fieldLatestCharge
	fieldCharges
	fieldLastPaymentError
	fieldRefunds
	fieldBalanceTransactions
	fieldParent
	fieldSubscriptionDetails
	fieldBillingReason
	fieldPeriodEnd
	fieldStatusTransitions
	fieldPaidAt
	fieldAttemptCount
	fieldPayments
	fieldPayment
	fieldData
	fieldMethodDetails
	fieldType
	fieldQuoteID
	fieldQuoteRevision
	fieldSeller
	fieldChargesEnabled
	fields
)

// members are the raw values of an object's fields, nil where absent. Of a key
// that occurs twice the last value counts.
type members [fields][]byte

// fieldOf finds the field of a key, with its case.
func fieldOf(key []byte) field {
	switch string(key) {
	case "id":
		return fieldID
	case "object":
		return fieldObject
	case "status":
		return fieldStatus
	case "payment_status":
		return fieldPaymentStatus
	case "amount":
		return fieldAmount
	case "amount_total":
		return fieldAmountTotal
	case "amount_received":
		return fieldAmountReceived
	case "amount_captured":
		return fieldAmountCaptured
	case "amount_refunded":
		return fieldAmountRefunded
	case "amount_paid":
		return fieldAmountPaid
	case "currency":
		return fieldCurrency
	case "created":
		return fieldCreated
	case "livemode":
		return fieldLivemode
	case "metadata":
		return fieldMetadata
	case "paid":
		return fieldPaid
	case "captured":
		return fieldCaptured
	case "refunded":
		return fieldRefunded
	case "open":
		return fieldOpen
	}
	return linkFieldOf(key)
}

// linkFieldOf is the second half of fieldOf: what leads to other objects.
func linkFieldOf(key []byte) field {
	switch string(key) {
	case "payment_intent":
		return fieldPaymentIntent
	case "invoice":
		return fieldInvoice
	case "subscription":
		return fieldSubscription
	case "charge":
		return fieldCharge
	case "latest_charge":
		return fieldLatestCharge
	case "charges":
		return fieldCharges
	case "last_payment_error":
		return fieldLastPaymentError
	case "refunds":
		return fieldRefunds
	case "balance_transactions":
		return fieldBalanceTransactions
	case "parent":
		return fieldParent
	case "subscription_details":
		return fieldSubscriptionDetails
	case "billing_reason":
		return fieldBillingReason
	case "period_end":
		return fieldPeriodEnd
	case "status_transitions":
		return fieldStatusTransitions
	case "paid_at":
		return fieldPaidAt
	case "attempt_count":
		return fieldAttemptCount
	case "payments":
		return fieldPayments
	case "payment":
		return fieldPayment
	case "data":
		return fieldData
	case "payment_method_details":
		return fieldMethodDetails
	case "type":
		return fieldType
	case "quote_id":
		return fieldQuoteID
	case "quote_revision":
		return fieldQuoteRevision
	case "seller":
		return fieldSeller
	case "charges_enabled":
		return fieldChargesEnabled
	}
	return fieldNone
}

// read notes the members of the object at the cursor.
func (m *members) read(c *jsonscan.Cursor) error {
	return c.Object(func(key []byte) error {
		f := fieldOf(key)
		if f == fieldNone {
			return nil
		}
		value, err := c.Raw()
		m[f] = value
		return err
	})
}

// in reads the members of a value that was scanned already; none if it is no
// object.
func in(value []byte) members {
	var m members
	if jsonscan.IsObject(value) {
		c := jsonscan.NewCursor(value)
		if m.read(&c) != nil {
			return members{} // cannot happen: the value was scanned
		}
	}
	return m
}

var errEnough = errors.New("enough")

// each calls f with the elements of a value that was scanned already: an array,
// or Stripe's list object around one. Only the first maxItems are read.
func each(value []byte, f func(element []byte)) {
	if jsonscan.IsObject(value) {
		list := in(value)
		value = list[fieldData]
	}
	if !jsonscan.IsArray(value) {
		return
	}
	n := 0
	// The only error is errEnough: the value was scanned.
	_ = jsonscan.Array(value, func(element []byte) error {
		if n++; n > maxItems {
			return errEnough
		}
		f(element)
		return nil
	})
}

// scan notes what may matter of the body.
func (d *decoder) scan(body []byte) error {
	c := jsonscan.NewCursor(body)
	err := c.Object(func(key []byte) error {
		var at int
		switch string(key) {
		case "id":
			at = eventID
		case "type":
			at = eventType
		case "account":
			at = eventAccount
		case "api_version":
			at = eventVersion
		case "livemode":
			at = eventLivemode
		case "created":
			at = eventCreated
		case "data":
			d.object, d.before = members{}, nil
			return d.scanData(&c)
		default:
			return nil
		}
		value, err := c.Raw()
		d.event[at] = value
		return err
	})
	if err != nil || !c.Done() {
		return &MalformedError{"the body is not one JSON object"}
	}
	return nil
}

func (d *decoder) scanData(c *jsonscan.Cursor) error {
	if c.Peek() != '{' {
		return nil
	}
	return c.Object(func(key []byte) error {
		switch string(key) {
		case "object":
			d.object = members{}
			if c.Peek() != '{' {
				return nil
			}
			return d.object.read(c)
		case "previous_attributes":
			var err error
			d.before, err = c.Raw()
			return err
		}
		return nil
	})
}
