package jsonscan

// Cursor is a place in a JSON text, for readers that go down several levels and
// want each byte looked at once: Object on nested raw values scans the innermost
// ones again at every level.
//
// The zero Cursor stands before an empty text. Not safe for concurrent use.
type Cursor struct {
	b     []byte
	at    int
	depth int // containers around at
}

// NewCursor stands before the value at the start of b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// Peek returns the first byte of the value at the cursor ('{' for an object,
// '[', '"', 't', 'f', 'n', '-' or a digit), 0 at the end of the text. The value
// itself is not checked and the cursor stays before it.
func (c *Cursor) Peek() byte {
	c.at = skipSpace(c.b, c.at)
	if c.at == len(c.b) {
		return 0
	}
	return c.b[c.at]
}

// Done reports whether nothing but space is left in the text.
func (c *Cursor) Done() bool {
	c.at = skipSpace(c.b, c.at)
	return c.at == len(c.b)
}

// Skip passes over one value, checking its syntax.
func (c *Cursor) Skip() error {
	_, err := c.Raw()
	return err
}

// Raw passes over one value and returns its bytes, which share the text's
// memory. The error is a *SyntaxError.
func (c *Cursor) Raw() ([]byte, error) {
	start := skipSpace(c.b, c.at)
	var end int
	var bad string
	// Most values are strings: no need to keep track of containers.
	if start < len(c.b) && c.b[start] == '"' {
		end, _, bad = skipString(c.b, start)
	} else {
		end, bad = skipValue(c.b, start, c.depth)
	}
	if bad != "" {
		return nil, &SyntaxError{Offset: end, Reason: bad}
	}
	c.at = end
	return c.b[start:end:end], nil
}

// Object walks the members of the object at the cursor. f finds the cursor
// before the value of key (unescaped) and may pass over that value with Raw,
// Skip, Object or Array; a value it leaves alone is skipped. After an error the
// cursor's place is unspecified. The error is f's own, or a *SyntaxError.
func (c *Cursor) Object(f func(key []byte) error) error {
	if err := c.open('{', reasonNoObject); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := c.next('}', first)
		if err != nil || !more {
			return err
		}
		key, err := c.key()
		if err != nil {
			return err
		}
		before := c.at
		if err := f(key); err != nil {
			return err
		}
		if c.at == before {
			if err := c.Skip(); err != nil {
				return err
			}
		}
	}
}

// Array walks the elements of the array at the cursor; see Object.
func (c *Cursor) Array(f func() error) error {
	if err := c.open('[', reasonNoArray); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := c.next(']', first)
		if err != nil || !more {
			return err
		}
		c.at = skipSpace(c.b, c.at)
		before := c.at
		if err := f(); err != nil {
			return err
		}
		if c.at == before {
			if err := c.Skip(); err != nil {
				return err
			}
		}
	}
}

// open passes over the first byte of a container.
func (c *Cursor) open(first byte, reason string) error {
	if c.Peek() != first {
		return &SyntaxError{Offset: c.at, Reason: reason}
	}
	if c.depth == MaxDepth {
		return &SyntaxError{Offset: c.at, Reason: reasonDepth}
	}
	c.depth++
	c.at++
	return nil
}

// next stands before the next member or element, or passes over the container's
// last byte and reports false.
func (c *Cursor) next(last byte, first bool) (bool, error) {
	switch c.Peek() {
	case last:
		c.at++
		c.depth--
		return false, nil
	case ',':
		if !first {
			c.at++
			return true, nil
		}
	case 0:
		if c.at == len(c.b) {
			return false, &SyntaxError{Offset: c.at, Reason: reasonEnd}
		}
	}
	if !first {
		return false, &SyntaxError{Offset: c.at, Reason: reasonComma}
	}
	return true, nil
}

// key passes over a member's name and colon and the space behind it.
func (c *Cursor) key() ([]byte, error) {
	start := skipSpace(c.b, c.at)
	end, plain, bad := skipString(c.b, start)
	if bad != "" {
		return nil, &SyntaxError{Offset: end, Reason: bad}
	}
	at := skipSpace(c.b, end)
	if at == len(c.b) || c.b[at] != ':' {
		return nil, &SyntaxError{Offset: at, Reason: reasonColon}
	}
	c.at = skipSpace(c.b, at+1)
	name := c.b[start+1 : end-1 : end-1]
	if !plain {
		name = unescape(name)
	}
	return name, nil
}
