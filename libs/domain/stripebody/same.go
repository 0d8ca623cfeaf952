package stripebody

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"

	"quittance.internal/libs/domain/jsonscan"
)

// Relation says how two bodies with the same event id relate.
type Relation int

const (
	// Same means the same bytes.
	Same Relation = iota
	// OtherRendering means the same event in another form: another endpoint's API version, another count of pending webhooks, the
	// API's formatting. Either serves.
	OtherRendering
	// Conflict means two events that claim one id. Somebody has to look.
	Conflict
)

// Print is what two bodies of one event have in common, in little memory.
type Print struct {
	Peeked
	object [sha256.Size]byte // of the canonical data.object
}

// PrintOf reads a body. The error is Peek's.
func PrintOf(body []byte) (Print, error) {
	p, err := Peek(body)
	if err != nil {
		return Print{}, err
	}
	object := member(member(body, "data"), "object")
	if c, err := canonical(object); err == nil {
		object = c
	}
	return Print{Peeked: p, object: sha256.Sum256(object)}, nil
}

// Relate tells how a body that came later relates to the one of p, and for a Conflict why; constant text. The same
// data.object is the same event whatever its formatting and the order of its keys, as is another object in another API
// version; two events without one are the same.
func (p Print) Relate(later Print) (r Relation, detail string) {
	switch {
	case p.Type != later.Type:
		return Conflict, "another type"
	case p.Account != later.Account:
		return Conflict, "another account"
	case p.Mode != later.Mode:
		return Conflict, "another mode"
	case p.object == later.object, p.APIVersion != later.APIVersion:
		return OtherRendering, ""
	}
	return Conflict, "another object"
}

// Compare tells how a readable body relates to an earlier one with the same event id; see Print.Relate.
func Compare(earlier, later []byte) (r Relation, detail string) {
	if bytes.Equal(earlier, later) {
		return Same, ""
	}
	before, err := PrintOf(earlier)
	if err != nil {
		return Conflict, "the stored event cannot be read"
	}
	after, err := PrintOf(later)
	if err != nil {
		return Conflict, "the later event cannot be read"
	}
	return before.Relate(after)
}

// member returns the raw value of a key; nil when there is none or the value is no object.
func member(object []byte, name string) []byte {
	var found []byte
	// What cannot be walked has no member.
	_ = jsonscan.Object(object, func(key, value []byte) error {
		if string(key) == name {
			found = value
		}
		return nil
	})
	return found
}

// canonical writes a JSON value with sorted keys, without space, its numbers as they were written.
func canonical(value []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
