package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// maxBody bounds a request; Stripe's own limit is not published.
const maxBody = 1 << 20

// route is an endpoint of the API.
type route struct {
	pattern string // method and path as http.ServeMux has them
	params  *spec
	handle  func(c *call) (any, error)
}

// call is one request in its world.
type call struct {
	*world
	id      string // of the path
	p       object // the parameters, checked
	version string // in which the answer is rendered
	method  string
	path    string
	key     string // Idempotency-Key, "" when none
	print   string // the parameters as sent, canonical
	request string // Request-Id
	replay  bool
	fault   *fault
}

// reply is what goes out.
type reply struct {
	status   int
	body     []byte
	original string // the request whose answer is replayed
}

// answer is what an idempotency key keeps.
type answer struct {
	method, path, print string
	created             time.Time
	request             string
	done                bool
	reply               reply
}

func (s *sim) routes(mux *http.ServeMux) {
	for _, group := range [][]route{
		accountRoutes(), customerRoutes(), couponRoutes(), sessionRoutes(), paymentRoutes(), refundRoutes(), billingRoutes(), eventRoutes(), endpointRoutes(),
	} {
		for _, r := range group {
			mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { s.serve(w, q, r) })
		}
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, q *http.Request) {
		s.serve(w, q, route{params: nil, handle: func(c *call) (any, error) {
			return nil, unsupported("", "there is no %s %s here", c.method, c.path)
		}})
	})
	s.connectRoutes(mux)
	s.payRoutes(mux)
	s.adminRoutes(mux)
}

// serve answers one request of the API: key, account, faults, idempotency, parameters, effect.
func (s *sim) serve(w http.ResponseWriter, q *http.Request, r route) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if err != nil {
		return // the client has gone, or sends without end
	}
	s.mu.Lock()
	s.settle()
	c := &call{id: q.PathValue("id"), method: q.Method, path: q.URL.Path, request: s.id("req_", 14)}
	out := s.answer(q, r, c, string(raw))
	held, healed := s.held, s.healed
	s.held = nil
	s.mu.Unlock()

	if s.knobsNow().BeforeAnswer {
		s.release(held)
		s.await(q.Context(), held)
	}
	if c.fault != nil && c.fault.After && c.fault.Delay > 0 {
		pause(q.Context(), time.Duration(c.fault.Delay), healed)
	}
	s.finish(c, out)
	if !c.fault.spoil(w, c) {
		c.write(w, out)
	}
	s.release(held)
	s.log.Debug("request answered", zap.String("method", c.method), zap.String("path", c.path), zap.Int("status", out.status), zap.String("request_id", c.request), zap.Bool("replayed", c.replay))
}

// answer runs under the lock, but for the time of a fault that delays.
func (s *sim) answer(q *http.Request, r route, c *call, raw string) reply {
	if err := s.authenticate(q, c); err != nil {
		return c.refused(err)
	}
	if q.Method == http.MethodGet || q.Method == http.MethodDelete && raw == "" {
		raw = q.URL.RawQuery
	}
	form, err := parseForm(raw)
	if err != nil {
		return c.refused(err)
	}
	c.print = canonical(raw)
	c.fault = s.takeFault(c)
	if out, ok := c.fault.early(c); ok {
		s.hold(q.Context(), c.fault)
		return out
	}
	if out, ok := s.reserve(c); ok {
		return out
	}
	s.hold(q.Context(), c.fault)
	if c.fault != nil && c.fault.Kind == faultServerError && !c.fault.After {
		return c.fault.serverError(c)
	}
	if r.params != nil {
		if c.p, err = r.params.read(form, ""); err != nil {
			return c.refused(err)
		}
	}
	s.request = origin{c.request, c.key}
	result, err := r.handle(c)
	s.request = origin{}
	if err != nil {
		return c.refused(err)
	}
	if c.fault != nil && c.fault.Kind == faultServerError {
		return c.fault.serverError(c)
	}
	return c.rendered(result)
}

// hold makes the request wait before its effect; meanwhile others are answered.
func (s *sim) hold(ctx context.Context, f *fault) {
	if f == nil || f.After || f.Delay == 0 {
		return
	}
	healed := s.healed
	s.mu.Unlock()
	pause(ctx, time.Duration(f.Delay), healed)
	s.mu.Lock()
	s.settle()
}

// authenticate finds the world that key and Stripe-Account name.
func (s *sim) authenticate(q *http.Request, c *call) error {
	key, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	if user, _, basic := q.BasicAuth(); basic {
		key, ok = user, true
	}
	if !ok || key == "" {
		return &apiError{http.StatusUnauthorized, invalidRequest, "", "", "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."}
	}
	home, ok := s.keyWorld(key)
	if !ok {
		return &apiError{http.StatusUnauthorized, invalidRequest, "", "", "Invalid API Key provided: " + maskKey(key)}
	}
	if on := q.Header.Get("Stripe-Account"); on != "" && on != home.account {
		if a := s.account(on); a == nil || home.account != PlatformAccount || !a.connected(home.live) {
			return &apiError{
				http.StatusForbidden, invalidRequest, "account_invalid", "",
				"The provided key '" + maskKey(key) + "' does not have access to account '" + on + "' (or that account does not exist). Application access may have been revoked.",
			}
		}
		home.account = on
	}
	c.world = s.world(home.account, home.live)
	c.key = q.Header.Get("Idempotency-Key")
	c.version = Version20231016
	if v := q.Header.Get("Stripe-Version"); v != "" {
		if !knownVersion(v) {
			return refuse("", "", "Invalid Stripe API version: %s. The sandbox renders %s and %s.", v, Version20231016, VersionBasil)
		}
		c.version = v
	}
	return nil
}

