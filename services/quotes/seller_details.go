package quotes

import (
	"errors"
	"net/url"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// group is a part of a form under one heading.
type group struct {
	Legend, Hint string
	Fields       []field
}

// detailValues are what the step "details" shows of a document.
func detailValues(d quote.Document) url.Values {
	return url.Values{
		"title": {d.Title}, "deal.id": {d.Deal.ID}, "deal.name": {d.Deal.Name}, "currency": {strings.ToUpper(d.Currency)}, "expires_at": {d.ExpiresAt},
		"owner.name": {d.Owner.Name}, "owner.email": {d.Owner.Email}, "owner.time_zone": {d.Owner.TimeZone},
		"contact.company": {d.Contact.Company}, "contact.first_name": {d.Contact.FirstName}, "contact.last_name": {d.Contact.LastName},
		"contact.email": {d.Contact.Email},
	}
}

// detailGroups are the inputs of the step.
func (f form) detailGroups() []group {
	expiry := field{Name: "expires_at", Kind: "date", Hint: f.T("The quote can be paid until the end of that day in the owner's time zone. Leave it empty for no end.")}
	if value := f.values.Get("expires_at"); value != "" && len(value) != len("2006-01-02") {
		expiry.Kind = "text" // a time of day, which the API can set
	}
	return []group{
		{Legend: f.T("The quote"), Fields: []field{
			f.put(field{Name: "title", Kind: "text", Required: true, Class: "wide", Hint: f.T("The customer sees it at the top of the quote.")}),
			f.put(field{Name: "deal.id", Kind: "text", Required: true, Hint: f.T("The record of your CRM that the quote belongs to.")}),
			f.put(field{Name: "deal.name", Kind: "text"}),
			f.put(field{Name: "currency", Kind: "text", Required: true, List: "currencies", Auto: "off", Hint: f.T("Three letters, such as EUR. Amounts stay as they are written when you change it.")}),
			f.put(expiry),
		}},
		{Legend: f.T("Owner"), Hint: f.T("Who of your people is in charge. The owner gets the mail when the quote is paid; all dates are shown in the owner's time zone."), Fields: []field{
			f.put(field{Name: "owner.name", Kind: "text", Auto: "name"}),
			f.put(field{Name: "owner.email", Kind: "email", Required: true, Auto: "email"}),
			f.put(field{Name: "owner.time_zone", Kind: "text", Required: true, List: "zones", Auto: "off", Hint: f.T("Such as Europe/Warsaw.")}),
		}},
		{Legend: f.T("Customer"), Hint: f.T("Who gets the quote. Stripe's customer is made from this when the quote is paid, if there is none with this e-mail address."), Fields: []field{
			f.put(field{Name: "contact.company", Kind: "text", Auto: "off"}),
			f.put(field{Name: "contact.email", Kind: "email", Required: true, Auto: "off"}),
			f.put(field{Name: "contact.first_name", Kind: "text", Auto: "off"}),
			f.put(field{Name: "contact.last_name", Kind: "text", Auto: "off"}),
		}},
	}
}

// detailPatch is the merge patch that the step makes of what was typed.
func detailPatch(values url.Values) map[string]any {
	patch := map[string]any{"title": typed(values, "title"), "expires_at": typed(values, "expires_at"), "currency": nil}
	if currency, ok := typed(values, "currency").(string); ok {
		patch["currency"] = strings.ToLower(currency)
	}
	for _, name := range []string{"deal.id", "deal.name", "owner.name", "owner.email", "owner.time_zone", "contact.company", "contact.first_name", "contact.last_name", "contact.email"} {
		object, member, _ := strings.Cut(name, ".")
		members, ok := patch[object].(map[string]any)
		if !ok {
			members = map[string]any{}
			patch[object] = members
		}
		members[member] = typed(values, name)
	}
	return patch
}

// changeDetails applies the step to a document. Another currency keeps the
// amounts as they are written.
func (v view) changeDetails(d quote.Document, values url.Values) (quote.Document, error) {
	var faults []fault
	patch := detailPatch(values)
	if currency, ok := patch["currency"].(string); ok && currency != d.Currency && quote.CurrencyCode(currency) {
		moved, err := d.InCurrency(currency)
		switch {
		case errors.Is(err, quote.ErrFraction):
			faults = append(faults, fault{"currency", label(v, "currency"), told{Text: v.T("An amount of this quote has more decimals than %s has. Change the amounts first.", strings.ToUpper(currency))}})
		case err != nil:
			faults = append(faults, fault{"currency", label(v, "currency"), told{Text: v.T("An amount of this quote is too large for %s. Change the amounts first.", strings.ToUpper(currency))}})
		default:
			d = moved
		}
	}
	return v.apply(d, patch, faults)
}

// Suggestions for two inputs; anything else that is valid may be typed too.
var (
	someCurrencies = []string{"EUR", "USD", "GBP", "PLN", "CHF", "SEK", "NOK", "DKK", "CZK", "CAD", "AUD", "NZD", "JPY", "SGD", "HKD", "BRL", "MXN", "INR", "ZAR", "AED"}
	someZones      = []string{
		"UTC", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Madrid", "Europe/Paris", "Europe/Brussels", "Europe/Amsterdam", "Europe/Berlin",
		"Europe/Zurich", "Europe/Rome", "Europe/Vienna", "Europe/Prague", "Europe/Warsaw", "Europe/Stockholm", "Europe/Oslo", "Europe/Copenhagen", "Europe/Helsinki",
		"Europe/Athens", "Europe/Kyiv", "Europe/Istanbul", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto",
		"America/Vancouver", "America/Mexico_City", "America/Sao_Paulo", "Africa/Johannesburg", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore", "Asia/Hong_Kong",
		"Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland",
	}
)
