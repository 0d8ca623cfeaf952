package quotes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/platform/natsstream"
	"quittance.internal/libs/platform/stripegate"
)

// sessionRest is how long a session that is found open must still last for a
// customer to be sent there.
const sessionRest = 2 * time.Minute

var (
	errNotConfigured = refuse(http.StatusNotImplemented, "payment-not-configured",
		"Payment is not configured on this system: it has no STRIPE_API_KEY. Ask the sender of the quote.")
	errNoPage = refuse(http.StatusNotFound, "not-found", "This quote is not available. Ask the sender for a new link.")
)

// checkOut sends the customer to a Checkout Session of the revision whose page he
// is on. There is one open session for a revision: a second click leads to the
// same one. The amounts are the revision's own; nothing comes from the request.
func (s *Service) checkOut(w http.ResponseWriter, c *call) error {
	if err := c.noBody(); err != nil {
		return err
	}
	token := c.PathValue("token")
	id, revision, seller, err := s.resolve(c.Context(), token)
	if err != nil {
		return err
	}
	c.quoteID, c.token.Seller = id, seller
	for attempt := range attempts {
		if err := pause(c.Context(), attempt); err != nil {
			return err
		}
		a, err := s.load(c.Context(), seller, id)
		if err != nil {
			return err
		}
		last, ok := offered(a)
		if !ok || last.Revision != revision || last.URLToken != token {
			return errNoPage
		}
		target, err := s.advance(c, a, last)
		if errors.Is(err, natsstream.ErrConflict) {
			continue
		}
		if err != nil {
			s.metrics.command("checkout", "refused")
			return stripeProblem(err)
		}
		s.metrics.command("checkout", "stored")
		c.result = "checkout"
		return s.lead(w, c, target)
	}
	return unavailable(fmt.Errorf("check out quote %s: %d conflicts", id, attempts))
}

// lead sends the customer on. The page's policy keeps a browser from following a
// form to an origin that it does not name: then the customer gets a link, which no
// policy holds back, and the operator a warning.
func (s *Service) lead(w http.ResponseWriter, c *call, target string) error {
	origin, _ := originOf(target)
	own, _ := originOf(s.cfg.PublicURL)
	if c.wantsPage() && origin != own && !slices.Contains(s.cfg.CheckoutOrigins, origin) {
		s.log.Warn("checkout pages are at an origin that CHECKOUT_ORIGINS does not name", zap.String("origin", origin))
		page := messagePage{view: s.view(c), Forward: target}
		page.english = "/q/" + url.PathEscape(c.PathValue("token")) + "?lang=" + langEnglish
		page.Heading = page.T("Your payment page is ready")
		page.Title = page.Heading
		return s.render(w, c, http.StatusOK, "message.html", page)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, c.Request, target, http.StatusSeeOther)
	return nil
}

// advance brings the revision's checkout to where the customer can be sent. It
// returns natsstream.ErrConflict when the quote has changed meanwhile.
func (s *Service) advance(c *call, a *quote.Aggregate, r event.Published) (string, error) {
	if err := s.mayCheckOut(c.Context(), a, r); err != nil {
		return "", err
	}
	if s.stripe == nil {
		return "", errNotConfigured
	}
	if all := a.Checkouts(r.Revision); len(all) > 0 {
		target, err := s.resume(c, a, r, all[len(all)-1])
		if target != "" || err != nil {
			return target, err
		}
	}
	// The customer is looked for once and stands in the request: a repetition of
	// the call under the same key must say the same.
	customer, err := s.stripe.FindCustomer(c.Context(), r.Account, r.Document.Contact.Email)
	if err != nil {
		return "", err
	}
	request, err := a.NextCheckout(customer, s.cfg.Now())
	if err != nil {
		return "", err
	}
	if err := s.appendCheckout(c, a, event.NameCheckoutRequested, request.Attempt, request, request.RequestedAt); err != nil {
		return "", err
	}
	session, err := s.openSession(c.Context(), r, request)
	if err != nil {
		return "", err
	}
	return session.URL, s.recordOpened(c, a, request, session)
}

// mayCheckOut is the guard (R19): the log, the policy, the seller and what Redis
// knows of payments, asked again at every click.
func (s *Service) mayCheckOut(ctx context.Context, a *quote.Aggregate, r event.Published) error {
	owner, err := s.loadSeller(ctx, r.Seller)
	if err != nil {
		return err
	}
	if err := a.MayCheckOut(s.cfg.Policy, owner.Payee(s.cfg.Account), s.cfg.Mode, s.cfg.Now()); err != nil {
		return err
	}
	return s.mayReplace(ctx, a)
}

