package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// account is a merchant.
type account struct {
	id, name, country string
	activated         bool
	connectedTest     bool
	connectedLive     bool
}

func (a *account) connected(live bool) bool {
	if live {
		return a.connectedLive
	}
	return a.connectedTest
}

func (a *account) connect(live, on bool) {
	if live {
		a.connectedLive = on
		return
	}
	a.connectedTest = on
}

func (a *account) object() object {
	requirements := nulls("current_deadline disabled_reason").with(object{
		"alternatives": []any{}, "currently_due": []any{}, "errors": []any{}, "eventually_due": []any{}, "past_due": []any{}, "pending_verification": []any{},
	})
	if !a.activated {
		requirements["disabled_reason"], requirements["currently_due"] = "requirements.past_due", []any{"business_profile.url", "external_account"}
	}
	state := "inactive"
	if a.activated {
		state = "active"
	}
	return object{
		"id": a.id, "object": "account", "business_profile": object{"name": a.name, "url": nil}, "business_type": "company",
		"capabilities": object{"card_payments": state, "transfers": state}, "charges_enabled": a.activated, "payouts_enabled": a.activated,
		"country": a.country, "created": int64(1700000000), "default_currency": map[string]string{"PL": "pln", "US": "usd", "GB": "gbp"}[a.country],
		"details_submitted": a.activated, "email": nil, "metadata": object{}, "requirements": requirements, "type": "standard",
		"settings": object{"dashboard": object{"display_name": a.name, "timezone": "Etc/UTC"}},
	}
}

func accountRoutes() []route {
	return []route{
		{"GET /v1/account", parseSpec(""), func(c *call) (any, error) { return c.account.object(), nil }},
		{"GET /v1/accounts/{id}", parseSpec(""), func(c *call) (any, error) {
			a := c.sim.account(c.id)
			if a == nil || a != c.account && (c.account.id != PlatformAccount || !a.connected(c.live)) {
				return nil, &apiError{http.StatusForbidden, invalidRequest, "account_invalid", "", "The provided key does not have access to account '" + c.id + "' (or that account does not exist). Application access may have been revoked."}
			}
			return a.object(), nil
		}},
		{"GET /v1/accounts", parseSpec(pageSpec), func(c *call) (any, error) {
			var all []object
			for _, a := range c.sim.accounts {
				if a.id != PlatformAccount && a.connected(c.live) {
					all = append(all, a.object())
				}
			}
			return c.page(all, "/v1/accounts")
		}},
	}
}

// setActivated changes charges_enabled and tells of it in the modes in which the account has a world or a connection.
func (s *sim) setActivated(a *account, on bool) {
	if a.activated == on {
		return
	}
	before := a.object()
	a.activated = on
	for _, live := range []bool{false, true} {
		if a.connected(live) || s.worlds[worldKey{a.id, live}] != nil {
			s.world(a.id, live).emitChanged("account.updated", a.object(), a.object().changed(before))
		}
	}
}

// grant is an authorization code.
type grant struct {
	account *account
	live    bool
	scope   string
	until   time.Time
	used    bool
}

func (s *sim) connectRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /oauth/authorize", s.authorizePage)
	mux.HandleFunc("POST /oauth/authorize", s.authorize)
	mux.HandleFunc("POST /oauth/token", s.token)
	mux.HandleFunc("POST /oauth/deauthorize", s.deauthorize)
}

// authorizeView is what the page shows.
type authorizeView struct {
	Error    string
	Query    url.Values
	Accounts []accountView
}

type accountView struct {
	ID, Name, Country string
	Activated         bool
}

