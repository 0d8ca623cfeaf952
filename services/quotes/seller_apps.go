package quotes

import (
	"errors"
	"net/http"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
)

// Where the connected apps are (R8). There is one: Stripe.
const (
	appsPath       = "/seller/apps"
	connectPath    = "/seller/apps/stripe/connect"
	callbackPath   = "/seller/apps/stripe/callback"
	disconnectPath = "/seller/apps/stripe/disconnect"
)

// appsPage shows the Stripe account that a seller is paid on.
type appsPage struct {
	sellerFrame
	// Notice says what was just done; empty for nothing.
	Notice string
	// Refused says why what was asked for was not done.
	Refused []told
	// Account is nil while the seller is paid on the deployment's own.
	Account *accountOnPage
	// Kept says why the user cannot connect an account now; empty when he can.
	Kept []told
	// Again: an account was connected before.
	Again, MayDisconnect bool
}

// accountOnPage is the account as the page shows it.
type accountOnPage struct {
	ID, State, Tone, Mode string
	// Says explains a state that keeps quotes from being paid; empty for none.
	Says  string
	Since string
	By    string
}

// done are the notices of what a command did, by ?done=. They are shown only
// while they are true.
var done = map[string]struct {
	says text
	true func(*seller.Connection) bool
}{
	"connected":    {text("The Stripe account is connected."), func(c *seller.Connection) bool { return c != nil && !c.Deauthorized }},
	"disconnected": {text("The Stripe account is disconnected. Its quotes cannot be paid until it is connected again."), func(c *seller.Connection) bool { return c != nil && c.Deauthorized }},
	"denied":       {text("You did not give access at Stripe, so nothing was connected and nothing was stored. Start again whenever you like."), func(*seller.Connection) bool { return true }},
	"used":         {text("This authorization has been used already; what came of it is shown here."), func(*seller.Connection) bool { return true }},
}

// connectTexts say what a problem of connecting means, by its kind; those with
// reasons are told by them.
var connectTexts = map[string]text{
	"connect-not-configured": text("Connecting a Stripe account is not set up on this system. Ask who runs it for STRIPE_CLIENT_ID."),
	"code-void":              text("Stripe does not take this authorization any more: it counts once and for five minutes. Nothing was connected. Start again."),
	"stripe-unavailable":     text("Stripe did not answer, and an authorization counts once. Nothing was connected. Start again in a moment."),
	"stripe-refused":         text("Stripe did not start the authorization. Nothing was connected. Tell who runs this system."),
	"disconnect-refused":     text("Stripe did not end the access, so the account is still connected. End it in Stripe's dashboard, under installed apps, or tell who runs this system."),
	"unavailable":            text("Nothing is lost. Wait a moment, then try again."),
}

// showApps shows the connected apps.
func (s *Service) showApps(w http.ResponseWriter, c *call) error {
	return s.apps(w, c, http.StatusOK, nil)
}

// toApps leads to the page of what a form was sent to.
func (s *Service) toApps(w http.ResponseWriter, c *call) error {
	http.Redirect(w, c.Request, appsPath, http.StatusSeeOther)
	return nil
}

// connectStripe sends the browser to Stripe to authorize an account (R8, R9).
func (s *Service) connectStripe(w http.ResponseWriter, c *call) error {
	target, err := s.startConnect(c)
	if err != nil {
		return s.notConnected(w, c, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, target, http.StatusSeeOther)
	return nil
}

// stripeCallback takes a browser back from Stripe.
func (s *Service) stripeCallback(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	err := s.finishConnect(c, authorized{state: q.Get("state"), code: q.Get("code"), fault: q.Get("error")})
	switch {
	case err == nil:
		return s.doneConnecting(w, c, "connected")
	case errors.Is(err, errDenied) && c.wantsPage():
		return s.doneConnecting(w, c, "denied")
	case errors.Is(err, errUsed) && c.wantsPage():
		return s.doneConnecting(w, c, "used")
	default:
		return s.notConnected(w, c, err)
	}
}

// disconnectStripe ends the connection.
func (s *Service) disconnectStripe(w http.ResponseWriter, c *call) error {
	if err := s.disconnect(c); err != nil {
		return s.notConnected(w, c, err)
	}
	return s.doneConnecting(w, c, "disconnected")
}

func (s *Service) doneConnecting(w http.ResponseWriter, c *call, what string) error {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, appsPath+"?done="+what, http.StatusSeeOther)
	return nil
}

