package stripegate

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/oauth"

	"quittance.internal/libs/domain/event"
)

// CodeInvalidGrant is Stripe's refusal of an authorization code that it does not
// know, that is used, or too old (five minutes).
const CodeInvalidGrant = "invalid_grant"

// ConnectConfigured reports whether accounts can be connected.
func (c Config) ConnectConfigured() bool { return c.Configured() && c.ClientID != "" }

// AuthorizeURL is where a browser asks for access to a Stripe account. Stripe
// leads it back to redirect, one of the application's registered addresses, with
// the state and either a code or an error. Stripe signs the user in there: no
// detail of an account passes through us (R9).
func (c Config) AuthorizeURL(state, redirect string) string {
	return cmp.Or(c.ConnectURL, stripe.ConnectURL) + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "scope": {string(stripe.OAuthScopeTypeReadWrite)}, "state": {state}, "redirect_uri": {redirect},
	}.Encode()
}

// AuthorizeOrigins are the origins that a browser passes on its way to sign in
// and authorize, as a Content-Security-Policy names them.
func (c Config) AuthorizeOrigins() []string {
	if c.ConnectURL == "" {
		return []string{"https://*.stripe.com"} // connect.stripe.com leads to the dashboard's sign-in
	}
	u, err := url.Parse(c.ConnectURL)
	if err != nil {
		return nil // ConfigFromEnv lets none in
	}
	return []string{u.Scheme + "://" + u.Host}
}

// Authorization is the access that was given to us.
type Authorization struct {
	Account string // acct_…
	Mode    string // of the key that the code was exchanged with: test or live
}

// Exchange trades an authorization code for access to the account that gave it.
// A code counts once, and a second use ends the access that the first one gave,
// so the call is made once and never repeated, by nobody: where the answer is
// lost, the user must authorize again. It returns ErrUnavailable or a
// *RefusedError, with CodeInvalidGrant for a code that is void.
func (c *Client) Exchange(ctx context.Context, code string) (Authorization, error) {
	token, err := oauth.Client{B: c.once, Key: c.key}.New(&stripe.OAuthTokenParams{
		Params: stripe.Params{Context: ctx}, ClientSecret: stripe.String(c.key), Code: stripe.String(code), GrantType: stripe.String("authorization_code"),
	})
	if err != nil {
		return Authorization{}, classify("exchange authorization code", err)
	}
	if !event.ValidToken(token.StripeUserID) {
		return Authorization{}, errors.New("exchange authorization code: the answer names no account")
	}
	return Authorization{Account: token.StripeUserID, Mode: event.Mode(token.Livemode)}, nil
}

// Account is a connected account as far as we need it.
type Account struct {
	ID string
	// Activated is Stripe's charges_enabled.
	Activated bool
	// Disabled is Stripe's code for why it is not, such as
	// requirements.past_due; may be empty.
	Disabled string
}

// Account reads a connected account. It returns ErrUnavailable or a
// *RefusedError, with AccountDetached where we have no access to it.
func (c *Client) Account(ctx context.Context, id string) (Account, error) {
	a, err := c.api.Accounts.GetByID(id, &stripe.AccountParams{Params: stripe.Params{Context: ctx}})
	if err != nil {
		return Account{}, classify("read account "+id, err)
	}
	got := Account{ID: a.ID, Activated: a.ChargesEnabled}
	if a.Requirements != nil {
		got.Disabled = string(a.Requirements.DisabledReason)
	}
	return got, nil
}

// Deauthorize gives the access to an account back. It may be repeated: an account
// that we have no access to is nothing to give back. It returns ErrUnavailable or
// a *RefusedError.
func (c *Client) Deauthorize(ctx context.Context, account string) error {
	_, err := oauth.Client{B: c.connect, Key: c.key}.Del(&stripe.DeauthorizeParams{
		Params: stripe.Params{Context: ctx}, ClientID: stripe.String(c.clientID), StripeUserID: stripe.String(account),
	})
	if e, ok := errors.AsType[*stripe.Error](err); ok && e.HTTPStatusCode == http.StatusUnauthorized {
		// Stripe answers this for an account that is not connected, and for a wrong
		// client id as well; only the account tells the two apart.
		if _, readErr := c.Account(ctx, account); detached(readErr) {
			return nil
		}
	}
	return classify("deauthorize account "+account, err)
}

func detached(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.AccountDetached
}

// sessionPage is how many sessions one answer of the list holds.
const sessionPage = 100

// ExpireOpenSessions ends every open session of an account that was made for the
// seller, so that none can be paid once we cannot hear of it any more, and
// returns how many. Sessions of others are left alone (R5). It may be repeated.
func (c *Client) ExpireOpenSessions(ctx context.Context, account, seller string) (int, error) {
	p := &stripe.CheckoutSessionListParams{Status: stripe.String(SessionOpen)}
	p.Context, p.Limit, p.StripeAccount = ctx, stripe.Int64(sessionPage), params(ctx, account, "").StripeAccount
	list := c.api.CheckoutSessions.List(p)
	ended := 0
	for list.Next() {
		s := list.CheckoutSession()
		if s.Metadata["seller"] != seller || s.Metadata["quote_id"] == "" || s.Status != stripe.CheckoutSessionStatusOpen {
			continue
		}
		if _, err := c.ExpireSession(ctx, account, s.ID); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, classify("list open sessions", list.Err())
}
