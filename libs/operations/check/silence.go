package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/operations/advice"
	"quittance.internal/libs/operations/signatures"
	"quittance.internal/libs/platform/natsstream"
)

const (
	// silenceGrace is how old an event at Stripe must be before its webhook is missed: Stripe delivers within seconds.
	silenceGrace = 2 * time.Minute
	// silenceDepth is how many messages are looked at for the last webhook: what came by reconcile or in person lies between.
	silenceDepth = 20_000
	silencePage  = 1000
	// silenceSpan is what Stripe lists, and how long an account without events is looked at.
	silenceSpan = 30 * 24 * time.Hour
	// silenceAccounts bounds how many accounts Stripe is asked about in one look: a few calls each.
	silenceAccounts = 100
)

// AtStripe is an event that Stripe lists.
type AtStripe struct {
	Account, ID, Type string
	Created           time.Time
}

// ErrNoAccess is what Silence.Stripe answers for an account that gives the deployment no access any more.
var ErrNoAccess = errors.New("the account gives no access")

// Silence is what Run looks for: webhooks that do not come.
//
// No webhook for a day may mean that nothing was sold, or that everything is broken. With Stripe's own list both can be told
// apart: what Stripe has and no webhook brought, though later ones would have come, is a webhook that is missed. What came is
// read from the log, so that no restart of ours makes anybody forget it, and account by account: the events of connected
// accounts come by an endpoint of their own, which may be broken alone.
type Silence struct {
	Log  *natsstream.Log
	Mode string
	Now  time.Time
	// Connected are the connected accounts that are looked at beside the deployment's own, if they have had events in the last
	// 30 days.
	Connected []string
	// Stripe lists an account's events of wanted types since a time, in any order; nil where there is no key.
	Stripe func(ctx context.Context, account string, since time.Time) ([]AtStripe, error)
	// Missed judges how long the oldest event without its webhook has waited.
	Missed Limits
	// Quiet is from when on silence alone is worth a warning where Stripe cannot be asked.
	Quiet time.Duration
	// Signatures are ingress's counters since its start, nil where they cannot be read, which Unread then explains; Unset says
	// that nobody has named ingress's address.
	Signatures *signatures.Figures
	Unread     string
	Unset      bool
}

// heard is what the log tells of an account: its newest event, and its newest webhook.
type heard struct {
	account    string
	any        time.Time // zero where the account never had an event
	end        uint64    // the newest event's sequence
	id, secret string    // of the newest webhook, empty where none is found
	at         time.Time
}

// since is how far back Stripe is asked: what is older than the last webhook is reconcile's business.
func (h heard) since(now time.Time) time.Time {
	oldest := now.Add(-silenceSpan)
	if since := h.at.Add(-silenceGrace); since.After(oldest) {
		return since
	}
	return oldest
}

// Run compares.
func (s Silence) Run(ctx context.Context) (*Verdict, error) {
	v := newVerdict("silence")
	all, err := s.accounts(ctx)
	if err != nil {
		return nil, err
	}
	good := s.quiet(v, all)
	if s.Stripe == nil {
		v.skip("what Stripe has: STRIPE_API_KEY is not set, so that no sales and no webhooks look the same")
	} else if good, err = s.calibrated(ctx, v, all, good); err != nil {
		return nil, err
	}
	s.signatures(v)
	return v.close(good), nil
}

// accounts are the deployment's own and the connected ones that had events lately, the latest first.
func (s Silence) accounts(ctx context.Context) ([]heard, error) {
	own, err := s.newest(ctx, event.Platform)
	if err != nil {
		return nil, err
	}
	var connected []heard
	for _, account := range s.Connected {
		h, err := s.newest(ctx, account)
		if err != nil {
			return nil, err
		}
		if s.Now.Sub(h.any) < silenceSpan {
			connected = append(connected, h)
		}
	}
	slices.SortFunc(connected, func(a, b heard) int { return b.any.Compare(a.any) })
	all := append([]heard{own}, connected...)
	return all, s.webhooks(ctx, all)
}