// checkAuthorize reads the request to connect; message says what is wrong with it.
func (s *sim) checkAuthorize(q url.Values) (back *url.URL, message string) {
	if q.Get("client_id") != s.cfg.ClientID {
		return nil, "No application matches the supplied client identifier."
	}
	if q.Get("response_type") != "code" {
		return nil, "response_type must be code."
	}
	if scope := q.Get("scope"); scope != "" && scope != "read_write" && scope != "read_only" {
		return nil, "Invalid scope: " + scope
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Host == "" || back.Scheme != "http" && back.Scheme != "https" {
		return nil, "Invalid redirect URI. The sandbox needs redirect_uri: it knows no registered ones."
	}
	return back, ""
}

func (s *sim) authorizePage(w http.ResponseWriter, q *http.Request) {
	query := q.URL.Query()
	back, message := s.checkAuthorize(query)
	v := authorizeView{Error: message, Query: query}
	s.mu.Lock()
	for _, a := range s.accounts {
		if a.id != PlatformAccount {
			v.Accounts = append(v.Accounts, accountView{a.id, a.name, a.country, a.activated})
		}
	}
	s.mu.Unlock()
	status := http.StatusOK
	if message != "" {
		status = http.StatusBadRequest
	}
	s.page(w, status, "authorize.html", v, back)
}

// authorize answers the page's buttons: activate an account, authorize, deny.
func (s *sim) authorize(w http.ResponseWriter, q *http.Request) {
	query := q.URL.Query()
	back, message := s.checkAuthorize(query)
	if message != "" {
		s.page(w, http.StatusBadRequest, "authorize.html", authorizeView{Error: message}, nil)
		return
	}
	answer := back.Query()
	if query.Has("state") {
		answer.Set("state", query.Get("state"))
	}
	s.mu.Lock()
	a := s.account(q.PostFormValue("account"))
	switch action := q.PostFormValue("action"); {
	case action == "deny":
		answer.Set("error", "access_denied")
		answer.Set("error_description", "The user denied your request")
	case a == nil || a.id == PlatformAccount:
		s.mu.Unlock()
		http.Redirect(w, q, "/oauth/authorize?"+query.Encode(), http.StatusSeeOther) //nolint:gosec // a path of our own
		return
	case action == "activate":
		s.setActivated(a, true)
		s.keepAccounts()
		s.mu.Unlock()
		http.Redirect(w, q, "/oauth/authorize?"+query.Encode(), http.StatusSeeOther) //nolint:gosec // a path of our own
		return
	default:
		code := s.id("ac_", 32)
		scope := query.Get("scope")
		if scope == "" {
			scope = "read_only"
		}
		s.codes[code] = &grant{account: a, scope: scope, until: s.now().Add(5 * time.Minute)}
		answer.Set("code", code)
		answer.Set("scope", scope)
	}
	s.mu.Unlock()
	back.RawQuery = answer.Encode()
	http.Redirect(w, q, back.String(), http.StatusSeeOther) //nolint:gosec // OAuth leads back to the application; the sandbox registers none
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, object{"error": code, "error_description": description})
}

// secretKey is the platform's key of an OAuth request: client_secret, or the Authorization header.
func (s *sim) secretKey(q *http.Request) (live, ok bool) {
	key := q.PostFormValue("client_secret")
	if user, _, basic := q.BasicAuth(); key == "" && basic {
		key = user
	}
	if bearer := q.Header.Get("Authorization"); key == "" && len(bearer) > 7 {
		key = bearer[7:]
	}
	return key == s.cfg.LiveKey, slices.Contains([]string{s.cfg.TestKey, s.cfg.LiveKey}, key)
}

func (s *sim) token(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.keepAccounts()
	live, ok := s.secretKey(q)
	if !ok {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "No such API key, or it is not that of the platform.")
		return
	}
	switch q.PostFormValue("grant_type") {
	case "authorization_code":
	case "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "No grant type specified")
		return
	case "refresh_token":
		oauthError(w, http.StatusNotImplemented, "sandbox_unsupported", "The sandbox cannot refresh tokens; use Stripe-Account with the platform's key.")
		return
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant type: "+q.PostFormValue("grant_type"))
		return
	}
	code := q.PostFormValue("code")
	g := s.codes[code]
	switch {
	case code == "":
		oauthError(w, http.StatusBadRequest, "invalid_request", "No authorization code provided")
	case g == nil:
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Authorization code does not exist: "+code)
	case g.used:
		g.account.connect(g.live, false) // all that was issued with the code is revoked
		oauthError(w, http.StatusBadRequest, "invalid_grant", "This authorization code has already been used. All tokens issued with this code have been revoked.")
	case s.now().After(g.until):
		oauthError(w, http.StatusBadRequest, "invalid_grant", "Authorization code expired: "+code)
	default:
		g.used, g.live = true, live
		g.account.connect(live, true)
		mode := "test"
		if live {
			mode = "live"
		}
		access := s.id("sk_"+mode+"_", 24)
		s.tokens[access] = worldKey{g.account.id, live}
		writeJSON(w, http.StatusOK, object{
			"access_token": access, "livemode": live, "refresh_token": s.id("rt_", 24), "scope": g.scope,
			"stripe_publishable_key": s.id("pk_"+mode+"_", 24), "stripe_user_id": g.account.id, "token_type": "bearer",
		})
	}
}

func (s *sim) deauthorize(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.keepAccounts()
	live, ok := s.secretKey(q)
	a := s.account(q.PostFormValue("stripe_user_id"))
	if !ok || q.PostFormValue("client_id") != s.cfg.ClientID || a == nil || !a.connected(live) {
		oauthError(w, http.StatusUnauthorized, "invalid_client", "This application is not connected to stripe account "+q.PostFormValue("stripe_user_id")+", or that account does not exist.")
		return
	}
	s.disconnect(a, live)
	writeJSON(w, http.StatusOK, object{"stripe_user_id": a.id})
}

// disconnect ends a connection; the event is the last that the platform gets of the account.
func (s *sim) disconnect(a *account, live bool) {
	s.world(a.id, live).emit("account.application.deauthorized", object{"id": s.cfg.ClientID, "object": "application", "name": "Quittance"})
	a.connect(live, false)
	for token, key := range s.tokens {
		if key == (worldKey{a.id, live}) {
			delete(s.tokens, token)
		}
	}
}
