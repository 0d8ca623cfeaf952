package sandbox

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is an answer in Stripe's error shape.
type apiError struct {
	status  int
	kind    string // the error's type
	code    string
	param   string
	message string
}

// Error implements error.
func (e *apiError) Error() string { return e.message }

const (
	invalidRequest = "invalid_request_error"
	apiFailure     = "api_error"
	idempotency    = "idempotency_error"
	cardFailure    = "card_error"
)

func (e *apiError) render(requestID string) object {
	o := object{"message": e.message, "type": e.kind, "request_log_url": "https://dashboard.stripe.com/test/logs/" + requestID}
	if e.code != "" {
		o["code"] = e.code
		o["doc_url"] = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.code, "_", "-")
	}
	if e.param != "" {
		o["param"] = e.param
	}
	return object{"error": o}
}

func refuse(code, param, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, invalidRequest, code, param, fmt.Sprintf(format, args...)}
}

// missing is Stripe's answer for an id it does not know; param is "id" when the id stands in the path (404), else the
// parameter (400).
func missing(kind, id, param string) error {
	status := http.StatusBadRequest
	if param == "id" || kind == "checkout.session" {
		status = http.StatusNotFound
	}
	return &apiError{status, invalidRequest, "resource_missing", param, fmt.Sprintf("No such %s: '%s'", kind, id)}
}

// unsupported says that Stripe can do what is asked and the sandbox cannot.
func unsupported(param, format string, args ...any) error {
	return &apiError{
		http.StatusNotImplemented, apiFailure, "sandbox_unsupported", param,
		"The sandbox cannot do this, real Stripe can: " + fmt.Sprintf(format, args...),
	}
}