// resume finds out what became of the last attempt. The answer is where to send
// the customer; empty when a further attempt is needed.
func (s *Service) resume(c *call, a *quote.Aggregate, r event.Published, last quote.Checkout) (string, error) {
	session, known, err := s.sessionOf(c.Context(), r, last)
	if err != nil || !known {
		return "", err
	}
	if last.Session == "" {
		if err := s.recordOpened(c, a, last.Request, session); err != nil {
			return "", err
		}
	}
	if session.Status == stripegate.SessionOpen && session.ExpiresAt.Sub(s.cfg.Now()) < sessionRest {
		if session, err = s.stripe.ExpireSession(c.Context(), r.Account, session.ID); err != nil {
			return "", err
		}
	}
	switch {
	case session.Status == stripegate.SessionOpen:
		return session.URL, nil
	case session.Status == stripegate.SessionComplete && !a.Failed(session.ID):
		// Paid, or a bank debit under way; its events will say so on the page.
		return s.pageURL(r.URLToken) + "?session_id=" + session.ID, nil
	}
	return "", nil
}

// sessionOf is the session of an attempt. Where the log does not say which one
// it is, the very same call is made again: its key makes Stripe answer with the
// session that the first one made. False when there is none, and never will be.
func (s *Service) sessionOf(ctx context.Context, r event.Published, attempt quote.Checkout) (stripegate.Session, bool, error) {
	if attempt.Session != "" {
		session, err := s.stripe.Session(ctx, r.Account, attempt.Session)
		if stripegate.Missing(err) { // of another key's account, or of a sandbox that has forgotten: nobody can pay it
			return stripegate.Session{}, false, nil
		}
		return session, err == nil, err
	}
	session, err := s.openSession(ctx, r, attempt.Request)
	if refused, ok := errors.AsType[*stripegate.RefusedError](err); ok && !aboutAmount(refused) || errors.Is(err, stripegate.ErrKept) {
		return stripegate.Session{}, false, nil
	}
	return session, err == nil, err
}

// openSession asks Stripe for the session of a request. It depends on nothing but
// the revision and the request.
func (s *Service) openSession(ctx context.Context, r event.Published, request event.CheckoutRequested) (stripegate.Session, error) {
	total, err := r.Document.Total()
	if err != nil {
		return stripegate.Session{}, err
	}
	lines, err := r.Document.CheckoutLines()
	if err != nil {
		return stripegate.Session{}, err
	}
	metadata := map[string]string{"quote_id": r.QuoteID, "quote_revision": strconv.Itoa(r.Revision), "seller": r.Seller}
	name := fmt.Sprintf("%s:%d:%d", r.QuoteID, r.Revision, request.Attempt)
	coupon, err := s.coupon(ctx, r, total, metadata)
	if err != nil {
		return stripegate.Session{}, err
	}
	session, err := s.stripe.OpenCheckout(ctx, stripegate.Checkout{
		Key: "checkout:" + name, Account: r.Account, Currency: r.Currency, Lines: lines, Coupon: coupon,
		Customer: request.Customer, Email: r.Document.Contact.Email, Metadata: metadata, Reference: r.QuoteID,
		ExpiresAt: request.ExpiresAt, RequestedAt: request.RequestedAt,
		SuccessURL: s.pageURL(r.URLToken) + "?session_id={CHECKOUT_SESSION_ID}", CancelURL: s.pageURL(r.URLToken),
	})
	if err != nil {
		return stripegate.Session{}, err
	}
	if session.Amount != r.Amount || !strings.EqualFold(session.Currency, r.Currency) {
		// Nobody may pay what the quote does not say.
		_, expireErr := s.stripe.ExpireSession(ctx, r.Account, session.ID)
		return stripegate.Session{}, errors.Join(fmt.Errorf("session %s charges %d %s, the quote says %d %s", session.ID,
			session.Amount, session.Currency, r.Amount, r.Currency), expireErr)
	}
	return session, nil
}

