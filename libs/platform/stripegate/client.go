// Package stripegate calls Stripe's API: Checkout Sessions, coupons, customers,
// and the authorization of accounts.
//
// Its one job is to make each call safe to repeat (a deterministic idempotency
// key, explicit retries and time limits) and its refusals plain to branch on. It
// decides nothing about quotes, keeps nothing, and takes no webhooks: those come
// in through ingress. The quotes service calls it.
package stripegate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
)

const (
	// callTimeout is the default of Config.Timeout.
	callTimeout = 8 * time.Second
	// retries is how often stripe-go repeats a call with the same key after a
	// broken connection, a 409 or a 503; it waits half a second and more between.
	retries = 2
)

// Config says which Stripe to call, and as whom.
type Config struct {
	// Key is the deployment's secret key, sk_… or rk_….
	Key env.Secret
	// Base is the API's address, also for the exchange of authorization codes;
	// empty for Stripe's own.
	Base string
	// ClientID is the application's, ca_…; empty where no account can be connected.
	ClientID string
	// ConnectURL is where a browser finds Stripe's page to authorize an account;
	// empty for Stripe's own.
	ConnectURL string
	// Timeout bounds one attempt of a call. Default 8 s.
	Timeout time.Duration
	// Transport carries the calls. Default http.DefaultTransport.
	Transport http.RoundTripper
}

// ConfigFromEnv reads STRIPE_API_KEY, STRIPE_API_BASE, STRIPE_CLIENT_ID and
// STRIPE_CONNECT_URL, which is STRIPE_API_BASE if not given: in containers a
// browser may know a stand-in of Stripe by another address than the services do.
// mode is test or live: a key that says it is of the other one is a fault.
func ConfigFromEnv(r *env.Reader, mode string) Config {
	c := Config{Key: r.Secret("STRIPE_API_KEY"), Base: address(r, "STRIPE_API_BASE", ""), ClientID: r.String("STRIPE_CLIENT_ID", "")}
	c.ConnectURL = address(r, "STRIPE_CONNECT_URL", c.Base)
	if id, ok := strings.CutPrefix(c.ClientID, "ca_"); c.ClientID != "" && (!ok || !event.ValidToken(id)) {
		r.Fault("STRIPE_CLIENT_ID", "%q is not the id of an application, ca_…", c.ClientID)
	}
	other := map[string]string{event.ModeTest: "_live_", event.ModeLive: "_test_"}[mode]
	if other != "" && strings.Contains(c.Key.Reveal(), other) {
		r.Fault("STRIPE_API_KEY", "is not a key of %s mode, which MODE says", mode)
	}
	return c
}

func address(r *env.Reader, name, fallback string) string {
	v := strings.TrimRight(r.String(name, fallback), "/")
	if u, err := url.Parse(v); v != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		r.Fault(name, "%q is not an address such as https://api.stripe.com", v)
	}
	return v
}

// Configured reports whether there is a key to call Stripe with.
func (c Config) Configured() bool { return !c.Key.IsZero() }

// Client calls Stripe. It is safe for concurrent use.
type Client struct {
	api           *client.API
	backend       stripe.Backend // of api
	connect, once stripe.Backend // for OAuth; once never repeats a request
	key, clientID string
}

// New returns a Client; nothing is called yet.
func New(c Config) *Client {
	backend := func(kind stripe.SupportedBackend, transport http.RoundTripper, tries int64) stripe.Backend {
		b := &stripe.BackendConfig{
			HTTPClient:        &http.Client{Timeout: cmp.Or(c.Timeout, callTimeout), Transport: transport},
			LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // whoever gets the error logs it
			MaxNetworkRetries: stripe.Int64(tries),
		}
		if c.Base != "" {
			b.URL = stripe.String(c.Base)
		}
		return stripe.GetBackendWithConfig(kind, b)
	}
	api, connect := backend(stripe.APIBackend, c.Transport, retries), backend(stripe.ConnectBackend, c.Transport, retries)
	// net/http repeats a request with an idempotency key by itself where a
	// connection that it had kept turns out to be closed.
	fresh := c.Transport
	if fresh == nil {
		fresh = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: callTimeout}
	}
	return &Client{
		api: client.New(c.Key.Reveal(), &stripe.Backends{API: api, Connect: connect, Uploads: api}), backend: api, connect: connect,
		once: backend(stripe.ConnectBackend, fresh, 0), key: c.Key.Reveal(), clientID: c.ClientID,
	}
}

