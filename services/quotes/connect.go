package quotes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
	"quittance.internal/libs/operations/journal"
	"quittance.internal/libs/platform/signin"
	"quittance.internal/libs/platform/stripegate"
)

// The way of a connection: startConnect sends the browser to Stripe with a state,
// Stripe sends it back with that state and a code, finishConnect stores that the
// state was used, exchanges the code, asks Stripe whether the account can take
// payments, and stores the connection. Before the browser comes back with an
// authorization nothing is stored (R10).

const (
	// stateLength is how long an authorization may take.
	stateLength = 10 * time.Minute
	// statePurpose keeps a state from being taken for another value that the same
	// key signs.
	statePurpose     = "connect"
	codeStateInvalid = "state_invalid"
)

var (
	errConnectOff = refuse(http.StatusNotImplemented, "connect-not-configured",
		"Connecting a Stripe account is not configured on this system: it needs STRIPE_API_KEY and STRIPE_CLIENT_ID. Ask who runs it.")
	errState = refuse(http.StatusForbidden, "state", stateDetail, quote.Reason{Code: codeStateInvalid, Rule: "R10", Detail: stateDetail})
)

const stateDetail = "This answer from Stripe does not belong to an authorization that you started here in the last ten minutes. Nothing was connected. Start again."

// newState is a value that only this session can have got, for stateLength:
// <nonce>.<end>.<mac>. The MAC is over the session's own secret value, so that a
// state of another session, or of another user, is none here.
func (s *Service) newState(c *call) (string, error) {
	nonce, err := s.randomText()
	if err != nil {
		return "", err
	}
	value := nonce + "." + strconv.FormatInt(s.cfg.Now().Add(stateLength).Unix(), 10)
	return value + "." + c.token.Sign(statePurpose, c.csrf+"."+value), nil
}

// checkState is nil for a state that this session got and that is not too old.
func (s *Service) checkState(c *call, state string) error {
	value, mac := signin.CutLast(state, ".")
	_, until := signin.CutLast(value, ".")
	end, err := strconv.ParseInt(until, 10, 64)
	if !signin.SameText(mac, c.token.Sign(statePurpose, c.csrf+"."+value)) || err != nil || !s.cfg.Now().Before(time.Unix(end, 0)) {
		return errState
	}
	return nil
}

// startConnect is where to send the browser of a user who wants to connect a
// Stripe account. It stores nothing, unless the user may not: that is entered
// (R7).
func (s *Service) startConnect(c *call) (string, error) {
	if !s.cfg.Stripe.ConnectConfigured() {
		return "", errConnectOff
	}
	a, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return "", err
	}
	if err := a.MayConnect(c.token.Name, s.cfg.Policy); err != nil {
		return "", s.enterRefusal(c, err)
	}
	state, err := s.newState(c)
	if err != nil {
		return "", err
	}
	return s.cfg.Stripe.AuthorizeURL(state, s.cfg.PublicURL+callbackPath), nil
}

// authorized is what Stripe sent a browser back with.
type authorized struct{ state, code, fault string }

// Answers of finishConnect beside a connection.
var (
	errDenied = refuse(http.StatusForbidden, "denied",
		"You did not give access at Stripe, so nothing was connected and nothing was stored. Start again whenever you like.")
	errUsed = refuse(http.StatusConflict, "state-used", "This authorization has been used already; what came of it is shown here.")
	errCode = refuse(http.StatusConflict, "code-void",
		"Stripe does not take this authorization any more: it counts once and for five minutes. Nothing was connected. Start again.")
	errExchange = refuse(http.StatusServiceUnavailable, "stripe-unavailable",
		"Stripe did not answer, and an authorization counts once. Nothing was connected. Start again in a moment.")
)

