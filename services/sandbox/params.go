package sandbox

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// spec says which parameters an endpoint takes. It is written as text, one parameter a line:
//
//	*mode enum payment|subscription
//	line_items[].price_data.currency str
//
// A leading * means required; [] a list. Types: str [longest], int, bool, enum a|b, meta (metadata), map (any strings),
// strs (a list of strings), range (a number or gt/gte/lt/lte), empty (str that may be empty to clear a value), and no: Stripe
// knows the parameter, the sandbox answers that it does not.
type spec struct {
	typ, arg string
	required bool
	list     bool
	kids     map[string]*spec
	order    []string
}

// parseSpec reads text and adds what all endpoints take.
func parseSpec(text string) *spec {
	root := &spec{kids: map[string]*spec{}}
	for line := range strings.Lines(text + "\nexpand strs\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		path, required := strings.CutPrefix(fields[0], "*")
		at := root
		for name := range strings.SplitSeq(path, ".") {
			name, isList := strings.CutSuffix(name, "[]")
			kid := at.kids[name]
			if kid == nil {
				kid = &spec{kids: map[string]*spec{}, list: isList}
				at.kids[name] = kid
				at.order = append(at.order, name)
			}
			at = kid
		}
		at.typ, at.required = fields[1], required
		if len(fields) > 2 {
			at.arg = fields[2]
		}
	}
	return root
}

// node is a parameter as it was sent.
type node struct {
	value string
	leaf  bool
	kids  map[string]*node
	order []string
}

// parseForm turns a[b][0]=c into a tree.
func parseForm(raw string) (*node, error) {
	root := &node{kids: map[string]*node{}}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			return nil, refuse("", "", "Invalid request (check that your POST content type is application/x-www-form-urlencoded).")
		}
		value, err := url.QueryUnescape(v)
		if err != nil {
			return nil, refuse("", "", "Invalid request (check that your POST content type is application/x-www-form-urlencoded).")
		}
		at := root
		for i, name := range strings.Split(strings.ReplaceAll(key, "]", ""), "[") {
			if name == "" && i > 0 {
				name = strconv.Itoa(len(at.kids))
			}
			kid := at.kids[name]
			if kid == nil {
				kid = &node{kids: map[string]*node{}}
				at.kids[name] = kid
				at.order = append(at.order, name)
			}
			at = kid
		}
		at.value, at.leaf = value, true
	}
	return root, nil
}

