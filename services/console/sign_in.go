package console

import (
	"net/http"
	"net/url"
	"strings"

	"quittance.internal/libs/platform/signin"
)

// home is where everybody begins.
const home = "/overview"

// signInPage asks for an API token.
type signInPage struct {
	frame
	// Next is the page to go on to; Fault is what is wrong with the last try.
	Next, Fault string
}

func (s *Service) showHome(w http.ResponseWriter, c *call) error {
	http.Redirect(w, c.Request, home, http.StatusSeeOther)
	return nil
}

func (s *Service) showAsset(w http.ResponseWriter, c *call) error {
	if !assets.Show(w, c.Request, c.PathValue("name")) {
		return errNoPage
	}
	return nil
}

// showSignIn asks who is there; whoever is signed in goes on.
func (s *Service) showSignIn(w http.ResponseWriter, c *call) error {
	next := s.ownPath(c.URL.Query().Get("next"))
	if token, _, ok := s.door.Session(c.Request); ok && mayEnter(token) {
		http.Redirect(w, c.Request, next, http.StatusSeeOther)
		return nil
	}
	return s.render(w, http.StatusOK, "sign_in.html", signInPage{frame: s.frame(c, "", "Sign in"), Next: next})
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
	next := s.ownPath(c.PostForm.Get("next"))
	token, ok := s.door.Tokens.Find(strings.TrimSpace(c.PostForm.Get("token")))
	fault, status := "", http.StatusUnauthorized
	switch {
	case !ok:
		fault = "This token is not known. Check that all of it was pasted."
	case !mayEnter(token):
		fault, status = notForSellers, http.StatusForbidden
	}
	if fault != "" {
		c.result = "sign_in_refused"
		return s.render(w, status, "sign_in.html", signInPage{frame: s.frame(c, "", "Sign in"), Next: next, Fault: fault})
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

// toSignIn leads to the sign-in page and back from there.
func (s *Service) toSignIn(w http.ResponseWriter, c *call) {
	target := "/signin"
	if next := s.ownPath(c.URL.RequestURI()); next != home {
		target += "?next=" + url.QueryEscape(next)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, target, http.StatusSeeOther)
}

// ownPath is the address itself if it is one of the pages here, else where
// everybody begins.
func (s *Service) ownPath(address string) string {
	return signin.OwnPath(address, home, func(path string) bool {
		_, pattern := s.pages.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
		return pattern != ""
	})
}
