package sandbox

import "math/big"

var couponParams = parseSpec(`
id str 500
amount_off int
percent_off str
currency str
duration enum forever|once|repeating
duration_in_months int
name str 40
max_redemptions int
redeem_by int
metadata meta
applies_to no
currency_options no
`)

func couponRoutes() []route {
	const p = "/v1/coupons"
	return []route{
		{"POST " + p, couponParams, createCoupon},
		{"GET " + p, parseSpec(pageSpec + "created range\n"), func(c *call) (any, error) {
			return c.page(c.all("coupon", func(o object) bool { return within(c.p.obj("created"), o.int("created")) }), p)
		}},
		{"GET " + p + "/{id}", parseSpec(""), func(c *call) (any, error) { return c.find("coupon", c.id, "id") }},
		{"POST " + p + "/{id}", parseSpec("name str 40\nmetadata meta\ncurrency_options no"), func(c *call) (any, error) {
			o, err := c.find("coupon", c.id, "id")
			if err != nil {
				return nil, err
			}
			c.change(o, "coupon.updated", func() {
				if c.p.has("name") {
					o["name"] = c.p["name"]
				}
				if c.p.has("metadata") {
					o["metadata"] = mergeMetadata(o.obj("metadata"), c.p.obj("metadata"))
				}
			})
			return o, nil
		}},
		{"DELETE " + p + "/{id}", parseSpec(""), func(c *call) (any, error) {
			o, err := c.find("coupon", c.id, "id")
			if err != nil {
				return nil, err
			}
			o["valid"] = false
			c.emit("coupon.deleted", o)
			delete(c.objects, c.id)
			return object{"id": c.id, "object": "coupon", "deleted": true}, nil
		}},
	}
}

func createCoupon(c *call) (any, error) {
	p := c.p
	off, err := checkCoupon(p)
	if err != nil {
		return nil, err
	}
	id := p.str("id")
	if id == "" {
		id = c.sim.id("", 8)
	}
	if c.objects[id] != nil {
		return nil, refuse("resource_already_exists", "", "Coupon already exists.")
	}
	o := c.add(object{
		"id": id, "object": "coupon", "amount_off": p.or("amount_off", nil), "currency": nil, "duration": p.or("duration", "once"),
		"duration_in_months": p.or("duration_in_months", nil), "max_redemptions": p.or("max_redemptions", nil), "metadata": p.or("metadata", object{}),
		"name": p.or("name", nil), "percent_off": off, "redeem_by": p.or("redeem_by", nil), "times_redeemed": int64(0), "valid": true,
		"_percent": p.str("percent_off"),
	})
	if p.has("amount_off") {
		o["currency"] = p["currency"]
	}
	c.emit("coupon.created", o)
	return o, nil
}

// checkCoupon returns percent_off as the API shows it.
func checkCoupon(p object) (any, error) {
	if p.has("amount_off") == p.has("percent_off") {
		return nil, refuse("parameter_missing", "", "You must pass either percent_off or amount_off, and not both.")
	}
	if (p.str("duration") == "repeating") != p.has("duration_in_months") {
		return nil, refuse("", "duration_in_months", "duration_in_months is required if, and only if, duration is repeating.")
	}
	if p.has("amount_off") {
		if p.int("amount_off") < 1 {
			return nil, refuse("parameter_invalid_integer", "amount_off", "Invalid integer: %d; must be greater than 0", p.int("amount_off"))
		}
		if !p.has("currency") {
			return nil, refuse("parameter_missing", "currency", "You must pass currency when passing amount_off.")
		}
		return nil, checkCurrency(p.str("currency"), "currency")
	}
	percent, ok := new(big.Rat).SetString(p.str("percent_off"))
	if !ok || percent.Sign() <= 0 || percent.Cmp(big.NewRat(100, 1)) > 0 {
		return nil, refuse("", "percent_off", "Invalid percent_off: must be greater than 0 and at most 100.")
	}
	f, _ := percent.Float64()
	return f, nil
}

// discountOf is what a coupon takes off a subtotal, at most all of it.
func discountOf(coupon object, subtotal int64) int64 {
	switch {
	case coupon == nil:
		return 0
	case coupon.str("_percent") != "":
		return percentOf(subtotal, coupon.str("_percent"))
	}
	return min(coupon.int("amount_off"), subtotal)
}

// usable refuses a coupon that cannot be redeemed (any more) for a currency.
func (w *world) usableCoupon(id, currency string) (object, error) {
	const param = "discounts[0][coupon]"
	o, err := w.find("coupon", id, param)
	if err != nil {
		return nil, err
	}
	limit, end := o.int("max_redemptions"), o.int("redeem_by")
	if limit > 0 && o.int("times_redeemed") >= limit || end > 0 && w.now() >= end {
		return nil, refuse("coupon_expired", param, "Coupon expired: %s", id)
	}
	if own := o.str("currency"); own != "" && own != currency {
		return nil, refuse("", param, "The coupon %s cannot be applied: its currency is %s, that of the line items %s.", id, own, currency)
	}
	return o, nil
}
