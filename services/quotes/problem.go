package quotes

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
)

// problem is an RFC 9457 problem document and the error it comes from. Kind, the
// end of its type, is stable and for programs.
type problem struct {
	Kind    string
	Status  int
	Detail  string
	Reasons []quote.Reason
	// retryAfter is Retry-After, in seconds; 0 for none, or 1 where the service is
	// not available.
	retryAfter int
	// cause is for the log, never for the caller.
	cause error
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.Kind + ": " + p.cause.Error()
	}
	return p.Kind
}

func (p *problem) Unwrap() error { return p.cause }

// wire is the document as it is written.
type wire struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Reasons holds everything that is wrong, at once.
	Reasons []quote.Reason `json:"reasons,omitempty"`
}

func refuse(status int, kind, detail string, reasons ...quote.Reason) *problem {
	return &problem{Kind: kind, Status: status, Detail: detail, Reasons: reasons}
}

// invalid is a body or document that was understood and is not acceptable; JSON
// that is none is a bad request instead.
func invalid(reasons []quote.Reason) *problem {
	if len(reasons) == 1 && reasons[0].Code == quote.CodeInvalidJSON {
		return refuse(http.StatusBadRequest, "invalid-json", reasons[0].Detail, reasons...)
	}
	return refuse(http.StatusUnprocessableEntity, "invalid", count(len(reasons), "problem")+" in the request.", reasons...)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// unavailable is trouble that goes away by itself: the caller may repeat the
// request as it is.
func unavailable(cause error) *problem {
	return &problem{
		Kind: "unavailable", Status: http.StatusServiceUnavailable, cause: cause,
		Detail: "The service cannot do this just now. Repeat the request; with the same Idempotency-Key nothing happens twice.",
	}
}

var errNotFound = refuse(http.StatusNotFound, "not-found", "There is no such quote.")

// problemOf turns whatever a handler returns into a problem.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if refusal, ok := errors.AsType[*quote.Refusal](err); ok {
		if refusal.Kind == quote.KindInvalid {
			return invalid(refusal.Reasons)
		}
		return refuse(http.StatusConflict, "conflict", refusal.Reasons[0].Detail, refusal.Reasons...)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(http.StatusRequestEntityTooLarge, "too-large", "The body has more than "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes.")
	}
	switch {
	case errors.Is(err, quote.ErrNotFound):
		return errNotFound
	case errors.Is(err, natsstream.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(err)
	default:
		return &problem{Kind: "internal", Status: http.StatusInternalServerError, cause: err, Detail: "Something is wrong on our side; it is logged."}
	}
}

// headers are those of the problem, whether a program or a person reads it.
func (p *problem) headers(w http.ResponseWriter) {
	after := p.retryAfter
	if after == 0 && p.Status == http.StatusServiceUnavailable {
		after = 1
	}
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
}

// write answers with the problem document.
func (p *problem) write(w http.ResponseWriter) {
	p.headers(w)
	writeJSON(w, p.Status, "application/problem+json", wire{
		Type: "urn:quittance:problem:" + p.Kind, Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail, Reasons: p.Reasons,
	})
}

// writeJSON answers with v. Everything here is of one moment and one caller, so
// nothing may keep it.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A failed write means that the caller has gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
