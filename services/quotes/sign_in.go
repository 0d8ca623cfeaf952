package quotes

import (
	"net/http"
	"net/url"
	"strings"

	"quittance.internal/libs/platform/signin"
)

// sellerHome is where a seller's pages begin.
const sellerHome = "/seller/quotes"

// signInPage asks for an API token.
type signInPage struct {
	sellerFrame
	// Next is the page to go on to.
	Next string
	// Fault is what is wrong with the last try; empty for none.
	Fault string
}

// showHome leads to the seller's quotes, which lead to the sign-in page.
func (s *Service) showHome(w http.ResponseWriter, c *call) error {
	http.Redirect(w, c.Request, sellerHome, http.StatusSeeOther)
	return nil
}

// showSignIn asks who is there; whoever is signed in goes on.
func (s *Service) showSignIn(w http.ResponseWriter, c *call) error {
	next := sellerPath(c.URL.Query().Get("next"))
	if _, _, ok := s.door.Session(c.Request); ok {
		http.Redirect(w, c.Request, next, http.StatusSeeOther)
		return nil
	}
	v := s.sellerFrame(c, "")
	v.Title = v.T("Sign in")
	return s.render(w, c, http.StatusOK, "sign_in.html", signInPage{sellerFrame: v, Next: next})
}

// signIn begins a session for a valid API token. There is no session yet that a
// CSRF token could belong to; that the form comes from here is what protects it.
func (s *Service) signIn(w http.ResponseWriter, c *call) error {
	if err := s.sameSite(c); err != nil {
		return err
	}
	if err := c.ParseForm(); err != nil {
		return formError(err)
	}
	next := sellerPath(c.PostForm.Get("next"))
	token, ok := s.tokens.Find(strings.TrimSpace(c.PostForm.Get("token")))
	if !ok {
		v := s.sellerFrame(c, "")
		v.Title = v.T("Sign in")
		c.result = "sign_in_refused"
		return s.render(w, c, http.StatusUnauthorized, "sign_in.html", signInPage{
			sellerFrame: v, Next: next, Fault: v.T("This token is not known. Check that all of it was pasted, or ask your operator for a new one."),
		})
	}
	value, err := s.door.Begin(token)
	if err != nil {
		return err
	}
	c.token, c.result = token, "signed_in"
	s.door.SetCookie(w, value)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, next, http.StatusSeeOther)
	return nil
}

// signOut ends the browser's session.
func (s *Service) signOut(w http.ResponseWriter, c *call) error {
	s.door.SetCookie(w, "")
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, "/signin", http.StatusSeeOther)
	return nil
}

// toSignIn leads to the sign-in page and back from there. A form that was sent
// has a page of the same address.
func (s *Service) toSignIn(w http.ResponseWriter, c *call) {
	target := "/signin"
	if next := sellerPath(c.URL.RequestURI()); next != sellerHome {
		target += "?next=" + url.QueryEscape(next)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, target, http.StatusSeeOther)
}

// sellerPath is the address itself if it is one of the seller's pages here, else
// where they begin.
func sellerPath(address string) string {
	return signin.OwnPath(address, sellerHome, func(path string) bool { return strings.HasPrefix(path, "/seller/") })
}
