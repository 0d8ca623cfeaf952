package quotes

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"quittance.internal/libs/domain/quote"
)

// maxKey bounds an Idempotency-Key, in bytes, as Stripe does.
const maxKey = 255

// idempotencyKey is the call's key; empty when it has none.
func (c *call) idempotencyKey() (string, error) {
	values, there := c.Header["Idempotency-Key"]
	if !there {
		return "", nil
	}
	key := values[0]
	if len(values) != 1 || key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", refuse(http.StatusBadRequest, "invalid-idempotency-key", "Idempotency-Key must be 1 to 255 printable ASCII characters, given once.")
	}
	return key, nil
}

// body reads the whole body, which must be of one of the media types.
func (c *call) body(types ...string) ([]byte, error) {
	media, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || !slices.Contains(types, media) || (charset != "" && charset != "utf-8") {
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported-media-type", "Send Content-Type: "+types[0]+".")
	}
	b, err := io.ReadAll(c.Body)
	if err != nil {
		return nil, readError(err)
	}
	return b, nil
}

// noBody makes sure that a command without parameters got none: a field that is
// passed over in silence is a misunderstanding.
func (c *call) noBody() error {
	b, err := io.ReadAll(c.Body)
	if err != nil {
		return readError(err)
	}
	switch strings.Join(strings.Fields(string(b)), "") {
	case "", "{}":
		return nil
	default:
		return invalid([]quote.Reason{{Code: quote.CodeUnknown, Detail: "This command takes no fields; send no body."}})
	}
}

// readError tells a body that is too large from one that broke off.
func readError(err error) error {
	if p := problemOf(err); p.Status == http.StatusRequestEntityTooLarge {
		return p
	}
	return &problem{Kind: "incomplete-body", Status: http.StatusBadRequest, Detail: "The body could not be read to its end.", cause: err}
}

// etag is the entity tag of a version of a quote's document.
func etag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// precondition compares If-Match with the version that the quote has. Where it
// is needed and missing the answer is 428: an edit from a stale page would undo
// another person's.
func (c *call) precondition(version int, n need) error {
	values := c.Header.Values("If-Match")
	if len(values) == 0 {
		if n == needed {
			return refuse(http.StatusPreconditionRequired, "precondition-required",
				"Send If-Match with the ETag of the version that you have edited.")
		}
		return nil
	}
	for tag := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(version) {
			return nil
		}
	}
	return refuse(http.StatusPreconditionFailed, "precondition-failed",
		"It has changed meanwhile: the version is now "+strconv.Itoa(version)+". Read it and decide again.")
}

// need says whether a header may be left out.
type need bool

const (
	needed   need = true
	optional need = false
)