// notConnected shows a person the page with what was refused and why; a program
// gets the problem.
func (s *Service) notConnected(w http.ResponseWriter, c *call, err error) error {
	p := problemOf(err)
	_, known := connectTexts[p.Kind]
	if !c.wantsPage() || len(p.Reasons) == 0 && !known {
		return err
	}
	if showErr := s.apps(w, c, p.Status, p); showErr != nil {
		return errors.Join(err, showErr)
	}
	return err // for the log; the page is written
}

func (s *Service) apps(w http.ResponseWriter, c *call, status int, p *problem) error {
	a, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	page := appsPage{sellerFrame: s.sellerFrame(c, navApps)}
	page.Title = page.T("Connected apps")
	if c.URL.Path != appsPath {
		for i, l := range page.Languages { // the address that Stripe leads to counts once
			page.Languages[i].Href = appsPath + "?lang=" + l.Lang
		}
	}
	conn := a.Connection()
	if notice, ok := done[c.URL.Query().Get("done")]; ok && p == nil && notice.true(conn) {
		page.Notice = page.T(notice.says)
	}
	if p != nil {
		page.Refused = page.connectProblem(p)
		p.headers(w)
	}
	if conn != nil {
		page.Account, page.Again = page.account(*conn), true
		page.MayDisconnect = !conn.Deauthorized && page.MayWrite && s.cfg.Stripe.ConnectConfigured() && a.Seat(c.token.Name)
	}
	page.Kept = s.keptFromConnecting(page, c, a)
	return s.render(w, c, status, "seller_apps.html", page, s.cfg.Stripe.AuthorizeOrigins()...)
}

// keptFromConnecting is everything that keeps the user from connecting an account.
func (s *Service) keptFromConnecting(page appsPage, c *call, a *seller.Aggregate) []told {
	var kept []told
	if !s.cfg.Stripe.ConnectConfigured() {
		kept = append(kept, told{Text: page.T(connectTexts["connect-not-configured"])})
	}
	if !page.MayWrite {
		kept = append(kept, told{Text: page.T("Your token does not allow changes. Ask your operator for a token of the role seller.")})
	}
	if refusal, ok := errors.AsType[*quote.Refusal](a.MayConnect(c.token.Name, s.cfg.Policy)); ok {
		for _, r := range refusal.Reasons {
			kept = append(kept, page.reason(r))
		}
	}
	return kept
}

// connectProblem is what a problem says to a person.
func (v view) connectProblem(p *problem) []told {
	if says, ok := connectTexts[p.Kind]; ok && len(p.Reasons) == 0 {
		return []told{{Text: v.T(says)}}
	}
	return v.tell(p)
}

// account is a connection in words.
func (v view) account(c seller.Connection) *accountOnPage {
	shown := &accountOnPage{ID: c.Account, By: c.ConnectedBy, Since: v.Moment(c.ConnectedAt.UTC()), Mode: v.T("Live: real money")}
	if c.Mode == event.ModeTest {
		shown.Mode = v.T("Test: no real money")
	}
	switch {
	case c.Deauthorized:
		shown.State, shown.Tone = v.T("Disconnected"), "bad"
		shown.Says = v.T("This account gives us no access any more. Its quotes cannot be paid until it is connected again.")
	case !c.Activated:
		shown.State, shown.Tone = v.T("Not activated"), "warn"
		shown.Says = v.T("Stripe does not let this account take payments at the moment, so its quotes cannot be paid. Finish its activation at Stripe; then they can be paid again, without connecting it anew.")
	default:
		shown.State, shown.Tone = v.T("Activated"), "good"
	}
	return shown
}
