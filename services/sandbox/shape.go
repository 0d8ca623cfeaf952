package sandbox

import (
	"maps"
	"slices"
	"strings"
)

// The API versions that the sandbox renders.
const (
	Version20231016 = "2023-10-16"
	VersionBasil    = "2025-03-31.basil"
)

func knownVersion(v string) bool { return v == Version20231016 || v == VersionBasil }

// newerTypes are events that only endpoints of VersionBasil get: before, a card refund announced itself by charge.refunded.
var newerTypes = []string{"refund.created", "refund.updated", "refund.failed", "invoice_payment.paid"}

func sentAt(typ, version string) bool {
	return version == VersionBasil || !slices.Contains(newerTypes, typ)
}

// gone are the fields of 2023-10-16 that basil lacks, and added those that it has beyond, by kind of object.
var (
	gone = map[string][]string{
		"payment_intent": {"invoice"},
		"charge":         {"invoice"},
		"invoice": strings.Fields("application_fee_amount charge discount paid paid_out_of_band payment_intent quote rendering_options subscription " +
			"subscription_details tax total_tax_amounts transfer_data"),
		"line_item":        strings.Fields("amount_excluding_tax plan price proration proration_details subscription subscription_item tax_amounts tax_rates type unit_amount_excluding_tax"),
		"subscription":     {"current_period_end", "current_period_start", "discount"},
		"checkout.session": {"shipping_details"},
	}
	added = map[string]object{
		"invoice":           {"amount_overpaid": int64(0), "automatically_finalizes_at": nil, "total_pretax_credit_amounts": []any{}, "total_taxes": []any{}},
		"line_item":         {"pretax_credit_amounts": []any{}, "taxes": []any{}},
		"subscription":      {"billing_mode": object{"type": "classic"}},
		"subscription_item": {"discounts": []any{}},
		"checkout.session": nulls("permissions presentment_details saved_payment_method_options wallet_options").with(object{
			"adaptive_pricing": object{"enabled": false}, "collected_information": object{"shipping_details": nil},
		}),
	}
)

// render returns a copy of o as an API version shows it, nested objects included.
func render(o object, version string) object {
	if version == VersionBasil {
		return basil(o)
	}
	return o.clone()
}

func basil(o object) object {
	kind := o.str("object")
	out := object{}
	for name, v := range o {
		out[name] = basilValue(v)
	}
	if kind == "item" { // a Checkout line item is called so; it did not change
		return out
	}
	for _, name := range gone[kind] {
		delete(out, name)
	}
	maps.Copy(out, added[kind].clone())
	switch kind {
	case "invoice":
		out["parent"] = nil
		if o["subscription"] != nil {
			out["parent"] = object{"type": "subscription_details", "quote_details": nil, "subscription_details": object{
				"metadata": cloneValue(o.obj("subscription_details").or("metadata", object{})), "subscription": o["subscription"],
			}}
		}
	case "line_item":
		out["parent"], out["pricing"] = basilLine(o)
	case "subscription":
		for _, item := range out.objs("items") {
			item["current_period_end"], item["current_period_start"] = o["current_period_end"], o["current_period_start"]
		}
		out["discounts"] = []any{}
		if d := o.obj("discount"); d != nil {
			out["discounts"] = []any{d.str("id")}
		}
	case "checkout.session":
		if out["discounts"] == nil {
			out["discounts"] = []any{}
		}
	}
	return out
}

func basilValue(v any) any {
	switch v := v.(type) {
	case object:
		return basil(v)
	case []any:
		c := make([]any, len(v))
		for i, item := range v {
			c[i] = basilValue(item)
		}
		return c
	default:
		return v
	}
}

// basilLine is where an invoice's line comes from and what it costs.
func basilLine(o object) (parent, pricing object) {
	price := o.obj("price")
	pricing = object{
		"price_details": object{"price": price["id"], "product": price["product"]}, "type": "price_details",
		"unit_amount_decimal": price["unit_amount_decimal"],
	}
	if o.str("type") == "subscription" {
		return object{"type": "subscription_item_details", "invoice_item_details": nil, "subscription_item_details": object{
			"invoice_item": nil, "proration": false, "proration_details": object{"credited_items": nil},
			"subscription": o["subscription"], "subscription_item": o["subscription_item"],
		}}, pricing
	}
	return object{"type": "invoice_item_details", "subscription_item_details": nil, "invoice_item_details": object{
		"invoice_item": o["invoice_item"], "proration": false, "proration_details": object{"credited_items": nil},
		"subscription": o["subscription"],
	}}, pricing
}
