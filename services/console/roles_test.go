package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"quittance.internal/services/console"
)

// Who may use a route.
const (
	everybody = "everybody"
	lookers   = "viewer, operator, admin"
	actors    = "operator, admin"
)

// rights says for every route of the table who may use it. A route that is not
// here fails the test: decide, and write it down.
var rights = map[string]string{
	"GET /{$}":                  everybody,
	"GET /assets/{hash}/{name}": everybody,
	"GET /signin":               everybody,
	"POST /signin":              everybody,
	"POST /signout":             lookers,
	"GET /overview":             lookers,
	"GET /conservation":         lookers,
	"GET /search":               lookers,
	"GET /quotes":               lookers,
	"GET /quotes/{id}":          lookers,
	"GET /quotes/{id}/past":     lookers,
	"GET /events":               lookers,
	"GET /events/{id}":          lookers,
	"GET /events/{id}/raw":      actors,
	"POST /events/{id}/raw":     actors,
	"GET /dead":                 lookers,
	"GET /dead/letter/{id}":     lookers,
	"GET /dead/{verb}":          actors,
	"POST /dead/{verb}":         actors,
	"GET /parked/{verb}":        actors,
	"POST /parked/{verb}":       actors,
	"GET /replays":              lookers,
	"GET /plan":                 actors,
	"POST /plan":                actors,
	"GET /replays/{id}":         lookers,
	"POST /replays/{id}/run":    actors,
	"POST /replays/{id}/cancel": actors,
	"GET /mail":                 lookers,
	"GET /mail/{id}":            lookers,
	"GET /mail/{id}/preview":    actors,
	"POST /mail/{id}/preview":   actors,
	"GET /mail/{id}/resend":     actors,
	"POST /mail/{id}/resend":    actors,
	"GET /subscribers":          lookers,
	"GET /journal":              lookers,
	"GET /journal/verify":       lookers,
	"GET /reconcile":            lookers,
	"POST /reconcile":           actors,
	"GET /reconcile/repair":     actors,
	"POST /reconcile/repair":    actors,
	"GET /doctor":               lookers,
	"GET /tasks/{id}":           lookers,
}

// filled is an address of a route.
var filled = strings.NewReplacer("{$}", "", "{hash}", "0", "{name}", "base.css", "{id}", "evt_nothing", "{verb}", "retry")

// Every route of the table, with every role, and with nobody.
func TestEveryRouteLetsInWhomItShould(t *testing.T) {
	f := start(t)
	f.buried("evt_dead", "broken")
	routes := f.service.Routes()
	for route := range rights {
		if !slices.Contains(routes, route) {
			t.Errorf("%s is in this table and not in the service's", route)
		}
	}
	people := map[string]string{"viewer": viewerToken, "operator": operatorToken, "admin": adminToken}
	for _, route := range routes {
		who, ok := rights[route]
		if !ok {
			t.Errorf("%s: nobody has decided who may use it", route)
			continue
		}
		method, path, _ := strings.Cut(route, " ")
		address := filled.Replace(path)
		request := func(b *browser) answer {
			var form url.Values
			if method == http.MethodPost {
				form = url.Values{"csrf": {b.open("/overview").form().Get("csrf")}}
			}
			return b.send(method, address, form)
		}
		nobody := request(&browser{fixture: f})
		toSignIn := nobody.status == http.StatusSeeOther && strings.HasPrefix(nobody.header.Get("Location"), "/signin")
		if toSignIn != (who != everybody) {
			t.Errorf("%s without a session: status %d to %q, want it for %s", route, nobody.status, nobody.header.Get("Location"), who)
		}
		if who == everybody {
			continue
		}
		for role, token := range people {
			got := request(f.signedIn(token))
			if may := got.status != http.StatusForbidden; may != strings.Contains(who, role) {
				t.Errorf("%s as %s: status %d, want it for %s", route, role, got.status, who)
			}
			if got.status == http.StatusInternalServerError {
				t.Errorf("%s as %s: status %d: %s", route, role, got.status, got.body)
			}
		}
	}
}

