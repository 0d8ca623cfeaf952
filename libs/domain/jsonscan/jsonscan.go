// Package jsonscan reads a JSON text where it lies: no tree, no reflection, no
// allocation, no recursion, and no input, however hostile, makes it panic.
//
// Its one job is to find a few values in a body that somebody else composed:
// ingress peeks at id, type and account of an event before storing it, and
// package stripeevent picks the facts out of the rest. It does not build or
// write JSON, does not map JSON onto structs, and does not read floats.
//
// What it accepts is exactly what encoding/json accepts: RFC 8259 with at most
// MaxDepth levels, invalid UTF-8 inside strings read as U+FFFD. Unlike
// encoding/json it compares keys with their case, as Stripe's other libraries
// do: "Type" after "type" does not override it.
//
// All functions are safe for concurrent use on the same bytes as long as nobody
// writes to them. A value that a function hands out shares memory with its
// input.
package jsonscan

import "strconv"

// MaxDepth is the number of nested objects and arrays that are followed; one
// more is a syntax error. It is encoding/json's own limit, so that the two
// agree on every input.
const MaxDepth = 10_000

// SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int    // bytes before the offending one, counted from the start of the text given
	Reason string // constant text, safe for logs: never a piece of the input
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return "json: " + e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// Object walks the members of the object at b, in their order, and calls f with
// each key (unescaped) and its value (raw bytes, without surrounding space).
// A key that occurs twice is reported twice; callers let the last one win, as
// encoding/json does.
//
// What follows the object's end is not looked at. The error is f's own,
// unchanged, or a *SyntaxError when b does not begin with an object or its
// syntax is broken anywhere up to its end; f has seen the members before that
// place by then.
func Object(b []byte, f func(key, value []byte) error) error {
	c := Cursor{b: b}
	return c.Object(func(key []byte) error {
		value, err := c.Raw()
		if err != nil {
			return err
		}
		return f(key, value)
	})
}

// Array walks the elements of the array at b and calls f with each (raw bytes,
// without surrounding space). Errors are as in Object.
func Array(b []byte, f func(value []byte) error) error {
	c := Cursor{b: b}
	return c.Array(func() error {
		value, err := c.Raw()
		if err != nil {
			return err
		}
		return f(value)
	})
}

// Valid reports whether b is one JSON value with nothing but space around it.
func Valid(b []byte) bool {
	c := Cursor{b: b}
	return c.Skip() == nil && c.Done()
}

// String returns the contents of a JSON string with its escapes decoded; false
// when value is anything else.
func String(value []byte) (string, bool) {
	text, ok := Text(value)
	return string(text), ok
}

// Text is String without the copy: the result shares value's memory unless an
// escape or invalid UTF-8 had to be rewritten. Callers must not change it.
func Text(value []byte) ([]byte, bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	end, plain, bad := skipString(value, 0)
	if bad != "" || end != len(value) {
		return nil, false
	}
	if plain {
		return value[1 : end-1], true
	}
	return unescape(value[1 : end-1]), true
}

// Int returns an integer; false when value is not a JSON number, has a fraction
// or an exponent (also 1.0 and 1e0), or does not fit into an int64.
func Int(value []byte) (int64, bool) {
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || (digits[0] == '0' && len(digits) > 1) {
		return 0, false
	}
	negative := len(digits) != len(value)
	var n int64 // kept negative: the negative range is one larger
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n < (minInt64+d)/10 {
			return 0, false
		}
		n = n*10 - d
	}
	if negative {
		return n, true
	}
	return -n, n != minInt64
}

const minInt64 = -1 << 63

// Bool returns a JSON true or false; the second result is false for anything
// else.
func Bool(value []byte) (truth, ok bool) {
	switch string(value) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// IsNull reports whether value is the JSON null.
func IsNull(value []byte) bool { return string(value) == "null" }

// IsObject reports whether value begins an object.
func IsObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// IsArray reports whether value begins an array.
func IsArray(value []byte) bool { return len(value) > 0 && value[0] == '[' }
