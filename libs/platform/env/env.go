// Package env reads a service's settings from its environment, once, at start.
//
// Its one job: turn names into typed values and report every fault together, so that an operator repairs a broken
// environment in one go. It does not read the process environment itself (the caller hands it a Lookup), it keeps no
// state, and it never prints a secret. Every service's ConfigFromEnv calls it. What changes while a service runs is the content
// of a secret's file alone: FollowSecretFile tells of it.
package env

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Lookup returns the value of one variable and whether it is set; os.LookupEnv is one.
type Lookup = func(name string) (string, bool)

// Reader reads variables and collects what is wrong with them. It is not safe for concurrent use.
type Reader struct {
	lookup Lookup
	faults []error
}

// NewReader returns a Reader over lookup.
func NewReader(lookup Lookup) *Reader { return &Reader{lookup: lookup} }

// Err returns every fault found so far, joined, or nil.
func (r *Reader) Err() error { return errors.Join(r.faults...) }

// Fault records a fault that the caller found in the variable name.
func (r *Reader) Fault(name string, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
}

// set is the variable's value without surrounding space, empty where it is not set.
func (r *Reader) set(name string) string {
	if v, ok := r.lookup(name); ok {
		return strings.TrimSpace(v)
	}
	return ""
}

// String returns the variable's value without surrounding space, or the content of the file that name_FILE names; fallback when
// neither says anything. Both set is a fault.
func (r *Reader) String(name, fallback string) string {
	v, path := r.set(name), r.set(name+"_FILE")
	switch {
	case v != "" && path != "":
		r.Fault(name, "is set twice: by itself and by %s_FILE; keep one", name)
	case path != "":
		b, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the environment
		if err != nil {
			r.Fault(name+"_FILE", "%v", err)
		}
		v = strings.TrimSpace(string(b))
	}
	if v == "" {
		return fallback
	}
	return v
}

// Required returns the variable's value; unset or empty is a fault.
func (r *Reader) Required(name string) string {
	v := r.String(name, "")
	if v == "" {
		r.Fault(name, "is required and not set")
	}
	return v
}

// Duration returns a duration in Go's notation ("30s", "15m"), zero or more.
func (r *Reader) Duration(name string, fallback time.Duration) time.Duration {
	v := r.String(name, "")
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		r.Fault(name, "%q is not a duration such as 30s or 15m", v)
		return fallback
	}
	return d
}

// Int returns a whole number between low and high, both included.
func (r *Reader) Int(name string, fallback, low, high int) int {
	v := r.String(name, "")
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		r.Fault(name, "%q is not a whole number from %d to %d", v, low, high)
		return fallback
	}
	return n
}

// Bool returns true for 1, t, true, yes, on and false for 0, f, false, no, off (any case).
func (r *Reader) Bool(name string, fallback bool) bool {
	switch v := strings.ToLower(r.String(name, "")); v {
	case "":
		return fallback
	case "1", "t", "true", "yes", "on":
		return true
	case "0", "f", "false", "no", "off":
		return false
	default:
		r.Fault(name, "%q is neither true nor false", v)
		return fallback
	}
}

// Addr returns a listening address, host:port; an empty host means all interfaces, port 0 any free port.
func (r *Reader) Addr(name, fallback string) string {
	v := r.String(name, fallback)
	_, port, err := net.SplitHostPort(v)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		r.Fault(name, "%q is not an address such as 127.0.0.1:8080", v)
		return fallback
	}
	return v
}

// Enum returns one of the allowed values.
func (r *Reader) Enum(name, fallback string, allowed ...string) string {
	v := r.String(name, fallback)
	if !slices.Contains(allowed, v) {
		r.Fault(name, "%q is not one of %s", v, strings.Join(allowed, ", "))
		return fallback
	}
	return v
}

// Secret returns the secret in the variable name or in the file that name_FILE names; both set is a fault, neither is
// an empty secret. One trailing line break of a file is dropped, nothing else.
func (r *Reader) Secret(name string) Secret {
	value, inline := r.lookup(name)
	inline = inline && value != ""
	path := r.String(name+"_FILE", "")
	switch {
	case inline && path != "":
		r.Fault(name, "is set twice: by itself and by %s_FILE; keep one", name)
		return Secret{}
	case inline:
		return Secret{value: value}
	case path == "":
		return Secret{}
	}
	s, err := ReadSecretFile(path)
	if err != nil {
		r.Fault(name+"_FILE", "%v", err)
	}
	return s
}

// SecretFile returns the file that holds the secret name, or "" when it is given inline or not at all; FollowSecretFile
// watches it.
func (r *Reader) SecretFile(name string) string { return r.String(name+"_FILE", "") }

// ReadSecretFile reads a secret from a file, without one trailing line break.
func ReadSecretFile(path string) (Secret, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the environment
	if err != nil {
		return Secret{}, fmt.Errorf("read secret file: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	return Secret{value: value, file: path}, nil
}

// Secret is a value that never prints itself: every way of formatting it yields [set] or [empty].
type Secret struct {
	value string
	file  string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the secret itself. Call it only where the secret is used.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == "" }

// String returns [set] or [empty].
func (s Secret) String() string {
	if s.value == "" {
		return "[empty]"
	}
	return "[set]"
}

// GoString is String, so that %#v does not print the secret either.
func (s Secret) GoString() string { return s.String() }

// MarshalText is String, so that encoders do not print the secret either.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