// quiet says when the last webhook came, of the own account and of the connected ones, and without Stripe's list warns of a
// long silence of either. It returns what to say when all is well.
func (s Silence) quiet(v *Verdict, all []heard) string {
	good := "no webhook has ever come"
	groups := [][]heard{all[:1], all[1:]}
	for i, name := range []string{"last_webhook", "last_webhook_connected"} {
		if len(groups[i]) == 0 || i == 0 && len(all) > 1 && all[0].any.IsZero() {
			continue // nobody sells on that side
		}
		last := slices.MaxFunc(groups[i], func(a, b heard) int { return a.at.Compare(b.at) })
		said := "no webhook has ever come"
		silent := s.Quiet > 0
		if last.id != "" {
			quiet := s.Now.Sub(last.at)
			said = fmt.Sprintf("the last webhook came %s ago (%s, secret %s)", wait(quiet), last.id, last.secret)
			silent = silent && quiet >= s.Quiet
			v.Measures = append(v.Measures, Limits{Warn: s.Quiet, Critical: s.Quiet}.seconds(name, quiet))
		}
		if i == 1 {
			said = "of " + accounts(len(all)-1) + " " + said
		}
		if good == "no webhook has ever come" {
			good = said
		} else {
			good += "; " + said
		}
		if s.Stripe == nil && silent {
			v.find(Warning, "quotectl doctor", "%s; whether Stripe has anything is not known", said)
		}
	}
	return good
}

func accounts(n int) string {
	if n == 1 {
		return "one connected account"
	}
	return fmt.Sprintf("%d connected accounts", n)
}

// missed are the events of one account that no webhook brought.
type missed struct {
	n      int
	oldest AtStripe
}

// calibrated compares with Stripe's list and returns what to say when all is well.
func (s Silence) calibrated(ctx context.Context, v *Verdict, all []heard, good string) (string, error) {
	if len(all) > silenceAccounts {
		v.skip("%d connected accounts beyond the %d with the latest events: quotectl reconcile report compares all", len(all)-silenceAccounts, silenceAccounts)
		all = all[:silenceAccounts]
	}
	total, oldest := 0, s.Now
	for _, h := range all {
		m, err := s.missed(ctx, h)
		switch {
		case errors.Is(err, ErrNoAccess) && h.account != event.Platform:
			v.skip("what Stripe has of %s: %v", h.account, err)
			continue
		case err != nil:
			return "", advice.New("quotectl doctor", "ask Stripe for its events: %w", err)
		case m.n == 0:
			continue
		}
		total += m.n
		if m.oldest.Created.Before(oldest) {
			oldest = m.oldest.Created
		}
		age := s.Now.Sub(m.oldest.Created)
		of := ""
		if h.account != event.Platform {
			of = " of " + h.account
		}
		if level := s.Missed.Level(age); level != OK {
			v.find(level, "quotectl doctor", "Stripe has %d events%s that no webhook brought, the oldest %s ago (%s, %s)", m.n, of, wait(age), m.oldest.ID, m.oldest.Type)
		}
	}
	v.Measures = append(v.Measures, Measure{Name: "missed_webhooks", Value: float64(total), Warn: 1, Critical: 1}, s.Missed.seconds("oldest_missed", s.Now.Sub(oldest)))
	if total == 0 {
		good += "; Stripe has nothing that did not come"
	}
	return good, nil
}

func (s Silence) missed(ctx context.Context, h heard) (missed, error) {
	m := missed{oldest: AtStripe{Created: s.Now}}
	listed, err := s.Stripe(ctx, h.account, h.since(s.Now))
	if err != nil {
		return m, err
	}
	for _, e := range listed {
		if s.Now.Sub(e.Created) < silenceGrace {
			continue
		}
		came, err := s.came(ctx, e)
		if err != nil {
			return m, err
		}
		if !came {
			m.n++
			if e.Created.Before(m.oldest.Created) {
				m.oldest = e
			}
		}
	}
	return m, nil
}

