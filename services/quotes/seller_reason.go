package quotes

import (
	"regexp"
	"strconv"
	"strings"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
)

// told is a sentence for a person. English is the rule's own words where Text is
// a translation of them (R1).
type told struct{ Text, English string }

// codeTexts are the reasons in other words for the translation. The English page
// shows the rule's own, which name the line and the limit.
var codeTexts = map[string]text{
	quote.CodeMissing:       text("This is required."),
	quote.CodeType:          text("This must be a whole number."),
	quote.CodeRange:         text("This number is out of range."),
	quote.CodeText:          text("This text is too long or has characters that cannot be printed."),
	quote.CodeChoice:        text("Choose one of the values offered."),
	quote.CodeCurrency:      text("Enter a currency code of three letters, such as EUR."),
	quote.CodeEmail:         text("Enter an e-mail address such as name@example.com."),
	quote.CodeTimeZone:      text("Enter a time zone such as Europe/Warsaw."),
	quote.CodeExpiry:        text("Enter a date such as 2026-12-31."),
	quote.CodeDiscount:      text("Enter a discount above zero: an amount up to the sum of the lines, or a percentage up to 100 such as 12.5."),
	quote.CodeLineDiscount:  text("The discount is above the line's price."),
	quote.CodeOverflow:      text("This amount is too large."),
	quote.CodePublished:     text("The quote is published. Recall it, edit it, and publish it again: the customer then gets a new revision."),
	quote.CodeNotPublished:  text("The quote is not published, so there is nothing to recall."),
	quote.CodePaid:          text("A payment of this quote is settled, so it stays as it is."),
	quote.CodeInFlight:      text("A payment of this quote is in flight; wait until it has succeeded or failed."),
	quote.CodeExpiryPassed:  text("The quote's expiry has passed; set a later one."),
	quote.CodeNoLines:       text("The quote has no line items; add one."),
	quote.CodeVersionsSpent: text("The quote has the most versions a quote may have; create another one."),

	quote.CodePlan:              text("Your plan does not include Stripe on quotes."),
	quote.CodeNotConnected:      text("No Stripe account is connected. Connect one, then turn the switch on."),
	quote.CodeNotActivated:      text("The Stripe account is not activated: it cannot take payments yet. Finish its activation at Stripe."),
	quote.CodeDeauthorized:      text("The Stripe account has withdrawn its authorization. Connect it again."),
	quote.CodeZeroLine:          text("A line has a net price of zero. Give it a price or remove it."),
	quote.CodeBelowMinimum:      text("The total is below the least that Stripe charges in this currency."),
	quote.CodeAboveMaximum:      text("The total is above the most that Stripe charges in this currency."),
	quote.CodeZeroTotal:         text("The total is zero, which only a quote discount may make it."),
	quote.CodeMixedFrequencies:  text("All recurring lines must have one billing frequency."),
	quote.CodeContractTerm:      text("A line states a contract term. A subscription at Stripe runs until it is cancelled; remove the term."),
	quote.CodeTooManyLines:      text("The quote has more lines than Stripe takes."),
	quote.CodeAmountStep:        text("An amount is smaller than the smallest unit of the currency."),
	quote.CodeThreeDSecure:      text("The quote is not 3-D Secure compatible; some payments may fail under PSD2."),
	quote.CodeTaxOnRecurring:    text("The tax applies to the first charge only. To tax every period, put the tax into the prices of the recurring lines."),
	quote.CodeDiscountRecurring: text("The discount comes off every charge, also off those of later periods."),
	quote.CodeDiscountOnce:      text("The discount applies to the first charge only. To discount every period, lower the prices of the recurring lines."),
	seller.CodeNoSeat:           text("Only users with a paid sales seat may connect or disconnect a Stripe account."),
	seller.CodeNotActivated:     text("The Stripe account is not activated: it cannot take payments yet. Finish its activation at Stripe, then connect it."),
	seller.CodeWrongMode:        text("The Stripe account was connected in another mode, test or live, than this system is in."),
	codeStateInvalid:            text("This answer from Stripe does not belong to an authorization that you started here in the last ten minutes. Nothing was connected. Start again."),
	codeDefinedDifferently:      text("The two sides define this currency differently, so quotes in it cannot be paid by Stripe."),
	codeNotSupported:            text("Stripe does not support this currency."),
}