// finishConnect makes the connection of a browser that comes back. Two that come
// back with one state end in one connection: the log takes the use of a state
// once, and only who stored it goes on.
func (s *Service) finishConnect(c *call, back authorized) error {
	if !s.cfg.Stripe.ConnectConfigured() {
		return errConnectOff
	}
	if err := s.checkState(c, back.state); err != nil {
		return err
	}
	switch {
	case back.fault == "access_denied":
		return errDenied
	case back.fault != "":
		p := refuse(http.StatusBadGateway, "stripe-refused", "Stripe did not start the authorization. Nothing was connected. Tell who runs this system.")
		p.cause = fmt.Errorf("stripe answers the authorization with %q", back.fault)
		return p
	case back.code == "":
		return errCode
	}
	if err := s.useState(c, back.state); err != nil {
		return s.enterRefusal(c, err)
	}
	// A state and a code count once: what was begun is not given up because a
	// browser was closed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), requestTimeout)
	defer cancel()
	on := *c
	on.Request = c.WithContext(ctx)
	err := s.exchange(&on, back.code)
	c.result = on.result
	return err
}

// exchange turns an authorization into a connection.
func (s *Service) exchange(c *call, code string) error {
	given, err := s.stripe.Exchange(c.Context(), code)
	if err != nil {
		return exchangeProblem(err)
	}
	account, err := s.stripe.Account(c.Context(), given.Account)
	if err != nil {
		return exchangeProblem(err)
	}
	err = s.storeConnection(c, given, account)
	if _, refused := errors.AsType[*quote.Refusal](err); refused {
		s.giveBack(c, given.Account)
		return s.enterRefusal(c, err)
	}
	return err
}

// useState stores that a state has come back with an authorization.
func (s *Service) useState(c *call, state string) error {
	sum := sha256.Sum256([]byte(state))
	_, err := s.sellerCommand(c, c.token.Seller, event.NameAuthorized, func(a *seller.Aggregate) (*sellerEntry, error) {
		now := s.cfg.Now().UTC()
		e, err := a.Authorize(seller.Authorized{Seller: c.token.Seller, State: hex.EncodeToString(sum[:]), At: now, By: c.token.Name}, s.cfg.Policy)
		return &sellerEntry{event.NameAuthorized, e, now}, err
	})
	return err
}

func (s *Service) storeConnection(c *call, given stripegate.Authorization, account stripegate.Account) error {
	_, err := s.sellerCommand(c, c.token.Seller, event.NameConnected, func(a *seller.Aggregate) (*sellerEntry, error) {
		now := s.cfg.Now().UTC()
		e, fresh, err := a.Connect(c.token.Seller, seller.Authorization{
			User: c.token.Name, Account: given.Account, Mode: given.Mode, Activated: account.Activated, DeploymentMode: s.cfg.Mode, Policy: s.cfg.Policy,
		}, now)
		if err != nil || !fresh {
			return nil, err
		}
		return &sellerEntry{event.NameConnected, e, now}, nil
	})
	return err
}

// exchangeProblem tells what went wrong at Stripe after the authorization.
func exchangeProblem(err error) error {
	p := *errExchange
	refused, ok := errors.AsType[*stripegate.RefusedError](err)
	if ok && (refused.Code == stripegate.CodeInvalidGrant || refused.AccountDetached) {
		p = *errCode
	}
	p.cause = err
	return &p
}

// giveBack ends an access that was given and is not used, unless a seller of ours
// is paid on the account. Trouble is logged: an access too many does no harm.
func (s *Service) giveBack(c *call, account string) {
	others, err := s.othersOn(c.Context(), account, "")
	if err == nil && !others {
		err = s.stripe.Deauthorize(c.Context(), account)
	}
	if err != nil {
		s.log.Warn("access to a refused account not given back", zap.String("account", account), zap.String("seller", c.token.Seller), zap.Error(err))
	}
}

// othersOn reports whether a seller other than except is connected to an account.
func (s *Service) othersOn(ctx context.Context, account, except string) (bool, error) {
	readCtx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	records, err := s.readEvents(readCtx, event.StreamSellers, "seller."+event.NameConnected+".*.*")
	if err != nil {
		return false, fmt.Errorf("look for sellers on account %s: %w", account, err)
	}
	asked := map[string]bool{except: true}
	for _, r := range records {
		parts := strings.Split(r.Subject, ".")
		if len(parts) != 4 || asked[parts[2]] {
			continue
		}
		asked[parts[2]] = true
		a, err := s.loadSeller(ctx, parts[2])
		if err != nil {
			return false, err
		}
		if conn := a.Connection(); conn != nil && conn.Account == account && !conn.Deauthorized {
			return true, nil
		}
	}
	return false, nil
}

