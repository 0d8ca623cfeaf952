package sandbox

import (
	"slices"
	"strings"
)

// expandable are the fields that hold an id whose object can stand in its place.
var expandable = strings.Fields("balance_transaction charge customer default_payment_method invoice latest_charge latest_invoice payment_intent payment_method product subscription")

// expand puts objects in the place of their ids along path; "data" steps into a list.
func (c *call) expand(o object, path, whole string) error {
	name, rest, deeper := strings.Cut(path, ".")
	if name == "line_items" && o.str("object") == "checkout.session" {
		o[name] = render(lineItems(c.objects[o.str("id")]), c.version)
	}
	switch v := o[name].(type) {
	case []any:
		for _, item := range v {
			if nested, ok := item.(object); ok && deeper {
				if err := c.expand(nested, rest, whole); err != nil {
					return err
				}
			}
		}
		return nil
	case string:
		found := c.objects[v]
		if found == nil || !slices.Contains(expandable, name) {
			return refuse("", "expand[]", "This property cannot be expanded (%s).", whole)
		}
		o[name] = render(found, c.version)
	case nil:
		if !o.has(name) {
			return refuse("", "expand[]", "This property cannot be expanded (%s).", whole)
		}
		return nil
	}
	if nested, ok := o[name].(object); ok && deeper {
		return c.expand(nested, rest, whole)
	}
	return nil
}

// pageSpec are the parameters of every list.
const pageSpec = `
limit int
starting_after str
ending_before str
`

// page answers a list request with the objects, which come newest first.
func (c *call) page(items []object, url string) (any, error) {
	limit := int64(10)
	if c.p.has("limit") {
		limit = c.p.int("limit")
	}
	if limit < 1 || limit > 100 {
		return nil, refuse("", "limit", "Invalid limit: %d; must be between 1 and 100", limit)
	}
	after, before := c.p.str("starting_after"), c.p.str("ending_before")
	if after != "" && before != "" {
		return nil, refuse("", "", "You cannot parameterize both starting_after and ending_before.")
	}
	index := func(id, param string) (int, error) {
		i := slices.IndexFunc(items, func(o object) bool { return o.str("id") == id })
		if i < 0 {
			return 0, refuse("resource_missing", param, "No such object: '%s'", id)
		}
		return i, nil
	}
	var more bool
	switch {
	case before != "":
		i, err := index(before, "ending_before")
		if err != nil {
			return nil, err
		}
		items = items[:i]
		if more = int64(len(items)) > limit; more {
			items = items[int64(len(items))-limit:]
		}
	default:
		if after != "" {
			i, err := index(after, "starting_after")
			if err != nil {
				return nil, err
			}
			items = items[i+1:]
		}
		if more = int64(len(items)) > limit; more {
			items = items[:limit]
		}
	}
	l := list(url, items)
	l["has_more"] = more
	return l, nil
}