// coupon makes the quote's discount a coupon of that amount (R24, R25); no
// discount, no coupon. There is one for a revision, by its id.
func (s *Service) coupon(ctx context.Context, r event.Published, total quote.Total, metadata map[string]string) (string, error) {
	if total.Discount == 0 {
		return "", nil
	}
	managed := map[string]string{"managed_by": "quittance"}
	for name, value := range metadata {
		managed[name] = value
	}
	id := "quittance_" + r.QuoteID + "_" + strconv.Itoa(r.Revision)
	return id, s.stripe.EnsureCoupon(ctx, stripegate.Coupon{
		Account: r.Account, ID: id, Name: "Quote discount", Amount: total.Discount, Currency: r.Currency,
		Forever: r.Document.Discount.Duration == quote.DurationForever, Metadata: managed,
	})
}

func (s *Service) recordOpened(c *call, a *quote.Aggregate, request event.CheckoutRequested, session stripegate.Session) error {
	now := s.cfg.Now().UTC()
	return s.appendCheckout(c, a, event.NameCheckoutOpened, request.Attempt, event.CheckoutOpened{
		Seller: request.Seller, QuoteID: request.QuoteID, Revision: request.Revision, Attempt: request.Attempt, Account: request.Account,
		Mode: request.Mode, CheckoutSession: session.ID, ExpiresAt: session.ExpiresAt, OpenedAt: now,
	}, now)
}

// appendCheckout stores an event of an attempt on the last revision.
func (s *Service) appendCheckout(c *call, a *quote.Aggregate, name string, attempt int, data any, at time.Time) error {
	return s.append(c, a, a.ID, entry{name, quote.CheckoutN(a.Revision(), attempt), data, at})
}

// closeCheckouts ends the sessions of the last revision, so that a page that is
// taken back cannot be paid (R27). It refuses when one was completed first.
func (s *Service) closeCheckouts(ctx context.Context, a *quote.Aggregate) error {
	all := a.Checkouts(a.Revision())
	if len(all) == 0 {
		return nil
	}
	if s.stripe == nil {
		return errNotConfigured
	}
	r := a.Revisions[len(a.Revisions)-1]
	for _, checkout := range slices.Backward(all) {
		session, known, err := s.closeCheckout(ctx, r, checkout)
		if err != nil {
			return stripeProblem(err)
		}
		if known && session.Status == stripegate.SessionComplete && !a.Failed(session.ID) {
			return quote.Conflict(quote.CodeInFlight, "R27", "The customer has checked out; wait until the payment has succeeded or failed.")
		}
	}
	return nil
}

// closeCheckout ends the session of an attempt, and returns what it is then;
// false when there is none, or none that we may touch: a payment of it is flagged
// when it comes.
func (s *Service) closeCheckout(ctx context.Context, r event.Published, checkout quote.Checkout) (stripegate.Session, bool, error) {
	session, known, err := s.sessionOf(ctx, r, checkout)
	if err == nil && known && session.Status == stripegate.SessionOpen {
		session, err = s.stripe.ExpireSession(ctx, r.Account, session.ID)
	}
	if refused, ok := errors.AsType[*stripegate.RefusedError](err); ok && (refused.AccountDetached || aboutAmount(refused)) {
		s.log.Warn("session not expired", zap.String("quote_id", r.QuoteID), zap.Error(err))
		return stripegate.Session{}, false, nil
	}
	return session, known, err
}

func aboutAmount(e *stripegate.RefusedError) bool {
	return e.Code == "amount_too_small" || e.Code == "amount_too_large"
}

// stripeProblem tells what Stripe refuses in our words, with a reason.
func stripeProblem(err error) error {
	if errors.Is(err, stripegate.ErrUnavailable) {
		return unavailable(err)
	}
	refused, ok := errors.AsType[*stripegate.RefusedError](err)
	if !ok {
		return err
	}
	reason := quote.Reason{Code: "stripe_refused", Detail: "Stripe does not take this payment: " + refused.Message}
	switch {
	case refused.Code == "amount_too_small":
		reason = quote.Reason{Code: quote.CodeBelowMinimum, Rule: "R18", Detail: "The total is below the least that Stripe charges: " + refused.Message}
	case refused.Code == "amount_too_large":
		reason = quote.Reason{Code: quote.CodeAboveMaximum, Rule: "R18", Detail: "The total is above the most that Stripe charges: " + refused.Message}
	case refused.AccountDetached:
		reason = quote.Reason{Code: quote.CodeDeauthorized, Rule: "R11", Detail: "The seller's Stripe account is no longer connected."}
	}
	p := refuse(http.StatusConflict, "refused-by-stripe", reason.Detail, reason)
	p.cause = err
	return p
}