// came reports whether a webhook brought the event. What reconcile or a customer's return brought is in the log too, and its
// webhook is missed all the same.
func (s Silence) came(ctx context.Context, e AtStripe) (bool, error) {
	m, err := s.Log.Read(ctx, event.StreamStripe, fmt.Sprintf("stripe.%s.%s.%s.>", s.Mode, e.Account, e.ID))
	if errors.Is(err, natsstream.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	source := m.Header.Get(event.HeaderSource)
	// A return that was faster than the webhook takes its place in the log: nothing tells whether the webhook came too.
	return source == event.SourceWebhook || source == event.SourceReturn, nil
}

// newest reads an account's newest event, which in most cases a webhook brought.
func (s Silence) newest(ctx context.Context, account string) (heard, error) {
	h := heard{account: account}
	m, err := s.Log.Read(ctx, event.StreamStripe, fmt.Sprintf("stripe.%s.%s.>", s.Mode, account))
	if errors.Is(err, natsstream.ErrNotFound) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h.any, h.end = m.Time, m.Sequence
	h.take(m)
	return h, nil
}

// take notes a webhook.
func (h *heard) take(m natsstream.Record) {
	if subject, ok := event.ParseStripeSubject(m.Subject); ok && m.Header.Get(event.HeaderSource) == event.SourceWebhook {
		h.id, h.secret, h.at = subject.EventID, m.Header.Get(event.HeaderSecretName), m.Time
	}
}

// webhooks finds the newest webhook of the accounts whose newest event came by another way, from there backwards.
func (s Silence) webhooks(ctx context.Context, all []heard) error {
	open := map[string]*heard{}
	end := uint64(0)
	for i := range all {
		if h := &all[i]; h.id == "" && h.end > 0 {
			open[h.account], end = h, max(end, h.end)
		}
	}
	for looked := 0; end > 0 && len(open) > 0 && looked < silenceDepth; looked += silencePage {
		begin := uint64(1)
		if end > silencePage {
			begin = end - silencePage + 1
		}
		page, err := s.Log.Scan(ctx, event.StreamStripe, begin, int(end-begin+1)) //nolint:gosec // at most silencePage
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(page) {
			subject, _ := event.ParseStripeSubject(m.Subject)
			if h := open[subject.Account]; h != nil && m.Sequence <= end && subject.Mode == s.Mode {
				if h.take(m); h.id != "" {
					delete(open, h.account)
				}
			}
		}
		end = begin - 1
	}
	return nil
}

// signatures judges ingress's counters.
func (s Silence) signatures(v *Verdict) {
	switch {
	case s.Signatures == nil && s.Unset:
		v.skip("signature failures: %s", s.Unread)
		return
	case s.Signatures == nil:
		v.find(Unknown, "deploy/runbooks/service-down.md", "how many signatures have failed cannot be seen: %s", s.Unread)
		return
	}
	bad, share := s.Signatures.Failures(), s.Signatures.Share()
	all := bad + s.Signatures.Good
	v.Measures = append(v.Measures, Measure{Name: "signature_failures", Value: bad}, Measure{Name: "signature_failure_percent", Value: float64(int(share*1000)) / 10, Warn: 100 * signatures.Worrying, Critical: 50})
	switch text := s.failed(bad, all); {
	case bad < signatures.Enough:
	case share >= 0.5:
		v.find(Critical, "quotectl doctor", "%s", text)
	case share >= signatures.Worrying:
		v.find(Warning, "quotectl doctor", "%s", text)
	}
}

// failed says of how long the counters speak: a restart begins them anew.
func (s Silence) failed(bad, all float64) string {
	text := fmt.Sprintf("%.0f of %.0f signatures have failed since ingress started", bad, all)
	if !s.Signatures.Since.IsZero() {
		text += " " + wait(s.Now.Sub(s.Signatures.Since)) + " ago"
	}
	return text
}
