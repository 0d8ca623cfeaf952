package ingress

import (
	"maps"
	"net/http"
	"slices"
)

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

// refusal is how a reason is answered. It tells a client nothing that it did not know, in particular neither the names nor
// the number of the secrets.
type refusal struct {
	status        int
	detail        string
	header, value string // one more header of the answer, or none
}

var refusals = map[Reason]refusal{
	MissingSignature:    {status: http.StatusBadRequest, detail: "the Stripe-Signature header is missing"},
	MalformedSignature:  {status: http.StatusBadRequest, detail: "the Stripe-Signature header is malformed"},
	NoMatchingSignature: {status: http.StatusBadRequest, detail: "the body verified under no configured signing secret"},
	Stale:               {status: http.StatusBadRequest, detail: "the signature is genuine but more than 300 s old"},
	Future:              {status: http.StatusBadRequest, detail: "the signature is genuine but dated more than 300 s ahead"},
	TooLarge: {
		status: http.StatusRequestEntityTooLarge, detail: "the body is larger than 512 KiB",
		header: "Connection", value: "close",
	},
	IncompleteBody: {
		status: http.StatusRequestTimeout, detail: "the body did not arrive completely in time",
		header: "Connection", value: "close",
	},
	UnsupportedEncoding: {status: http.StatusUnsupportedMediaType, detail: "send the body without a Content-Encoding"},
	MethodNotAllowed: {
		status: http.StatusMethodNotAllowed, detail: "only POST is allowed",
		header: "Allow", value: http.MethodPost,
	},
	NotFound: {status: http.StatusNotFound, detail: "there is nothing at this path"},
	// Stripe retries on a schedule of its own; our own senders follow Retry-After.
	Unavailable: {
		status: http.StatusServiceUnavailable, detail: "the event could not be stored; send it again",
		header: "Retry-After", value: "2",
	},
}

// Reasons returns all reasons, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(refusals)) }
