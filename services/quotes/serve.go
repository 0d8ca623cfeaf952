package quotes

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/signin"
)

const (
	// requestTimeout bounds everything one request waits for: NATS and Redis.
	requestTimeout = 10 * time.Second
	// maxBody bounds a body, in bytes. A hundred long lines fit three times over,
	// and the event they become fits NATS's limit of 1 MiB.
	maxBody = 128 << 10
)

// call is one request: who calls, and what its log line says. PathValue and the
// rest are the request's own.
type call struct {
	*http.Request
	token signin.Token
	// csrf is the CSRF token of the session that a page is asked for in; empty for
	// the API and for whoever is not signed in.
	csrf string
	// client is whose request it is, as far as addresses tell.
	client netip.Prefix
	// quoteID is logged; for the page it is what its token led to.
	quoteID string
	// trace is the W3C trace context that events of this call carry on.
	trace string
	// result is what became of a command, for the log and the metrics: created,
	// edited, published, recalled, unchanged; empty for reads.
	result string
}

// handler answers a call, or returns the error that becomes its problem
// document; then it has written nothing.
type handler func(w http.ResponseWriter, c *call) error

// serve wraps a handler with everything that is the same for all: the token, the
// limits, the problem document, one log line and the metrics.
func (s *Service) serve(pattern string, who access, handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := s.cfg.Now()
		if who != stream && who != watcher {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			r = r.WithContext(ctx)
		}
		c := &call{Request: r, client: s.clientOf(r), quoteID: r.PathValue("id"), trace: s.traceOf(r)}
		c.Body = http.MaxBytesReader(w, r.Body, maxBody)
		answer := &httpserve.Answer{ResponseWriter: w}

		err := s.authorize(answer, c, who)
		if err == nil {
			err = httpserve.Guarded(func() error { return handle(answer, c) })
		}
		var p *problem
		if err != nil {
			p = problemOf(err)
			if answer.Status == 0 {
				s.tell(answer, c, p)
			}
		}
		s.report(c, pattern, answer.Status, s.cfg.Now().Sub(begun), p)
	})
}

// tell answers with a problem: with a page where a person reads it, else with a
// document.
func (s *Service) tell(w http.ResponseWriter, c *call, p *problem) {
	if c.wantsPage() {
		show := s.showProblem
		if c.ofSeller() {
			show = s.showSellerProblem
		}
		err := show(w, c, p)
		if err == nil {
			return
		}
		s.log.Error("problem not shown as a page", zap.Error(err))
	}
	p.write(w)
}

// authorize finds the caller's token; who needs none must not ask too often.
// Unknown and missing ones get the same 401.
func (s *Service) authorize(w http.ResponseWriter, c *call, who access) error {
	var err error
	switch who {
	case public, stream:
		return s.throttled(c, costPage)
	case costly:
		return s.throttled(c, costHigh)
	case visitor, author, watcher:
		err = s.authorizePage(c, who)
	case reader, writer:
		err = s.authorizeAPI(w, c, who)
	}
	// An id that no quote can have is not looked for: it must not reach a subject.
	if err == nil && c.quoteID != "" && !event.ValidToken(c.quoteID) {
		return errNotFound
	}
	return err
}

// authorizeAPI takes the token from the Authorization header.
func (s *Service) authorizeAPI(w http.ResponseWriter, c *call, who access) error {
	scheme, presented, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	token, ok := s.tokens.Find(strings.TrimSpace(presented))
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="quittance"`)
		return refuse(http.StatusUnauthorized, "unauthorized", "Send a valid token: Authorization: Bearer <token>.")
	}
	c.token = token
	if who == writer && !mayWrite(token) {
		return refuse(http.StatusForbidden, "forbidden", "A token of the role "+token.Role+" may read only.")
	}
	return nil
}

// report writes the one log line of the call and counts it. No body, no token,
// no personal data.
func (s *Service) report(c *call, pattern string, status int, took time.Duration, p *problem) {
	s.metrics.requests.Count(c.Method, pattern, status, took)
	fields := []zap.Field{
		zap.String("method", c.Method), zap.String("route", pattern), zap.Int("status", status), zap.Duration("took", took),
		zap.String("trace_id", traceID(c.trace)),
	}
	for _, f := range []struct{ name, value string }{
		{"quote_id", c.quoteID}, {"token_name", c.token.Name}, {"seller", c.token.Seller}, {"result", c.result},
	} {
		if event.ValidToken(f.value) || f.name == "token_name" && f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	if p == nil {
		s.log.Info("request", fields...)
		return
	}
	codes := make([]string, 0, len(p.Reasons))
	for _, reason := range p.Reasons {
		codes = append(codes, reason.Code)
	}
	fields = append(fields, zap.String("problem", p.Kind), zap.Strings("reasons", codes), zap.Error(p.cause))
	switch {
	case errors.Is(p, context.Canceled):
		s.log.Info("request given up by the caller", fields...)
	case status >= http.StatusInternalServerError:
		s.log.Error("request", fields...)
	default:
		s.log.Info("request", fields...)
	}
}