// A seller's token, and one that is bound to a seller, open nothing: the console
// shows all sellers.
func TestATokenForOneSellerDoesNotOpenTheConsole(t *testing.T) {
	f := start(t)
	for name, token := range map[string]string{"seller": sellerToken, "admin of one": boundToken, "viewer of one": boundViewerToken} {
		b := &browser{fixture: f}
		b.send(http.MethodPost, "/signin", url.Values{"token": {token}}).want(http.StatusForbidden).shows("names no seller")
		if b.cookie != "" {
			t.Errorf("%s: got a session", name)
		}
	}
	b := &browser{fixture: f}
	b.send(http.MethodPost, "/signin", url.Values{"token": {"wrong-token-0123456789"}}).want(http.StatusUnauthorized).shows("This token is not known").hides("wrong-token")
	b.send(http.MethodPost, "/signin", url.Values{"token": {adminToken}}, "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
	if b.cookie != "" {
		t.Error("a form of another site signs in")
	}
	for next, want := range map[string]string{
		"/events?outcome=dead": "/events?outcome=dead", "//evil.example": "/overview", "https://evil.example/events": "/overview", "/signout": "/overview", "/replays/p_1": "/replays/p_1", "/replays/p_1/run": "/overview", "/nothing": "/overview", "/assets/0/base.css": "/overview", `/events\evil`: "/overview",
	} {
		(&browser{fixture: f}).send(http.MethodPost, "/signin", url.Values{"token": {viewerToken}, "next": {next}}).leads(want)
	}
	for _, entry := range f.logs.All() {
		for _, v := range entry.ContextMap() {
			if s, ok := v.(string); ok && (strings.Contains(s, adminToken) || strings.Contains(s, viewerToken)) {
				t.Errorf("a token is in the log: %s %v", entry.Message, entry.ContextMap())
			}
		}
	}
}

// Every form needs the session's CSRF token and must come from here.
func TestAForgedFormChangesNothing(t *testing.T) {
	f := start(t)
	f.buried("evt_dead", "broken")
	b := f.signedIn(operatorToken)
	form := b.open("/dead/discard?letter=DEAD:1").want(http.StatusOK).form()
	form.Set("reason", "forged")
	for name, send := range map[string]func() answer{
		"no token": func() answer {
			return b.send("POST", "/dead/discard?letter=DEAD:1", url.Values{"reason": {"forged"}, "set": form["set"]})
		},
		"another's": func() answer {
			v := f.signedIn(adminToken).open("/overview").form()
			v.Set("reason", "forged")
			v.Set("set", form.Get("set"))
			return b.send("POST", "/dead/discard?letter=DEAD:1", v)
		},
		"another site": func() answer {
			return b.send("POST", "/dead/discard?letter=DEAD:1", form, "Sec-Fetch-Site", "cross-site")
		},
		"old browser": func() answer {
			return b.send("POST", "/dead/discard?letter=DEAD:1", form, "Sec-Fetch-Site", "", "Origin", "https://evil.example")
		},
		"sign out":      func() answer { return b.send("POST", "/signout", url.Values{"csrf": {"x"}}) },
		"raw, no token": func() answer { return b.send("POST", "/events/STRIPE:1/raw", url.Values{"reason": {"forged"}}) },
	} {
		if got := send(); got.status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403: %s", name, got.status, got.body)
		}
	}
	if all := f.entries(); len(all) != 0 {
		t.Errorf("the journal has %+v", all)
	}
}

func TestSettingsAreReadWithAllTheirFaults(t *testing.T) {
	env := map[string]string{"API_TOKENS": "ops:operator:secret-token-0123456", "TZ": "Europe/Warsaw", "CONSOLE_ADDR": "127.0.0.1:1", "CONSOLE_PUBLIC_URL": "https://console.example/"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cfg, err := console.ConfigFromEnv(lookup)
	if err != nil || cfg.Zone.String() != "Europe/Warsaw" || cfg.Addr != "127.0.0.1:1" || cfg.PublicURL != "https://console.example" || cfg.AdminAddr != "127.0.0.1:9104" || len(cfg.Tokens) != 1 {
		t.Errorf("ConfigFromEnv = %+v, %v", cfg, err)
	}
	env = map[string]string{"API_TOKENS": "ops:boss:secret-token-0123456", "TZ": "Mars/North", "CONSOLE_ADDR": "nowhere", "CONSOLE_PUBLIC_URL": "ftp://x", "MODE": "both"}
	_, err = console.ConfigFromEnv(lookup)
	if err == nil {
		t.Fatal("ConfigFromEnv takes everything")
	}
	for _, name := range []string{"API_TOKENS", "TZ", "CONSOLE_ADDR", "CONSOLE_PUBLIC_URL", "MODE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "secret-token") {
		t.Errorf("the error quotes a token: %v", err)
	}
}
