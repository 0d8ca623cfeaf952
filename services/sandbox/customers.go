package sandbox

import (
	"regexp"
	"strings"
	"time"
)

const customerSpec = `
email empty 512
name empty 256
description empty 350
phone empty 20
metadata meta
address map
preferred_locales strs
tax_exempt enum none|exempt|reverse
shipping no
payment_method no
source no
invoice_settings no
test_clock no
coupon no
balance no
tax no
`

func customerRoutes() []route {
	const p = "/v1/customers"
	return []route{
		{"POST " + p, parseSpec(customerSpec), func(c *call) (any, error) {
			if err := checkEmail(c.p.str("email"), "email"); err != nil {
				return nil, err
			}
			return c.newCustomer(c.p), nil
		}},
		{"GET " + p, parseSpec(pageSpec + "email str 512\ncreated range\n"), func(c *call) (any, error) {
			email, filtered := c.p["email"]
			return c.page(c.all("customer", func(o object) bool {
				return !o.bool("_deleted") && (!filtered || o["email"] == email) && within(c.p.obj("created"), o.int("created"))
			}), p)
		}},
		{"GET " + p + "/search", parseSpec("*query str\nlimit int\npage str"), searchCustomers},
		{"GET " + p + "/{id}", parseSpec(""), func(c *call) (any, error) {
			o, err := c.find("customer", c.id, "id")
			if o.bool("_deleted") {
				return object{"id": c.id, "object": "customer", "deleted": true}, nil
			}
			return o, err
		}},
		{"POST " + p + "/{id}", parseSpec(customerSpec), updateCustomer},
		{"DELETE " + p + "/{id}", parseSpec(""), func(c *call) (any, error) {
			o, err := c.liveCustomer(c.id, "id")
			if err != nil {
				return nil, err
			}
			c.emit("customer.deleted", o)
			o["_deleted"] = true
			return object{"id": c.id, "object": "customer", "deleted": true}, nil
		}},
	}
}

var email = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s.]+$`)

func checkEmail(address, param string) error {
	if address != "" && !email.MatchString(address) {
		return refuse("email_invalid", param, "Invalid email address: %s", address)
	}
	return nil
}

// newCustomer makes a customer of the fields of p and tells of it.
func (w *world) newCustomer(p object) object {
	o := w.add(nulls("address currency default_source description discount email name phone shipping test_clock").with(object{
		"id": w.sim.id("cus_", 14), "object": "customer", "balance": int64(0), "delinquent": false, "invoice_prefix": w.sim.id("", 8),
		"invoice_settings":  nulls("custom_fields default_payment_method footer rendering_options"),
		"preferred_locales": []any{}, "tax_exempt": "none", "metadata": object{}, "_indexed": w.sim.now().Add(time.Duration(w.sim.knobs.SearchLag)),
	}))
	for _, name := range strings.Fields("email name description phone address preferred_locales tax_exempt metadata") {
		if v, ok := p[name]; ok && v != "" {
			o[name] = v
		}
	}
	w.emit("customer.created", o)
	return o
}

// liveCustomer is a customer that is not deleted.
func (w *world) liveCustomer(id, param string) (object, error) {
	o, err := w.find("customer", id, param)
	if err == nil && o.bool("_deleted") {
		return nil, missing("customer", id, param)
	}
	return o, err
}

func updateCustomer(c *call) (any, error) {
	o, err := c.liveCustomer(c.id, "id")
	if err != nil {
		return nil, err
	}
	if err := checkEmail(c.p.str("email"), "email"); err != nil {
		return nil, err
	}
	c.change(o, "customer.updated", func() {
		for name, v := range c.p.without("expand", "metadata") {
			if v == "" {
				v = nil
			}
			o[name] = v
		}
		if c.p.has("metadata") {
			o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
		}
	})
	return o, nil
}

// clause is one condition of a search: email:'x', name~"x" or metadata['k']:'v'.
var clause = regexp.MustCompile(`^\s*(?:(email|name|phone)|metadata\[['"]([^'"]+)['"]\])\s*([:~])\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*`)

// searchCustomers finds what the index knows: customers appear in it only after the lag that the knob search_lag sets.
func searchCustomers(c *call) (any, error) {
	var tests []func(object) bool
	for rest := c.p.str("query"); ; {
		m := clause.FindStringSubmatch(rest)
		if m == nil {
			return nil, refuse("", "query", "We were unable to parse your search query. The sandbox reads email, name, phone and metadata, joined by AND.")
		}
		tests = append(tests, condition(m))
		rest = rest[len(m[0]):]
		if rest == "" {
			break
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "AND "); !ok {
			return nil, refuse("", "query", "We were unable to parse your search query. The sandbox reads email, name, phone and metadata, joined by AND.")
		}
	}
	now := c.sim.now()
	found := c.all("customer", func(o object) bool {
		indexed, _ := o["_indexed"].(time.Time)
		for _, test := range tests {
			if !test(o) {
				return false
			}
		}
		return !o.bool("_deleted") && !indexed.After(now)
	})
	if c.p.has("page") {
		return nil, unsupported("page", "pages of search results")
	}
	l, err := c.page(found, "/v1/customers/search")
	if o, ok := l.(object); ok {
		o["object"], o["next_page"] = "search_result", nil
	}
	return l, err
}

func condition(m []string) func(object) bool {
	want := strings.ToLower(m[4] + m[5])
	return func(o object) bool {
		got := o.str(m[1])
		if m[2] != "" {
			got = o.obj("metadata").str(m[2])
		}
		got = strings.ToLower(got)
		if m[3] == "~" {
			return strings.Contains(got, want)
		}
		return got == want
	}
}
