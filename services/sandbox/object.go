package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// object is a Stripe object as the sandbox keeps it: in the shape of 2023-10-16, numbers as int64. Fields whose name begins
// with "_" are the sandbox's own and are never rendered.
type object map[string]any

func (o object) str(name string) string {
	s, _ := o[name].(string)
	return s
}

func (o object) int(name string) int64 {
	n, _ := o[name].(int64)
	return n
}

func (o object) bool(name string) bool {
	b, _ := o[name].(bool)
	return b
}

func (o object) has(name string) bool {
	_, ok := o[name]
	return ok
}

// obj is the nested object name, or an empty one that may be read and not written.
func (o object) obj(name string) object {
	nested, _ := o[name].(object)
	return nested
}

// objs is the list name, or the data of the Stripe list under that name.
func (o object) objs(name string) []object {
	list, ok := o[name].([]any)
	if !ok {
		list, _ = o.obj(name)["data"].([]any)
	}
	all := make([]object, 0, len(list))
	for _, item := range list {
		if nested, ok := item.(object); ok {
			all = append(all, nested)
		}
	}
	return all
}

// or is the value of name, or fallback when it is not there.
func (o object) or(name string, fallback any) any {
	if v, ok := o[name]; ok {
		return v
	}
	return fallback
}

func (o object) with(other object) object {
	c := maps.Clone(o)
	maps.Copy(c, other)
	return c
}

func (o object) without(names ...string) object {
	c := maps.Clone(o)
	for _, name := range names {
		delete(c, name)
	}
	return c
}

// clone copies everything, so that later changes of o do not show in the copy.
func (o object) clone() object {
	c := make(object, len(o))
	for name, v := range o {
		c[name] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case object:
		return v.clone()
	case []any:
		c := make([]any, len(v))
		for i, item := range v {
			c[i] = cloneValue(item)
		}
		return c
	default:
		return v
	}
}

// changed holds the earlier values of the fields of before that differ in o; it is what previous_attributes says.
func (o object) changed(before object) object {
	previous := object{}
	for name, v := range o {
		if old := before[name]; !strings.HasPrefix(name, "_") && !reflect.DeepEqual(old, v) {
			previous[name] = old
		}
	}
	return previous
}

// list is a Stripe list with all its items inline.
func list(url string, items []object) object {
	return object{"object": "list", "data": anys(items), "has_more": false, "url": url}
}

func anys[T any](items []T) []any {
	all := make([]any, len(items))
	for i, item := range items {
		all[i] = item
	}
	return all
}

// nulls is an object whose named fields are all null.
func nulls(names string) object {
	o := object{}
	for name := range strings.FieldsSeq(names) {
		o[name] = nil
	}
	return o
}

// nilIfEmpty is null for the empty string, as Stripe has it.
func nilIfEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// MarshalJSON renders id and object first, then the other fields by name, without the sandbox's own.
func (o object) MarshalJSON() ([]byte, error) {
	var first, rest []string
	for name := range o {
		switch {
		case name == "id" || name == "object":
			first = append(first, name)
		case !strings.HasPrefix(name, "_"):
			rest = append(rest, name)
		}
	}
	slices.Sort(first)
	slices.Sort(rest)
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range append(first, rest...) {
		if i > 0 {
			b.WriteByte(',')
		}
		value, err := encode(o[name])
		if err != nil {
			return nil, fmt.Errorf("encode field %s: %w", name, err)
		}
		fmt.Fprintf(&b, "%q:%s", name, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is json.Marshal without the escapes for HTML, which Stripe does not use.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// body renders v as Stripe renders its answers and webhooks, with an indent of two spaces.
func body(v any) ([]byte, error) {
	flat, err := encode(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, flat, "", "  "); err != nil {
		return nil, fmt.Errorf("indent JSON: %w", err)
	}
	return b.Bytes(), nil
}