// disconnect ends the seller's connection, here and at Stripe. His open Checkout
// Sessions are ended first: of an account without authorization Stripe tells us
// nothing, and what was paid there would never be known. It may be repeated.
func (s *Service) disconnect(c *call) error {
	if !s.cfg.Stripe.ConnectConfigured() {
		return errConnectOff
	}
	a, err := s.loadSeller(c.Context(), c.token.Seller)
	if err != nil {
		return err
	}
	if !a.Seat(c.token.Name) {
		return s.enterRefusal(c, quote.Conflict(seller.CodeNoSeat, "R7", "Only users with a paid sales seat may disconnect a Stripe account."))
	}
	if end, ok := a.Disconnect(c.token.Seller, c.token.Name, s.cfg.Now()); ok {
		if err := s.deauthorize(c, end.Account); err != nil {
			return disconnectProblem(err)
		}
	}
	_, err = s.sellerCommand(c, c.token.Seller, event.NameDeauthorized, func(b *seller.Aggregate) (*sellerEntry, error) {
		end, ok := b.Disconnect(c.token.Seller, c.token.Name, s.cfg.Now())
		if was := a.Connection(); !ok || was == nil || end.Account != was.Account {
			return nil, nil // another one did it, or connected another account meanwhile
		}
		return &sellerEntry{event.NameDeauthorized, end, end.At}, nil
	})
	return err
}

// disconnectProblem tells what went wrong at Stripe; nothing is recorded then.
func disconnectProblem(err error) error {
	if _, refused := errors.AsType[*stripegate.RefusedError](err); !refused {
		return unavailable(err)
	}
	p := refuse(http.StatusBadGateway, "disconnect-refused",
		"Stripe did not end the access, so the account is still connected. End it in Stripe's dashboard, under installed apps, or tell who runs this system.")
	p.cause = err
	return p
}

func (s *Service) deauthorize(c *call, account string) error {
	if _, err := s.stripe.ExpireOpenSessions(c.Context(), account, c.token.Seller); err != nil {
		if refused, ok := errors.AsType[*stripegate.RefusedError](err); !ok || !refused.AccountDetached {
			return err
		}
	}
	shared, err := s.othersOn(c.Context(), account, c.token.Seller)
	if err != nil || shared {
		return err
	}
	return s.stripe.Deauthorize(c.Context(), account)
}

// actionRefused is the journal's word for a refusal to connect an account.
const actionRefused = "connect_refused"

// enterRefusal makes the answer of a refusal to connect and enters it in the
// journal, so that it can be seen later who tried (R7). Any other error it returns
// as it is.
func (s *Service) enterRefusal(c *call, err error) error {
	refusal, ok := errors.AsType[*quote.Refusal](err)
	if !ok {
		return err
	}
	first := refusal.Reasons[0]
	if first.Code == seller.CodeReturned {
		return errUsed
	}
	codes := make([]string, 0, len(refusal.Reasons))
	for _, r := range refusal.Reasons {
		codes = append(codes, r.Code)
	}
	ctx, cancel := context.WithTimeout(c.Context(), logTimeout)
	defer cancel()
	if _, entryErr := s.journal.Append(ctx, journal.Entry{
		Action: actionRefused, Who: c.token.Name, Target: c.token.Seller, Reason: first.Detail, Detail: map[string]any{"codes": codes, "app": "stripe"},
	}); entryErr != nil {
		return unavailable(entryErr) // a refusal without its entry is not to be: the caller tries again
	}
	p := refuse(http.StatusForbidden, "connect-refused", first.Detail, refusal.Reasons...)
	p.cause = err
	return p
}
