package signin_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"quittance.internal/libs/platform/signin"
)

func tokens(t *testing.T, text string) *signin.Tokens {
	t.Helper()
	list, err := signin.ParseTokens(text)
	if err != nil {
		t.Fatal(err)
	}
	return signin.NewTokens(list)
}

// began is a request of a browser that has signed in at the door.
func began(t *testing.T, d *signin.Door, secret string) *http.Request {
	t.Helper()
	token, ok := d.Tokens.Find(secret)
	if !ok {
		t.Fatalf("token %s is not known", secret)
	}
	value, err := d.Begin(token)
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	d.SetCookie(answer, value)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range answer.Result().Cookies() {
		r.AddCookie(c)
	}
	return r
}

func TestASessionOpensNoOtherDoor(t *testing.T) {
	all := tokens(t, "ops:operator:operator-token-012345")
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	door := func(cookie string) *signin.Door {
		return &signin.Door{Tokens: all, Cookie: cookie, Now: func() time.Time { return at }, Random: rand.Reader}
	}
	seller, console := door("session"), door("console_session")
	r := began(t, seller, "operator-token-012345")
	if got, csrf, ok := seller.Session(r); !ok || got.Name != "ops" || csrf == "" {
		t.Errorf("Session() = %v, %q, %t, want ops", got.Name, csrf, ok)
	}
	cookie, err := r.Cookie("session")
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "console_session", Value: cookie.Value})
	if _, _, ok := console.Session(r); ok {
		t.Error("a session of one service opens the other")
	}
	at = at.Add(signin.SessionLength)
	if _, _, ok := seller.Session(r); ok {
		t.Error("a session outlives its end")
	}
}

func TestATokenThatIsWithdrawnTakesItsSessionsWithIt(t *testing.T) {
	d := &signin.Door{Tokens: tokens(t, "ops:operator:operator-token-012345"), Cookie: "session", Now: time.Now, Random: rand.Reader}
	r := began(t, d, "operator-token-012345")
	d.Tokens = tokens(t, "ops:operator:another-token-0123456")
	if _, _, ok := d.Session(r); ok {
		t.Error("the session outlives its token")
	}
}

func TestATokenSaysWhetherItsEntryNamesASeller(t *testing.T) {
	for text, bound := range map[string]bool{"a:viewer:t1": false, "a:viewer@main:t1": true, "a:admin@shop:t1": true} {
		list, err := signin.ParseTokens(text)
		if err != nil || list[0].Bound != bound {
			t.Errorf("ParseTokens(%s) = %+v, %v, want bound %t", text, list, err, bound)
		}
	}
}
