package quotes

import (
	"net/url"

	"quittance.internal/libs/domain/quote"
)

// paymentValues are what the step "signature and payment" shows of a document.
func paymentValues(d quote.Document) url.Values {
	v := url.Values{"payment.stripe": {""}, "payment.three_d_secure": {""}}
	if d.Payment.Stripe {
		v.Set("payment.stripe", "on")
	}
	if secure := d.Payment.ThreeDSecure; secure != nil {
		v.Set("payment.three_d_secure", "no")
		if *secure {
			v.Set("payment.three_d_secure", "yes")
		}
	}
	return v
}

// changePayment applies the step to a document. The switch can be turned on only
// for a seller and a currency that can be paid (R14, R51); one that is on already
// stays on, and Publish says what is wrong then.
func (s *Service) changePayment(v view, d quote.Document, values url.Values, payee quote.Payee) (quote.Document, error) {
	options := map[string]any{"stripe": values.Get("payment.stripe") == "on", "three_d_secure": nil}
	switch values.Get("payment.three_d_secure") {
	case "yes":
		options["three_d_secure"] = true
	case "no":
		options["three_d_secure"] = false
	}
	document, err := v.apply(d, map[string]any{"payment": options}, nil)
	if err != nil || !document.Payment.Stripe || d.Payment.Stripe {
		return document, err
	}
	return document, v.refusedSwitch(s.cfg.Policy.SwitchOn(document, payee))
}

// refusedSwitch shows every reason beside the switch, whatever it is about.
func (v view) refusedSwitch(reasons []quote.Reason) error {
	if len(reasons) == 0 {
		return nil
	}
	faults := v.faults(reasons)
	for i := range faults {
		faults[i].Input, faults[i].Label = "payment.stripe", label(v, "payment.stripe")
	}
	return &refusedForm{faults}
}

// payeeState is the account that would be paid, as the step shows it.
type payeeState struct {
	// Own: it is the deployment's account, not one that the seller connected.
	Own     bool
	Account string
	// Refusals keep the switch off (R14, R51). Apps: some are about the account;
	// Currency: one is about the currency.
	Refusals       []told
	Apps, Currency bool
}

// fillPayment puts the switch, the account and the advice on the page.
func (s *Service) fillPayment(c *call, page *stepPage, a *quote.Aggregate, f form) error {
	owner, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	payee := owner.Payee(s.cfg.Account)
	p := &paymentView{On: a.Document.Payment.Stripe, Payee: payeeState{Account: payee.Account, Own: payee.Account == s.cfg.Account}}
	for _, r := range s.cfg.Policy.SwitchOn(a.Document, payee) {
		p.Payee.Refusals = append(p.Payee.Refusals, page.reason(r))
		p.Payee.Currency = p.Payee.Currency || r.Field == "currency"
		p.Payee.Apps = p.Payee.Apps || r.Field != "currency"
	}
	p.Locked = len(p.Payee.Refusals) > 0 && !p.On
	for _, r := range a.Review(s.reviewed(payee)).Warnings {
		if r.Code != quote.CodeThreeDSecure { // it stands beside its input
			p.Warnings = append(p.Warnings, page.reason(r))
		}
	}
	p.Switch = f.put(field{Name: "payment.stripe", Kind: "checkbox"})
	p.Secure = f.put(field{Name: "payment.three_d_secure", Kind: "radio", Options: []option{
		{Value: "", Name: f.T("Not stated: Stripe asks for 3-D Secure where the bank wants it")},
		{Value: "yes", Name: f.T("The quote is 3-D Secure compatible")},
		{Value: "no", Name: f.T("The quote is not 3-D Secure compatible")},
	}})
	page.Payment = p
	return nil
}