// params are those of every call: whose account, and which key makes it one call
// however often it is made; empty for reads.
func params(ctx context.Context, account, key string) stripe.Params {
	p := stripe.Params{Context: ctx}
	if account != event.Platform {
		p.SetStripeAccount(account)
	}
	if key != "" {
		p.SetIdempotencyKey(key)
	}
	return p
}

// ErrUnavailable wraps what may go away by itself: no connection, no answer in
// time, a rate limit, trouble at Stripe. Whether the call had its effect is not
// known; the same call with the same key may be repeated.
var ErrUnavailable = errors.New("stripe unavailable")

// ErrKept is an ErrUnavailable that repeating does not help: Stripe keeps its
// answer 500 under the call's key for a day. Whether the call had its effect has
// to be looked up.
var ErrKept = fmt.Errorf("%w: it keeps this answer for the call's key", ErrUnavailable)

// RefusedError is Stripe's refusal of a call, which repeating does not change.
type RefusedError struct {
	Status          int
	Code            string // Stripe's, such as amount_too_small; may be empty
	Param           string
	Message         string // Stripe's words, English
	RequestID       string
	AccountDetached bool // the account does not exist for us, or has withdrawn its authorization
}

// Error is for the log.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("stripe refused with %d %s (param %q, request %s): %s", e.Status, e.Code, e.Param, e.RequestID, e.Message)
}

// Refused reports whether err is Stripe's refusal with that code.
func Refused(err error, code stripe.ErrorCode) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Code == string(code)
}

// Missing reports whether err is Stripe's word that the object asked for does not exist.
func Missing(err error) bool { return Refused(err, stripe.ErrorCodeResourceMissing) }

// classifyKeyed is classify for a call under a key of ours, which is all that
// Stripe's answer 500 is kept for: stripe-go takes another key each time where we
// give none.
func classifyKeyed(act string, err error) error {
	if e, ok := errors.AsType[*stripe.Error](err); ok && e.HTTPStatusCode == http.StatusInternalServerError {
		return fmt.Errorf("%s: %w: %w", act, ErrKept, err)
	}
	return classify(act, err)
}

// replayed reports whether Stripe's answer was one that it had kept.
func replayed(err error) bool {
	e, ok := errors.AsType[*stripe.Error](err)
	return ok && e.LastResponse != nil && e.LastResponse.Header.Get("Idempotent-Replayed") == "true"
}

// classify sorts an error of stripe-go: a refusal, or trouble that may pass.
func classify(act string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*stripe.Error](err)
	if !ok || e.HTTPStatusCode >= http.StatusInternalServerError || e.HTTPStatusCode == 0 ||
		e.HTTPStatusCode == http.StatusTooManyRequests || e.HTTPStatusCode == http.StatusConflict || e.HTTPStatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %w: %w", act, ErrUnavailable, err)
	}
	code, message := string(e.Code), e.Msg
	if e.OAuthError != "" {
		code, message = e.OAuthError, e.OAuthErrorDescription
	}
	if e.Type == stripe.ErrorTypeIdempotency {
		code = string(e.Type) // the key was used for another call; Stripe gives this one no code
	}
	return fmt.Errorf("%s: %w", act, &RefusedError{
		Status: e.HTTPStatusCode, Code: code, Param: e.Param, Message: message, RequestID: e.RequestID,
		AccountDetached: e.HTTPStatusCode == http.StatusForbidden || e.Code == stripe.ErrorCodeAccountInvalid,
	})
}
