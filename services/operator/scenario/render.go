package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// object is a Stripe object. It is rendered as Stripe renders one: id and object first, the other fields by name.
type object map[string]any

// list is a Stripe list with all its items inline.
func list(url string, items ...object) object {
	data := make([]any, len(items))
	for i, item := range items {
		data[i] = item
	}
	return object{"object": "list", "data": data, "has_more": false, "total_count": len(items), "url": url}
}

// with returns a copy of o with other's fields added or replaced.
func (o object) with(other object) object {
	c := maps.Clone(o)
	maps.Copy(c, other)
	return c
}

// without returns a copy of o that lacks the named fields.
func (o object) without(names ...string) object {
	c := maps.Clone(o)
	for _, name := range names {
		delete(c, name)
	}
	return c
}

// MarshalJSON renders the fields in Stripe's order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names() {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encode(name)
		if err != nil {
			return nil, err
		}
		value, err := encode(o[name])
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) names() []string {
	var first, rest []string
	for name := range o {
		if name == "id" || name == "object" {
			first = append(first, name)
			continue
		}
		rest = append(rest, name)
	}
	slices.Sort(first)
	slices.Sort(rest)
	return append(first, rest...)
}

// encode is json.Marshal without the escapes for HTML, which Stripe does not use.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// render writes the object with an indent of two spaces, as the bodies of Stripe's webhooks have it.
func (o object) render() ([]byte, error) {
	flat, err := encode(o)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, flat, "", "  "); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