func (s *sim) keyWorld(key string) (worldKey, bool) {
	switch key {
	case s.cfg.TestKey:
		return worldKey{PlatformAccount, false}, true
	case s.cfg.LiveKey:
		return worldKey{PlatformAccount, true}, true
	}
	k, ok := s.tokens[key]
	return k, ok
}

func maskKey(key string) string {
	if len(key) < 13 {
		return strings.Repeat("*", len(key))
	}
	return key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
}

// reserve looks an idempotency key up: a stored answer is replayed, another request is refused, a new key is taken.
func (s *sim) reserve(c *call) (reply, bool) {
	if c.key == "" || c.method != http.MethodPost {
		return reply{}, false
	}
	if len(c.key) > 255 {
		return c.refused(refuse("", "", "Idempotency-Key must be at most 255 characters.")), true
	}
	kept := c.answers[c.key]
	if kept != nil && s.now().Sub(kept.created) >= 24*time.Hour {
		kept = nil
	}
	switch {
	case kept == nil:
		c.answers[c.key] = &answer{method: c.method, path: c.path, print: c.print, created: s.now(), request: c.request}
		return reply{}, false
	case kept.path != c.path:
		c.replay = true
		return c.refused(&apiError{http.StatusBadRequest, idempotency, "", "", "Keys for idempotent requests can only be used for the same endpoint they were first used for ('" + c.path + "' vs '" + kept.path + "'). Try using a key other than '" + c.key + "' if you meant to execute a different request."}), true
	case kept.print != c.print:
		c.replay = true
		return c.refused(&apiError{http.StatusBadRequest, idempotency, "", "", "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '" + c.key + "' if you meant to execute a different request."}), true
	case !kept.done:
		c.replay = true
		return c.refused(&apiError{http.StatusConflict, invalidRequest, "idempotency_key_in_use", "", "There is currently another in-progress request using this Stripe idempotency key. Please try again later."}), true
	}
	c.replay = true
	out := kept.reply
	out.original = kept.request
	return out, true
}

// finish keeps the answer under its key. What was refused before any effect is not kept, and the key is free again.
func (s *sim) finish(c *call, out reply) {
	if c.world == nil || c.key == "" || c.replay || c.method != http.MethodPost {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := c.answers[c.key]
	if kept == nil || kept.request != c.request {
		return
	}
	if out.status >= 400 && out.status != http.StatusInternalServerError {
		delete(c.answers, c.key)
		return
	}
	kept.done, kept.reply = true, out
}

func (c *call) refused(err error) reply {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{http.StatusInternalServerError, apiFailure, "", "", "The sandbox erred: " + err.Error()}
	}
	return c.encoded(e.status, e.render(c.request))
}

func (c *call) rendered(result any) reply {
	o, ok := result.(object)
	if !ok {
		return c.encoded(http.StatusOK, result)
	}
	o = render(o, c.version)
	for _, path := range strsOf(c.p["expand"]) {
		if err := c.expand(o, path, path); err != nil {
			return c.refused(err)
		}
	}
	return c.encoded(http.StatusOK, o)
}

func (c *call) encoded(status int, v any) reply {
	b, err := body(v)
	if err != nil {
		return reply{status: http.StatusInternalServerError, body: []byte(`{"error":{"type":"api_error","message":"The sandbox could not encode its answer."}}`)}
	}
	return reply{status: status, body: append(b, '\n')}
}

func (c *call) write(w http.ResponseWriter, out reply) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", c.request)
	h.Set("Stripe-Version", c.version)
	if c.key != "" {
		h.Set("Idempotency-Key", c.key)
	}
	if out.original != "" {
		h.Set("Original-Request", out.original)
		h.Set("Idempotent-Replayed", "true")
	}
	switch {
	case out.status == http.StatusConflict, out.status >= 500 && out.status != http.StatusInternalServerError && out.status != http.StatusNotImplemented:
		h.Set("Stripe-Should-Retry", "true")
	case out.status == http.StatusNotImplemented:
		h.Set("Stripe-Should-Retry", "false")
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that has gone needs no answer
}

// canonical orders parameters by name, which an SDK may send in any order.
func canonical(raw string) string {
	pairs := strings.Split(raw, "&")
	slices.SortStableFunc(pairs, func(a, b string) int {
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return strings.Compare(a, b)
	})
	return strings.Join(pairs, "&")
}

// pause waits for d of the wall clock, or until the client goes or it is healed, which may be nil.
func pause(ctx context.Context, d time.Duration, healed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-healed:
	}
}
