package quotes

import (
	"net/http"

	"quittance.internal/libs/platform/signin"
)

// sessionCookie is the name of the cookie of a seller's session.
const sessionCookie = "session"

// mayWrite reports whether a token may give commands.
func mayWrite(t signin.Token) bool { return t.Role == signin.RoleSeller || t.Role == signin.RoleAdmin }

// errSignedOut is the answer to whoever is not signed in; tell turns it into the
// way to the sign-in page.
var errSignedOut = refuse(http.StatusUnauthorized, "signed-out", "Sign in first.")

// authorizePage finds who is signed in, and makes sure that a form was sent from
// a page of this session.
func (s *Service) authorizePage(c *call, who access) error {
	token, csrf, ok := s.door.Session(c.Request)
	if !ok {
		return errSignedOut
	}
	c.token, c.csrf = token, csrf
	if c.Method != http.MethodGet && c.Method != http.MethodHead {
		if err := s.authorizeForm(c); err != nil {
			return err
		}
	}
	if who == author && !mayWrite(token) {
		return refuse(http.StatusForbidden, "forbidden", "The role "+token.Role+" may read only.")
	}
	return nil
}

// authorizeForm refuses a form that comes from another site or without the
// session's CSRF token.
func (s *Service) authorizeForm(c *call) error {
	if err := s.sameSite(c); err != nil {
		return err
	}
	if err := c.ParseForm(); err != nil {
		return formError(err)
	}
	if !signin.SameText(c.PostForm.Get(signin.CSRFField), c.csrf) {
		return refuse(http.StatusForbidden, "forged", "This form does not belong to your session. Go back, load the page again, and send it once more.")
	}
	return nil
}

// sameSite refuses what a page of another site sends; by Sec-Fetch-Site, and by
// Origin where a browser knows no such header.
func (s *Service) sameSite(c *call) error {
	if err := s.origins.Check(c.Request); err != nil {
		return &problem{Kind: "forged", Status: http.StatusForbidden, cause: err, Detail: "This form was sent from another site."}
	}
	return nil
}

func formError(err error) error {
	if p := problemOf(err); p.Status == http.StatusRequestEntityTooLarge {
		return p
	}
	return &problem{Kind: "invalid-form", Status: http.StatusBadRequest, Detail: "The form could not be read.", cause: err}
}
