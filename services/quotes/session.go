package quotes

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	sessionCookie = "session"
	// sessionLength is how long a sign-in lasts.
	sessionLength = 12 * time.Hour
	// csrfField is the field of every form that holds the session's CSRF token.
	csrfField = "csrf"
)

// A session is a signed value that the browser keeps and no instance does:
//
//	v1.<ref>.<end>.<nonce>.<mac>
//
// Ref says which API token it was signed in with and end (Unix seconds) until
// when it holds. The key of mac is made from the API token itself and is nowhere
// else: a token that is withdrawn takes its sessions with it, several instances
// agree without talking, and a token that gets another role has it at once.

// sessionSecrets are what a token's sessions are named and signed with. Neither
// leads back to the other or to the token.
func sessionSecrets(token string) (ref string, key [sha256.Size]byte) {
	derive := func(purpose string) []byte {
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write([]byte("quittance session " + purpose))
		return mac.Sum(nil)
	}
	copy(key[:], derive("key"))
	return encode64(derive("reference")[:16]), key
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign is the MAC of a value of one purpose under the token's key.
func (t Token) sign(purpose, value string) string {
	mac := hmac.New(sha256.New, t.sessionKey[:])
	mac.Write([]byte(purpose + "\x00" + value))
	return encode64(mac.Sum(nil))
}

// newSession is the value of a session that begins now.
func (s *Service) newSession(t Token) (string, error) {
	nonce, err := s.randomText()
	if err != nil {
		return "", err
	}
	value := "v1." + t.sessionRef + "." + strconv.FormatInt(s.cfg.Now().Add(sessionLength).Unix(), 10) + "." + nonce
	return value + "." + t.sign("session", value), nil
}

// session is who a session's value is of, and the CSRF token of its forms; false
// for one that was not made here, has ended, or whose API token is withdrawn.
func (s *Service) session(value string) (Token, string, bool) {
	signed, mac := cutLast(value, ".")
	parts := strings.Split(signed, ".")
	if len(parts) != 4 || parts[0] != "v1" {
		return Token{}, "", false
	}
	token, ok := s.tokens.ofSession(parts[1])
	if !ok || !sameText(mac, token.sign("session", signed)) {
		return Token{}, "", false
	}
	end, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !s.cfg.Now().Before(time.Unix(end, 0)) {
		return Token{}, "", false
	}
	return token, token.sign("csrf", signed), true
}

// ofSession finds the token that a session was signed in with.
func (t *tokens) ofSession(ref string) (Token, bool) {
	for _, candidate := range *t.list.Load() {
		if sameText(ref, candidate.sessionRef) {
			return candidate, true
		}
	}
	return Token{}, false
}

// cutLast cuts s at the last sep; without one all of s comes before it.
func cutLast(s, sep string) (before, after string) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at+len(sep):]
}

// sameText compares in constant time.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// errSignedOut is the answer to whoever is not signed in; tell turns it into the
// way to the sign-in page.
var errSignedOut = refuse(http.StatusUnauthorized, "signed-out", "Sign in first.")

// authorizePage finds who is signed in, and makes sure that a form was sent from
// a page of this session.
func (s *Service) authorizePage(c *call, who access) error {
	cookie, err := c.Cookie(sessionCookie)
	if err != nil {
		return errSignedOut
	}
	token, csrf, ok := s.session(cookie.Value)
	if !ok {
		return errSignedOut
	}
	c.token, c.csrf = token, csrf
	if c.Method != http.MethodGet && c.Method != http.MethodHead {
		if err := s.authorizeForm(c); err != nil {
			return err
		}
	}
	if who == author && !token.mayWrite() {
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
	if !sameText(c.PostForm.Get(csrfField), c.csrf) {
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

// newOrigins is the check of where forms come from: this service's own address
// as it was asked for, and the public one, which a proxy may have rewritten.
func newOrigins(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		// A trusted origin has a scheme and a host and nothing else, as built here.
		_ = p.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	return p
}

// setSession gives the browser a session, or takes it away when value is empty.
func (s *Service) setSession(w http.ResponseWriter, value string) {
	age := int(sessionLength / time.Second)
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure wherever the public address is https; make run is plain http on loopback
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.cfg.PublicURL, "https://"),
	})
}
