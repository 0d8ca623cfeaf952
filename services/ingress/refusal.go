package ingress

import "net/http"

// Reason says why a request was refused. It is the label of the metric, the field of the log line and the code of the
// answer's JSON body, so its values never change.
type Reason string

// The reasons. The zero Reason means that nothing was refused.
const (
	// MissingSignature: no Stripe-Signature header, or an empty one.
	MissingSignature Reason = "missing_signature"
	// MalformedSignature: a header that Stripe never sends: not k=v,k=v, no timestamp, too long, twice.
	MalformedSignature Reason = "malformed_signature"
	// NoMatchingSignature: the body verified under no secret. An altered body, another endpoint's secret and a forgery
	// look the same; nothing can tell them apart.
	NoMatchingSignature Reason = "no_matching_signature"
	// Stale: a genuine signature made more than Tolerance ago: a replayed delivery, or this machine's clock is ahead.
	Stale Reason = "stale"
	// Future: a genuine signature dated more than Tolerance ahead: this machine's clock is behind.
	Future Reason = "future"
	// TooLarge: more than MaxBody bytes.
	TooLarge Reason = "too_large"
	// IncompleteBody: the client stopped or was too slow.
	IncompleteBody Reason = "incomplete_body"
	// UnsupportedEncoding: a compressed body. Stripe sends none, and refusing them all leaves no bomb to unpack.
	UnsupportedEncoding Reason = "unsupported_encoding"
	// MethodNotAllowed: anything but POST.
	MethodNotAllowed Reason = "method_not_allowed"
	// NotFound: another path.
	NotFound Reason = "not_found"
	// Unavailable: the event is not known to be stored. Stripe repeats it.
	Unavailable Reason = "unavailable"
)

// Reasons lists them all, so that every label of the metric exists from the start.
var Reasons = []Reason{
	MissingSignature, MalformedSignature, NoMatchingSignature, Stale, Future, TooLarge, IncompleteBody,
	UnsupportedEncoding, MethodNotAllowed, NotFound, Unavailable,
}

// answer is what a refused client gets to see. It says nothing that the client did not know, in particular neither the
// names nor the number of the secrets.
func (r Reason) answer() (status int, detail string) {
	switch r {
	case MissingSignature:
		return http.StatusBadRequest, "the Stripe-Signature header is missing"
	case MalformedSignature:
		return http.StatusBadRequest, "the Stripe-Signature header is malformed"
	case NoMatchingSignature:
		return http.StatusBadRequest, "the body verified under no configured signing secret"
	case Stale:
		return http.StatusBadRequest, "the signature is genuine but too old"
	case Future:
		return http.StatusBadRequest, "the signature is genuine but dated in the future"
	case TooLarge:
		return http.StatusRequestEntityTooLarge, "the body is larger than 512 KiB"
	case IncompleteBody:
		return http.StatusRequestTimeout, "the body did not arrive completely in time"
	case UnsupportedEncoding:
		return http.StatusUnsupportedMediaType, "send the body without a Content-Encoding"
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed, "only POST is allowed"
	case NotFound:
		return http.StatusNotFound, "there is nothing at this path"
	case Unavailable:
		return http.StatusServiceUnavailable, "the event could not be stored; send it again"
	}
	return http.StatusInternalServerError, "refused"
}
