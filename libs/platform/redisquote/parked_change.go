package redisquote

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"quittance.internal/libs/domain/jsonscan"
	"quittance.internal/libs/domain/projection"
)

// ParkedChange is a change that is kept under the Stripe objects that it names, in the fields LinkParked of Link: it may wait for
// one of them to be tied to a quote.
type ParkedChange struct {
	Sequence uint64          `json:"seq"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Object   string          `json:"object"`
	Facts    json.RawMessage `json:"facts"` // as quote.Facts encodes them
	Names    []string        `json:"names"`
	At       time.Time       `json:"at"` // when the log stored it
}

// NewParkedChange is a Stripe event, stored at a place in the log, as a change that waits.
func NewParkedChange(e projection.StripeEvent, sequence uint64, at time.Time) ParkedChange {
	return ParkedChange{
		Sequence: sequence, EventID: e.Change.EventID, Type: e.Change.Type, Object: e.Change.Object, Facts: e.Change.Facts.Encode(),
		Names: e.Change.Names, At: at,
	}
}

// AppendJSON appends what encoding/json makes of p, several times faster; false where a text holds what must be escaped, or there
// are no facts.
func (p ParkedChange) AppendJSON(out []byte) ([]byte, bool) {
	w := memberWriter{out: append(slices.Grow(out, 256+len(p.Facts)), `{"seq":`...), plain: len(p.Facts) > 0 && p.Names != nil}
	w.out = append(strconv.AppendUint(w.out, p.Sequence, 10), ',')
	w.member("event_id", p.EventID)
	w.member("type", p.Type)
	w.member("object", p.Object)
	w.out = append(append(append(w.out, `"facts":`...), p.Facts...), `,"names":[`...)
	for i, name := range p.Names {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.text(name)
	}
	w.out = append(p.At.AppendFormat(append(w.out, `],"at":"`...), time.RFC3339Nano), '"', '}')
	return w.out, w.plain
}

// Encode is the value of a field LinkParked.
func (p ParkedChange) Encode() ([]byte, error) {
	if encoded, ok := p.AppendJSON(nil); ok {
		return encoded, nil
	}
	return json.Marshal(p)
}

// DecodeParkedChange reads the value of a field LinkParked.
func DecodeParkedChange(value string) (ParkedChange, error) {
	p, usual := scanParkedChange([]byte(value))
	if usual {
		return p, nil
	}
	p = ParkedChange{}
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return ParkedChange{}, fmt.Errorf("decode parked change: %w", err)
	}
	return p, nil
}

// scanParkedChange reads a change of nothing but the members that Encode writes, several times faster than encoding/json, and as
// that would. usual is false for everything else. The facts share b's memory.
func scanParkedChange(b []byte) (p ParkedChange, usual bool) {
	c := jsonscan.NewCursor(b)
	err := c.Object(func(key []byte) error {
		value, err := c.Raw()
		if err != nil {
			return err
		}
		ok := true
		switch string(key) {
		case "seq":
			p.Sequence, err = strconv.ParseUint(string(value), 10, 64)
			ok = err == nil
		case "event_id":
			p.EventID, ok = jsonscan.String(value)
		case "type":
			p.Type, ok = jsonscan.String(value)
		case "object":
			p.Object, ok = jsonscan.String(value)
		case "facts":
			p.Facts = value
		case "names":
			p.Names, ok = scanNames(value)
		case "at":
			return p.At.UnmarshalJSON(value)
		default:
			ok = false
		}
		if !ok {
			return errUnusual
		}
		return nil
	})
	return p, err == nil && c.Done()
}

func scanNames(value []byte) ([]string, bool) {
	names := make([]string, 0, 4)
	err := jsonscan.Array(value, func(element []byte) error {
		name, ok := jsonscan.String(element)
		if !ok {
			return errUnusual
		}
		names = append(names, name)
		return nil
	})
	return names, err == nil
}

var errUnusual = errors.New("not as Encode writes it")

// memberWriter writes texts of a JSON object; plain stays true while none of them needs an escape.
type memberWriter struct {
	out   []byte
	plain bool
}

// member writes a text and its name, and a comma behind it.
func (w *memberWriter) member(name, value string) {
	w.out = append(append(append(w.out, '"'), name...), '"', ':')
	w.text(value)
	w.out = append(w.out, ',')
}

// optional is member for a text that is left out when it is empty.
func (w *memberWriter) optional(name, value string) {
	if value != "" {
		w.member(name, value)
	}
}

func (w *memberWriter) text(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			w.plain = false
		}
	}
	w.out = append(append(append(w.out, '"'), value...), '"')
}
