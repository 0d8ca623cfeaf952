package quotes

import (
	"net/http"
	"net/url"

	"quittance.internal/libs/domain/quote"
)

// problemTexts say to a person what a problem of this kind means for him. What is
// not here is told by its reasons, else by its status.
var problemTexts = map[string]struct{ heading, says text }{
	"not-found":              {text("This page is not available"), text("Check the link, or ask the sender for a new one.")},
	"gone":                   {text("This quote is not available any more"), text("Ask the sender for a new link.")},
	"too-many-requests":      {text("Too many requests"), text("Wait a moment, then try again.")},
	"unavailable":            {text("This does not work just now"), text("Nothing is lost. Wait a moment, then try again.")},
	"internal":               {text("Something went wrong"), text("It is our fault, and it is noted. Try again later.")},
	"method-not-allowed":     {text("This page is not available"), text("Check the link, or ask the sender for a new one.")},
	"payment-not-configured": {text("Payment is not possible at the moment"), text("Online payment of this quote is not possible at the moment. Ask its sender.")},
}

// reasonTexts say to a customer why he cannot check out. A reason that is not here
// is shown in English, as the API has it (R1).
var reasonTexts = map[string]text{
	quote.CodeNotPayable:   text("This quote is not paid online. Ask its sender how to pay."),
	quote.CodePaid:         text("This quote is already paid."),
	quote.CodeInFlight:     text("A payment of this quote is on its way."),
	quote.CodeExpired:      text("This quote has expired. Ask its sender for a new one."),
	quote.CodeExpiresSoon:  text("This quote expires in less than half an hour, which is too soon for a payment. Ask its sender for a new one."),
	quote.CodeDeauthorized: text("The sender cannot take payments at the moment."),
	quote.CodeAccountGone:  text("The sender takes payments in another way now. Ask for a new quote."),
}

// showProblem tells a person what went wrong, with the way back. The page depends
// on nothing but the kind of problem and the language: it is the same for every
// address that leads nowhere.
func (s *Service) showProblem(w http.ResponseWriter, c *call, p *problem) error {
	page := messagePage{view: s.view(c)}
	page.Heading = page.T("Payment is not possible at the moment")
	if known, ok := problemTexts[p.Kind]; ok {
		page.Heading = page.T(known.heading)
		page.Lines = []string{page.T(known.says)}
	} else {
		if len(p.Reasons) > 0 && (p.Reasons[0].Code == quote.CodePaid || p.Reasons[0].Code == quote.CodeInFlight) {
			page.Heading = page.T("You need not pay again")
		}
		for _, reason := range p.Reasons {
			line := reason.Detail
			if key, ok := reasonTexts[reason.Code]; ok {
				line = page.T(key)
			}
			page.Lines = append(page.Lines, line)
		}
		if len(page.Lines) == 0 {
			page.Lines = []string{p.Detail}
		}
	}
	if token := c.PathValue("token"); token != "" && p.Status != http.StatusNotFound && p.Status != http.StatusGone {
		page.Back = "/q/" + url.PathEscape(token)
		page.english = page.Back + "?lang=" + langEnglish
	}
	page.Title = page.Heading
	p.headers(w)
	return s.render(w, c, p.Status, "message.html", page)
}
