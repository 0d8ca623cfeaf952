package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/operations/mask"
	"quittance.internal/libs/platform/httpserve"
	"quittance.internal/libs/platform/signin"
)

const (
	// requestTimeout bounds everything one request waits for.
	requestTimeout = 25 * time.Second
	// maxBody bounds a form, in bytes.
	maxBody = 64 << 10
)

// call is one request: who asks, and what its log line says.
type call struct {
	*http.Request
	token signin.Token
	// csrf is the CSRF token of the session's forms; empty for whoever is not
	// signed in.
	csrf string
	// result is what became of a command, for the log; empty for reads.
	result string
}

// handler answers a call, or returns the error that becomes a page; then it has
// written nothing.
type handler func(w http.ResponseWriter, c *call) error

// mayEnter reports whether a token opens the console: it shows all sellers, so a
// token for one seller's business does not.
func mayEnter(t signin.Token) bool {
	return !t.Bound && (t.Role == signin.RoleViewer || mayAct(t))
}

// mayAct reports whether a token may change something.
func mayAct(t signin.Token) bool {
	return !t.Bound && (t.Role == signin.RoleOperator || t.Role == signin.RoleAdmin)
}

// serve wraps a handler with everything that is the same for all: the session,
// the limits, the page about an error, one log line and the metrics.
func (s *Service) serve(pattern string, who access, handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := s.cfg.Now()
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		c := &call{Request: r.WithContext(ctx)}
		c.Body = http.MaxBytesReader(w, r.Body, maxBody)
		answer := &httpserve.Answer{ResponseWriter: w}

		err := s.authorize(c, who)
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

// authorize finds who is signed in, whether he may, and that a form was sent from
// a page of his session.
func (s *Service) authorize(c *call, who access) error {
	if who == public {
		return nil
	}
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
	if !mayEnter(token) {
		return refuse(http.StatusForbidden, "This token does not open the console", notForSellers)
	}
	if who == actor && !mayAct(token) {
		return refuse(http.StatusForbidden, "You may look only", "Your token has the role "+token.Role+". To act takes the role operator or admin.")
	}
	return nil
}

const notForSellers = "The console shows the business of all sellers. It takes a token of the role viewer, operator or admin whose entry in API_TOKENS names no seller."

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
		return refuse(http.StatusForbidden, "This form was not accepted",
			"It does not belong to your session, for example because you signed in again. Go back, load the page again, and send it once more. Nothing was changed.")
	}
	return nil
}

// sameSite refuses what a page of another site sends.
func (s *Service) sameSite(c *call) error {
	if err := s.origins.Check(c.Request); err != nil {
		p := refuse(http.StatusForbidden, "This form was not accepted", "It was sent from another site. Nothing was changed.")
		p.cause = err
		return p
	}
	return nil
}

// report writes the one log line of the call and counts it. No form, no token, no
// query: ids that people search for may be addresses.
func (s *Service) report(c *call, pattern string, status int, took time.Duration, p *problem) {
	s.requests.Count(c.Method, pattern, status, took)
	fields := []zap.Field{
		zap.String("method", c.Method), zap.String("route", pattern), zap.Int("status", status), zap.Duration("took", took),
	}
	for _, f := range []struct{ name, value string }{{"token_name", c.token.Name}, {"result", c.result}} {
		if f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	if p != nil {
		fields = append(fields, zap.String("problem", p.Heading))
	}
	if p != nil && p.cause != nil {
		fields = append(fields, zap.String("error", mask.Text(p.cause.Error())))
	}
	if p != nil && status >= http.StatusInternalServerError && !errors.Is(p, context.Canceled) {
		s.logger.Error("request", fields...)
		return
	}
	s.logger.Info("request", fields...)
}