// The codes of the excluded currencies, as the built-in policy file has them.
const (
	codeDefinedDifferently = "currency_defined_differently"
	codeNotSupported       = "currency_not_supported"
)

// reason is a rule's reason for a person to read.
func (v view) reason(r quote.Reason) told {
	detail := r.Detail
	if name, rest, ok := named(r); ok {
		detail = name + " " + rest
	}
	if key, ok := codeTexts[r.Code]; ok && v.Lang != langEnglish {
		return told{Text: v.T(key), English: detail}
	}
	return told{Text: detail}
}

var englishView = view{Lang: langEnglish}

// named parts the detail of a structural reason, which begins with the field's
// place in the document, into the input's name and the rest.
func named(r quote.Reason) (name, rest string, ok bool) {
	input := inputName(r.Field)
	if _, member, ok := cutLine(input); ok {
		input = member
	}
	name = englishView.T(inputLabels[input])
	rest, ok = strings.CutPrefix(r.Detail, r.Field+" ")
	return name, rest, ok && name != ""
}

// tell is everything that a problem says.
func (v view) tell(p *problem) []told {
	lines := make([]told, 0, max(1, len(p.Reasons)))
	for _, r := range p.Reasons {
		lines = append(lines, v.reason(r))
	}
	if len(lines) == 0 {
		lines = append(lines, told{Text: p.Detail})
	}
	return lines
}

var recurringMember = regexp.MustCompile(`^(line_items\[\d+\])(\.recurring)?(\..+)?$`)

// inputName is the input of the editor in which a field of the document is typed.
func inputName(field string) string {
	switch {
	case field == "deal":
		return "deal.id"
	case field == "owner" || field == "contact":
		return field + ".email"
	case field == "discount.duration":
		return field
	case strings.HasPrefix(field, "discount"):
		return "discount.value"
	case field == "tax":
		return "tax.amount"
	case field == "payment":
		return "payment.stripe"
	}
	m := recurringMember.FindStringSubmatch(field)
	switch {
	case m == nil:
		return field
	case m[3] != "":
		return m[1] + m[3]
	case m[2] != "":
		return m[1] + ".interval"
	default:
		return m[1] + ".name"
	}
}

// inputLabels name the inputs; those of a line by their last part.
var inputLabels = map[string]text{
	"title": text("Title"), "deal.id": text("Deal ID"), "deal.name": text("Deal name"), "currency": text("Currency"), "expires_at": text("Valid until"),
	"owner.name": text("Owner's name"), "owner.email": text("Owner's e-mail"), "owner.time_zone": text("Time zone"),
	"contact.company": text("Company"), "contact.first_name": text("First name"), "contact.last_name": text("Last name"), "contact.email": text("Customer's e-mail"),
	"line_items": text("Line items"), ".name": text("Name"), ".quantity": text("Quantity"), ".unit_amount": text("Unit price"),
	".discount_amount": text("Line discount"), ".interval": text("Billed"), ".interval_count": text("Every"), ".term": text("Contract term"),
	"discount.kind": text("Quote discount"), "discount.value": text("Amount or percentage"), "discount.duration": text("Applies to"),
	"tax.name": text("Name of the tax"), "tax.amount": text("Tax amount"),
	"payment.stripe": text("Use connected Stripe account"), "payment.three_d_secure": text("3-D Secure"),
}

// label names an input; one of a line with the line's number.
func label(v view, input string) string {
	if line, member, ok := cutLine(input); ok {
		return v.T("Line %d", line+1) + ": " + v.T(inputLabels[member])
	}
	if key, ok := inputLabels[input]; ok {
		return v.T(key)
	}
	return ""
}

// cutLine parts the name of a line's input: line_items[2].name is 2 and .name.
func cutLine(input string) (int, string, bool) {
	rest, ok := strings.CutPrefix(input, "line_items[")
	number, member, cut := strings.Cut(rest, "]")
	n, err := strconv.Atoi(number)
	return n, member, ok && cut && err == nil
}
