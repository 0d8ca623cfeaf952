package sandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// duration is a time.Duration written as in Go: "72h".
type duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) { return encode(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("read duration: %w", err)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 90s or 72h", s)
	}
	*d = duration(v)
	return nil
}

// knobs change how webhooks are delivered and how slow things are.
type knobs struct {
	Reorder       bool     `json:"reorder"`         // shuffle what is due at one time
	Duplicate     bool     `json:"duplicate"`       // deliver each event twice
	SecondEventID bool     `json:"second_event_id"` // tell of each change by two events
	Drop          bool     `json:"drop"`            // deliver nothing; the list of events has it
	BeforeAnswer  bool     `json:"before_answer"`   // answer the API only after the webhooks were tried
	Late          duration `json:"late"`            // deliver so much later, on the sandbox's clock
	Types         []string `json:"types,omitempty"` // only events of these types (or prefix*) are concerned
	SearchLag     duration `json:"search_lag"`      // until a customer is found by search
	DebitAfter    duration `json:"debit_after"`     // until a bank debit ends; 2m from the start
}

func (k *knobs) concern(typ string) bool {
	return len(k.Types) == 0 || slices.ContainsFunc(k.Types, func(p string) bool { return matches(p, typ) })
}

func (s *sim) knobsNow() knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

// Kinds of faults.
const (
	faultRateLimit   = "rate_limit"   // 429
	faultLockTimeout = "lock_timeout" // 429 that an SDK tries again
	faultServerError = "server_error" // 500, kept under the idempotency key
	faultUnavailable = "unavailable"  // 503
	faultHTML        = "html_502"     // a proxy's page
	faultReset       = "reset"        // the connection breaks
	faultSlow        = "slow"         // only the delay
)

// fault strikes the next requests that fit.
type fault struct {
	Kind   string   `json:"kind"`
	Method string   `json:"method,omitempty"` // any when empty
	Path   string   `json:"path,omitempty"`   // exact, or prefix*; any when empty
	Times  int      `json:"times"`            // how many requests; 1 when not given
	After  bool     `json:"after"`            // once the request has had its effect
	Delay  duration `json:"delay"`            // of the wall clock
}

func (f *fault) check() error {
	kinds := []string{faultRateLimit, faultLockTimeout, faultServerError, faultUnavailable, faultHTML, faultReset, faultSlow}
	if !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("kind %q is not one of %s", f.Kind, strings.Join(kinds, ", "))
	}
	if f.After && (f.Kind == faultRateLimit || f.Kind == faultLockTimeout) {
		return fmt.Errorf("kind %s cannot come after the effect: Stripe refuses before", f.Kind)
	}
	if f.Kind == faultSlow && f.Delay == 0 {
		return fmt.Errorf("kind %s needs a delay", f.Kind)
	}
	if f.Times == 0 {
		f.Times = 1
	}
	return nil
}

// takeFault is the fault that strikes the request, or nil.
func (s *sim) takeFault(c *call) *fault {
	for i, f := range s.faults {
		if f.Method != "" && f.Method != c.method || f.Path != "" && !matches(f.Path, c.path) {
			continue
		}
		if f.Times--; f.Times <= 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return f
	}
	return nil
}

// early is the answer of a fault that strikes before anything happens; nothing is kept of it.
func (f *fault) early(c *call) (reply, bool) {
	if f == nil || f.After {
		return reply{}, false
	}
	switch f.Kind {
	case faultRateLimit:
		return c.refused(&apiError{http.StatusTooManyRequests, invalidRequest, "rate_limit", "", "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."}), true
	case faultLockTimeout:
		return c.refused(&apiError{http.StatusTooManyRequests, invalidRequest, "lock_timeout", "", "This object cannot be accessed right now because another API request or Stripe process is currently accessing it."}), true
	case faultUnavailable, faultHTML, faultReset:
		return c.refused(unavailable), true // spoil changes it as the kind demands
	}
	return reply{}, false
}

var unavailable = &apiError{http.StatusServiceUnavailable, apiFailure, "", "", "Stripe is temporarily unavailable. Please try again."}

func (f *fault) serverError(c *call) reply {
	return c.refused(&apiError{http.StatusInternalServerError, apiFailure, "", "", "An unexpected error occurred. (sandbox fault)"})
}

// spoil sends something else than the answer, if the fault is of that kind.
func (f *fault) spoil(w http.ResponseWriter, c *call) bool {
	if f == nil {
		return false
	}
	switch f.Kind {
	case faultHTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>\n"))
		return true
	case faultUnavailable:
		c.write(w, c.refused(unavailable))
		return true
	case faultReset:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return false
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // so that the close is a reset
		}
		_ = conn.Close()
		return true
	}
	return false
}
