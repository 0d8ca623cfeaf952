// Package signin knows who comes in: the API tokens of a deployment with their
// names and roles, and the sessions of people who have signed in to pages with
// one.
//
// It decides nothing about what a role may do, and shows no page. quotes and
// console use it.
package signin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// SessionLength is how long a sign-in lasts.
	SessionLength = 12 * time.Hour
	// CSRFField is the field of every form that holds the session's CSRF token.
	CSRFField = "csrf"
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

// Sign is the MAC of a value of one purpose under the token's key.
func (t Token) Sign(purpose, value string) string {
	mac := hmac.New(sha256.New, t.sessionKey[:])
	mac.Write([]byte(purpose + "\x00" + value))
	return encode64(mac.Sum(nil))
}

// Door lets people in to the pages of one service. It is safe for concurrent use.
type Door struct {
	// Tokens are who may come in.
	Tokens *Tokens
	// Cookie is the name of the session's cookie. A session opens no door of
	// another name: browsers send cookies to every port of a host.
	Cookie string
	// PublicURL is the address that browsers know the service by. With https the
	// cookie goes over nothing else.
	PublicURL string
	// Now and Random are the clock and the source of nonces.
	Now    func() time.Time
	Random io.Reader
}

// Begin is the value of a session that begins now.
func (d *Door) Begin(t Token) (string, error) {
	var nonce [16]byte
	if _, err := io.ReadFull(d.Random, nonce[:]); err != nil {
		return "", fmt.Errorf("draw random bits: %w", err)
	}
	value := "v1." + t.sessionRef + "." + strconv.FormatInt(d.Now().Add(SessionLength).Unix(), 10) + "." + encode64(nonce[:])
	return value + "." + t.Sign(d.Cookie, value), nil
}

// Session is whose session the request is of, and the CSRF token of its forms;
// false without one, for one that was not made here or has ended, and where its
// API token is withdrawn.
func (d *Door) Session(r *http.Request) (Token, string, bool) {
	cookie, err := r.Cookie(d.Cookie)
	if err != nil {
		return Token{}, "", false
	}
	signed, mac := CutLast(cookie.Value, ".")
	parts := strings.Split(signed, ".")
	if len(parts) != 4 || parts[0] != "v1" {
		return Token{}, "", false
	}
	token, ok := d.Tokens.ofSession(parts[1])
	if !ok || !SameText(mac, token.Sign(d.Cookie, signed)) {
		return Token{}, "", false
	}
	end, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !d.Now().Before(time.Unix(end, 0)) {
		return Token{}, "", false
	}
	return token, token.Sign("csrf", signed), true
}

// SetCookie gives the browser a session, or takes it away when value is empty.
func (d *Door) SetCookie(w http.ResponseWriter, value string) {
	age := int(SessionLength / time.Second)
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure wherever the public address is https; make run is plain http on loopback
		Name: d.Cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(d.PublicURL, "https://"),
	})
}

// ofSession finds the token that a session was signed in with.
func (t *Tokens) ofSession(ref string) (Token, bool) {
	for _, candidate := range *t.list.Load() {
		if SameText(ref, candidate.sessionRef) {
			return candidate, true
		}
	}
	return Token{}, false
}

// Origins is the check of where forms come from: the service's own address as it
// was asked for, and the public one, which a proxy may have rewritten. It goes by
// Sec-Fetch-Site, and by Origin where a browser knows no such header.
func Origins(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		// A trusted origin has a scheme and a host and nothing else, as built here.
		_ = p.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	return p
}

// CutLast cuts s at the last sep; without one all of s comes before it.
func CutLast(s, sep string) (before, after string) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at+len(sep):]
}

// SameText compares in constant time.
func SameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
