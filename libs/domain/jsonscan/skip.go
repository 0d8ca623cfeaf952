package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// Reasons of a SyntaxError. An empty reason means no error.
const (
	reasonEnd      = "unexpected end"
	reasonValue    = "no value"
	reasonNumber   = "malformed number"
	reasonString   = "no string"
	reasonControl  = "control character in string"
	reasonEscape   = "malformed escape"
	reasonColon    = "no colon after key"
	reasonComma    = "no comma or end of container"
	reasonDepth    = "nested too deeply"
	reasonNoObject = "no object"
	reasonNoArray  = "no array"
)

// nest remembers which of the containers around the place are objects: one bit
// a level, the innermost 64 in a word, the others (which no honest event has)
// on the heap.
type nest struct {
	word  uint64
	depth int
	outer []uint64
}

func (n *nest) push(object bool) {
	if n.depth > 0 && n.depth%64 == 0 {
		n.outer = append(n.outer, n.word)
	}
	n.word <<= 1
	if object {
		n.word |= 1
	}
	n.depth++
}

func (n *nest) pop() {
	n.word >>= 1
	n.depth--
	if last := len(n.outer) - 1; last >= 0 && n.depth%64 == 0 {
		n.word = n.outer[last]
		n.outer = n.outer[:last]
	}
}

func (n *nest) inObject() bool { return n.word&1 == 1 }

// skipValue passes over the value that begins at b[i], where around containers
// are open already. It returns the index behind the value, or the place and
// reason of the first fault.
func skipValue(b []byte, i, around int) (end int, bad string) {
	var open nest
	for {
		if i >= len(b) {
			return i, reasonEnd
		}
		switch c := b[i]; c {
		case '{', '[':
			if around+open.depth >= MaxDepth {
				return i, reasonDepth
			}
			i = skipSpace(b, i+1)
			if i < len(b) && b[i] == c+2 { // '}' is '{'+2, ']' is '['+2
				i++
				break
			}
			open.push(c == '{')
			if c == '{' {
				if i, bad = skipKey(b, i); bad != "" {
					return i, bad
				}
			}
			continue
		case '"':
			if i, _, bad = skipString(b, i); bad != "" {
				return i, bad
			}
		default:
			if i, bad = skipScalar(b, i); bad != "" {
				return i, bad
			}
		}
		if open.depth == 0 {
			return i, ""
		}
		if i, bad = closeContainers(b, i, &open); bad != "" || open.depth == 0 {
			return i, bad
		}
	}
}

// closeContainers stands behind a value inside a container: it passes over the
// ends of all containers that end here and, unless the outermost did, over the
// comma and key before the next value.
func closeContainers(b []byte, i int, open *nest) (at int, bad string) {
	for {
		i = skipSpace(b, i)
		if i >= len(b) {
			return i, reasonEnd
		}
		object := open.inObject()
		switch {
		case b[i] == ',':
			i = skipSpace(b, i+1)
			if object {
				return skipKey(b, i)
			}
			return i, ""
		case object && b[i] == '}', !object && b[i] == ']':
			i++
			open.pop()
			if open.depth == 0 {
				return i, ""
			}
		default:
			return i, reasonComma
		}
	}
}

// skipKey passes over a key, its colon and the space behind it.
func skipKey(b []byte, i int) (at int, bad string) {
	if i, _, bad = skipString(b, i); bad != "" {
		return i, bad
	}
	i = skipSpace(b, i)
	if i >= len(b) {
		return i, reasonEnd
	}
	if b[i] != ':' {
		return i, reasonColon
	}
	return skipSpace(b, i+1), ""
}

// skipSpace returns the index of the first byte from i on that is no space.
// Stripe sends its events indented, so runs of spaces are taken eight at a time.
func skipSpace(b []byte, i int) int {
	for i < len(b) {
		switch c := b[i]; {
		case c > ' ':
			return i
		case c == ' ' && i+8 <= len(b):
			other := binary.LittleEndian.Uint64(b[i:]) ^ ones*' '
			i += bits.TrailingZeros64(other) / 8 // 8 when all are spaces
		case c == ' ', c == '\n', c == '\t', c == '\r':
			i++
		default:
			return i
		}
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipString passes over the string that begins at b[i]. plain means that its
// bytes are its contents: no escape and nothing beyond ASCII.
func skipString(b []byte, i int) (end int, plain bool, bad string) {
	if i >= len(b) {
		return i, false, reasonEnd
	}
	if b[i] != '"' {
		return i, false, reasonString
	}
	plain = true
	for i++; i < len(b); {
		// Eight bytes at a time up to the first quote, backslash or control
		// character. A borrow can mark a byte falsely only above a true mark,
		// so the lowest mark is exact.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			if w&highs != 0 {
				plain = false
			}
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			mark := ((w - ones*0x20) & ^w) | ((quote - ones) & ^quote) | ((slash - ones) & ^slash)
			if mark &= highs; mark != 0 {
				i += bits.TrailingZeros64(mark) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, plain, ""
		case c < 0x20:
			return i, false, reasonControl
		case c == '\\':
			plain = false
			if i, bad = skipEscape(b, i); bad != "" {
				return i, false, bad
			}
		default:
			if c >= 0x80 {
				plain = false
			}
			i++
		}
	}
	return i, false, reasonEnd
}

// skipEscape passes over the escape at b[i], a backslash.
func skipEscape(b []byte, i int) (end int, bad string) {
	if i+1 >= len(b) {
		return len(b), reasonEnd
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
		if i+6 > len(b) {
			return len(b), reasonEnd
		}
		if _, ok := hex4(b[i+2 : i+6]); ok {
			return i + 6, ""
		}
	}
	return i, reasonEscape
}

// skipScalar passes over a number, true, false or null.
func skipScalar(b []byte, i int) (end int, bad string) {
	var word string
	switch b[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	default:
		return skipNumber(b, i)
	}
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, reasonValue
	}
	return i + len(word), ""
}

// skipNumber passes over a number.
func skipNumber(b []byte, i int) (end int, bad string) {
	start := i
	if b[i] == '-' {
		i++
	}
	digits := skipDigits(b, i)
	if digits == i {
		if i == start {
			return i, reasonValue
		}
		return i, reasonNumber
	}
	if b[i] == '0' && digits > i+1 {
		return i + 1, reasonNumber
	}
	i = digits
	if i < len(b) && b[i] == '.' {
		if digits = skipDigits(b, i+1); digits == i+1 {
			return digits, reasonNumber
		}
		i = digits
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if digits = skipDigits(b, i); digits == i {
			return i, reasonNumber
		}
		i = digits
	}
	return i, ""
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