// read checks n against s and returns the values by name.
func (s *spec) read(n *node, path string) (object, error) {
	out := object{}
	for _, name := range n.order {
		kid, at := s.kids[name], join(path, name)
		if kid == nil {
			return nil, refuse("parameter_unknown", at, "Received unknown parameter: %s", at)
		}
		v, err := kid.value(n.kids[name], at)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	for _, name := range s.order {
		if s.kids[name].required && !out.has(name) {
			return nil, refuse("parameter_missing", join(path, name), "Missing required param: %s.", join(path, name))
		}
	}
	return out, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "[" + name + "]"
}

func (s *spec) value(n *node, at string) (any, error) {
	switch {
	case s.typ == "no":
		return nil, unsupported(at, "parameter %s", at)
	case s.list:
		return s.items(n, at)
	case len(s.kids) > 0 && s.typ == "":
		if n.leaf {
			return nil, refuse("", at, "Invalid object")
		}
		return s.read(n, at)
	case s.typ == "meta" || s.typ == "map":
		return s.strings(n, at)
	case s.typ == "strs":
		return stringList(n), nil
	case s.typ == "range":
		return timeRange(n, at)
	case !n.leaf:
		return nil, refuse("", at, "Invalid string: %s", at)
	}
	return s.scalar(n.value, at)
}

func (s *spec) items(n *node, at string) (any, error) {
	if n.leaf && n.value == "" {
		return []any{}, nil
	}
	if n.leaf {
		return nil, refuse("", at, "Invalid array")
	}
	var all []any
	for _, index := range n.order {
		item, err := s.read(n.kids[index], join(at, index))
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

func (s *spec) scalar(v, at string) (any, error) {
	if v == "" && s.typ != "empty" {
		return nil, refuse("parameter_invalid_empty", at, "You passed an empty string for '%s'. We assume empty values are an attempt to unset a parameter; however '%s' cannot be unset. You should remove '%s' from your request or supply a non-empty value.", at, at, at)
	}
	switch s.typ {
	case "int":
		number, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, refuse("parameter_invalid_integer", at, "Invalid integer: %s", v)
		}
		return number, nil
	case "bool":
		if v != "true" && v != "false" {
			return nil, refuse("", at, "Invalid boolean: %s", v)
		}
		return v == "true", nil
	case "enum":
		allowed := strings.Split(s.arg, "|")
		if !slices.Contains(allowed, v) {
			return nil, refuse("", at, "Invalid %s: must be one of %s", at, strings.Join(allowed, ", "))
		}
		return v, nil
	}
	if longest, err := strconv.Atoi(s.arg); err == nil && len([]rune(v)) > longest {
		return nil, refuse("parameter_invalid_string_too_long", at, "Invalid string: %s...; must be at most %d characters", string([]rune(v)[:20]), longest)
	}
	return v, nil
}

// Limits of metadata (Stripe docs, "Metadata").
const (
	metadataKeys  = 50
	metadataKey   = 40
	metadataValue = 500
)

func (s *spec) strings(n *node, at string) (any, error) {
	out := object{}
	if n.leaf {
		return out.with(object{"_cleared": true}), nil
	}
	for _, name := range n.order {
		kid := n.kids[name]
		if s.typ == "meta" {
			switch {
			case !kid.leaf:
				return nil, refuse("", at, "Metadata values must be strings, but for key '%s' you passed in a value of type object.", name)
			case len([]rune(name)) > metadataKey:
				return nil, refuse("", at, "Metadata keys can have up to %d characters. You passed in a key with %d characters. Invalid key: %s", metadataKey, len([]rune(name)), name)
			case len([]rune(kid.value)) > metadataValue:
				return nil, refuse("", join(at, name), "Metadata values can have up to %d characters, but you passed in a value that is %d characters. Invalid value: %s...", metadataValue, len([]rune(kid.value)), string([]rune(kid.value)[:40]))
			}
		}
		out[name] = kid.value
	}
	if s.typ == "meta" && len(out) > metadataKeys {
		return nil, refuse("", at, "Metadata can have up to %d keys. You passed in %d keys.", metadataKeys, len(out))
	}
	return out, nil
}

func stringList(n *node) []any {
	if n.leaf {
		return []any{n.value}
	}
	all := make([]any, 0, len(n.order))
	for _, name := range n.order {
		all = append(all, n.kids[name].value)
	}
	return all
}

func timeRange(n *node, at string) (any, error) {
	if n.leaf {
		v, err := strconv.ParseInt(n.value, 10, 64)
		if err != nil {
			return nil, refuse("parameter_invalid_integer", at, "Invalid integer: %s", n.value)
		}
		return object{"gte": v, "lte": v}, nil
	}
	out := object{}
	for _, name := range n.order {
		v, err := strconv.ParseInt(n.kids[name].value, 10, 64)
		if err != nil || !slices.Contains([]string{"gt", "gte", "lt", "lte"}, name) {
			return nil, refuse("parameter_unknown", join(at, name), "Received unknown parameter: %s", join(at, name))
		}
		out[name] = v
	}
	return out, nil
}

// within reports whether at lies in a range that timeRange made.
func within(r object, at int64) bool {
	for name, ok := range map[string]func(limit int64) bool{
		"gt": func(l int64) bool { return at > l }, "gte": func(l int64) bool { return at >= l },
		"lt": func(l int64) bool { return at < l }, "lte": func(l int64) bool { return at <= l },
	} {
		if r.has(name) && !ok(r.int(name)) {
			return false
		}
	}
	return true
}

// mergeMetadata applies an update: an empty value removes its key, an empty parameter removes all.
func mergeMetadata(old, update object) object {
	out := object{}
	if !update.bool("_cleared") {
		out = old.clone()
	}
	for name, v := range update {
		switch {
		case name == "_cleared":
		case v == "":
			delete(out, name)
		default:
			out[name] = v
		}
	}
	return out
}

// strsOf is a strs parameter as strings.
func strsOf(v any) []string {
	items, _ := v.([]any)
	all := make([]string, 0, len(items))
	for _, item := range items {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
