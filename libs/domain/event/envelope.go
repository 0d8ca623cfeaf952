package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"quittance.internal/libs/domain/jsonscan"
)

// Who writes quote events (Envelope.Source).
const (
	SourceQuotes   = "/quittance/quotes"
	SourcePayments = "/quittance/payments"
)

// Envelope is a CloudEvents 1.0 event in structured JSON.
type Envelope struct {
	SpecVersion string `json:"specversion"` // 1.0
	// ID is the same for the same fact however often it is written: see ID.
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`    // quote.<event>
	Subject string `json:"subject"` // quote/<quote id>
	// Time is when it happened, in UTC; for quote.paid, when it was paid.
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"` // application/json
	DataSchema      string    `json:"dataschema"`      // see Schema
	// TraceParent is the W3C trace context that led here; may be empty.
	TraceParent string          `json:"traceparent,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// New puts data into an envelope for the subject; at is when it happened. It
// returns an error when the subject is not valid or data is no JSON object.
func New(s QuoteSubject, source string, at time.Time, data any) (Envelope, error) {
	if s.String() == "" {
		return Envelope{}, fmt.Errorf("envelope of %+q: a part of the subject is not a valid token", []string{s.Event, s.Seller, s.Quote, s.N})
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return Envelope{}, fmt.Errorf("encode data of quote.%s: %w", s.Event, err)
	}
	e := Envelope{
		SpecVersion: "1.0", ID: ID(s.Event, s.Seller, s.Quote, s.N), Source: source, Type: "quote." + s.Event,
		Subject: "quote/" + s.Quote, Time: at.UTC(), DataContentType: "application/json", DataSchema: Schema(s.Event, 1),
		Data: raw,
	}
	if err := e.check("quote."); err != nil {
		return Envelope{}, fmt.Errorf("envelope of quote.%s: %w", s.Event, err)
	}
	return e, nil
}

// Encode writes the envelope as JSON. It returns nil only for an Envelope that
// was put together by hand from what is not JSON; one from New or Decode always
// encodes.
func (e Envelope) Encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	return b
}

// Decode reads a structured CloudEvent. Attributes that this version does not
// know are passed over; an error says that it is no CloudEvent 1.x of ours.
func Decode(b []byte) (Envelope, error) {
	e, usual := scan(b)
	if !usual {
		e = Envelope{}
		if err := json.Unmarshal(b, &e); err != nil {
			return Envelope{}, fmt.Errorf("decode envelope: %w", err)
		}
	}
	if err := e.check("quote."); err != nil {
		return Envelope{}, fmt.Errorf("decode envelope: %w", err)
	}
	return e, nil
}

var errUnusual = errors.New("not as Encode writes it")

// scan reads an envelope of nothing but the members that Encode writes, several
// times faster than encoding/json, and as that would. usual is false for
// everything else.
func scan(b []byte) (e Envelope, usual bool) {
	c := jsonscan.NewCursor(b)
	err := c.Object(func(key []byte) error {
		value, err := c.Raw()
		if err != nil {
			return err
		}
		var into *string
		switch string(key) {
		case "specversion":
			into = &e.SpecVersion
		case "id":
			into = &e.ID
		case "source":
			into = &e.Source
		case "type":
			into = &e.Type
		case "subject":
			into = &e.Subject
		case "time":
			return e.Time.UnmarshalJSON(value)
		case "datacontenttype":
			into = &e.DataContentType
		case "dataschema":
			into = &e.DataSchema
		case "traceparent":
			into = &e.TraceParent
		case "data":
			e.Data = bytes.Clone(value)
			return nil
		default:
			return errUnusual
		}
		text, ok := jsonscan.String(value)
		if *into = text; !ok {
			return errUnusual
		}
		return nil
	})
	return e, err == nil && c.Done()
}

// check is what every envelope must have to be used at all; prefix is what its
// type begins with.
func (e Envelope) check(prefix string) error {
	switch {
	case !strings.HasPrefix(e.SpecVersion, "1."):
		return fmt.Errorf("specversion %q is not 1.x", e.SpecVersion)
	case e.ID == "" || e.Source == "":
		return errors.New("without id or source")
	case !strings.HasPrefix(e.Type, prefix):
		return fmt.Errorf("type %q is not a %s event", e.Type, strings.TrimSuffix(prefix, "."))
	case len(e.Data) == 0 || bytes.TrimSpace(e.Data)[0] != '{':
		return errors.New("data is not a JSON object")
	case e.Time.Year() < 0 || e.Time.Year() > 9999:
		return errors.New("time is out of RFC 3339's range")
	}
	return nil
}

// Event is the name in the type: "paid" of "quote.paid".
func (e Envelope) Event() string { return strings.TrimPrefix(e.Type, "quote.") }

// Data decodes the data of an envelope. Fields that T does not have are passed
// over, so that an old reader takes what a newer writer adds.
func Data[T any](e Envelope) (T, error) {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return data, fmt.Errorf("decode data of %s: %w", e.Type, err)
	}
	return data, nil
}

// Schema is the dataschema of an event: urn:quittance:quote.paid:1.
func Schema(eventName string, version int) string {
	return "urn:quittance:quote." + eventName + ":" + strconv.Itoa(version)
}

// ID is the id of an event, also its Nats-Msg-Id: the hex SHA-256 of its four
// parts, each with its length before it, so that two different facts never get
// one id and one fact never gets two.
func ID(eventName, seller, quote, n string) string {
	var b strings.Builder
	for _, part := range []string{eventName, seller, quote, n} {
		b.WriteString(strconv.Itoa(len(part)))
		b.WriteByte(':')
		b.WriteString(part)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
