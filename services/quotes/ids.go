package quotes

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// lower is base32 in lower case without padding: 26 characters for 128 bits, all
// of them valid in a subject and in an address.
var lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idLength is how many characters an id or page token has.
const idLength = 26

// randomText is 128 random bits in 26 characters.
func (s *Service) randomText() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("draw random bits: %w", err)
	}
	return lower.EncodeToString(b[:]), nil
}

// quoteID is the id of a quote that is to be created: random, or where the
// request has a key, always the same for the same seller and key, so that a
// retry finds what the first one made.
func (s *Service) quoteID(seller, key string) (string, error) {
	if key == "" {
		text, err := s.randomText()
		return "q_" + text, err
	}
	sum := sha256.Sum256([]byte("quote\x00" + seller + "\x00" + key))
	return "q_" + lower.EncodeToString(sum[:])[:idLength], nil
}

// requestKey is what the log keeps of an Idempotency-Key: callers put names and
// numbers of their own into it.
func requestKey(command, key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(command + "\x00" + key))
	return hex.EncodeToString(sum[:])
}

// traceOf is the caller's W3C trace context, or a fresh one.
func (s *Service) traceOf(r *http.Request) string {
	given := r.Header.Get("traceparent")
	parts := strings.Split(given, "-")
	if len(parts) == 4 && isHex(parts[0], 2) && isHex(parts[1], 32) && isHex(parts[2], 16) && isHex(parts[3], 2) {
		return given
	}
	var b [24]byte
	if _, err := io.ReadFull(s.cfg.Random, b[:]); err != nil {
		return "" // a call without a trace is better than no call
	}
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:]) + "-01"
}

// traceID is the trace id of a trace context.
func traceID(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) != 4 {
		return ""
	}
	return parts[1]
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}
