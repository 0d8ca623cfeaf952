package quote

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"quittance.internal/libs/domain/jsonscan"
)

// coder writes and reads facts as JSON. Each type lists its fields once (see
// facts_json.go), and the coder either appends each field that is not empty or
// takes it from the member at hand. encoding/json takes half as long again to
// write the same bytes and two and a half times as long to read them, and cannot
// refuse what it does not know; a test holds the two to each other.
type coder struct {
	// Writing.
	out   []byte
	inner bool // a member was written to the object at hand

	// Reading.
	reading bool
	in      jsonscan.Cursor // before the value of the member at hand
	key     []byte          // of the member at hand; nil once a field took it
	err     error           // the first fault
}

var errFieldType = errors.New("value of the wrong type")

// takes reports whether the member at hand is the named one; the caller then
// reads its value.
func (c *coder) takes(name string) bool {
	if string(c.key) != name {
		return false
	}
	c.key = nil
	return true
}

// value reads the value at hand.
func (c *coder) value() []byte {
	value, err := c.in.Raw()
	c.fault(err)
	return value
}

// got records whether a field could read its value.
func (c *coder) got(name string, ok bool) {
	if !ok {
		c.fault(fmt.Errorf("field %s: %w", name, errFieldType))
	}
}

func (c *coder) fault(err error) {
	if c.err == nil {
		c.err = err
	}
}

// name begins a member.
func (c *coder) name(name string) {
	if c.inner {
		c.out = append(c.out, ',')
	}
	c.inner = true
	c.out = append(c.out, '"')
	c.out = append(c.out, name...)
	c.out = append(c.out, '"', ':')
}

func (c *coder) text(name string, field *string) {
	if c.reading {
		if c.takes(name) {
			text, ok := jsonscan.String(c.value())
			*field = text
			c.got(name, ok)
		}
		return
	}
	if *field != "" {
		c.name(name)
		c.out = appendText(c.out, *field)
	}
}

// requiredText codes a text that is written also when it is empty.
func (c *coder) requiredText(name string, field *string) {
	if c.reading {
		if c.takes(name) {
			text, ok := jsonscan.String(c.value())
			*field = text
			c.got(name, ok)
		}
		return
	}
	c.name(name)
	c.out = appendText(c.out, *field)
}

func (c *coder) integer(name string, field *int64) {
	if c.reading {
		if c.takes(name) {
			n, ok := jsonscan.Int(c.value())
			*field = n
			c.got(name, ok)
		}
		return
	}
	if *field != 0 {
		c.number(name, *field)
	}
}

// number writes an integer, also 0.
func (c *coder) number(name string, n int64) {
	c.name(name)
	c.out = strconv.AppendInt(c.out, n, 10)
}

// requiredInteger codes an integer that is written also when it is 0.
func (c *coder) requiredInteger(name string, field *int64) {
	if c.reading {
		c.integer(name, field)
		return
	}
	c.number(name, *field)
}

func (c *coder) required(name string, field *int) {
	n := int64(*field)
	c.requiredInteger(name, &n)
	*field = int(n)
}

func (c *coder) count(name string, field *int) {
	n := int64(*field)
	c.integer(name, &n)
	*field = int(n)
}

func (c *coder) moment(name string, field *Moment) {
	n := int64(*field)
	c.integer(name, &n)
	*field = Moment(n)
}

func (c *coder) flag(name string, field *bool) {
	if c.reading {
		if c.takes(name) {
			truth, ok := jsonscan.Bool(c.value())
			*field = truth
			c.got(name, ok)
		}
		return
	}
	if *field {
		c.name(name)
		c.out = append(c.out, "true"...)
	}
}

func (c *coder) time(name string, field *time.Time) {
	if c.reading {
		if c.takes(name) {
			text, _ := jsonscan.Text(c.value())
			t, err := time.Parse(time.RFC3339, string(text))
			*field = t.UTC()
			c.got(name, err == nil)
		}
		return
	}
	if !field.IsZero() {
		c.name(name)
		c.out = append(c.out, '"')
		c.out = field.AppendFormat(c.out, time.RFC3339)
		c.out = append(c.out, '"')
	}
}

func (c *coder) set(name string, field *Set) {
	if c.reading {
		if !c.takes(name) {
			return
		}
		c.fault(c.in.Array(func() error {
			text, ok := jsonscan.String(c.value())
			*field = append(*field, text)
			c.got(name, ok)
			return c.err
		}))
		c.got(name, len(*field) > 0 && sorted(*field, byText))
		return
	}
	if len(*field) == 0 {
		return
	}
	c.name(name)
	for i, text := range *field {
		c.out = append(c.out, "[,"[min(i, 1)])
		c.out = appendText(c.out, text)
	}
	c.out = append(c.out, ']')
}

// object codes a field that is a struct; it is written also when it is empty.
func (c *coder) object(name string, fields func(c *coder)) {
	if c.reading {
		if c.takes(name) {
			c.members(fields)
		}
		return
	}
	c.name(name)
	c.out = append(c.out, '{')
	c.inner = false
	fields(c)
	c.inner = true
	c.out = append(c.out, '}')
}

// list codes a field that is a list of structs in rising order.
func list[T any](c *coder, name string, field *[]T, order func(a, b *T) int, fields func(*T, *coder)) {
	if c.reading {
		if !c.takes(name) {
			return
		}
		c.fault(c.in.Array(func() error {
			var zero T
			*field = append(*field, zero)
			element := &(*field)[len(*field)-1]
			c.members(func(c *coder) { fields(element, c) })
			return c.err
		}))
		c.got(name, len(*field) > 0 && sorted(*field, order))
		return
	}
	if len(*field) == 0 {
		return
	}
	c.name(name)
	for i := range *field {
		c.out = append(c.out, "[,"[min(i, 1)], '{')
		c.inner = false
		fields(&(*field)[i], c)
		c.out = append(c.out, '}')
	}
	c.inner = true
	c.out = append(c.out, ']')
}

// members reads the object at hand into fields. A member that no field takes is
// an error: dropping it would lose facts that a newer version wrote.
func (c *coder) members(fields func(c *coder)) {
	c.fault(c.in.Object(func(key []byte) error {
		c.key = key
		fields(c)
		if c.key != nil && c.err == nil {
			c.err = fmt.Errorf("unknown field %q", key)
		}
		return c.err
	}))
}

// appendText appends s as encoding/json writes it.
func appendText(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // cannot happen: a string always marshals
				quoted = []byte(`""`)
			}
			return append(out, quoted...)
		}
	}
	out = append(out, '"')
	out = append(out, s...)
	return append(out, '"')
}
