package console

import (
	"context"
	"errors"
	"net/http"

	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/platform/natsstream"
)

// problem is what a person is told instead of the page.
type problem struct {
	Status          int
	Heading, Detail string
	// Next is what to type or do next; may be empty.
	Next string
	// cause is for the log.
	cause error
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.Heading + ": " + p.cause.Error()
	}
	return p.Heading
}

func (p *problem) Unwrap() error { return p.cause }

func refuse(status int, heading, detail string) *problem {
	return &problem{Status: status, Heading: heading, Detail: detail}
}

var (
	// errSignedOut is turned into the way to the sign-in page.
	errSignedOut = refuse(http.StatusUnauthorized, "Sign in first", "")
	errNoPage    = refuse(http.StatusNotFound, "There is no such page", "Look for a quote, an event or a payment with the search at the top.")
)

// problemOf turns whatever a handler returns into a problem.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if a, ok := errors.AsType[*advice.Error](err); ok {
		p := &problem{Status: http.StatusBadGateway, Heading: "This did not work", Detail: a.Error(), Next: a.Next, cause: err}
		switch a.Kind {
		case advice.Usage:
			p.Status, p.Heading = http.StatusBadRequest, "This question cannot be answered"
		case advice.NotFound:
			p.Status, p.Heading = http.StatusNotFound, "Nothing was found"
		case advice.Budget, advice.Difference:
			p.Status, p.Heading = http.StatusConflict, "This was refused"
		case advice.Failed:
		}
		if a.Kind == advice.Usage || a.Kind == advice.NotFound {
			p.cause = nil // it quotes what was asked for, which may be a person's name or address
		}
		return p
	}
	switch {
	case errors.Is(err, natsstream.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &problem{Status: http.StatusServiceUnavailable, Heading: "The log does not answer just now", Detail: "Nothing is lost. Wait a moment, then load the page again.", cause: err}
	default:
		return &problem{Status: http.StatusInternalServerError, Heading: "Something went wrong", Detail: "It is our fault, and it is in the console's log.", cause: err}
	}
}

func formError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &problem{Status: http.StatusRequestEntityTooLarge, Heading: "This form is too long", Detail: "Nothing was changed.", cause: tooLarge}
	}
	return &problem{Status: http.StatusBadRequest, Heading: "The form could not be read", Detail: "Nothing was changed.", cause: err}
}

// tell answers with a page about the problem, with the way on.
func (s *Service) tell(w http.ResponseWriter, c *call, p *problem) {
	if p == errSignedOut {
		s.toSignIn(w, c)
		return
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	f := s.frame(c, "", p.Heading)
	if err := s.render(w, p.Status, "message.html", struct {
		frame
		Problem *problem
	}{f, p}); err != nil {
		http.Error(w, p.Heading, p.Status)
	}
}
