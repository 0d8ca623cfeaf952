package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"quittance.internal/libs/domain/event"
)

// Limits of an entry, in bytes.
const (
	MaxText = 4 << 10  // of who, why and the target
	MaxBody = 64 << 10 // of the whole
)

// Version is the number of the layout of entries.
const Version = 1

// ErrInvalid means that an entry cannot be recorded as it is.
var ErrInvalid = errors.New("invalid journal entry")

// Entry is one action of an operator. Its body in the log is this struct as compact JSON, members in this order, without
// HTML escapes; that body, byte for byte, is what the next entry's Previous is a hash of.
type Entry struct {
	Version int `json:"v"`
	// Number counts the entries from 1, without a gap. Append sets it, and ID, At and Previous.
	Number uint64 `json:"n"`
	// ID tells a writer, whose answer was lost, his own entry from another's: 26 random characters.
	ID string    `json:"id"`
	At time.Time `json:"at"` // UTC
	// Action is a token such as replay; the entry lies under journal.<action>.
	Action string `json:"action"`
	// Who is the name of an API token, or user@host of a command line.
	Who    string `json:"who"`
	Reason string `json:"reason,omitempty"`
	// Target is what was acted on, as explain takes it: an id, STREAM:sequence, a durable's name.
	Target string `json:"target,omitempty"`
	// Before and After are what changed; Detail is whatever else helps to understand it. No personal data.
	Before any `json:"before,omitempty"`
	After  any `json:"after,omitempty"`
	Detail any `json:"detail,omitempty"`
	// Previous is Hash of the entry before, "" in the first.
	Previous string `json:"prev,omitempty"`
}

// Hash names an entry by its subject and its body as they are stored: hex SHA-256 of "<subject>\n<body>".
func Hash(subject string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(subject + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// encode writes the entry's body, or says why it is none.
func (e Entry) encode() ([]byte, error) {
	switch {
	case !event.ValidToken(e.Action):
		return nil, fmt.Errorf("%w: action %q is not a word", ErrInvalid, e.Action)
	case e.Who == "":
		return nil, fmt.Errorf("%w: it does not say who", ErrInvalid)
	}
	for name, text := range map[string]string{"who": e.Who, "reason": e.Reason, "target": e.Target} {
		if len(text) > MaxText || !utf8.ValidString(text) {
			return nil, fmt.Errorf("%w: %s is longer than %d bytes or not UTF-8", ErrInvalid, name, MaxText)
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	body := bytes.TrimRight(b.Bytes(), "\n")
	if len(body) > MaxBody {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrInvalid, len(body), MaxBody)
	}
	return body, nil
}

// decode reads a body. Numbers in it stay as they were written.
func decode(body []byte) (Entry, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var e Entry
	if err := dec.Decode(&e); err != nil {
		return Entry{}, fmt.Errorf("decode journal entry: %w", err)
	}
	return e, nil
}
