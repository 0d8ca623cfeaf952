package quotes

import (
	"net/http"
	"strings"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
)

// The entries of the seller's navigation.
const (
	navQuotes = "quotes"
	navApps   = "apps"
)

// sellerFrame is what every page of a seller needs: who is signed in, the CSRF
// token of its forms, and which entry of the navigation it belongs to. The data
// of such a page embeds it.
type sellerFrame struct {
	view
	CSRF, User, Seller, Role string
	MayWrite                 bool
	Nav                      string
	// Test: the deployment takes no real money.
	Test bool
}

// sellerFrame is the common part of a seller's page.
func (s *Service) sellerFrame(c *call, nav string) sellerFrame {
	return sellerFrame{
		view: s.view(c), CSRF: c.csrf, User: c.token.Name, Seller: c.token.Seller, Role: c.token.Role,
		MayWrite: mayWrite(c.token), Nav: nav, Test: s.cfg.Mode == event.ModeTest,
	}
}

// What event.CardText writes, for the translation.
var _ = []text{
	"Paid", "Refunded", "Charged back", "Payment processing", "Payment needs review", "Awaiting payment", "Draft", "Recalled", "Expired",
}

// card is the line of the deal record's card in the reader's language: in English
// event.CardText itself, R33's Paid: [date].
func (v view) card(status string, at time.Time, zone *time.Location) string {
	whole, label := event.CardText(status, at, zone), event.CardText(status, time.Time{}, nil)
	if v.Lang == langEnglish {
		return whole
	}
	if whole == label {
		return v.T(text(label))
	}
	return v.T(text(label)) + ": " + v.Date(at.In(zone))
}

// tone is the colour of a status; the words beside it say the same.
func tone(status string) string {
	switch status {
	case string(quote.StatusPaid):
		return "good"
	case string(quote.StatusReview), string(quote.LifecycleExpired):
		return "warn"
	case string(quote.StatusChargedBack):
		return "bad"
	case string(quote.StatusProcessing), string(quote.LifecyclePublished):
		return "accent"
	default:
		return ""
	}
}

// statusTexts name the statuses where a list is asked for one of them.
var statusTexts = map[string]text{
	string(quote.LifecycleDraft): text("Draft"), string(quote.LifecyclePublished): text("Awaiting payment"),
	string(quote.LifecycleRecalled): text("Recalled"), string(quote.LifecycleExpired): text("Expired"),
	string(quote.StatusProcessing): text("Payment processing"), string(quote.StatusPaid): text("Paid"),
	string(quote.StatusRefunded): text("Refunded"), string(quote.StatusChargedBack): text("Charged back"),
	string(quote.StatusReview): text("Payment needs review"),
}

// sellerProblems say to a signed-in person what a problem means for him.
var sellerProblems = map[string]struct{ heading, says text }{
	"not-found":          {text("There is no such page"), text("It may have been a quote of another seller, or a mistyped address.")},
	"forbidden":          {text("You may read only"), text("Your token does not allow changes. Ask your operator for a token of the role seller.")},
	"forged":             {text("This form was not accepted"), text("It does not belong to your session, for example because you signed in again. Go back, load the page again, and send it once more. Nothing was changed.")},
	"method-not-allowed": {text("There is no such page"), text("It may have been a quote of another seller, or a mistyped address.")},
	"too-large":          {text("This form is too long"), text("Shorten the texts of the lines. Nothing was changed.")},
	"unavailable":        {text("This does not work just now"), text("Nothing is lost. Wait a moment, then try again.")},
	"internal":           {text("Something went wrong"), text("It is our fault, and it is noted. Try again later.")},
}

// sellerMessage is a page that says one thing.
type sellerMessage struct {
	sellerFrame
	Heading string
	Lines   []told
	// Links lead on; the first is the likely one.
	Links []link
}

type link struct{ Href, Name string }

// ofSeller reports whether a call is for a seller's page.
func (c *call) ofSeller() bool {
	return strings.HasPrefix(c.URL.Path, "/seller") || strings.HasPrefix(c.URL.Path, "/sign")
}

// showSellerProblem tells a seller what went wrong, with the way on.
func (s *Service) showSellerProblem(w http.ResponseWriter, c *call, p *problem) error {
	if p == errSignedOut {
		s.toSignIn(w, c)
		return nil
	}
	page := sellerMessage{sellerFrame: s.sellerFrame(c, navQuotes), Links: []link{{sellerHome, ""}}}
	page.Links[0].Name = page.T("Go to your quotes")
	if c.csrf == "" { // not signed in
		page.Links[0] = link{"/signin", page.T("Sign in")}
	}
	known, ok := sellerProblems[p.Kind]
	switch {
	case ok:
		page.Heading, page.Lines = page.T(known.heading), []told{{Text: page.T(known.says)}}
	default:
		page.Heading, page.Lines = page.T("This is not possible"), page.tell(p)
	}
	page.Title = page.Heading
	p.headers(w)
	return s.render(w, c, p.Status, "seller_message.html", page)
}
